//! The merge against sorting everything, and against looking where nothing can come from.

use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

/// A log cut into segments, which it opens one by one and only when made to.
struct Fake {
    order: Order,
    segments: Vec<Vec<Key>>,
    open: Vec<Key>,
    looks: usize,
}

impl Fake {
    fn new(order: Order, mut segments: Vec<Vec<Key>>) -> Self {
        if order == Order::OldestFirst {
            segments.reverse();
            for segment in &mut segments {
                segment.reverse();
            }
        }
        Self { order, segments, open: Vec::new(), looks: 0 }
    }
}

impl Source for Fake {
    type Item = Key;
    type Error = Infallible;

    fn ahead(&self) -> Ahead {
        if let Some(&key) = self.open.last() {
            return Ahead::Ready(key);
        }
        let left = self.segments.iter().flatten();
        let bound = match self.order {
            Order::NewestFirst => left.max(),
            Order::OldestFirst => left.min(),
        };
        bound.map_or(Ahead::Nothing, |&key| Ahead::NotBefore(key))
    }

    fn look(&mut self) -> Result<(), Infallible> {
        self.looks += 1;
        self.open = self.segments.pop().unwrap_or_default();
        Ok(())
    }

    fn take(&mut self) -> Option<Key> {
        self.open.pop()
    }
}

/// Segments of `lengths` events each; `steps` are the differences of their times.
fn log(lengths: &[usize], steps: &[i64]) -> Vec<Vec<Key>> {
    let mut received = 0;
    let mut sequence = 0;
    let mut next = || {
        received += steps.get(usize::try_from(sequence).unwrap() % steps.len().max(1)).copied().unwrap_or(1);
        sequence += 1;
        Key { received: UnixNanos(received), sequence: Sequence(sequence - 1) }
    };
    lengths.iter().map(|&length| (0..length).map(|_| next()).collect()).collect()
}

fn sorted(order: Order, logs: &[Vec<Vec<Key>>]) -> Vec<Key> {
    let mut all: Vec<_> = logs
        .iter()
        .enumerate()
        .flat_map(|(place, log)| log.iter().flatten().map(move |&key| (key.received, place, key)))
        .collect();
    all.sort_unstable();
    if order == Order::NewestFirst {
        all.reverse();
    }
    all.into_iter().map(|(_, _, key)| key).collect()
}

#[test]
fn segments_that_cannot_come_first_are_not_opened() {
    let old = log(&[10, 10], &[1]);
    let mut recent = log(&[5, 5, 5], &[1]);
    for key in recent.iter_mut().flatten() {
        key.received.0 += 1_000;
    }
    let sources = vec![Fake::new(Order::NewestFirst, old), Fake::new(Order::NewestFirst, recent)];
    let mut merge = Merge::new(Order::NewestFirst, sources);
    let gathered = gather(&mut merge, 5, usize::MAX, |_| 1, &|| false).unwrap();
    assert_eq!(gathered.items.len(), 5);
    assert!(!gathered.exhausted);
    let looks: Vec<_> = merge.into_sources().iter().map(|source| source.looks).collect();
    assert_eq!(looks, [0, 1]);
}

#[test]
fn an_item_over_the_limit_of_bytes_comes_alone() {
    let sources = vec![Fake::new(Order::OldestFirst, log(&[3], &[1]))];
    let mut merge = Merge::new(Order::OldestFirst, sources);
    assert_eq!(gather(&mut merge, 10, 100, |_| 1_000, &|| false).unwrap().items.len(), 1);
    assert_eq!(gather(&mut merge, 10, 100, |_| 60, &|| false).unwrap().items.len(), 2);
    let last = gather(&mut merge, 10, 100, |_| 60, &|| false).unwrap();
    assert_eq!((last.items.len(), last.exhausted), (0, true));
}

proptest! {
    #[test]
    fn merged_logs_are_the_sorted_whole(
        newest in any::<bool>(),
        logs in prop::collection::vec(
            (prop::collection::vec(0_usize..6, 0..5), prop::collection::vec(0_i64..3, 1..5)), 0..5),
        page in 1_usize..9,
    ) {
        let order = if newest { Order::NewestFirst } else { Order::OldestFirst };
        let logs: Vec<_> = logs.iter().map(|(lengths, steps)| log(lengths, steps)).collect();
        let sources = logs.iter().map(|log| Fake::new(order, log.clone())).collect();
        let mut merge = Merge::new(order, sources);
        let mut found = Vec::new();
        loop {
            let gathered = gather(&mut merge, page, usize::MAX, |_| 1, &|| false).unwrap();
            found.extend(gathered.items);
            if gathered.exhausted { break }
        }
        prop_assert_eq!(found, sorted(order, &logs));
    }
}
