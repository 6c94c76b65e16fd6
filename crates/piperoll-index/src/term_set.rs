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
    ops::Range,
    sync::Arc,
};

/// The terms of some of a segment's bitmap fields, six bytes each, and its range of claimed times.
///
/// Hashes may collide: then a segment is opened for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermSet {
    fields: Vec<(Field, FieldTerms)>,
    time: Option<(UnixNanos, UnixNanos)>,
    events: u32,
    /// Events that claim a time.
    timed: u32,
}

/// The terms of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerms {
    /// Their hashes, ascending.
    hashes: Arc<[u32]>,
    /// Where among all terms of the field each of these stands, without the lowest bits.
    places: Arc<[u16]>,
    /// How many bits of the places are left out: none up to 65,536 terms.
    left_out: u32,
}

impl FieldTerms {
    /// Those with these hashes, in the order of their places.
    fn of(hashes: Vec<u32>) -> Self {
        let left_out =
            (usize::BITS - hashes.len().saturating_sub(1).leading_zeros()).saturating_sub(u16::BITS);
        let mut hashed: Vec<(u32, usize)> = hashes.into_iter().zip(0..).collect();
        hashed.sort_unstable();
        hashed.dedup_by_key(|(hash, _)| *hash);
        let short = |place: usize| u16::try_from(place >> left_out).unwrap_or(u16::MAX);
        Self {
            hashes: hashed.iter().map(|(hash, _)| *hash).collect(),
            places: hashed.iter().map(|(_, place)| short(*place)).collect(),
            left_out,
        }
    }

    /// Where the term with this hash stands, if one has it.
    fn places(&self, hash: u32) -> Option<Range<usize>> {
        let first = usize::from(*self.places.get(self.find(hash)?)?) << self.left_out;
        Some(first..first + (1 << self.left_out))
    }

    /// Which of the hashes is this one. They are spread evenly, so it is near the place that its size says.
    fn find(&self, hash: u32) -> Option<usize> {
        let near = (u64::from(hash) * self.hashes.len() as u64) >> u32::BITS;
        let (below, above) = self.hashes.split_at_checked(usize::try_from(near).ok()?)?;
        let found = if above.first().is_some_and(|first| *first <= hash) {
            below.len() + above.iter().position(|other| *other >= hash)?
        } else {
            below.iter().rposition(|other| *other <= hash)?
        };
        (self.hashes.get(found) == Some(&hash)).then_some(found)
    }
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

    /// Takes in the terms of one more field, and where they stand if it is a sealed index that visits them.
    pub fn learn(&mut self, terms: &dyn Terms, field: Field) -> Result<(), IndexError> {
        let mut hashes = Vec::new();
        terms.each_term(field, &mut |term| hashes.push(hash(field, term)))?;
        self.fields.push((field, FieldTerms::of(hashes)));
        Ok(())
    }

    /// Whether it knows the terms of this field.
    pub fn has(&self, field: Field) -> bool {
        self.terms(field).is_some()
    }

    fn terms(&self, field: Field) -> Option<&FieldTerms> {
        self.fields.iter().find_map(|(other, terms)| (*other == field).then_some(terms))
    }

    /// Where among the terms of a field this one stands if it is there, as far as is known: another may have its hash.
    pub(crate) fn places(&self, field: Field, term: &[u8]) -> Option<Range<usize>> {
        self.terms(field)?.places(hash(field, term))
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        let of_field = |terms: &FieldTerms| {
            size_of::<(Field, FieldTerms)>() + size_of_val(&*terms.hashes) + size_of_val(&*terms.places)
        };
        size_of::<Self>() + self.fields.iter().map(|(_, terms)| of_field(terms)).sum::<usize>()
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
            (Indexed::Bitmap, test) => self.terms(field).is_none_or(|terms| match test {
                Test::OneOf(values) => values.iter().any(|value| may_have(field, terms, value)),
                _ => !terms.hashes.is_empty(),
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

fn may_have(field: Field, terms: &FieldTerms, value: &Value) -> bool {
    field_term(field, value).is_some_and(|term| terms.find(hash(field, &term)).is_some())
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are a hash")]
fn hash(field: Field, term: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(field.number().into()).build_hasher();
    hasher.write(term);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_where_its_hash_says_however_many_there_are_and_however_they_are_spread() {
        let spread = |number: u32| number.wrapping_mul(2_654_435_769);
        for count in [0, 1, 2, 100, 65_536, 65_537, 200_000] {
            let low = |number: u32| number + 1;
            let high = |number: u32| u32::MAX - number - 1;
            for hash in [&spread as &dyn Fn(u32) -> u32, &low, &high] {
                let terms = FieldTerms::of((0..count).map(hash).collect());
                let places_each = if count <= 65_536 { 1 } else { 4 };
                for place in (0..count).step_by(97).chain(count.checked_sub(1)) {
                    let places = terms.places(hash(place)).unwrap();
                    assert!(
                        places.contains(&(place as usize)) && places.len() <= places_each,
                        "{place} of {count}"
                    );
                }
                assert_eq!(terms.places(hash(count)), None);
            }
        }
        // Of two terms with one hash one is found; the other one is looked for among all.
        assert_eq!(FieldTerms::of(vec![7, 9, 7]).places(7), Some(0..1));
    }
}
