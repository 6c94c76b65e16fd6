//! Threads that help to answer a question: few, and shared by all questions.

use super::error::ReadError;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

/// How long the work has to have taken before somebody helps, in nanoseconds: about what a thread costs to start.
const ALONE_NS: u64 = 1_000_000;
/// Pieces of work that have to be left for each thread.
const PIECES_PER_HELPER: usize = 4;

/// Threads that help to answer questions, of all questions together.
#[derive(Debug)]
pub(crate) struct Helpers {
    /// Those that work.
    pub(super) working: Pool,
    /// Those that open segments for the first time, and so wait for the disk most of the time.
    pub(super) opening: Pool,
}

impl Helpers {
    /// At most so many.
    pub(crate) fn new(working_max: usize, opening_max: usize) -> Self {
        Self { working: Pool::new(working_max), opening: Pool::new(opening_max) }
    }
}

/// How many threads may help at one time. Who asks always works himself, so no question waits for another's helpers.
#[derive(Debug)]
pub(super) struct Pool {
    free: AtomicUsize,
}

impl Pool {
    fn new(max: usize) -> Self {
        Self { free: AtomicUsize::new(max) }
    }

    /// Does all pieces of work, in no order. After an error nothing new is begun; the first one is the answer.
    /// `monotonic_ns` says whether so much work is left that help pays.
    pub(super) fn for_each<T: Sync>(
        &self,
        pieces: &[T],
        monotonic_ns: impl Fn() -> u64,
        work: impl Fn(&T) -> Result<(), ReadError> + Sync,
    ) -> Result<(), ReadError> {
        let (next, failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let do_one = || {
            let piece = pieces.get(next.fetch_add(1, Relaxed)).filter(|_| !failed.load(Relaxed));
            if let Some(Err(found)) = piece.map(&work) {
                error.lock().get_or_insert(found);
                failed.store(true, Relaxed);
            }
            piece.is_some()
        };
        let begun = monotonic_ns();
        while monotonic_ns().saturating_sub(begun) < ALONE_NS {
            if !do_one() {
                return error.into_inner().map_or(Ok(()), Err);
            }
        }
        let taken = self.take(pieces.len().saturating_sub(next.load(Relaxed)) / PIECES_PER_HELPER);
        let run = || while do_one() {};
        thread::scope(|scope| {
            for _ in 0..taken.number {
                // Where the system gives no thread, who asks does all of it.
                let _ = thread::Builder::new().name("piperoll-reader".to_owned()).spawn_scoped(scope, run);
            }
            run();
        });
        error.into_inner().map_or(Ok(()), Err)
    }

    /// As many as are free, up to `wanted`.
    fn take(&self, wanted: usize) -> Taken<'_> {
        let mut number = 0;
        let take = |free: usize| {
            number = free.min(wanted);
            Some(free - number)
        };
        // It never refuses.
        let _ = self.free.fetch_update(Relaxed, Relaxed, take);
        Taken { pool: self, number }
    }
}

/// Helpers that work for one question; they are free again when it is dropped.
struct Taken<'a> {
    pool: &'a Pool,
    number: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.pool.free.fetch_add(self.number, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_piece_is_done_once_and_helpers_come_back() {
        let helpers = Pool::new(3);
        for pieces in [0, 1, 7, 100] {
            let done: Vec<_> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            // A clock on which each look takes a while: help comes after the second piece.
            let passed = AtomicU64::new(0);
            let clock = || passed.fetch_add(ALONE_NS / 2, Relaxed);
            let work = |piece: &AtomicUsize| {
                piece.fetch_add(1, Relaxed);
                Ok(())
            };
            helpers.for_each(&done, clock, work).unwrap();
            assert!(done.iter().all(|piece| piece.load(Relaxed) == 1));
            assert_eq!(helpers.free.load(Relaxed), 3);
        }
        assert_eq!(helpers.take(9).number, 3);
        let (first, second) = (helpers.take(2), helpers.take(2));
        assert_eq!((first.number, second.number), (2, 1));
    }

    #[test]
    fn after_an_error_nothing_new_is_begun() {
        let begun = AtomicUsize::new(0);
        for clock in [0, ALONE_NS] {
            begun.store(0, Relaxed);
            let passed = AtomicU64::new(0);
            let error = Pool::new(0).for_each(
                &[1, 2, 3],
                || passed.fetch_add(clock, Relaxed),
                |piece| {
                    begun.fetch_add(1, Relaxed);
                    if *piece == 2 { Err(ReadError::Late) } else { Ok(()) }
                },
            );
            assert!(matches!(error, Err(ReadError::Late)));
            assert_eq!(begun.load(Relaxed), 2);
        }
    }
}
