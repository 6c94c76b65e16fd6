//! What of sealed segments is held in memory, within bounds: those that are open, which terms each has, and how many
//! events have each value of the fields that somebody has counted by.

use crate::{groups::Groups, segment::SealedBody};
use parking_lot::Mutex;
use piperoll_format::event::Field;
use piperoll_index::TermSet;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Memory for the terms and the counts of all sealed segments, in bytes; segments beyond it are opened to be ruled out or
/// counted.
pub(crate) const TERM_SETS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Values of a field up to which their counts are held, one of them for the events that have none.
const GROUPS_HELD_MAX: usize = 65;
/// Most bytes of a segment's counts by one field.
const GROUPS_BYTES_HELD_MAX: usize = 8 * 1024;

/// The sealed segments of a store that are open, and the memory that terms and counts take.
#[derive(Default)]
pub(crate) struct Held {
    /// The longest open first; whoever was used since it last stood there goes to the end once more.
    bodies: Mutex<VecDeque<Arc<SealedBody>>>,
    bodies_max: usize,
    term_bytes: AtomicUsize,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open segments", self.count())
    }
}

impl Held {
    /// At most so many are open.
    pub(crate) fn new(bodies_max: usize) -> Self {
        Self { bodies: Mutex::default(), bodies_max, term_bytes: AtomicUsize::new(0) }
    }

    /// Holds a segment open, in place of others that were not used for longer.
    pub(crate) fn hold(&self, body: &Arc<SealedBody>) {
        let mut closed = Vec::new();
        let mut bodies = self.bodies.lock();
        bodies.push_back(Arc::clone(body));
        // Each one that was used is passed over once, so this ends.
        while bodies.len() > self.bodies_max {
            let Some(oldest) = bodies.pop_front() else { break };
            if oldest.was_used() { bodies.push_back(oldest) } else { closed.push(oldest) }
        }
        drop(bodies);
        // Unmapping takes its time, and nobody needs to wait for it.
        drop(closed);
    }

    /// Closes a segment, once its readers have gone.
    pub(crate) fn forget(&self, body: &Arc<SealedBody>) {
        self.bodies.lock().retain(|other| !Arc::ptr_eq(other, body));
    }

    /// Whether there is room for so many bytes more of terms and counts; if so, they are taken.
    fn take(&self, bytes: usize) -> bool {
        let take = |held: usize| held.checked_add(bytes).filter(|held| *held <= TERM_SETS_BYTES_MAX);
        self.term_bytes.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    /// What of their indexes was checked is checked once more before it is read again.
    pub(crate) fn check_again(&self) {
        self.bodies.lock().iter().for_each(|body| body.index.check_again());
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.bodies.lock().len()
    }

    /// Bytes of memory that terms and counts take.
    pub(crate) fn term_bytes(&self) -> usize {
        self.term_bytes.load(Relaxed)
    }
}

/// What is known of a sealed segment that is whole, without opening it: nothing, before somebody has opened it.
#[derive(Default)]
pub(crate) struct Known {
    terms: Option<Arc<TermSet>>,
    /// Of fields with few values, how many events have each.
    counts: Vec<(Field, Arc<Groups>)>,
    /// There was no room for more.
    is_refused: bool,
}

impl Known {
    /// Which terms it has.
    pub(crate) fn terms(&self) -> Option<&Arc<TermSet>> {
        self.terms.as_ref()
    }

    /// How many events have each value of a field.
    pub(crate) fn counts(&self, field: Field) -> Option<&Arc<Groups>> {
        self.counts.iter().find_map(|(other, groups)| (*other == field).then_some(groups))
    }

    /// Keeps its terms, which have all that were known before, if there is room for them.
    pub(crate) fn keep_terms(&mut self, terms: TermSet, held: &Held) {
        let before = self.terms.as_ref().map_or(0, |terms| terms.memory_bytes());
        if held.take(terms.memory_bytes().saturating_sub(before)) {
            self.terms = Some(Arc::new(terms));
        } else {
            self.is_refused = true;
        }
    }

    /// Whether its terms are all that is asked for, or there was no room for more.
    pub(crate) fn needs_no_more(&self, has_all: impl Fn(&TermSet) -> bool) -> bool {
        self.is_refused || self.terms.as_ref().is_some_and(|terms| has_all(terms))
    }

    /// There may be room again.
    pub(crate) fn try_again(&mut self) {
        self.is_refused = false;
    }

    /// Keeps the counts of a field, if they are few and there is room for them. Only of what has terms: else nobody
    /// knows whether these are the counts of all its events.
    pub(crate) fn keep_counts(&mut self, field: Field, groups: &Arc<Groups>, held: &Held) {
        let is_little = groups.len() <= GROUPS_HELD_MAX && groups.memory_bytes() <= GROUPS_BYTES_HELD_MAX;
        if is_little
            && self.terms.is_some()
            && self.counts(field).is_none()
            && held.take(groups.memory_bytes())
        {
            self.counts.push((field, Arc::clone(groups)));
        }
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self, held: &Held) {
        let terms = self.terms.take().map_or(0, |terms| terms.memory_bytes());
        let counts: usize = self.counts.drain(..).map(|(_, groups)| groups.memory_bytes()).sum();
        held.term_bytes.fetch_sub(terms + counts, Relaxed);
    }
}
