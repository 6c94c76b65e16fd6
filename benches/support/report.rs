//! Where the figures go: words and tables to standard output, and one JSON line a figure to
//! `target/figures.jsonl`.

use anyhow::Result;
use std::{fs::OpenOptions, io::Write as _, path::PathBuf, str::FromStr};

/// Where the bench keeps its data; `target/figures.jsonl` lies beside it.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// False outside `cargo bench`: everything runs once, tiny, and no figure is kept.
    pub(crate) full: bool,
}

impl Scale {
    /// From the command line: `cargo bench` says `--bench`, `cargo test --benches` does not.
    pub(crate) fn of_this_run() -> Self {
        let is = |flag: &str| std::env::args().any(|argument| argument == flag);
        Self { full: is("--bench") && !is("--test") }
    }

    /// What the environment says in `name`, or else `full`; `tiny` outside `cargo bench`.
    pub(crate) fn pick<T: FromStr>(self, name: &str, full: T, tiny: T) -> Result<T> {
        match std::env::var(name) {
            _ if !self.full => Ok(tiny),
            Ok(text) => text.parse().map_err(|_| anyhow::anyhow!("{name}={text} is no number")),
            Err(_) => Ok(full),
        }
    }

    /// Runs for a median.
    pub(crate) fn runs(self) -> usize {
        if self.full { 101 } else { 3 }
    }
}

/// The directory of the bench's data: on the disk that is measured.
pub(crate) fn directory() -> Result<PathBuf> {
    std::fs::create_dir_all(DIRECTORY)?;
    Ok(PathBuf::from(DIRECTORY))
}

/// Prints a line.
pub(crate) fn print(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Keeps a figure: `baseline` is what it must reach, `goal` what is aimed at.
pub(crate) fn keep(
    scale: Scale,
    figure: &str,
    value: f64,
    unit: &str,
    [baseline, goal]: [f64; 2],
) -> Result<()> {
    if !scale.full {
        return Ok(());
    }
    let line = serde_json::json!({
        "figure": figure, "value": (value * 1000.0).round() / 1000.0, "unit": unit,
        "baseline": baseline, "goal": goal,
    });
    let path = PathBuf::from(DIRECTORY).with_file_name("figures.jsonl");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}
