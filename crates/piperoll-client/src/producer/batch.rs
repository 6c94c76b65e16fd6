//! Between the caller and the worker: events become batches here, and the caller waits here when both have
//! enough to do.

use super::Progress;
use crate::{ClientError, ProducerOptions};
use bytes::{BufMut as _, BytesMut};
use piperoll_proto::v1;
use prost::Message as _;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Longest wait of a batch, which keeps the clock's arithmetic within its range.
const LINGER_MAX: Duration = Duration::from_hours(24);

/// Tag of `events` in the request: field 1, length-delimited.
const EVENTS_TAG: u8 = 0x0A;
/// Tag and length of the longest event.
const OVERHEAD_BYTES_MAX: usize = 4;
/// Full batches that may wait for the worker.
const FULL_BATCHES_MAX: usize = 2;

/// Events, as the wire has them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: BytesMut,
    pub(super) events: usize,
}

/// Shared by the caller, who fills it, and the worker, who empties it.
#[derive(Debug)]
pub(super) struct Collector {
    batch_events_max: usize,
    batch_bytes_max: usize,
    linger: Duration,
    state: Mutex<State>,
    /// The worker may have something to do.
    work: Notify,
    /// The caller may go on.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Batch,
    full: VecDeque<Batch>,
    /// When `open` goes as it is.
    due: Option<Instant>,
    /// Events pushed and not acknowledged.
    outstanding: usize,
    progress: Progress,
    /// Why it has ended; given to the caller on every call.
    failure: Option<ClientError>,
}

impl Collector {
    pub(super) fn new(options: &ProducerOptions) -> Self {
        Self {
            batch_events_max: options.batch_events_max,
            batch_bytes_max: options.batch_bytes_max,
            linger: options.linger.min(LINGER_MAX),
            state: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.state().progress
    }

    pub(super) async fn push(&self, event: &v1::Event, length: usize) -> Result<(), ClientError> {
        loop {
            let room = self.room.notified();
            if self.try_push(event, length)? {
                return Ok(());
            }
            room.await;
        }
    }

    pub(super) async fn flush(&self) -> Result<(), ClientError> {
        loop {
            let room = self.room.notified();
            {
                let mut state = self.state();
                if state.outstanding == 0 {
                    return state.failure.clone().map_or(Ok(()), Err);
                }
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                state.due = state.due.map(|_| Instant::now());
            }
            self.work.notify_one();
            room.await;
        }
    }

    /// The next batch to send. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next_batch(&self) -> Batch {
        loop {
            let work = self.work.notified();
            let due = match self.take() {
                Ok(batch) => {
                    self.room.notify_waiters();
                    return batch;
                }
                Err(due) => due,
            };
            match due {
                // Whether it is the time or a push that ends the wait, the next round sees.
                Some(due) => drop(timeout_at(due, work).await),
                None => work.await,
            }
        }
    }

    /// The worker had `events` acknowledged and counts them in `progress`.
    pub(super) fn acknowledged(&self, events: usize, count: impl FnOnce(&mut Progress)) {
        let mut state = self.state();
        state.outstanding = state.outstanding.saturating_sub(events);
        count(&mut state.progress);
        drop(state);
        self.room.notify_waiters();
    }

    /// The worker made its connection anew.
    pub(super) fn reconnected(&self) {
        self.state().progress.reconnects += 1;
    }

    /// The worker has ended.
    pub(super) fn failed(&self, error: ClientError) {
        self.state().failure = Some(error);
        self.room.notify_waiters();
    }

    fn try_push(&self, event: &v1::Event, length: usize) -> Result<bool, ClientError> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let bytes_after = state.open.bytes.len() + length + OVERHEAD_BYTES_MAX;
        let fits = state.open.events < self.batch_events_max && bytes_after <= self.batch_bytes_max;
        if !fits && state.open.events > 0 && !state.close_open() {
            return Ok(false);
        }
        state.open.bytes.put_u8(EVENTS_TAG);
        // Fails only where the buffer cannot grow, and this one can.
        let _ = event.encode_length_delimited(&mut state.open.bytes);
        state.open.events += 1;
        state.outstanding += 1;
        if state.open.events == 1 {
            state.due = Some(Instant::now() + self.linger);
            self.work.notify_one();
        }
        if state.open.events == self.batch_events_max && state.close_open() {
            self.work.notify_one();
        }
        Ok(true)
    }

    /// A batch, or when there will be one at the latest.
    fn take(&self) -> Result<Batch, Option<Instant>> {
        let mut state = self.state();
        if let Some(batch) = state.full.pop_front() {
            return Ok(batch);
        }
        match state.due {
            Some(due) if due <= Instant::now() => {
                state.due = None;
                Ok(std::mem::take(&mut state.open))
            }
            due => Err(due),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_open(&mut self) -> bool {
        let room = self.full.len() < FULL_BATCHES_MAX;
        if room {
            let open = std::mem::take(&mut self.open);
            self.full.push_back(open);
            self.due = None;
        }
        room
    }
}
