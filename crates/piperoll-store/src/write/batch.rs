//! What goes into the engine and what comes back: batches, receipts, refusals.

use crate::timekeeper::words;
use bytes::Bytes;
use piperoll_format::envelope::{Envelope, EnvelopeError};
use piperoll_format::names::Name;
use piperoll_format::request::CheckedBatch;
use piperoll_format::units::{Sequence, UnixNanos};
use std::sync::Arc;

/// Who sends, as the connection proved it; made once for a connection and shared by its batches.
#[derive(Clone, Debug)]
pub struct Sender {
    envelope: Envelope,
    principal: Arc<str>,
    encoded: Bytes,
}

/// A sender's text cannot stand in an envelope: it is too long or has control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender cannot be written down: {0}")]
pub struct SenderError(#[from] EnvelopeError);

impl Sender {
    /// A sender: authenticated principal, method, address and port of the peer, and the door it came by.
    pub fn new(principal: &str, auth_method: u32, peer: &str, intake: &str) -> Result<Self, SenderError> {
        let envelope = Envelope {
            principal: principal.to_owned(),
            auth_method,
            peer: peer.to_owned(),
            intake: intake.to_owned(),
            split: Vec::new(),
        };
        let mut encoded = Vec::new();
        envelope.encode(&mut encoded);
        // What is written must be readable by the rules of reading.
        Envelope::decode(&encoded)?;
        Ok(Self { envelope, principal: principal.into(), encoded: encoded.into() })
    }

    /// The authenticated principal.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Address and port of the peer; empty where there is none.
    pub fn peer(&self) -> &str {
        &self.envelope.peer
    }

    /// The principal, shared.
    pub(crate) fn shared_principal(&self) -> Arc<str> {
        Arc::clone(&self.principal)
    }

    /// The encoded envelope of a frame that is no part of a split.
    pub(crate) fn encoded(&self) -> Bytes {
        self.encoded.clone()
    }

    /// The envelope, without a split.
    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// Which retention class each event of a batch belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classes {
    /// All of them to one.
    One(Name),
    /// Each to its own.
    Each {
        /// The classes.
        classes: Vec<Name>,
        /// For each event the index of its class in `classes`.
        of_event: Vec<u16>,
    },
}

/// A checked batch and where it goes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose log.
    pub tenant: Name,
    /// Who sent it.
    pub sender: Arc<Sender>,
    /// The events in the client's bytes, checked.
    pub request: CheckedBatch,
    /// The retention class of each event.
    pub classes: Classes,
}

/// Consecutive events of one batch in one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// Retention class: the log within the tenant.
    pub class: Name,
    /// Sequence of the first.
    pub first: Sequence,
    /// Sequence after the last.
    pub end: Sequence,
    /// When they were received.
    pub received: UnixNanos,
    /// Positions in the batch that went here, in order of their sequences; empty for all of them.
    pub positions: Vec<u32>,
}

/// The acknowledgement: all events of the batch are durable, at these addresses (R1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// One range for each class, in the order of their names.
    pub ranges: Vec<AddressRange>,
    /// True where the batch had been stored before; the ranges are those of the first time.
    pub repeated: bool,
}

impl Receipt {
    /// The receipts of batches of one class that were stored as one: how many events each has, in order. `None` where
    /// that is not what was stored.
    pub fn split(self, events: impl ExactSizeIterator<Item = u64>) -> Option<Vec<Self>> {
        let [range] = <[AddressRange; 1]>::try_from(self.ranges).ok()?;
        let mut receipts = Vec::with_capacity(events.len());
        let mut first = range.first;
        for count in events {
            let end = first.plus(count);
            let share =
                AddressRange { class: range.class.clone(), first, end, positions: Vec::new(), ..range };
            receipts.push(Self { ranges: vec![share], repeated: self.repeated });
            first = end;
        }
        (first == range.end && range.positions.is_empty()).then_some(receipts)
    }
}

