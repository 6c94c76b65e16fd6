//! What an operator waits for and pays for: restarts, memory, sweeps. `cargo bench -p piperoll --bench operations`.
//!
//! Restarts and memory are those of the real program. Words after `--` choose cases: `restart`, `producers`,
//! `sweep`. See `docs/performance.md`.

#[path = "../support/batches.rs"]
mod batches;
#[path = "../support/choice.rs"]
mod choice;
#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/fill.rs"]
mod fill;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../../tests/support/memory.rs"]
mod memory;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/process.rs"]
mod process;
mod producers;
#[path = "../support/report.rs"]
mod report;
mod restart;
mod sweep;

use anyhow::Result;
use choice::Choice;
use report::Scale;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// What all cases share.
struct Bench {
    scale: Scale,
    directory: PathBuf,
    servers: Runtime,
    clients: Runtime,
}

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

type Case = fn(&Bench) -> Result<()>;

fn main() -> Result<()> {
    let scale = Scale::of_this_run();
    let directory = report::directory()?;
    let (servers, clients) = (net::runtime("bench-server")?, net::runtime("bench-client")?);
    let bench = Bench { scale, directory, servers, clients };
    machine::print_facts(&bench.directory)?;
    machine::print_speeds(&bench.directory, None, scale.runs())?;
    let choice = Choice::of_this_run(scale);
    let cases: [(&str, Case); 3] =
        [("restart", restart::case), ("producers", producers::case), ("sweep", sweep::case)];
    for (name, case) in cases {
        if choice.takes(name, false) {
            case(&bench)?;
        }
    }
    choice.check()
}
