//! The bounded queue of one log: appenders put parts in, its writer takes groups out (R39).
//!
//! Each sender's parts keep their order; between senders it is fair by bytes, so that one who sends much does not
//! delay those who send little: the part comes next whose sender, had all of them been served at once and alike
//! since it began to wait, would have been done first (self-clocked fair queueing, Golestani 1994).

use crate::write::part::{Finish, Part};
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

/// A sender with more than this share of a queue, an eighth, leaves as much of it free for others.
pub const SHARE_OF_QUEUE: u64 = 8;

/// A part that is longer begins a group: those that are due before it do not wait for its write.
const LONG_PART_BYTES: u64 = 1 << 20;
/// More parts save little of a sync's cost, and who comes meanwhile waits until they are written and answered.
const GROUP_PARTS_MAX: usize = 1_024;

/// Lanes that are kept for the next sender, and parts that one of them may have room for.
const SPARE_MAX: usize = 64;
const SPARE_PARTS_MAX: usize = 128;

/// What waits of one sender, and the order in which it came among all.
#[derive(Default)]
struct Lane {
    parts: VecDeque<(u64, Part)>,
    bytes: u64,
}

/// When the first part of a lane is due: bytes served by then, and of equals the one that came first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    served: u64,
    number: u64,
    sender: u64,
}

#[derive(Default)]
struct Waiting {
    /// The senders that wait.
    lanes: HashMap<u64, Lane>,
    /// One for each lane.
    turns: BinaryHeap<Reverse<Turn>>,
    /// Bytes served, by the clock that turns are counted on.
    served: u64,
    /// Parts that came.
    number: u64,
    /// Lanes that are not in use, with what they have allocated.
    spare: Vec<Lane>,
    /// Bytes of parts that wait, and of those that have been promised room.
    bytes: u64,
    closed: bool,
}

impl Waiting {
    fn put(&mut self, part: Part) {
        let (sender, number) = (part.sender(), self.number);
        self.number = number.wrapping_add(1);
        let lane = self.lanes.entry(sender).or_insert_with(|| self.spare.pop().unwrap_or_default());
        if lane.parts.is_empty() {
            let served = self.served.saturating_add(part.bound());
            self.turns.push(Reverse(Turn { served, number, sender }));
        }
        lane.bytes = lane.bytes.saturating_add(part.bound());
        lane.parts.push_back((number, part));
    }

    /// The part that is due.
    fn first(&self) -> Option<&Part> {
        let Reverse(turn) = self.turns.peek()?;
        self.lanes.get(&turn.sender)?.parts.front().map(|(_, part)| part)
    }

    fn take_first(&mut self) -> Option<Part> {
        let Reverse(Turn { served, sender, .. }) = self.turns.pop()?;
        let lane = self.lanes.get_mut(&sender)?;
        let (_, part) = lane.parts.pop_front()?;
        lane.bytes = lane.bytes.saturating_sub(part.bound());
        self.served = served;
        self.bytes = self.bytes.saturating_sub(part.bound());
        if let Some((number, next)) = lane.parts.front() {
            let served = served.saturating_add(next.bound());
            self.turns.push(Reverse(Turn { served, number: *number, sender }));
        } else {
            let lane = self.lanes.remove(&sender);
            let is_kept =
                |lane: &Lane| self.spare.len() < SPARE_MAX && lane.parts.capacity() <= SPARE_PARTS_MAX;
            self.spare.extend(lane.filter(is_kept));
        }
        Some(part)
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
        Self { waiting: Mutex::default(), arrived: Condvar::new() }
    }

