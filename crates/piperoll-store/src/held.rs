//! What of sealed segments is held in memory, within bounds: those that are open, and which terms each has.

use crate::segment::SealedBody;
use parking_lot::Mutex;
use piperoll_index::TermSet;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Memory for the terms of all sealed segments, in bytes; segments beyond it are opened to be ruled out.
pub(crate) const TERM_SETS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The sealed segments of a store that are open, and the memory that their terms take.
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

    /// Keeps the terms of a segment, if there is room for them.
    pub(crate) fn keep_terms(&self, terms: TermSet) -> Option<Arc<TermSet>> {
        let bytes = terms.memory_bytes();
        let keep = |held: usize| held.checked_add(bytes).filter(|held| *held <= TERM_SETS_BYTES_MAX);
        self.term_bytes.fetch_update(Relaxed, Relaxed, keep).ok().map(|_| Arc::new(terms))
    }

    /// Forgets the terms of a segment.
    pub(crate) fn forget_terms(&self, terms: &TermSet) {
        self.term_bytes.fetch_sub(terms.memory_bytes(), Relaxed);
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.bodies.lock().len()
    }

    /// Bytes of memory that their terms take.
    pub(crate) fn term_bytes(&self) -> usize {
        self.term_bytes.load(Relaxed)
    }
}
