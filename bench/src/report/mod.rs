//! What is shown and written.

pub(crate) mod figure;
mod plot;
pub(crate) mod table;

use std::path::Path;

use crate::Outcome;
use crate::results::Results;

/// Writes results.json, results.md and the plots.
pub(crate) fn write(results: &Results, out: &Path) -> Outcome {
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    text_and_plots(results, out)
}

/// Writes results.md and the plots anew from results.json.
pub(crate) fn render(out: &Path) -> Outcome {
    let results = serde_json::from_slice(&std::fs::read(out.join("results.json"))?)?;
    text_and_plots(&results, out)?;
    print!("{}", table::ratios(&results));
    Ok(())
}

fn text_and_plots(results: &Results, out: &Path) -> Outcome {
    std::fs::write(out.join("results.md"), table::document(results))?;
    plot::write(results, out)
}
