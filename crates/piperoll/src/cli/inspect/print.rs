//! What `inspect` prints: facts, rows and checks, in every format and without holding the rows.

use crate::cli::say;
use crate::output::{Format, colour, paint, print_table, table, text};
use comfy_table::{CellAlignment, Table};
use piperoll_format::units::UnixNanos;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Rows of text that are aligned together.
const ROWS_TOGETHER: usize = 256;
/// Blanks after the names of facts and checks.
const NAME_WIDTH: usize = 20;

/// A value, as people and as programs read it.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    None,
    Text(String),
    /// A place or a name that is a number.
    Number(u64),
    /// How many.
    Count(u64),
    /// A length in bytes.
    Bytes(u64),
    Time(UnixNanos),
    /// Words for people, and what they say for programs.
    Both(String, Value),
}

impl Cell {
    /// Anything that prints itself, such as a root.
    pub(super) fn text<T: ToString + ?Sized>(value: &T) -> Self {
        Self::Text(value.to_string())
    }

    fn words(&self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::Text(words) | Self::Both(words, _) => text::plain(words),
            Self::Number(number) => number.to_string(),
            Self::Count(count) => text::count(*count),
            Self::Bytes(bytes) => format!("{bytes} ({})", text::bytes(*bytes)),
            Self::Time(time) => text::local_time(Some(&wire_time(*time))),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Text(words) => Value::from(words.as_str()),
            Self::Both(_, value) => value.clone(),
            Self::Number(number) | Self::Count(number) | Self::Bytes(number) => Value::from(*number),
            Self::Time(time) => Value::from(text::rfc3339(Some(&wire_time(*time)))),
        }
    }

    fn csv(&self) -> String {
        match self.json() {
            Value::Null => String::new(),
            Value::String(words) => words,
            other => other.to_string(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Count(_) | Self::Bytes(_))
    }
}

/// A time as the wire and the formatters have it.
pub(super) fn wire_time(time: UnixNanos) -> prost_types::Timestamp {
    let second = 1_000_000_000;
    // Below 10^9, so it fits.
    let nanos = i32::try_from(time.0.rem_euclid(second)).unwrap_or_default();
    prost_types::Timestamp { seconds: time.0.div_euclid(second), nanos }
}

/// Whether something checks: yes, no, or there is nothing to tell by.
#[derive(Clone, Debug)]
pub(super) struct Check {
    what: &'static str,
    holds: Option<bool>,
    words: String,
}

/// Prints one file's facts, rows and checks.
pub(super) struct Printer<W: Write> {
    out: W,
    format: Format,
    facts: Vec<(&'static str, Cell)>,
    facts_written: usize,
    /// Members of the JSON object that were begun.
    members: u32,
    checks: Vec<Check>,
    rows: Option<Rows>,
}

/// The one list of a file.
struct Rows {
    columns: &'static [&'static str],
    table: Table,
    written: u64,
    held: usize,
}

impl<W: Write> Printer<W> {
    /// A printer that writes to `out`.
    pub(super) fn new(out: W, format: Format) -> Self {
        Self { out, format, facts: Vec::new(), facts_written: 0, members: 0, checks: Vec::new(), rows: None }
    }

    /// Where everything goes, for what is printed beside facts and rows.
    pub(super) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Tells a fact.
    pub(super) fn fact(&mut self, name: &'static str, value: Cell) {
        self.facts.push((name, value));
    }

    /// Tells that something checks.
    pub(super) fn holds(&mut self, what: &'static str, words: impl Into<String>) {
        self.checks.push(Check { what, holds: Some(true), words: words.into() });
    }

    /// Tells that something does not check.
    pub(super) fn fails(&mut self, what: &'static str, words: impl Into<String>) {
        self.checks.push(Check { what, holds: Some(false), words: words.into() });
    }

    /// Tells that there is nothing to check something by.
    pub(super) fn unknown(&mut self, what: &'static str, words: impl Into<String>) {
        self.checks.push(Check { what, holds: None, words: words.into() });
    }

