//! How long answers take, what they cost, and what the index takes: `cargo bench -p piperoll --bench query`.
//!
//! Every answer is checked against what was sent, which is counted while it is sent. Words after `--` choose cases:
//! `answers`, `search`, `cold`, `memory`, `ingest`, `tails`, and words of the questions' names. See `docs/performance.md`.

mod alone;
mod answers;
mod ask;
#[path = "../support/batches.rs"]
mod batches;
#[path = "../support/choice.rs"]
mod choice;
#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/daemon.rs"]
mod daemon;
mod echo;
mod files;
#[path = "../support/fill.rs"]
mod fill;
mod ingest;
mod lines;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../../tests/support/memory.rs"]
mod memory;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/process.rs"]
mod process;
mod questions;
#[path = "../support/report.rs"]
mod report;
mod search;
mod sent;
#[path = "../support/serve.rs"]
mod serve;
mod steady;
mod tails;

use alone::Alone;
use anyhow::Result;
use choice::Choice;
use lines::Lines;
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::SealRequest;
use questions::Question;
use report::{Scale, print};
use sent::Sent;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::runtime::Runtime;

const EVENTS: u64 = 1_000_000;
/// Events up to which they are written as lines too, for ripgrep.
const LINES_EVENTS_MAX: u64 = 10_000_000;
/// How long questions are asked steadily.
const SECONDS: f64 = 8.0;

fn main() -> Result<()> {
    let scale = Scale::of_this_run();
    let (servers, clients) = (net::runtime("bench-server")?, net::runtime("bench-client")?);
    let held = tempfile::tempdir_in(report::directory()?)?;
    machine::print_facts(held.path())?;
    let count = scale.pick("PIPEROLL_BENCH_EVENTS", EVENTS, 2_000)?;
    files::check_room(scale, held.path(), count)?;
    let choice = Choice::of_this_run(scale);
    let questions = fill_and_ask(scale, [&servers, &clients], held.path(), count, &choice)?;

    let seconds = scale.pick("PIPEROLL_BENCH_SECONDS", SECONDS, 0.2)?;
    let time = Duration::from_secs_f64(seconds);
    let alone = Alone { scale, clients: &clients, folder: held.path(), events: count, time };
    let asked = chosen(&choice, "cold", &questions);
    if !asked.is_empty() {
        alone::measure_cold(&alone, &asked)?;
    }
    let steady: Vec<_> = questions.into_iter().filter(Question::is_steady).collect();
    if choice.takes("memory", false) {
        alone::measure_memory(&alone, &steady)?;
    }
    if choice.takes("ingest", false) {
        ingest::measure(&alone, &steady)?;
    }
    if choice.takes("tails", false) {
        tails::measure(&alone)?;
    }
    choice.check()
}

/// Fills a daemon in this process, on `folder`/data, and measures what it can answer there; the questions come back.
fn fill_and_ask(
    scale: Scale,
    [servers, clients]: [&Runtime; 2],
    folder: &Path,
    count: u64,
    choice: &Choice,
) -> Result<Vec<Question>> {
    let directory = folder.join("data");
    let daemon = daemon::start_daemon(servers, &directory, |_| {})?;
    let address = daemon.grpc_address;
    let (begun, events) = (clock::now(), sent::events(count));
    let sent = clients.block_on(fill::fill(address, "default", events, Sent::default(), Sent::note))?;
    clients.block_on(seal(address))?;
    print(&format!("{count} events, sent and sealed in {:.0} s\n", begun.elapsed().as_secs_f64()))?;
    let questions = questions::questions(&sent)?;
    let segments = files::measure_index(scale, &directory.join("logs/default"), count)?;
    let mut round_trip = None;
    let asked = chosen(choice, "answers", &questions);
    if !asked.is_empty() {
        let sizes = (count, segments);
        round_trip = Some(answers::measure(scale, [servers, clients], address, &asked, sizes)?);
    }
    if choice.takes("search", false) {
        let lines = lines(folder, count)?;
        let searches = questions::searches(&sent)?;
        clients.block_on(search::measure(scale, address, &searches, lines.as_ref()))?;
    }
    machine::print_speeds(folder, round_trip, scale.runs())?;
    servers.block_on(daemon.stop())?;
    Ok(questions)
}

/// The events as JSON lines, where they are not too many.
fn lines(folder: &Path, count: u64) -> Result<Option<Lines>> {
    if count > LINES_EVENTS_MAX {
        print(&format!("comparison skipped: more than {LINES_EVENTS_MAX} events are too many lines\n"))?;
        return Ok(None);
    }
    Lines::write(folder.join("events.jsonl"), sent::events(count))
}

/// The questions that this case is asked for with.
fn chosen(choice: &Choice, case: &str, questions: &[Question]) -> Vec<Question> {
    let is_chosen = |question: &&Question| choice.takes(&format!("{case} {}", question.name), false);
    questions.iter().filter(is_chosen).cloned().collect()
}

/// Seals what is not sealed yet, so that every answer comes from sealed segments.
async fn seal(address: SocketAddr) -> Result<()> {
    let client = Client::connect(ClientOptions::new(format!("http://{address}"))).await?;
    client.seal(SealRequest::default()).await?;
    Ok(())
}