    /// Promises room for a part, or tells how many bytes wait. A queue that is empty has room for anything; the
    /// last of a queue is not for those who have much in it.
    pub(crate) fn reserve(&self, part: &Part, bytes_max: u64) -> Result<(), u64> {
        let mut waiting = self.waiting.lock();
        let share = bytes_max / SHARE_OF_QUEUE;
        let own = waiting.lanes.get(&part.sender()).map_or(0, |lane| lane.bytes).saturating_add(part.bound());
        let max = if own > share { bytes_max.saturating_sub(share) } else { bytes_max };
        let after = waiting.bytes.saturating_add(part.bound());
        if after > max && waiting.bytes > 0 {
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
        waiting.put(part);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes what is due and fits the group, and one part at least where that fits the segment.
    pub(crate) fn take(&self, group: Room, segment: Room) -> Taken {
        let mut waiting = self.waiting.lock();
        let Some(first) = waiting.first() else { return Taken::Nothing };
        if first.bound() > segment.bytes || u64::from(first.events) > segment.events {
            return Taken::NoRoom;
        }
        let (mut bytes, mut events, mut parts) = (0_u64, 0_u64, Vec::new());
        while let Some(part) = waiting.first() {
            bytes = bytes.saturating_add(part.bound());
            events = events.saturating_add(u64::from(part.events));
            let fits = bytes <= group.bytes && events <= group.events && parts.len() < GROUP_PARTS_MAX;
            if !parts.is_empty() && (!fits || part.bound() > LONG_PART_BYTES) {
                break;
            }
            parts.extend(waiting.take_first());
        }
        Taken::Parts(parts)
    }

    /// Takes the part that is due, whatever its size.
    pub(crate) fn take_one(&self) -> Option<Vec<Part>> {
        self.waiting.lock().take_first().map(|part| vec![part])
    }

    /// Takes everything: for a log that cannot store it.
    pub(crate) fn take_all(&self) -> Vec<Part> {
        let mut waiting = self.waiting.lock();
        std::iter::from_fn(|| waiting.take_first()).collect()
    }

    /// True while something waits.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.lock().turns.is_empty()
    }

    /// Takes nothing more in.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Waits until something is there; false when the inbox is closed and empty, or nothing came in `time`.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.turns.is_empty() && !waiting.closed {
            self.arrived.wait_for(&mut waiting, time);
        }
        !waiting.turns.is_empty()
    }

    /// True once it is closed and empty.
    pub(crate) fn is_done(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.closed && waiting.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use piperoll_format::frame::ProducerKey;
    use std::iter;
    use std::sync::Arc;

    const ENOUGH: Room = Room { bytes: u64::MAX, events: u64::MAX };
    const GIANT: u32 = 8 << 20;

    /// A part of `bytes`; `mark` tells it from others.
    fn part(principal: &Arc<str>, producer: Option<u64>, mark: u64, bytes: u32) -> Part {
        Part {
            finish: Finish::Plain(Box::new(|_| ())),
            envelope: Bytes::new(),
            principal: Arc::clone(principal),
            producer: producer.map(|id| ProducerKey { id, sequence: mark }),
            events: u32::try_from(mark).unwrap(),
            pieces: Vec::new(),
            payload_bytes: bytes,
            positions: Vec::new(),
        }
    }

    fn inbox(parts: Vec<Part>) -> Inbox {
        let inbox = Inbox::new();
        for part in parts {
            inbox.reserve(&part, u64::MAX).unwrap();
            assert!(inbox.push(part).is_ok());
        }
        inbox
    }

    /// Of everything that waits, in the order in which it is taken.
    fn all_marks(inbox: &Inbox) -> Vec<u32> {
        let groups =
            iter::from_fn(|| Some(marks(inbox.take(ENOUGH, ENOUGH))).filter(|marks| !marks.is_empty()));
        groups.flatten().collect()
    }

    fn marks(taken: Taken) -> Vec<u32> {
        match taken {
            Taken::Parts(parts) => parts.iter().map(|part| part.events).collect(),
            Taken::NoRoom | Taken::Nothing => Vec::new(),
        }
    }

    /// R39: who sends little does not wait behind those who send much, and those are not forgotten.
    #[test]
    fn a_small_part_is_taken_before_giants_that_came_first() {
        let [one, two, three] = ["same", "same", "same"].map(Arc::from);
        let inbox = inbox(vec![
            part(&one, None, 1, GIANT),
            part(&two, None, 2, GIANT),
            part(&one, None, 3, GIANT),
            part(&three, None, 4, 100),
        ]);
        assert_eq!(marks(inbox.take(ENOUGH, ENOUGH)), [4], "it does not wait for their write");
        assert_eq!(marks(inbox.take(ENOUGH, ENOUGH)), [1]);
        // One who goes on sending little does not keep giants waiting for ever.
        for _ in 0..GIANT / 1_000 {
            assert!(inbox.push(part(&three, None, 5, 1_000)).is_ok());
        }
        let rest = all_marks(&inbox);
        let place = |mark| rest.iter().position(|&found| found == mark).unwrap();
        assert_eq!(place(2), 0, "it has waited for long");
        assert!((3_000..8_000).contains(&place(3)), "the second giant of a sender comes at {}", place(3));
    }

    /// Whatever others do, the parts of a connection, and those of a producer by any connections, keep their order.
    #[test]
    fn the_parts_of_a_sender_keep_their_order() {
        let [one, two] = ["same", "same"].map(Arc::from);
        let sizes = [GIANT, 10, 3_000, 70_000, 10, 900_000];
        let mut parts = Vec::new();
        for ((mark, size), other) in (1..).zip(sizes).zip(sizes.into_iter().rev()) {
            parts.push(part(&one, None, mark, size));
            // The same producer by two connections.
            let connection = if mark % 2 == 0 { &one } else { &two };
            parts.push(part(connection, Some(7), mark + 100, other));
        }
        let all = all_marks(&inbox(parts));
        let (mut plain, mut keyed): (Vec<u32>, Vec<u32>) = all.into_iter().partition(|mark| *mark < 100);
        assert!(plain.is_sorted() && keyed.is_sorted(), "{plain:?} {keyed:?}");
        plain.dedup();
        keyed.dedup();
        assert_eq!((plain.len(), keyed.len()), (sizes.len(), sizes.len()));
    }

    /// R39: a queue that one sender fills has room for another.
    #[test]
    fn who_has_much_in_a_queue_leaves_room_for_others() {
        let [one, two] = ["same", "same"].map(Arc::from);
        let inbox = Inbox::new();
        let max = 1 << 20;
        let waits = loop {
            let part = part(&one, None, 1, 10_000);
            match inbox.reserve(&part, max) {
                Ok(()) => assert!(inbox.push(part).is_ok()),
                Err(queued) => break queued,
            }
        };
        assert!((max * 7 / 8 - 20_000..=max * 7 / 8).contains(&waits), "{waits} bytes wait");
        let other = part(&two, None, 2, 10_000);
        assert_eq!(inbox.reserve(&other, max), Ok(()));
        inbox.release(other.bound());
        assert_eq!(inbox.take_all().len() as u64, waits / part(&one, None, 1, 10_000).bound());
        assert_eq!(inbox.reserve(&part(&one, None, 1, GIANT), max), Ok(()), "an empty queue takes anything");
    }
}