/// Why a batch was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits for this log already.
    #[error("{queued} bytes wait for {tenant}/{class}, at most {max} may; send this batch again in a moment")]
    Full {
        /// Tenant.
        tenant: Name,
        /// Class.
        class: Name,
        /// Bytes that wait.
        queued: u64,
        /// Bytes that may wait.
        max: u64,
    },
    /// The log can be read only, until a person decides.
    #[error("{tenant}/{class} is read-only: {reason}")]
    ReadOnly {
        /// Tenant.
        tenant: Name,
        /// Class.
        class: Name,
        /// Why.
        reason: String,
    },
    /// A write or a sync failed; whether this batch is stored shows after a restart.
    #[error("log {tenant}/{class} stopped: {reason}; restart the daemon to find out what is on the disk")]
    Stopped {
        /// Tenant.
        tenant: Name,
        /// Class.
        class: Name,
        /// What failed, and at which offset.
        reason: String,
    },
    /// The disk is full; nothing of this log was stored. Appends resume by themselves when there is room.
    #[error("no room for {tenant}/{class}: {reason}; make room and send this batch again")]
    NoSpace {
        /// Tenant.
        tenant: Name,
        /// Class.
        class: Name,
        /// What failed.
        reason: String,
    },
    /// This producer sent other events under this sequence before.
    #[error("producer {producer} sent other events as its request {sequence} before; use a new sequence")]
    AlreadyExists {
        /// Producer id.
        producer: u64,
        /// Producer sequence.
        sequence: u64,
    },
    /// Too old to tell whether it was stored.
    #[error(
        "request {sequence} of producer {producer} is not above its last one, {last}, and too old to tell whether \
         it was stored; a retry is recognised for 24 hours"
    )]
    OutOfRange {
        /// Producer id.
        producer: u64,
        /// Producer sequence.
        sequence: u64,
        /// The greatest sequence heard of this producer.
        last: u64,
    },
    /// Whether a retry was stored cannot be told, because stored bytes cannot be read.
    #[error("cannot tell whether request {sequence} of producer {producer} was stored: {reason}")]
    Unknown {
        /// Producer id.
        producer: u64,
        /// Producer sequence.
        sequence: u64,
        /// Why.
        reason: String,
    },
    /// There are as many logs as there may be.
    #[error("{tenant}/{class} would be a new log, and there are {max} already, as many as there may be")]
    TooManyLogs {
        /// Tenant.
        tenant: Name,
        /// Class.
        class: Name,
        /// The limit.
        max: usize,
    },
    /// The batch has no events, or more classes or positions than it has events.
    #[error("the batch cannot be stored: {0}")]
    Refused(String),
    /// Since the start the clock is far ahead of the last entry, and nobody vouches for it (R25).
    #[error(
        "the clock shows {}, {} after the last entry and the time since the start, and the kernel does not report \
         it synchronised: set the clock right, or say that it is right with `piperoll clock accept`",
        words(*wall),
        long(wall.0.saturating_sub(believed.0))
    )]
    ClockNotBelieved {
        /// What the clock shows.
        wall: UnixNanos,
        /// What is believed.
        believed: UnixNanos,
    },
    /// The daemon is ending.
    #[error("the daemon is shutting down; send this batch to it again after its start")]
    ShuttingDown,
}

/// A long time in words.
fn long(nanoseconds: i64) -> String {
    let hours = nanoseconds / 3_600_000_000_000;
    if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

/// Called once with the outcome, possibly on the writer's thread: it must be quick.
pub type Done = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(first: u64, end: u64, positions: Vec<u32>) -> Receipt {
        let class = Name::from_outside("default").unwrap();
        let (first, end) = (Sequence(first), Sequence(end));
        let range = AddressRange { class, first, end, received: UnixNanos(7), positions };
        Receipt { ranges: vec![range], repeated: false }
    }

    #[test]
    fn a_receipt_is_split_only_where_the_shares_are_all_of_it() {
        let split = |receipt: Receipt, events: &[u64]| receipt.split(events.iter().copied());
        let shares = [receipt(5, 6, vec![]), receipt(6, 9, vec![]), receipt(9, 10, vec![])];
        assert_eq!(split(receipt(5, 10, vec![]), &[1, 3, 1]), Some(shares.to_vec()));
        for events in [&[1, 3][..], &[1, 3, 2], &[]] {
            assert_eq!(split(receipt(5, 10, vec![]), events), None, "{events:?}");
        }
        assert_eq!(split(receipt(5, 6, vec![3]), &[1]), None, "a part of a batch is no whole of others");
        let two = Receipt {
            ranges: [receipt(5, 6, vec![]).ranges, receipt(0, 1, vec![]).ranges].concat(),
            repeated: false,
        };
        assert_eq!(split(two, &[2]), None);
    }
}
