//! `piperoll`: the audit log for build pipelines, as one program.

mod cli;
mod output;

use clap::Parser;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

// How soon it gives memory back is said in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::complete::answer();
    let cli = cli::Cli::parse();
    cli::run(cli)
}
