//! `piperoll demo`: the whole path, once, on real input, with answers known beforehand.

mod daemon;
mod files;
mod input;
mod report;
mod steps;

use super::{Done, Failure, Outcome};
use daemon::Daemon;
use input::Expected;
use report::Report;
use std::path::PathBuf;

/// Run the whole path once on real events: ingest, query, tail, seal, kill, restart, verify, sweep
///
/// Starts a daemon of its own on a fresh directory and free ports, so it meets nothing that is there already.
/// What each question must answer is counted from the input before it is sent; the demo ends with exit code 0
/// only if every one of those answers came back.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Generated events to send, beside the real webhook payloads
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..))]
    events: u64,
    /// Seed of the generated events
    #[arg(long, default_value_t = 42, value_name = "SEED")]
    seed: u64,
    /// Where the daemon keeps its files; must be empty or missing [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Leave the daemon running, and say what to type next
    #[arg(long)]
    keep: bool,
}

/// Tells the story; `Done::Nothing` where an answer was not what it had to be.
pub(crate) async fn run(args: Args) -> Outcome {
    let mut report = Report::begin();
    let folder = files::Folder::make(args.directory.as_deref())?;
    let expected = Expected::count(args.seed, args.events).map_err(Failure::running)?;
    report.step("counted the answers from the input, before sending any of it");

    let mut daemon = Daemon::start(folder.path()).await?;
    report.step(&format!("daemon ready: gRPC {}, data in {}", daemon.endpoint(), daemon.data().display()));
    let client = daemon.client().await?;

    steps::append(&client, &expected, &mut report).await?;
    steps::ask(&client, &expected, &mut report).await?;
    let live = steps::tail(&daemon, &client, &mut report).await?;
    steps::seal(&client, &mut report).await?;
    let survived = steps::kill_and_restart(&mut daemon, &mut report).await?;
    let client = daemon.client().await?;
    steps::nothing_lost(&client, &expected, live + survived, &mut report).await?;
    steps::seal(&client, &mut report).await?;
    files::verify(daemon.data(), &mut report)?;
    steps::sweep(&daemon, &client, &expected, live + survived, &mut report).await?;

    if args.keep {
        let pid = daemon.leave_running();
        Report::next_steps(daemon.endpoint(), daemon.http(), pid, daemon.data());
        folder.keep();
    } else {
        daemon.stop().await?;
        report.step("daemon stopped by SIGTERM");
    }
    Ok(if report.end() { Done::Yes } else { Done::Nothing })
}
