//! What the program prints: tables for people, JSON and CSV for programs. Data goes to stdout, words to stderr.

pub(crate) mod bars;
pub(crate) mod events;
pub(crate) mod explanation;
#[cfg(feature = "parquet")]
mod parquet;
pub(crate) mod text;

use clap::ValueEnum;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use std::io::{self, IsTerminal, Write};

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line, as they come.
    Jsonl,
    /// Comma-separated values with a header line, as they come.
    Csv,
}

/// How events are printed; each of them as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventFormat {
    /// Tables for people.
    #[default]
    Text,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
    /// A Parquet file, in groups of up to 16,384 events.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl EventFormat {
    /// How an answer is printed that is no events.
    pub(crate) fn of_others(self) -> Format {
        match self {
            Self::Text => Format::Text,
            Self::Json => Format::Json,
            Self::Jsonl => Format::Jsonl,
            Self::Csv => Format::Csv,
            #[cfg(feature = "parquet")]
            Self::Parquet => Format::Json,
        }
    }
}

/// How events are printed.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: EventFormat,
    /// Times in tables as how long ago they were
    #[arg(long)]
    pub(crate) relative: bool,
}

/// Narrower terminals than this, or such as do not say, are not fitted to: a word a line is no table.
const COLUMNS_MIN: u16 = 40;

/// Columns of the terminal; `None` where stdout is none, or one that does not say.
pub(crate) fn columns() -> Option<u16> {
    Table::new().width().filter(|&columns| io::stdout().is_terminal() && columns >= COLUMNS_MIN)
}

/// A table without borders that fits the terminal, and without a header where that is empty; where stdout is no
/// terminal, nothing is cut or wrapped.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let arrangement =
        if columns().is_some() { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.set_content_arrangement(arrangement);
    // One without cells would be an empty line.
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table
}

/// Prints a table, without the blanks that would end its lines.
pub(crate) fn print_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Prints a JSON document for a person or a program: indented on a terminal or where `Json` asks for one
/// document, on one line for `Jsonl`.
pub(crate) fn print_json(out: &mut impl Write, format: Format, value: &serde_json::Value) -> io::Result<()> {
    if format == Format::Jsonl {
        serde_json::to_writer(&mut *out, value)?;
    } else {
        serde_json::to_writer_pretty(&mut *out, value)?;
    }
    writeln!(out)
}

/// True where colour helps: stdout is a terminal, and nobody set `NO_COLOR`.
pub(crate) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A cell of a table, in a colour where that helps; the table knows that the colour takes no room.
pub(crate) fn coloured(text: &str, code: Color) -> Cell {
    if colour() { Cell::new(text).fg(code) } else { Cell::new(text) }
}

/// Wraps text in a colour of the terminal where `on`.
pub(crate) fn paint(on: bool, code: u8, text: &str) -> String {
    if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
