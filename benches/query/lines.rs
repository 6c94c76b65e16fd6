//! The same events as JSON lines, and ripgrep over them: what a search is measured by.

use crate::{clock::timed, report::print};
use anyhow::{Context as _, Result};
use piperoll_intake::event_json;
use piperoll_proto::v1::Event;
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::Command,
    time::Duration,
};

const PROGRAM: &str = "rg";

/// A file of events, one a line.
pub(crate) struct Lines(PathBuf);

impl Lines {
    /// Writes them, if there is a ripgrep to read them.
    pub(crate) fn write(path: PathBuf, events: impl Iterator<Item = Event>) -> Result<Option<Self>> {
        if Command::new(PROGRAM).arg("--version").output().is_err() {
            print("comparison skipped: ripgrep (rg) is not installed\n")?;
            return Ok(None);
        }
        let mut file = BufWriter::new(File::create(&path)?);
        for event in events {
            serde_json::to_writer(&mut file, &event_json(&event))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        Ok(Some(Self(path)))
    }

    /// The median time in which ripgrep counts the lines with this text; fails where it finds other than `expected`.
    pub(crate) fn count(&self, text: &str, expected: u64, runs: usize) -> Result<Duration> {
        timed(runs, || {
            let output =
                Command::new(PROGRAM).args(["--count", "--fixed-strings", text]).arg(&self.0).output()?;
            let found = String::from_utf8(output.stdout)?;
            // Of nothing it prints nothing.
            let found: u64 = if found.is_empty() { 0 } else { found.trim().parse().context("no count")? };
            anyhow::ensure!(found == expected, "ripgrep finds `{text}` in {found} events of {expected}");
            Ok(())
        })
    }
}