    /// Compares a value with what it has to be.
    pub(super) fn compare<T: PartialEq + ToString>(
        &mut self,
        what: &'static str,
        expected: &T,
        found: &T,
        by: &str,
    ) {
        let (found_words, expected_words) = (found.to_string(), expected.to_string());
        if expected == found {
            self.holds(what, format!("{found_words}, as {by} says"));
        } else {
            self.fails(what, format!("{found_words}, but {by} says {expected_words}"));
        }
    }

    /// Begins the rows; names as JSON has them.
    pub(super) fn begin_rows(
        &mut self,
        name: &'static str,
        columns: &'static [&'static str],
    ) -> io::Result<()> {
        match self.format {
            Format::Text => {
                self.write_facts()?;
                writeln!(self.out)?;
            }
            Format::Json => {
                self.write_facts()?;
                self.begin_member(name)?;
                write!(self.out, "[")?;
            }
            Format::Csv => write_csv(&mut self.out, columns.iter().map(|name| (*name).to_owned()))?,
            Format::Jsonl => {}
        }
        let header: Vec<_> = columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
        let table = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
        self.rows = Some(Rows { columns, table, written: 0, held: 0 });
        Ok(())
    }

    /// Prints a row: a cell for each column.
    pub(super) fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        match self.format {
            Format::Text => {
                rows.add(cells);
                if rows.held == ROWS_TOGETHER {
                    rows.flush(&mut self.out)?;
                }
            }
            Format::Json => {
                let comma = if rows.written == 0 { "" } else { "," };
                write!(self.out, "{comma}\n    {}", rows.object(cells))?;
            }
            Format::Jsonl => writeln!(self.out, "{}", rows.object(cells))?,
            Format::Csv => write_csv(&mut self.out, cells.iter().map(Cell::csv))?,
        }
        rows.written += 1;
        Ok(())
    }

    /// Ends the rows, of which `left_out` more would have been there.
    pub(super) fn end_rows(&mut self, left_out: u64) -> io::Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        match self.format {
            Format::Text => {
                rows.flush(&mut self.out)?;
                if left_out > 0 {
                    let words = format!("… and {} more: --frames N shows N of them", text::count(left_out));
                    writeln!(self.out, "{words}")?;
                }
                writeln!(self.out)
            }
            Format::Json => write!(self.out, "{}]", if rows.written == 0 { "" } else { "\n  " }),
            Format::Jsonl | Format::Csv => Ok(()),
        }
    }

    /// Prints what is left; true where nothing failed to check.
    pub(super) fn finish(&mut self) -> io::Result<bool> {
        match self.format {
            Format::Text => {
                self.write_facts()?;
                self.write_checks()?;
            }
            Format::Json => {
                self.write_facts()?;
                self.begin_member("checks")?;
                let checks = self.checks_json();
                let holds = self.all_hold();
                write!(self.out, "{checks}")?;
                self.begin_member("holds")?;
                writeln!(self.out, "{holds}\n}}")?;
            }
            Format::Jsonl => {
                let mut summary: Map<_, _> =
                    self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.json())).collect();
                summary.insert("checks".to_owned(), self.checks_json());
                summary.insert("holds".to_owned(), self.all_hold().into());
                writeln!(self.out, "{}", Value::Object(summary))?;
            }
            Format::Csv => {
                if self.rows.is_none() {
                    write_csv(&mut self.out, ["name", "value"].map(str::to_owned))?;
                    for (name, value) in &self.facts {
                        write_csv(&mut self.out, [(*name).to_owned(), value.csv()])?;
                    }
                }
                self.complaints();
            }
        }
        self.out.flush()?;
        Ok(self.all_hold())
    }

    /// Says on stderr what does not check; true where nothing failed.
    pub(super) fn complaints(&self) -> bool {
        for check in self.checks.iter().filter(|check| check.holds == Some(false)) {
            say(&format!("{} does not check: {}", check.what, text::plain(&check.words)));
        }
        self.all_hold()
    }

    fn all_hold(&self) -> bool {
        self.checks.iter().all(|check| check.holds != Some(false))
    }

    fn write_facts(&mut self) -> io::Result<()> {
        for at in self.facts_written..self.facts.len() {
            let Some((name, value)) = self.facts.get(at).cloned() else { continue };
            if self.format == Format::Text {
                writeln!(self.out, "{:<NAME_WIDTH$}{}", name.replace('_', " "), value.words())?;
            } else {
                self.begin_member(name)?;
                write!(self.out, "{}", value.json())?;
            }
            self.facts_written = at + 1;
        }
        Ok(())
    }

    /// Begins a member of the one JSON object; the first one begins the object too.
    fn begin_member(&mut self, name: &str) -> io::Result<()> {
        let before = if self.members == 0 { "{" } else { "," };
        self.members += 1;
        write!(self.out, "{before}\n  {}: ", Value::from(name))
    }

    fn write_checks(&mut self) -> io::Result<()> {
        for check in &self.checks {
            let (word, code) = match check.holds {
                Some(true) => ("checks", 32),
                Some(false) => ("WRONG", 31),
                None => ("unknown", 33),
            };
            let word = paint(colour(), code, &format!("{word:<8}"));
            writeln!(
                self.out,
                "{word} {:<width$}{}",
                check.what,
                text::plain(&check.words),
                width = NAME_WIDTH - 5
            )?;
        }
        Ok(())
    }

    fn checks_json(&self) -> Value {
        let one = |check: &Check| json!({ "what": check.what, "holds": check.holds, "words": check.words });
        self.checks.iter().map(one).collect()
    }
}

