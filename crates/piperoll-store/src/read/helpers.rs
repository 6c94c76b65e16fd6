//! Threads that help to answer a question: few, and shared by all questions.

use super::error::ReadError;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

/// Pieces of work for which one more thread pays: it takes about as long to start as some segments to be asked.
const PIECES_PER_HELPER: usize = 4;

/// How many threads may help at one time. Who asks always works himself, so no question waits for another's helpers.
#[derive(Debug)]
pub(crate) struct Helpers {
    free: AtomicUsize,
}

impl Helpers {
    /// At most so many, of all questions together.
    pub(crate) fn new(max: usize) -> Self {
        Self { free: AtomicUsize::new(max) }
    }

    /// Does all pieces of work, in no order. After an error nothing new is begun; the first one is the answer.
    pub(super) fn for_each<T: Sync>(
        &self,
        pieces: &[T],
        work: impl Fn(&T) -> Result<(), ReadError> + Sync,
    ) -> Result<(), ReadError> {
        let (next, failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let run = || {
            while !failed.load(Relaxed)
                && let Some(piece) = pieces.get(next.fetch_add(1, Relaxed))
            {
                if let Err(found) = work(piece) {
                    error.lock().get_or_insert(found);
                    failed.store(true, Relaxed);
                }
            }
        };
        let taken = self.take(pieces.len() / PIECES_PER_HELPER);
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
        Taken { helpers: self, number }
    }
}

/// Helpers that work for one question; they are free again when it is dropped.
struct Taken<'a> {
    helpers: &'a Helpers,
    number: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.helpers.free.fetch_add(self.number, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_and_helpers_come_back() {
        let helpers = Helpers::new(3);
        for pieces in [0, 1, 7, 100] {
            let done: Vec<_> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            helpers
                .for_each(&done, |piece| {
                    piece.fetch_add(1, Relaxed);
                    Ok(())
                })
                .unwrap();
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
        let error = Helpers::new(0).for_each(&[1, 2, 3], |piece| {
            begun.fetch_add(1, Relaxed);
            if *piece == 2 { Err(ReadError::Late) } else { Ok(()) }
        });
        assert!(matches!(error, Err(ReadError::Late)));
        assert_eq!(begun.into_inner(), 2);
    }
}
