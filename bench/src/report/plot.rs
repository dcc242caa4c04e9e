//! Plots, as SVG: one bar per row, the median, with a line from the lowest to the highest round.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figure;
use crate::Outcome;
use crate::case::{Case, Kind, Metric};
use crate::results::Results;
use crate::row::{Protection, ROWS};
use crate::stats::Spread;

/// Cases of one file, one panel each.
const FILES: &[(&str, &[Case])] = &[
    (
        "throughput.svg",
        &[Case::Bytes8, Case::Bytes64, Case::Kib1, Case::Kib16, Case::Kib64, Case::Mib1],
    ),
    ("round-trip.svg", &[Case::Rtt, Case::Spin]),
    ("fan-out.svg", &[Case::Fan64, Case::Fan1k]),
    ("drop.svg", &[Case::Net0, Case::Net1, Case::Net5]),
    (
        "calls.svg",
        &[
            Case::Call1,
            Case::Calls1,
            Case::Call4,
            Case::Calls4,
            Case::Call1b,
            Case::Calls1b,
            Case::Call4b,
            Case::Calls4b,
        ],
    ),
    ("start-and-idle.svg", &[Case::First, Case::Idle]),
];

const WIDTH: u32 = 440;
const BAR: u32 = 20;
const HEAD: u32 = 34;
const FOOT: u32 = 40;
/// Left of the bars: names. Right of them: figures.
const NAMES: i32 = 112;
const FIGURES: i32 = 78;

const OURS: RGBColor = RGBColor(0xc8, 0x55, 0x1b);
const PEERS: RGBColor = RGBColor(0x5b, 0x7f, 0xa6);
const LIMITS: RGBColor = RGBColor(0xb4, 0xb4, 0xb4);
const INK: RGBColor = RGBColor(0x30, 0x30, 0x30);

/// Writes all files that have anything to show.
pub(super) fn write(results: &Results, out: &Path) -> Outcome {
    for (name, cases) in FILES {
        let shown: Vec<_> = cases.iter().map(|case| (*case, bars(results, *case))).collect();
        let shown: Vec<_> = shown.into_iter().filter(|(_, bars)| !bars.is_empty()).collect();
        if !shown.is_empty() {
            draw(results, &out.join(name), &shown)?;
        }
    }
    Ok(())
}

/// One bar: the row, its colour, its figures.
type Bar = (&'static str, RGBColor, Spread);

fn bars(results: &Results, case: Case) -> Vec<Bar> {
    let bar = |row: &'static crate::row::Row| {
        let colour = match row.protection {
            Protection::Encrypted => OURS,
            Protection::Plaintext => PEERS,
            Protection::Limit => LIMITS,
        };
        // A bound by memory alone is far off all scales.
        let shown = row.name != "memcpy" && row.name != "aeron-ipc" && row.name != "iceoryx2";
        let spread = results.spread(case, row.name, case.metric()).filter(|_| shown)?;
        Some((row.name, colour, spread))
    };
    ROWS.iter().filter_map(bar).collect()
}

fn draw(results: &Results, path: &Path, panels: &[(Case, Vec<Bar>)]) -> Outcome {
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns);
    let most = panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0) as u32;
    let height = HEAD + most * BAR + 10;
    let size = (WIDTH * columns as u32, height * rows as u32 + FOOT);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (upper, foot) = area.split_vertically(height * rows as u32);
    for (panel, (case, bars)) in upper.split_evenly((rows, columns)).iter().zip(panels) {
        panel_of(panel, *case, bars)?;
    }
    let small = ("sans-serif", 11).into_font().color(&INK);
    let machine = &results.machine;
    foot.draw_text(&machine.line(), &small, (8, 4))?;
    let versions = machine.versions.join(", ");
    let legend = format!("motet encrypted, peers plaintext, limits grey. {versions}");
    foot.draw_text(&legend, &small, (8, 20))?;
    area.present()?;
    Ok(())
}

fn panel_of(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    case: Case,
    bars: &[Bar],
) -> Outcome {
    let metric = case.metric();
    let what = match metric {
        Metric::Rate if matches!(case.kind(), Kind::Calls { .. }) => {
            "calls answered per second, more is better"
        }
        Metric::Rate => "messages received per second, more is better",
        Metric::Resident => "resident memory, less is better",
        _ => "median time, less is better",
    };
    let title = ("sans-serif", 14).into_font().color(&INK);
    let small = ("sans-serif", 11).into_font().color(&INK);
    panel.draw_text(case.title(), &title, (8, 4))?;
    panel.draw_text(what, &small, (8, 20))?;
    let room = f64::from(WIDTH as i32 - NAMES - FIGURES);
    let top = bars.iter().map(|(_, _, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let across = |value: f64| NAMES + (value / top * room) as i32;
    let right = TextStyle::from(("sans-serif", 11).into_font())
        .color(&INK)
        .pos(Pos::new(HPos::Right, VPos::Center));
    let left = right.pos(Pos::new(HPos::Left, VPos::Center));
    for (index, (name, colour, spread)) in bars.iter().enumerate() {
        let above = (HEAD + index as u32 * BAR) as i32 + 4;
        let (below, middle) = (above + BAR as i32 - 6, above + BAR as i32 / 2 - 3);
        let bar = [(NAMES, above), (across(spread.median).max(NAMES + 1), below)];
        panel.draw(&Rectangle::new(bar, colour.filled()))?;
        let whisker = [(across(spread.min), middle), (across(spread.max), middle)];
        panel.draw(&PathElement::new(whisker, INK))?;
        panel.draw_text(name, &right, (NAMES - 6, middle))?;
        let shown = figure::of(metric, spread.median);
        panel.draw_text(&shown, &left, (across(spread.max) + 6, middle))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    #[test]
    fn a_plot_names_the_rows_and_their_figures() {
        let mut results = Results::default();
        for (row, rate) in [("motet", 3e6), ("zenoh", 1.5e6)] {
            let mut sample = Sample::default();
            sample.put(Metric::Rate, rate);
            results.add(Case::Kib1, row, Ok(sample));
        }
        let directory = tempfile::tempdir().unwrap();
        write(&results, directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("throughput.svg")).unwrap();
        for part in ["<svg", "motet", "zenoh", "3.00 M/s", "1 KiB"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!directory.path().join("fan-out.svg").exists());
    }
}
