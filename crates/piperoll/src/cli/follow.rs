//! Following: prints what a tail brings until Ctrl-C, and what was there before it.

use super::Failure;
use crate::output::events::EventPrinter;
use anyhow::anyhow;
use piperoll_client::{Client, Tail};
use piperoll_proto::v1::{EventRecord, Order, QueryRequest, TailRequest, tail_request::Start};
use std::{collections::HashSet, io, io::Write};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Most events that are shown before live ones; they are held to be turned round.
pub(crate) const BACKLOG_MAX: u32 = 10_000;

/// Ctrl-C from now on, also where it is pressed before anybody waits for it.
pub(crate) fn interrupts() -> io::Result<Signal> {
    signal(SignalKind::interrupt())
}

/// Prints what the tail brings until Ctrl-C or until `limit` events were printed, but for those of these addresses.
/// True where Ctrl-C ended it.
pub(crate) async fn print_tail<W: Write>(
    (tail, interrupts): (&mut Tail, &mut Signal),
    printer: &mut EventPrinter<W>,
    limit: Option<u64>,
    shown: &HashSet<String>,
) -> Result<bool, Failure> {
    loop {
        let answer = tokio::select! {
            answer = tail.next() => answer?,
            _ = interrupts.recv() => break,
        };
        let mut records = answer.records;
        records.retain(|record| !shown.contains(&record.address));
        let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(printer.printed()));
        records.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        printer.print(&records)?;
        if limit.is_some_and(|limit| printer.printed() >= limit) {
            printer.finish()?;
            return Ok(false);
        }
    }
    printer.finish()?;
    Ok(true)
}

/// Prints events as they are there, and then as they come.
///
/// All of them from `start`, or the newest `backlog` and what comes. The tail begins before these are looked for,
/// so that none falls between; what both bring is shown once. Gives the position to go on from, once Ctrl-C ends it.
pub(crate) async fn follow<W: Write>(
    client: &Client,
    filter: &str,
    (start, backlog): (Option<Start>, u32),
    printer: &mut EventPrinter<W>,
) -> Result<Option<String>, Failure> {
    let is_backlog_asked = start.is_none() && backlog > 0;
    let mut tail = client.tail(TailRequest { filter: filter.to_owned(), start }).await?;
    let mut interrupts = interrupts()?;
    let mut shown = HashSet::new();
    if is_backlog_asked {
        let records = tokio::select! {
            records = newest(client, filter, backlog) => records?,
            _ = interrupts.recv() => return Ok(None),
        };
        printer.print(&records)?;
        shown = records.into_iter().map(|record| record.address).collect();
    }
    let is_interrupted = print_tail((&mut tail, &mut interrupts), printer, None, &shown).await?;
    Ok(is_interrupted.then(|| tail.position().to_owned()))
}

/// The newest events, oldest first.
async fn newest(client: &Client, filter: &str, limit: u32) -> Result<Vec<EventRecord>, Failure> {
    if limit > BACKLOG_MAX {
        let problem = "--oldest shows all that are there";
        return Err(Failure::Usage(anyhow!("--limit: with --follow at most {BACKLOG_MAX}; {problem}")));
    }
    let (order, position) = (Order::NewestFirst.into(), String::new());
    let request = QueryRequest { filter: filter.to_owned(), order, limit, position };
    let mut answer = client.query(request).await?;
    let mut records = Vec::new();
    while let Some(some) = answer.next_together().await? {
        records.extend(some);
    }
    records.reverse();
    Ok(records)
}
