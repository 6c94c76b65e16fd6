//! Piperoll beside other systems, on the same events, one after the other: `benches/compare/run --help`.
//!
//! Each system is started by itself on a directory of its own and stopped afterwards; what it says of its
//! durability is asked, not assumed. See `docs/performance.md`, "Beside other systems".

#[path = "../../support/clock.rs"]
mod clock;
mod http;
mod ingest;
#[path = "../../support/machine.rs"]
mod machine;
mod options;
mod place;
mod questions;
mod report;
mod row;
mod samples;
mod server;
mod systems;

use anyhow::Result;
use clap::Parser as _;
use options::{Options, Part};
use tokio::runtime::Runtime;

/// Runs for a median of the machine's speeds.
const MACHINE_RUNS: usize = 101;

/// What all cases share.
struct Bench {
    options: Options,
    runtime: Runtime,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = Bench { options, runtime };
    let directory = place::base()?;
    report::print("# Beside other systems\n")?;
    machine::print_facts(&directory)?;
    machine::print_speeds(&directory, None, MACHINE_RUNS)?;
    if bench.options.has(Part::Ingest) {
        ingest::run(&bench)?;
    }
    if bench.options.has(Part::Questions) {
        questions::run(&bench)?;
    }
    Ok(())
}
