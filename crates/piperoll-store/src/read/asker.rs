//! Who asks: how far an answer may go, and what was done for it.

use super::error::ReadError;
use parking_lot::Mutex;
use piperoll_filter::Filter;
use piperoll_index::Matches;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a question is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Nobody waits for the answer any more.
    Gone,
    /// The time for it is over.
    Late,
}

/// Somebody who asks. Several threads may work on one answer.
pub struct Asker<'a> {
    halt: &'a (dyn Fn() -> Option<Halt> + Sync),
    monotonic_ns: &'a (dyn Fn() -> u64 + Sync),
    scan_bytes_max: u64,
    /// When a page may end, on the clock.
    enough_ns: Option<u64>,
    work: Counters,
    /// Where somebody wants to know.
    conditions: Option<Mutex<Vec<ConditionWork>>>,
}

/// What the indexes said of one condition of a filter, in the segments whose index was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionWork {
    /// The condition.
    pub condition: Filter,
    /// Events that meet it, by the index alone.
    pub matches: u64,
    /// Events of which the bytes decide.
    pub candidates: u64,
}

/// What was done for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Segments that hold what was asked about.
    pub segments: u64,
    /// Of these, ruled out by class and by when their events were received.
    pub ruled_out_by_time: u64,
    /// Ruled out because none of their events has a term that is asked for, or a time in its range.
    pub ruled_out_by_terms: u64,
    /// Segments whose index was asked.
    pub indexes: u64,
    /// Events that the indexes gave: matches, or candidates of which the bytes decide.
    pub candidates: u64,
    /// Events that were read, to be returned or to decide.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Time spent to open segments, in nanoseconds, on all threads together.
    pub open_ns: u64,
    /// Time spent in indexes.
    pub index_ns: u64,
    /// Time spent on events.
    pub read_ns: u64,
}

#[derive(Default)]
struct Counters {
    segments: AtomicU64,
    ruled_out_by_time: AtomicU64,
    ruled_out_by_terms: AtomicU64,
    indexes: AtomicU64,
    candidates: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    open_ns: AtomicU64,
    index_ns: AtomicU64,
    read_ns: AtomicU64,
}

/// What a stretch of time is spent on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Open,
    Index,
    Read,
}

/// How a segment was ruled out.
#[derive(Clone, Copy, Debug)]
pub(super) enum RuledOut {
    ByTime,
    ByTerms,
}

impl<'a> Asker<'a> {
    /// Somebody who is asked from time to time whether to give up, and for whom at most so many bytes of events are
    /// read. `monotonic_ns` is a clock: [`Work`] shows it, and it tells whether help pays.
    pub fn new(
        halt: &'a (dyn Fn() -> Option<Halt> + Sync),
        monotonic_ns: &'a (dyn Fn() -> u64 + Sync),
        scan_bytes_max: u64,
    ) -> Self {
        Self {
            halt,
            monotonic_ns,
            scan_bytes_max,
            enough_ns: None,
            work: Counters::default(),
            conditions: None,
        }
    }

