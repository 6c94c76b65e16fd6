//! The producers of a tenant: what is in flight, and the last sequence of each (R2).
//!
//! A request whose sequence is above the last one is new. Any other is a retry: one that is still in flight
//! waits for it; the rest is looked up in the logs, which have the producer's key of each message.

use crate::write::batch::{AppendError, Done, Receipt};
use crate::write::part::ProducerName;
use bytes::Bytes;
use parking_lot::Mutex;
use piperoll_format::frame::ProducerKey;
use piperoll_format::names::Name;
use piperoll_format::units::UnixNanos;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::OnceLock;

/// Points in time that are remembered to tell which sequences are older than the window.
const CHECKPOINTS_MAX: i64 = 24;

/// A request on its way.
struct Flight {
    payload: Bytes,
    first: Done,
    /// Retries of it that came meanwhile.
    others: Vec<Done>,
}

#[derive(Default)]
struct Producer {
    last: u64,
    heard: UnixNanos,
    in_flight: BTreeMap<u64, Flight>,
    /// When the last sequence was what; ascending.
    checkpoints: VecDeque<(UnixNanos, u64)>,
    /// Sequences up to this one are older than the window.
    floor: u64,
}

impl Producer {
    fn hear(&mut self, now: UnixNanos, window_ns: u64) {
        let window = i64::try_from(window_ns).unwrap_or(i64::MAX);
        self.heard = self.heard.max(now);
        while let Some(&(time, last)) = self.checkpoints.front() {
            if now.0.saturating_sub(time.0) < window {
                break;
            }
            self.floor = last;
            self.checkpoints.pop_front();
        }
        let newest = self.checkpoints.back().map_or(i64::MIN, |&(time, _)| time.0);
        if self.last > 0 && now.0.saturating_sub(newest) >= window / CHECKPOINTS_MAX {
            self.checkpoints.push_back((now, self.last));
        }
    }
}

/// What became of a request that was shown to the table.
pub(crate) enum Begun {
    /// It is new: store it.
    New,
    /// It waits for the one in flight, or was refused: its outcome comes, or came, through its `Done`.
    Settled,
    /// It may have been stored: look it up. Sequences up to `floor` that are not found are too old.
    Older {
        /// See above.
        floor: u64,
        /// The greatest sequence heard.
        last: u64,
    },
}

/// The producers of one tenant.
#[derive(Default)]
pub(crate) struct ProducerTable {
    producers: Mutex<HashMap<ProducerName, Producer>>,
    /// A log of the tenant whose producers could not be read, and why. Set at the start.
    unknown: OnceLock<(Name, String)>,
}

impl ProducerTable {
    /// Notes what a log has of a producer: at the start, from its files.
    pub(crate) fn restore(&self, name: &ProducerName, last: u64, heard: UnixNanos) {
        let mut producers = self.producers.lock();
        let producer = producers.entry(name.clone()).or_default();
        producer.last = producer.last.max(last);
        producer.heard = producer.heard.max(heard);
    }

    /// Notes that a log cannot tell what its producers have sent: a request may be a retry of one in it, which the
    /// routes of today send elsewhere.
    pub(crate) fn does_not_know(&self, class: Name, reason: String) {
        // The first such log is reason enough.
        let _ = self.unknown.set((class, reason));
    }

    /// The log whose producers are not known, and why.
    pub(crate) fn unknown(&self) -> Option<&(Name, String)> {
        self.unknown.get()
    }

    /// Takes a request in (I5). `done` is kept until [`Self::finish`].
    pub(crate) fn begin(
        &self,
        name: &ProducerName,
        key: ProducerKey,
        payload: &Bytes,
        done: Done,
        (now, window_ns): (UnixNanos, u64),
    ) -> Begun {
        let mut producers = self.producers.lock();
        if !producers.contains_key(name) {
            producers.insert(name.clone(), Producer::default());
        }
        let Some(producer) = producers.get_mut(name) else { return Begun::Settled };
        producer.hear(now, window_ns);
        let (floor, last) = (producer.floor, producer.last);
        match producer.in_flight.entry(key.sequence) {
            Entry::Vacant(place) => {
                place.insert(Flight { payload: payload.clone(), first: done, others: Vec::new() });
            }
            Entry::Occupied(mut flight) => {
                if flight.get().payload == payload {
                    flight.get_mut().others.push(done);
                } else {
                    drop(producers);
                    done(Err(AppendError::AlreadyExists { producer: key.id, sequence: key.sequence }));
                }
                return Begun::Settled;
            }
        }
        if key.sequence > last {
            producer.last = key.sequence;
            return Begun::New;
        }
        Begun::Older { floor, last }
    }

    /// Gives outcomes to all who wait for them.
    pub(crate) fn finish(
        &self,
        outcomes: impl IntoIterator<Item = (ProducerName, u64, Result<Receipt, AppendError>)>,
    ) {
        let mut landed = Vec::new();
        let mut producers = self.producers.lock();
        for (name, sequence, outcome) in outcomes {
            let flight = producers.get_mut(&name).and_then(|producer| producer.in_flight.remove(&sequence));
            landed.extend(flight.map(|flight| (flight, outcome)));
        }
        // Whoever is called may call back.
        drop(producers);
        for (flight, outcome) in landed {
            let again = |receipt: &Receipt| Receipt { repeated: true, ..receipt.clone() };
            for other in flight.others {
                other(outcome.as_ref().map(again).map_err(Clone::clone));
            }
            (flight.first)(outcome);
        }
    }

    /// Forgets producers that were not heard from since `before`.
    pub(crate) fn forget(&self, before: UnixNanos) {
        let mut producers = self.producers.lock();
        producers.retain(|_, producer| producer.heard >= before || !producer.in_flight.is_empty());
    }
}
