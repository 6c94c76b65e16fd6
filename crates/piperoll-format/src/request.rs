//! A client's request to append, checked in one walk over its bytes.
//!
//! `AppendRequest` and `AppendStreamRequest` have the same layout, so both are read here, as they came from
//! the wire: 1 events, 2 producer id, 3 producer sequence. What is stored is the client's own bytes.

use crate::event::{EventError, EventView, check_and_count};
use crate::frame::ProducerKey;
use crate::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use crate::wire::{Reader, Value, WireProblem};
use bytes::{Buf, Bytes, BytesMut};
use std::ops::Range;

/// With the one message of the request, a sequence stays below 2⁶⁴, as frames want it.
const LAST_SEQUENCE: u64 = u64::MAX - 1;

/// A request that was checked whole.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    /// The event fields, back to back, in the client's order and bytes (I17): what a frame's payload is made of.
    /// Shares the request's memory where these fields lie together in it.
    pub payload: Bytes,
    /// Where each event lies in the payload.
    pub spans: Vec<EventSpan>,
    /// The request's retry key, where it has one.
    pub producer: Option<ProducerKey>,
    /// Fields of its events that this version does not know.
    pub unknown_fields: usize,
}

/// Where one event lies in a payload. All three count bytes from the payload's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpan {
    /// Where the field begins, with its tag.
    pub offset: u32,
    /// Where the event's own bytes begin.
    pub event: u32,
    /// Where both end.
    pub end: u32,
}

impl EventSpan {
    /// The field: tag, length and event.
    pub fn field_range(self) -> Range<usize> {
        self.offset as usize..self.end as usize
    }

    /// The event's own bytes.
    pub fn event_range(self) -> Range<usize> {
        self.event as usize..self.end as usize
    }
}

impl CheckedBatch {
    /// Requests without a retry key, in this order, as if they had been one. That the sum keeps the limits of a request
    /// is the caller's care.
    pub fn join(requests: Vec<Self>) -> Self {
        debug_assert!(
            requests.iter().all(|one| one.producer.is_none()),
            "a retry key names one request alone"
        );
        let requests = match <[Self; 1]>::try_from(requests) {
            Ok([only]) => return only,
            Err(several) => several,
        };
        let (mut bytes, mut events) = (0, 0);
        for request in &requests {
            bytes += request.payload.len();
            events += request.spans.len();
        }
        let (mut payload, mut spans) = (BytesMut::with_capacity(bytes), Vec::with_capacity(events));
        for request in &requests {
            // Below BATCH_BYTES_MAX.
            let start = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let behind = |at: u32| start.saturating_add(at);
            spans.extend(request.spans.iter().map(|span| EventSpan {
                offset: behind(span.offset),
                event: behind(span.event),
                end: behind(span.end),
            }));
            payload.extend_from_slice(&request.payload);
        }
        let unknown_fields = requests.iter().map(|request| request.unknown_fields).sum();
        Self { payload: payload.freeze(), spans, producer: None, unknown_fields }
    }
}

/// Why a request is refused, whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// One of its events breaks a rule.
    #[error("events[{index}]: {source}")]
    Event {
        /// The event's place in the request, from 0.
        index: usize,
        /// The rule.
        source: EventError,
    },
    /// It has too many events.
    #[error("a request has at most {BATCH_EVENTS_MAX} events: send the others in another one")]
    TooManyEvents,
    /// Its events take too many bytes.
    #[error("the events of a request take at most {BATCH_BYTES_MAX} bytes, found {0}: send fewer at a time")]
    TooLong(usize),
    /// It has no events.
    #[error("a request has at least one event")]
    Empty,
    /// It is no strict protobuf.
    #[error("the request is not well-formed at byte {offset}: {source}")]
    Malformed {
        /// Where, from its start.
        offset: usize,
        /// What is wrong there.
        source: WireProblem,
    },
    /// A known field has another wire type than its own.
    #[error("field {number} of the request has a wrong wire type at byte {offset}")]
    WireType {
        /// The field's number.
        number: u32,
        /// Where, from the request's start.
        offset: usize,
    },
    /// A singular field is there twice.
    #[error("field {0} of the request is there twice")]
    Duplicate(u32),
    /// A field that this version does not know: it may change what the request means, so it is not ignored.
    #[error("field {0} of the request is not known to this version of piperoll")]
    UnknownField(u32),
    /// The producer's id and sequence contradict each other.
    #[error(
        "producer_id is {id} and producer_sequence {sequence}: both are 0, or both 1 or more and the \
         sequence below 18446744073709551615"
    )]
    Producer {
        /// The id found.
        id: u64,
        /// The sequence found.
        sequence: u64,
    },
}

