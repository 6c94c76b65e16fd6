//! Which terms a segment has, in little memory: enough to rule it out without opening it.

use crate::{
    error::IndexError,
    evaluate::{field_term, ranges, touches},
    terms::{Terms, bitmap_fields},
};
use foldhash::fast::FixedState;
use piperoll_filter::{Test, Value};
use piperoll_format::{
    event::{Field, Indexed},
    units::UnixNanos,
};
use std::hash::{BuildHasher as _, Hasher as _};

/// The terms of a segment's bitmap fields, four bytes each, and its range of claimed times.
///
/// Hashes may collide: then a segment is opened for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermSet {
    /// Ascending.
    hashes: Box<[u32]>,
    /// Bit *n*: some event has the field of that number.
    present: u64,
    time: Option<(UnixNanos, UnixNanos)>,
}

impl TermSet {
    /// Those of an index. `None` where it has events that cannot be read: nobody knows their terms.
    pub fn of(terms: &dyn Terms) -> Result<Option<Self>, IndexError> {
        let summary = terms.summary();
        if summary.unreadable > 0 || summary.events < summary.end {
            return Ok(None);
        }
        let (mut hashes, mut present) = (Vec::new(), 0);
        for field in bitmap_fields() {
            terms.each_term(field, &mut |term| {
                present |= bit(field);
                hashes.push(hash(field, term));
            })?;
        }
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Some(Self { hashes: hashes.into(), present, time: summary.time }))
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val::<[u32]>(&self.hashes)
    }

    /// False where no event of the segment can pass a test of this field.
    pub fn may_match(&self, field: Field, test: &Test) -> bool {
        match (field.indexed(), test) {
            (Indexed::Bitmap, Test::OneOf(values)) => values.iter().any(|value| self.may_have(field, value)),
            (Indexed::Bitmap, _) => self.present & bit(field) != 0,
            (Indexed::Range, Test::NoneOf(_)) => self.time.is_some(),
            (Indexed::Range, test) => ranges(test).iter().any(|range| touches(range, self.time)),
            (Indexed::Exact | Indexed::No, _) => true,
        }
    }

    fn may_have(&self, field: Field, value: &Value) -> bool {
        field_term(field, value).is_some_and(|term| self.hashes.binary_search(&hash(field, &term)).is_ok())
    }
}

fn bit(field: Field) -> u64 {
    const { assert!(Field::ALL.len() < 64, "a bit for each field number") };
    1 << field.number()
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are a hash")]
fn hash(field: Field, term: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(field.number().into()).build_hasher();
    hasher.write(term);
    hasher.finish() as u32
}
