//! `piperoll append`: send events from a file or from stdin.

mod lines;
mod resume;

use super::connection::Connection;
use super::{Done, Failure, Outcome, say};
use crate::output::text;
use anyhow::anyhow;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use lines::Items;
use piperoll_client::{Producer, ProducerOptions};
use piperoll_proto::v1::Event;
use resume::State;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often the state file is brought up to date while events are acknowledged.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How long a batch may wait for more where it can be resumed: borders of batches must fall where they fell
/// before an interruption, so only the number and size of events make them.
const LINGER_RESUMABLE: Duration = Duration::MAX;

/// What the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// One event as JSON a line
    #[default]
    Jsonl,
    /// GitHub webhook payloads: one a file, or one a line
    Github,
}

/// Send events from a file or from stdin
///
/// Each line is checked before anything of its batch is sent; a wrong one ends the command with its line and
/// column, after everything before it was stored. With --state an interrupted run goes on where it was, and
/// nothing is stored twice: run the same command again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Files to send, in this order; - or nothing for stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the input is
    #[arg(long, value_enum, default_value_t)]
    format: InputFormat,
    /// GitHub's X-GitHub-Event, such as push [default: the name of the file's folder, or of the file]
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// GitHub's X-GitHub-Delivery: the event's id [default: made from the payload]
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
    /// Events in one request
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    batch: u32,
    /// Remember in this file what was acknowledged, and go on from there; removed when all is sent
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Unknown keys of a JSON line become attributes, instead of being refused
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Sends; `Done::Nothing` where the input held no event.
pub(crate) async fn run(args: Args) -> Outcome {
    let items = Items::open(&args)?;
    let client = args.connection.open().await?;
    let state = State::load(args.state.clone(), args.batch)?;
    let resumed = state.events;
    if resumed > 0 {
        say(&format!("going on after {} events that are stored already", text::count(resumed)));
    }
    let bar = progress(items.bytes_total());
    let begun = Instant::now();
    let shared = Arc::new(Mutex::new(state));
    let producer = client.producer(options(&args, &shared))?;
    let sent = send(items, producer, &shared, &bar, resumed).await;
    bar.finish_and_clear();
    let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let stored = state.events - resumed;
    if stored > 0 || sent.is_ok() {
        summary(stored, begun.elapsed());
    }
    match sent {
        Ok(()) => {
            state.remove()?;
            Ok(if state.events == 0 { Done::Nothing } else { Done::Yes })
        }
        Err(failure) => {
            state.save()?;
            Err(failure)
        }
    }
}

fn options(args: &Args, shared: &Arc<Mutex<State>>) -> ProducerOptions {
    let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let on_ack = Arc::clone(shared);
    ProducerOptions {
        batch_events_max: usize::try_from(args.batch).unwrap_or(usize::MAX),
        producer_id: Some(state.producer_id),
        first_sequence: state.next_sequence,
        linger: if args.state.is_some() { LINGER_RESUMABLE } else { ProducerOptions::default().linger },
        on_ack: Some(Box::new(move |ack| {
            on_ack.lock().unwrap_or_else(PoisonError::into_inner).acknowledged(ack);
        })),
        ..ProducerOptions::default()
    }
}

async fn send(
    mut items: Items,
    mut producer: Producer,
    shared: &Mutex<State>,
    bar: &ProgressBar,
    skip: u64,
) -> Result<(), Failure> {
    let mut seen = 0;
    let mut saved = Instant::now();
    let wrong = loop {
        let event: Event = match items.next() {
            Ok(Some(event)) => event,
            Ok(None) => break None,
            Err(failure) => break Some(failure),
        };
        seen += 1;
        if seen <= skip {
            continue;
        }
        producer.push(&event).await?;
        bar.set_position(items.bytes_read());
        if saved.elapsed() >= SAVE_EVERY {
            saved = Instant::now();
            let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            bar.set_message(format!("{} stored", text::count(state.events)));
            state.save()?;
        }
    };
    if seen < skip {
        let reason =
            anyhow!("the state file tells of {skip} events, the input has {seen}: is it the same input?");
        return Err(Failure::Usage(reason));
    }
    producer.finish().await?;
    wrong.map_or(Ok(()), Err)
}

fn progress(bytes_total: Option<u64>) -> ProgressBar {
    let Some(total) = bytes_total else { return ProgressBar::hidden() };
    let bar = ProgressBar::new(total);
    let template = "{bar:32} {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn summary(stored: u64, took: Duration) {
    let rate = stored as f64 / took.as_secs_f64().max(1e-9);
    say(&format!("{} events stored in {} ({rate:.0} events/s)", text::count(stored), text::duration(took)));
}
