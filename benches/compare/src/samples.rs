//! The sample events, with reasons: the generator makes none, and one of the questions searches them.

use crate::row::Row;
use anyhow::Result;
use bytes::Bytes;
use piperoll_proto::v1::{Event, Outcome};
use piperoll_samples::Events;
use prost::Message as _;
use std::sync::Arc;

/// The tag of field 1 of a request, the events.
const EVENTS_TAG: u8 = 0x0a;
const SEED: u64 = 5;
const DAYS: f64 = 30.0;
/// Few enough that a ticket has several events.
const TICKETS: u64 = 20_000;

/// `count` events, oldest first.
pub(crate) fn events(count: usize) -> impl Iterator<Item = Event> + Send {
    Events::new(SEED, count as u64, DAYS).zip(0..).take(count).map(|(mut event, number)| {
        event.reason = reason(&event, number);
        event
    })
}

/// Why an event did not end well, with a ticket.
fn reason(event: &Event, number: u64) -> Option<String> {
    let ended = match event.outcome() {
        Outcome::Failure => "failed",
        Outcome::Cancelled => "was cancelled by a newer run",
        Outcome::Denied => "was denied by policy",
        Outcome::Skipped => "was skipped",
        _ => return None,
    };
    let what = event.step.as_deref().unwrap_or(event.action());
    Some(format!("{what} {ended}, see {}", ticket(number)))
}

/// The ticket of the event of this number.
fn ticket(number: u64) -> String {
    // Neighbours get unlike tickets: the multiplier is prime to the number of tickets.
    format!("OPS-{:05}", number.wrapping_mul(7_919) % TICKETS)
}

/// An event, ready to be sent to anybody.
pub(crate) struct Sample {
    /// As protobuf.
    pub(crate) event: Bytes,
    /// As a row of a table.
    pub(crate) row: Row,
}

/// `count` samples.
pub(crate) fn samples(count: usize) -> Result<Vec<Arc<Sample>>> {
    let sample = |event: Event| {
        anyhow::Ok(Arc::new(Sample { event: event.encode_to_vec().into(), row: Row::of(&event)? }))
    };
    events(count).map(sample).collect()
}

/// Events as piperoll's request has them.
pub(crate) fn encoded(samples: &[Arc<Sample>]) -> Bytes {
    let mut bytes = Vec::new();
    for sample in samples {
        bytes.push(EVENTS_TAG);
        prost::encoding::encode_varint(sample.event.len() as u64, &mut bytes);
        bytes.extend_from_slice(&sample.event);
    }
    Bytes::from(bytes)
}
