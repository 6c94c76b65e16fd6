//! Room for requests that have not arrived whole: a budget of bytes, shared by all callers.

use crate::{metrics::Refusals, refusal::Refusal};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tokio::time::Instant;
use tonic::Status;

/// A message that has stood still for so long loses its place to others that need it.
const STANDSTILL_MAX: Duration = Duration::from_secs(1);
/// A message longer than this share of all the room leaves as much free as [`RESERVE_SHARE`] says, so that senders of
/// long ones cannot keep out everybody else.
const LONG_SHARE: usize = 16;
const RESERVE_SHARE: usize = 8;

/// The budget.
pub(crate) struct Room {
    bytes: usize,
    places: Mutex<Places>,
    pub(crate) refusals: Refusals,
}

/// When a message last moved, and a number that makes it one of a kind.
type Key = (Instant, u64);

struct Places {
    free: usize,
    /// The next number.
    next: u64,
    /// The messages that have a place, the one that has stood still longest first.
    messages: BTreeMap<Key, Message>,
}

struct Message {
    bytes: usize,
    /// Whoever waits for more of it.
    waker: Option<Waker>,
}

/// The place of one message; its bytes are free again when it is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    key: Key,
}

impl Room {
    /// Room for `bytes`; refusals are counted in `refusals`.
    pub(crate) fn new(bytes: usize, refusals: Refusals) -> Arc<Self> {
        let places = Places { free: bytes, next: 0, messages: BTreeMap::new() };
        Arc::new(Self { bytes, places: Mutex::new(places), refusals })
    }

    /// A place for a message of `length` bytes, if need be that of messages that stand still.
    ///
    /// To wait for one is no way: what the connection may send meanwhile would be used up by messages that wait, and
    /// the one that they wait for could not go on.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Result<Place, Status> {
        let (mut places, now) = (self.places.lock(), Instant::now());
        let is_long = length > self.bytes / LONG_SHARE;
        let reserve = if is_long { self.bytes / RESERVE_SHARE } else { 0 };
        // An empty room has place for whatever fits into it.
        let needed = length.saturating_add(reserve.min(self.bytes.saturating_sub(length)));
        let evicted = places.evict(needed, now).ok_or_else(|| self.refusals.status(no_room()))?;
        places.free = places.free.saturating_sub(length);
        let key = (now, places.next);
        places.next = places.next.wrapping_add(1);
        places.messages.insert(key, Message { bytes: length, waker: None });
        drop(places);
        evicted.into_iter().for_each(Waker::wake);
        Ok(Place { room: Arc::clone(self), key })
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.places.lock().free
    }
}

impl Places {
    /// Makes `needed` bytes free; whom to tell that they lost their place. None, and nothing done, where that cannot be.
    fn evict(&mut self, needed: usize, now: Instant) -> Option<Vec<Waker>> {
        let mut free = self.free;
        let still = self.messages.iter().take_while(|(key, _)| now.duration_since(key.0) >= STANDSTILL_MAX);
        let losing = still.take_while(|(_, message)| {
            let short = free < needed;
            free = if short { free.saturating_add(message.bytes) } else { free };
            short
        });
        let losing: Vec<Key> = losing.map(|(key, _)| *key).collect();
        (free >= needed).then(|| {
            self.free = free;
            losing.iter().filter_map(|key| self.messages.remove(key)?.waker).collect()
        })
    }
}

impl Place {
    /// More of the message has come; an error where it has lost its place.
    pub(crate) fn moved(&mut self) -> Result<(), Status> {
        let mut places = self.room.places.lock();
        let message = places.messages.remove(&self.key).ok_or_else(|| self.lost())?;
        self.key.0 = Instant::now();
        places.messages.insert(self.key, message);
        Ok(())
    }

    /// Nothing has come; wakes when the place is lost, which is an error.
    pub(crate) fn waits(&self, cx: &Context<'_>) -> Result<(), Status> {
        let mut places = self.room.places.lock();
        let message = places.messages.get_mut(&self.key).ok_or_else(|| self.lost())?;
        message.waker = Some(cx.waker().clone());
        Ok(())
    }

    /// Others needed it.
    fn lost(&self) -> Status {
        let seconds = STANDSTILL_MAX.as_secs();
        let message = format!("the request stood still for {seconds} s or more, and others needed its room");
        self.room.refusals.status(Refusal::overload("over_capacity", message))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.room.places.lock();
        if let Some(message) = places.messages.remove(&self.key) {
            places.free = places.free.saturating_add(message.bytes);
        }
    }
}

/// Others took all there is.
fn no_room() -> Refusal {
    Refusal::overload("over_capacity", "too many bytes of requests are arriving")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;
    use tonic::Code;

    fn is_refused(place: Result<Place, Status>) -> bool {
        place.err().is_some_and(|status| status.code() == Code::ResourceExhausted)
    }

    fn waiting(place: &Place) -> Result<(), Status> {
        place.waits(&Context::from_waker(Waker::noop()))
    }

    /// R39: requests that never end do not keep out those that do.
    #[tokio::test(start_paused = true)]
    async fn who_has_stood_still_longest_loses_his_place_and_only_where_it_is_needed() {
        let room = Room::new(1_000, Refusals::default());
        let first = room.take(60).unwrap();
        let mut second = room.take(60).unwrap();
        let third = room.take(750).unwrap();
        assert!(is_refused(room.take(200)), "nobody has stood still");
        advance(STANDSTILL_MAX).await;
        second.moved().unwrap();
        let small = room.take(10).unwrap();
        waiting(&first).unwrap();
        assert!(is_refused(room.take(1_000)), "one has moved");
        waiting(&third).unwrap();
        let long = room.take(700).unwrap();
        assert_eq!(waiting(&first).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(waiting(&third).unwrap_err().code(), Code::ResourceExhausted);
        second.moved().unwrap();
        drop((first, second, third, small, long));
        assert_eq!(room.free(), 1_000);
    }

    /// R39: senders of long requests do not keep out those of short ones.
    #[tokio::test]
    async fn long_messages_leave_room_for_short_ones() {
        let room = Room::new(1_600, Refusals::default());
        let long: Vec<Place> = std::iter::from_fn(|| room.take(200).ok()).collect();
        assert_eq!(long.len(), 7);
        let short: Vec<Place> = std::iter::from_fn(|| room.take(100).ok()).collect();
        assert_eq!(short.len(), 2);
        drop((long, short));
        room.take(1_600).unwrap();
    }
}
