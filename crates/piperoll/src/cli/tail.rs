//! `piperoll tail`: follow events as they are stored.

use super::connection::Connection;
use super::which::{Which, now};
use super::{Done, Failure, Outcome, say};
use crate::output::{Format, events::EventPrinter};
use anyhow::anyhow;
use piperoll_filter::{Comparison, Expression, Filter, Operator, Subject, Test, Value};
use piperoll_proto::v1::{TailRequest, tail_request::Start};
use std::io;

/// Follow events as they are stored
///
/// From now on, unless --from says otherwise; after a lost connection it goes on exactly where it was.
/// Ctrl-C ends it and names the position to go on from.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Begin with what was received at or after this time: -10m, 2026-11-23T08:00:00Z
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "position")]
    from: Option<String>,
    /// Begin where an earlier tail ended
    #[arg(long, value_name = "POSITION")]
    position: Option<String>,
    /// End after this many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// How to print it (json waits for the end; jsonl does not)
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Prints until Ctrl-C or the limit.
pub(crate) async fn run(args: Args) -> Outcome {
    let start = match (&args.position, &args.from) {
        (Some(position), _) => Some(Start::Position(position.clone())),
        (None, Some(from)) => Some(Start::ReceivedFrom(moment(from)?)),
        (None, None) => None,
    };
    let client = args.connection.open().await?;
    let mut tail = client.tail(TailRequest { filter: args.which.text()?, start }).await?;
    let mut printer = EventPrinter::new(io::stdout().lock(), args.output);
    let end = tokio::signal::ctrl_c();
    tokio::pin!(end);
    loop {
        let answer = tokio::select! {
            answer = tail.next() => answer?,
            _ = &mut end => break,
        };
        let room = args.limit.map_or(u64::MAX, |limit| limit - printer.printed());
        let shown = usize::try_from(room).unwrap_or(usize::MAX).min(answer.records.len());
        printer.print(answer.records.get(..shown).unwrap_or_default())?;
        if args.limit.is_some_and(|limit| printer.printed() >= limit) {
            printer.finish()?;
            return Ok(Done::Yes);
        }
    }
    printer.finish()?;
    say(&format!("go on with: --position {}", tail.position()));
    Ok(Done::Yes)
}

/// A time as filters write it.
fn moment(text: &str) -> Result<prost_types::Timestamp, Failure> {
    let filter = Filter::compare(Subject::Received, Operator::AtLeast, text, now()?)
        .map_err(|error| Failure::Usage(anyhow!("--from: {}", error.render())))?;
    let Expression::Compare(Comparison { test: Test::AtLeast(Value::Time(time)), .. }) = filter.expression()
    else {
        return Err(Failure::Usage(anyhow!("--from takes a time, found {text:?}")));
    };
    Ok(prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000_000_000),
        nanos: i32::try_from(time.0.rem_euclid(1_000_000_000)).map_err(Failure::running)?,
    })
}
