//! Where the figures go: tables to standard output, and one JSON line a figure to `target/figures.jsonl`.

use crate::place;
use anyhow::Result;
use std::{fs::OpenOptions, io::Write as _};

/// Prints a line.
pub(crate) fn print(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Keeps a figure. Nothing must be reached here, so baseline and goal are null.
pub(crate) fn keep(figure: &str, value: f64, unit: &str) -> Result<()> {
    let line = serde_json::json!({
        "figure": figure, "value": (value * 1000.0).round() / 1000.0, "unit": unit,
        "baseline": null, "goal": null,
    });
    let path = place::target().join("figures.jsonl");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}
