//! Where data goes: text for people, JSON for programs, from the same structs.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::{Color, Format, Global};
use crate::exit::{Exit, Failure};

/// Standard output in the form that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
    color: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        if global.output == Format::Yaml {
            let what = "-o yaml is not in this version; JSON is valid YAML; use -o json";
            return Err(Failure::new(Exit::Usage, "M0006", what));
        }
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Ok(Self { format: global.output, quiet: global.quiet, color })
    }

    /// Whether people read it.
    pub(crate) fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// One line of text.
    pub(crate) fn line(&self, line: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(io::stdout().lock(), "{}", line.as_ref())?;
        Ok(())
    }

    /// Bytes as they are, at once.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }

    /// One object of a stream: one line, whatever the form.
    pub(crate) fn object(&self, object: &impl Serialize) -> Result<(), Failure> {
        self.line(json(object, false)?)
    }

    /// One object on its own: as `text` makes it, or as JSON.
    pub(crate) fn document<T: Serialize>(
        &self,
        object: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.raw(text(object).as_bytes()),
            Format::Jsonl => self.line(json(object, false)?),
            _ => self.line(json(object, true)?),
        }
    }

    /// A list: a table with these heads, or as JSON.
    pub(crate) fn table<T: Serialize, const N: usize>(
        &self,
        rows: &[T],
        heads: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text if rows.is_empty() => Ok(()),
            Format::Text => {
                let cells: Vec<[String; N]> = rows.iter().map(cells).collect();
                self.raw(align(heads, &cells).as_bytes())
            }
            Format::Jsonl => rows.iter().try_for_each(|row| self.object(row)),
            _ => self.line(json(&rows, true)?),
        }
    }

    /// A remark on stderr; not with `--quiet`.
    pub(crate) fn remark(&self, remark: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", remark.as_ref());
        }
    }

    /// `text` in the one colour that is used, if colours are.
    pub(crate) fn accent(&self, text: &str) -> String {
        if self.color { format!("\x1b[36m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns two spaces apart; the last one is not padded.
pub(crate) fn align<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let all = || std::iter::once(&heads).chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn json(object: &impl Serialize, pretty: bool) -> Result<String, Failure> {
    let text =
        if pretty { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) };
    text.map_err(|error| {
        Failure::new(Exit::Failed, "M0007", format!("JSON cannot be written; {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows =
            [["temp".to_owned(), "1".to_owned()], ["line1/pressure".to_owned(), String::new()]];
        assert_eq!(
            align(["TOPIC", "N"], &rows),
            "TOPIC           N\ntemp            1\nline1/pressure\n"
        );
    }
}