impl Rows {
    fn add(&mut self, cells: &[Cell]) {
        for (at, cell) in cells.iter().enumerate() {
            if let Some(column) = self.table.column_mut(at).filter(|_| cell.is_number()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.table.add_row(cells.iter().map(|cell| match cell {
            // In a table the plain number is enough.
            Cell::Bytes(bytes) => bytes.to_string(),
            other => other.words(),
        }));
        self.held += 1;
    }

    fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        print_table(out, &self.table)?;
        self.table = table(&[]);
        self.held = 0;
        Ok(())
    }

    fn object(&self, cells: &[Cell]) -> Value {
        let members = self.columns.iter().zip(cells);
        Value::Object(members.map(|(name, cell)| ((*name).to_owned(), cell.json())).collect())
    }
}

fn write_csv(out: &mut impl Write, cells: impl IntoIterator<Item = String>) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(cells)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> (String, bool) {
        let mut printer = Printer::new(Vec::new(), format);
        printer.fact("log_id", Cell::text("0a"));
        printer.begin_rows("frames", &["offset", "length"]).unwrap();
        printer.row(&[Cell::Number(1_024), Cell::Bytes(80)]).unwrap();
        printer.row(&[Cell::Number(1_104), Cell::None]).unwrap();
        printer.end_rows(3).unwrap();
        printer.fact("events", Cell::Count(1_000));
        printer.holds("header", "right");
        printer.compare("root", &"aa", &"bb", "the seal");
        let holds = printer.finish().unwrap();
        (String::from_utf8(printer.out).unwrap(), holds)
    }

    #[test]
    fn json_is_one_document_and_jsonl_one_a_line() {
        let (text, holds) = printed(Format::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(!holds);
        assert_eq!(value["frames"][1], json!({ "offset": 1_104, "length": null }));
        assert_eq!((value["log_id"].clone(), value["events"].clone()), (json!("0a"), json!(1_000)));
        assert_eq!(value["checks"][1]["holds"], json!(false));
        assert_eq!(value["holds"], json!(false));
        let (text, _) = printed(Format::Jsonl);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[2]["events"]), (3, &json!(1_000)));
    }

    #[test]
    fn text_and_csv_say_the_same() {
        let (text, _) = printed(Format::Text);
        assert!(text.contains("log id              0a\n"), "{text}");
        assert!(text.contains("… and 3 more"), "{text}");
        assert!(text.contains("WRONG"), "{text}");
        assert_eq!(printed(Format::Csv).0, "offset,length\n1024,80\n1104,\n");
    }

    #[test]
    fn a_document_without_rows_is_one_too() {
        let mut printer = Printer::new(Vec::new(), Format::Json);
        printer.holds("bytes", "none");
        assert!(printer.finish().unwrap());
        serde_json::from_slice::<Value>(&printer.out).unwrap();
    }
}
