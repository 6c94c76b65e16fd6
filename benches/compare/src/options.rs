//! The command line.

use clap::{Parser, ValueEnum};
use std::time::Duration;

/// Measures piperoll beside other systems, on the same events, one system at a time.
///
/// Tables go to standard output, a line for each figure to target/figures.jsonl. `benches/compare/setup` installs
/// the other systems; one that is missing is named with the reason.
#[derive(Debug, Parser)]
#[command(name = "benches/compare/run")]
pub(crate) struct Options {
    /// What is measured; everything where nothing is said
    parts: Vec<Part>,

    /// Measures only these systems: piperoll,sqlite
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,

    /// How long each load of ingest runs
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,

    /// Events of a batch
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256, 1_024], value_name = "NUMBERS")]
    pub(crate) batches: Vec<usize>,

    /// Events that are asked about
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: usize,

    /// How often each question is asked, and less often where that takes long
    #[arg(long, default_value_t = 200)]
    pub(crate) repetitions: usize,
}

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Events, durably
    Ingest,
    /// Answers
    Questions,
}

impl Options {
    /// Whether this part is asked for.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// Whether the system of this name takes part; names are told without regard to case.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let asked = |asked: &String| name.to_lowercase().contains(&asked.to_lowercase());
        self.only.is_empty() || self.only.iter().any(asked)
    }

    /// How long a load runs.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}
