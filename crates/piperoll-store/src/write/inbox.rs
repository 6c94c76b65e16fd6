//! The bounded queue of one log: appenders put parts in, its writer takes groups out (R39).

use crate::write::part::{Finish, Part};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Duration;

struct Waiting {
    parts: VecDeque<Part>,
    /// Bytes of parts that wait, and of those that have been promised room.
    bytes: u64,
    closed: bool,
}

impl Waiting {
    fn take(&mut self, count: usize) -> Vec<Part> {
        let count = count.min(self.parts.len());
        let parts: Vec<Part> = self.parts.drain(..count).collect();
        let bytes = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bound()));
        self.bytes = self.bytes.saturating_sub(bytes);
        parts
    }
}

/// Parts that wait for the writer.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

/// What room a group has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) events: u64,
}

/// What an inbox gave.
pub(crate) enum Taken {
    /// Parts, at least one, that fit the room.
    Parts(Vec<Part>),
    /// Something waits, and the first of it does not fit.
    NoRoom,
    /// Nothing waits.
    Nothing,
}

impl Inbox {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let waiting = Waiting { parts: VecDeque::new(), bytes: 0, closed: false };
        Self { waiting: Mutex::new(waiting), arrived: Condvar::new() }
    }

    /// Promises room for `bytes`, or tells how many wait. A queue that is empty has room for anything.
    pub(crate) fn reserve(&self, bytes: u64, bytes_max: u64) -> Result<(), u64> {
        let mut waiting = self.waiting.lock();
        let after = waiting.bytes.saturating_add(bytes);
        if after > bytes_max && waiting.bytes > 0 {
            return Err(waiting.bytes);
        }
        waiting.bytes = after;
        Ok(())
    }

    /// Gives promised room back.
    pub(crate) fn release(&self, bytes: u64) {
        let mut waiting = self.waiting.lock();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
    }

    /// Puts a part in, whose room was promised; gives back who waits for it when the inbox is closed.
    pub(crate) fn push(&self, part: Part) -> Result<(), Finish> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            waiting.bytes = waiting.bytes.saturating_sub(part.bound());
            return Err(part.finish);
        }
        waiting.parts.push_back(part);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes from the front what fits the group, and one part at least where that fits the segment.
    pub(crate) fn take(&self, group: Room, segment: Room) -> Taken {
        let mut waiting = self.waiting.lock();
        let Some(first) = waiting.parts.front() else { return Taken::Nothing };
        if first.bound() > segment.bytes || u64::from(first.events) > segment.events {
            return Taken::NoRoom;
        }
        let (mut bytes, mut events, mut count) = (0_u64, 0_u64, 0_usize);
        for part in &waiting.parts {
            bytes = bytes.saturating_add(part.bound());
            events = events.saturating_add(u64::from(part.events));
            if count > 0 && (bytes > group.bytes || events > group.events) {
                break;
            }
            count += 1;
        }
        Taken::Parts(waiting.take(count))
    }

    /// Takes the first part, whatever its size.
    pub(crate) fn take_one(&self) -> Option<Vec<Part>> {
        let parts = self.waiting.lock().take(1);
        (!parts.is_empty()).then_some(parts)
    }

    /// Takes everything: for a log that cannot store it.
    pub(crate) fn take_all(&self) -> Vec<Part> {
        self.waiting.lock().take(usize::MAX)
    }

    /// True while something waits.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.lock().parts.is_empty()
    }

    /// Takes nothing more in.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Waits until something is there; false when the inbox is closed and empty, or nothing came in `time`.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.parts.is_empty() && !waiting.closed {
            self.arrived.wait_for(&mut waiting, time);
        }
        !waiting.parts.is_empty()
    }

    /// True once it is closed and empty.
    pub(crate) fn is_done(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.closed && waiting.parts.is_empty()
    }
}
