//! Which terms a segment has, in little memory: enough to rule it out without opening it.

use crate::{
    error::IndexError,
    evaluate::{field_term, points, ranges, touches},
    terms::{Summary, Terms},
};
use foldhash::fast::FixedState;
use piperoll_filter::{Test, Value};
use piperoll_format::{
    event::{Field, Indexed},
    units::UnixNanos,
};
use std::{
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
};

/// The terms of some of a segment's bitmap fields, four bytes each, and its range of claimed times.
///
/// Hashes may collide: then a segment is opened for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermSet {
    /// Of each field that was learnt the hashes of its terms, ascending.
    fields: Vec<(Field, Arc<[u32]>)>,
    time: Option<(UnixNanos, UnixNanos)>,
    events: u32,
    /// Events that claim a time.
    timed: u32,
}

/// How many events of a segment pass a test, as far as its terms tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// None of them.
    None,
    /// Perhaps some.
    Some,
    /// All of them.
    All,
}

impl TermSet {
    /// That of an index, without any field. `None` where it has events that cannot be read: nobody knows their terms.
    pub fn of(summary: &Summary) -> Option<Self> {
        let Summary { events, end, unreadable, timed, time, .. } = *summary;
        (unreadable == 0 && events == end).then_some(Self { fields: Vec::new(), time, events, timed })
    }

    /// Takes in the terms of one more field.
    pub fn learn(&mut self, terms: &dyn Terms, field: Field) -> Result<(), IndexError> {
        let mut hashes = Vec::new();
        terms.each_term(field, &mut |term| hashes.push(hash(field, term)))?;
        hashes.sort_unstable();
        hashes.dedup();
        self.fields.push((field, hashes.into()));
        Ok(())
    }

    /// Whether it knows the terms of this field.
    pub fn has(&self, field: Field) -> bool {
        self.hashes(field).is_some()
    }

    fn hashes(&self, field: Field) -> Option<&[u32]> {
        self.fields.iter().find_map(|(other, hashes)| (*other == field).then_some(&**hashes))
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        let of_field = |hashes: &[u32]| size_of::<(Field, Arc<[u32]>)>() + size_of_val(hashes);
        size_of::<Self>() + self.fields.iter().map(|(_, hashes)| of_field(hashes)).sum::<usize>()
    }

    /// Events of the segment, each of which can be read.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The earliest and the latest time that its events claim, where all of them claim one.
    pub fn time_of_all(&self) -> Option<(UnixNanos, UnixNanos)> {
        self.time.filter(|_| self.timed == self.events)
    }

    /// How many events of the segment pass a test of this field.
    pub fn share(&self, field: Field, test: &Test) -> Share {
        let may_match = match (field.indexed(), test) {
            (Indexed::Bitmap, test) => self.hashes(field).is_none_or(|hashes| match test {
                Test::OneOf(values) => values.iter().any(|value| may_have(field, hashes, value)),
                _ => !hashes.is_empty(),
            }),
            (Indexed::Range, test) => return self.share_in_time(test),
            (Indexed::Exact | Indexed::No, _) => true,
        };
        if may_match { Share::Some } else { Share::None }
    }

    fn share_in_time(&self, test: &Test) -> Share {
        let Some((earliest, latest)) = self.time else { return Share::None };
        let (ranges, is_not) = match test {
            Test::NoneOf(values) => (points(values), true),
            test => (ranges(test), false),
        };
        let touches = ranges.iter().any(|range| touches(range, self.time));
        let covers = ranges.iter().any(|range| range.contains(&earliest.0) && range.contains(&latest.0));
        let every = if is_not { !touches } else { covers };
        match every && self.timed == self.events {
            true => Share::All,
            false if is_not || touches => Share::Some,
            false => Share::None,
        }
    }
}

fn may_have(field: Field, hashes: &[u32], value: &Value) -> bool {
    field_term(field, value).is_some_and(|term| hashes.binary_search(&hash(field, &term)).is_ok())
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are a hash")]
fn hash(field: Field, term: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(field.number().into()).build_hasher();
    hasher.write(term);
    hasher.finish() as u32
}
