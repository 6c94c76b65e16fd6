//! `piperoll tail`: follow events as they are stored.

use super::connection::Connection;
use super::follow::{interrupts, print_tail};
use super::which::{Which, now};
use super::{Done, Failure, Outcome, again, printer, say};
use crate::output::Show;
use anyhow::anyhow;
use piperoll_filter::{Comparison, Expression, Filter, Operator, Subject, Test, Value};
use piperoll_proto::v1::{TailRequest, tail_request::Start};
use std::collections::HashSet;

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
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    show: Show,
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
    let filter = args.which.text()?;
    let mut tail = client.tail(TailRequest { filter: filter.clone(), start }).await?;
    let mut interrupts = interrupts()?;
    let mut printer = printer(args.show)?;
    if print_tail((&mut tail, &mut interrupts), &mut printer, args.limit, &HashSet::new()).await? {
        say(&format!("go on with: {}", again("tail", &filter, &args.connection, tail.position())));
    }
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
