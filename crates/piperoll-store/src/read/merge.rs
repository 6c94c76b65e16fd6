//! The merge of several logs into one order, by (received, class, sequence), no further than asked.
//!
//! A source that has not looked yet says how good its next item can be at best; it is only made to look
//! when no other source can do better. So the newest hundred events of many logs open the newest segments
//! and nothing else.

use super::position::Order;
use piperoll_format::units::{Sequence, UnixNanos};
use std::cmp::Ordering;

/// Where an item stands in its source: first by time, then by sequence; both only rise along a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) received: UnixNanos,
    pub(crate) sequence: Sequence,
}

/// What a source knows of its next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// It is this one, and can be taken.
    Ready(Key),
    /// If there is one, it comes no earlier in the order than this. [`Source::look`] finds out more.
    NotBefore(Key),
    /// There is none.
    Nothing,
}

/// One log, walked in one direction.
pub(crate) trait Source {
    /// What it yields.
    type Item;
    /// How it fails.
    type Error;

    /// What is known of the next item, without work.
    fn ahead(&self) -> Ahead;

    /// Does a bounded piece of work towards the next item.
    fn look(&mut self) -> Result<(), Self::Error>;

    /// The item that [`Ahead::Ready`] spoke of.
    fn take(&mut self) -> Option<Self::Item>;
}

/// Sources in ascending order of their class, and the order of the answer.
pub(crate) struct Merge<S> {
    order: Order,
    sources: Vec<S>,
}

impl<S: Source> Merge<S> {
    /// `sources` stand in ascending order of their class: their places decide between equal times.
    pub(crate) fn new(order: Order, sources: Vec<S>) -> Self {
        Self { order, sources }
    }

    /// The next item, or `None` at the end, or where there is none yet and `has_enough` says so.
    pub(crate) fn next(&mut self, has_enough: &dyn Fn() -> bool) -> Result<Option<S::Item>, S::Error> {
        while let Some((ready, place)) = self.first() {
            let Some(source) = self.sources.get_mut(place) else { break };
            if ready {
                return Ok(source.take());
            }
            if has_enough() {
                break;
            }
            source.look()?;
        }
        Ok(None)
    }

    /// True when every source is known to have nothing left.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.first().is_none()
    }

    /// The sources, as far as they were walked.
    pub(crate) fn into_sources(self) -> Vec<S> {
        self.sources
    }

    /// The source that comes first in the order, and whether its item is ready.
    fn first(&self) -> Option<(bool, usize)> {
        let candidates = self.sources.iter().enumerate().filter_map(|(place, source)| match source.ahead() {
            Ahead::Ready(key) => Some((key, true, place)),
            Ahead::NotBefore(key) => Some((key, false, place)),
            Ahead::Nothing => None,
        });
        let compare = |a: &(Key, bool, usize), b: &(Key, bool, usize)| self.compare((a.0, a.2), (b.0, b.2));
        candidates.min_by(compare).map(|(_, ready, place)| (ready, place))
    }

    fn compare(&self, a: (Key, usize), b: (Key, usize)) -> Ordering {
        let by_log = |(key, place): (Key, usize)| (key.received, place, key.sequence);
        match self.order {
            Order::OldestFirst => by_log(a).cmp(&by_log(b)),
            Order::NewestFirst => by_log(b).cmp(&by_log(a)),
        }
    }
}

/// Items in order, until one of the limits is reached.
pub(crate) struct Gathered<T> {
    pub(crate) items: Vec<T>,
    /// Nothing was left when it was made. May be false at the very end, where finding out would cost a look.
    pub(crate) exhausted: bool,
}

/// Takes items until there are `count_max`, or `bytes_max` by the weight of each, or no more, or `has_enough` says so.
/// An item heavier than `bytes_max` still comes, alone: otherwise nobody could get past it.
pub(crate) fn gather<S: Source>(
    merge: &mut Merge<S>,
    count_max: usize,
    bytes_max: usize,
    weight: impl Fn(&S::Item) -> usize,
    has_enough: &dyn Fn() -> bool,
) -> Result<Gathered<S::Item>, S::Error> {
    let mut items = Vec::new();
    let mut bytes = 0_usize;
    while items.len() < count_max && bytes < bytes_max {
        let Some(item) = merge.next(has_enough)? else { break };
        bytes = bytes.saturating_add(weight(&item));
        items.push(item);
    }
    Ok(Gathered { items, exhausted: merge.is_exhausted() })
}

#[cfg(test)]
mod tests;