/// Checks a request whole. `each` sees every event in order, with its place, as soon as it passed; what it
/// gathers counts only if the whole request passes.
pub fn check_batch(
    message: Bytes,
    each: &mut dyn FnMut(usize, EventView<'_>),
) -> Result<CheckedBatch, BatchError> {
    let walked = walk(&message, each)?;
    let producer = producer_key(walked.producer)?;
    let total: usize = walked.fields.iter().map(Range::len).sum();
    if walked.fields.is_empty() {
        return Err(BatchError::Empty);
    }
    if total > BATCH_BYTES_MAX {
        return Err(BatchError::TooLong(total));
    }
    let payload = gather(message, &walked.fields, total);
    let spans = spans(&walked);
    Ok(CheckedBatch { payload, spans, producer, unknown_fields: walked.unknown_fields })
}

/// Where the parts of a request lie in it.
#[derive(Default)]
struct Walked {
    fields: Vec<Range<usize>>,
    /// Bytes of each event alone.
    events: Vec<usize>,
    /// Id and sequence.
    producer: (Option<u64>, Option<u64>),
    unknown_fields: usize,
}

fn walk(message: &[u8], each: &mut dyn FnMut(usize, EventView<'_>)) -> Result<Walked, BatchError> {
    let mut reader = Reader::new(message);
    let mut walked = Walked::default();
    loop {
        let offset = message.len() - reader.left();
        let field = reader.field().map_err(|source| BatchError::Malformed { offset, source })?;
        match field {
            None => return Ok(walked),
            Some((1, Value::Bytes(event))) => {
                let index = walked.fields.len();
                if index == BATCH_EVENTS_MAX {
                    return Err(BatchError::TooManyEvents);
                }
                let checked = check_and_count(event);
                let (view, unknown) = checked.map_err(|source| BatchError::Event { index, source })?;
                each(index, view);
                walked.unknown_fields += unknown;
                walked.fields.push(offset..message.len() - reader.left());
                walked.events.push(event.len());
            }
            Some((2, Value::Varint(id))) => once(&mut walked.producer.0, 2, id)?,
            Some((3, Value::Varint(sequence))) => once(&mut walked.producer.1, 3, sequence)?,
            Some((number @ 1..=3, _)) => return Err(BatchError::WireType { number, offset }),
            Some((number, _)) => return Err(BatchError::UnknownField(number)),
        }
    }
}

fn once(place: &mut Option<u64>, field: u32, value: u64) -> Result<(), BatchError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(BatchError::Duplicate(field)),
    }
}

fn producer_key(found: (Option<u64>, Option<u64>)) -> Result<Option<ProducerKey>, BatchError> {
    match (found.0.unwrap_or_default(), found.1.unwrap_or_default()) {
        (0, 0) => Ok(None),
        (id @ 1.., sequence @ 1..=LAST_SEQUENCE) => Ok(Some(ProducerKey { id, sequence })),
        (id, sequence) => Err(BatchError::Producer { id, sequence }),
    }
}

/// The fields without what lies between them: a slice of the request where nothing does.
fn gather(mut message: Bytes, fields: &[Range<usize>], total: usize) -> Bytes {
    let start = fields.first().map_or(0, |field| field.start);
    let end = fields.last().map_or(0, |field| field.end);
    if end - start == total {
        message.truncate(end);
        message.advance(start);
        return message;
    }
    let mut payload = BytesMut::with_capacity(total);
    for field in fields {
        payload.extend_from_slice(message.get(field.clone()).unwrap_or_default());
    }
    payload.freeze()
}

fn spans(walked: &Walked) -> Vec<EventSpan> {
    // Checked against BATCH_BYTES_MAX before: every place fits.
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut at = 0;
    let of_field = |(field, event): (&Range<usize>, &usize)| {
        let offset = at;
        at += field.len();
        EventSpan { offset: place(offset), event: place(at - event), end: place(at) }
    };
    walked.fields.iter().zip(&walked.events).map(of_field).collect()
}