    /// Somebody who waits for any answer, and has no clock.
    pub fn patient() -> Asker<'static> {
        Asker::new(&|| None, &|| 0, u64::MAX)
    }

    /// The same, who also wants to know what each condition of the filter finds by itself.
    #[must_use]
    pub fn explaining(self) -> Self {
        Self { conditions: Some(Mutex::default()), ..self }
    }

    /// The same, who takes a page that ends before it is full, once the clock shows this time or half of the bytes were
    /// read, and goes on from its position: however much there is to look through, each page brings such a one further.
    #[must_use]
    pub fn enough_at(self, monotonic_ns: u64) -> Self {
        Self { enough_ns: Some(monotonic_ns), ..self }
    }

    /// Whether a page may end here.
    pub(super) fn has_enough(&self) -> bool {
        let is_much = || self.work.bytes.load(Relaxed) > self.scan_bytes_max / 2;
        self.enough_ns.is_some_and(|end| is_much() || self.monotonic_ns() >= end)
    }

    /// What each condition found so far, in the order of the filter; nothing where nobody asked.
    pub fn conditions(&self) -> Vec<ConditionWork> {
        self.conditions.as_ref().map(|conditions| conditions.lock().clone()).unwrap_or_default()
    }

    /// What was done so far.
    pub fn work(&self) -> Work {
        let Counters { segments, ruled_out_by_time, ruled_out_by_terms, .. } = &self.work;
        let Counters { indexes, candidates, events, bytes, open_ns, index_ns, read_ns, .. } = &self.work;
        Work {
            segments: segments.load(Relaxed),
            ruled_out_by_time: ruled_out_by_time.load(Relaxed),
            ruled_out_by_terms: ruled_out_by_terms.load(Relaxed),
            indexes: indexes.load(Relaxed),
            candidates: candidates.load(Relaxed),
            events: events.load(Relaxed),
            bytes: bytes.load(Relaxed),
            open_ns: open_ns.load(Relaxed),
            index_ns: index_ns.load(Relaxed),
            read_ns: read_ns.load(Relaxed),
        }
    }

    /// Fails when the answer is not wanted any more, or takes more than it may.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        match (self.halt)() {
            None => Ok(()),
            Some(Halt::Gone) => Err(ReadError::Cancelled),
            Some(Halt::Late) => Err(ReadError::Late),
        }
    }

    /// The clock.
    pub(super) fn monotonic_ns(&self) -> u64 {
        (self.monotonic_ns)()
    }

    /// Does something, and counts its time.
    pub(super) fn timed<T>(&self, stage: Stage, act: impl FnOnce() -> T) -> T {
        let begun = (self.monotonic_ns)();
        let done = act();
        let spent = match stage {
            Stage::Open => &self.work.open_ns,
            Stage::Index => &self.work.index_ns,
            Stage::Read => &self.work.read_ns,
        };
        spent.fetch_add((self.monotonic_ns)().saturating_sub(begun), Relaxed);
        done
    }

    /// So many segments come into question.
    pub(super) fn meets_segments(&self, segments: usize) {
        self.work.segments.fetch_add(segments as u64, Relaxed);
    }

    /// It cannot match.
    pub(super) fn rules_out(&self, how: RuledOut) {
        let counter = match how {
            RuledOut::ByTime => &self.work.ruled_out_by_time,
            RuledOut::ByTerms => &self.work.ruled_out_by_terms,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Whether each condition is to be asked for by itself.
    pub(super) fn is_explaining(&self) -> bool {
        self.conditions.is_some()
    }

    /// A condition found this in a segment.
    pub(super) fn meets(&self, condition: Filter, found: &Matches) {
        let Some(conditions) = &self.conditions else { return };
        let (matches, candidates) = (found.sure.len(), found.maybe.len());
        let mut conditions = conditions.lock();
        match conditions.iter_mut().find(|known| known.condition == condition) {
            Some(known) => {
                known.matches = known.matches.saturating_add(matches);
                known.candidates = known.candidates.saturating_add(candidates);
            }
            None => conditions.push(ConditionWork { condition, matches, candidates }),
        }
    }

    /// An index gave so many candidates.
    pub(super) fn finds(&self, candidates: u64) {
        self.work.indexes.fetch_add(1, Relaxed);
        self.work.candidates.fetch_add(candidates, Relaxed);
    }

    /// So many events are read, which have so many bytes. Fails where all that are read have too many.
    pub(super) fn reads(&self, events: u64, bytes: u64) -> Result<(), ReadError> {
        self.work.events.fetch_add(events, Relaxed);
        let so_far = self.work.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if so_far > self.scan_bytes_max {
            return Err(ReadError::TooMuchToRead { max: self.scan_bytes_max });
        }
        Ok(())
    }
}
