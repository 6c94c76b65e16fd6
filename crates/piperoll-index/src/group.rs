//! Counts events by the values of fields, from the index alone.

use crate::{error::IndexError, terms::Terms, wire::u64_at};
use foldhash::fast::RandomState;
use piperoll_format::event::{Field, Indexed, Kind};
use roaring::RoaringBitmap;
use std::{borrow::Cow, collections::HashMap};

/// A value, or `None` for events without one, and how many events have it.
pub type Group = (Option<String>, u64);

/// Pairs of values up to which there is a counter for each that can be: 4 MiB of them.
const DENSE_PAIRS_MAX: usize = 1 << 20;

/// How many of the events have each value of the field, by value, the ones without a value first; values
/// that none has are left out. Enum values have their names, or numbers where they have none. Events that
/// cannot be read count as without a value.
///
/// `None` where the field is no bitmap field: then the events have to be read.
pub fn group(
    terms: &dyn Terms,
    field: Field,
    events: &RoaringBitmap,
) -> Result<Option<Vec<Group>>, IndexError> {
    if field.indexed() != Indexed::Bitmap {
        return Ok(None);
    }
    let mut groups = Vec::new();
    count_by(terms, field, events, &mut |term, count| {
        groups.push((term.map(|term| term_text(field, term).into_owned()), count));
    })?;
    groups.sort_unstable();
    Ok(Some(groups))
}

/// How many of the events have each term of a bitmap field, `None` for those without one. Terms that none has are left
/// out; no order.
pub fn count_by(
    terms: &dyn Terms,
    field: Field,
    events: &RoaringBitmap,
    each: &mut dyn FnMut(Option<&[u8]>, u64),
) -> Result<(), IndexError> {
    let mut present = 0;
    terms.count_terms(field, events, &mut |term, count| {
        present += count;
        each(Some(term), count);
    })?;
    let absent = events.len().saturating_sub(present);
    if absent > 0 {
        each(None, absent);
    }
    Ok(())
}

/// A term of a bitmap field as people read it.
pub fn term_text(field: Field, term: &[u8]) -> Cow<'_, str> {
    if field.kind() != Kind::Enum {
        return String::from_utf8_lossy(term);
    }
    let number = u64_at(term, 0).unwrap_or(0);
    let name = usize::try_from(number).ok().and_then(|number| field.enum_names().get(number));
    name.map_or_else(|| Cow::Owned(number.to_string()), |name| Cow::Borrowed(*name))
}

/// Which term of a bitmap field each event has: one pass over the field's postings, whatever the number of terms.
pub struct Labels {
    /// The terms, in no order.
    pub(crate) terms: Vec<Vec<u8>>,
    /// Of each ordinal, the place of its term, counted from 1; 0 where it has none.
    pub(crate) of: Vec<u32>,
}

impl Labels {
    /// Those of a field that none of the events below `end` has.
    pub(crate) fn none(end: u32) -> Self {
        Self { terms: Vec::new(), of: vec![0; end as usize] }
    }

    /// The place of an event's term, below [`Self::places`].
    #[inline]
    pub fn place(&self, ordinal: u32) -> usize {
        self.of.get(ordinal as usize).map_or(0, |place| *place as usize)
    }

    /// How many places there are: one for each term, and the first for events that have none.
    pub fn places(&self) -> usize {
        self.terms.len() + 1
    }

    /// The term at a place; `None` at the first.
    pub fn term(&self, place: usize) -> Option<&[u8]> {
        self.terms.get(place.checked_sub(1)?).map(Vec::as_slice)
    }
}

/// Takes in a pair of terms, and how many events have it.
pub type EachPair<'a> = dyn FnMut([Option<&[u8]>; 2], u64) + 'a;

/// How many of the events have each pair of terms of two bitmap fields, `None` where they lack one. Pairs that none
/// has are left out; no order.
pub fn cross(
    terms: &dyn Terms,
    [first, second]: [Field; 2],
    events: &RoaringBitmap,
    each: &mut EachPair<'_>,
) -> Result<(), IndexError> {
    let (first, second) = (terms.labels(first)?, terms.labels(second)?);
    let width = second.places();
    let mut found = |pair: usize, count: u64| {
        if count > 0 {
            each([first.term(pair / width), second.term(pair % width)], count);
        }
    };
    // Both are at most the number of events, so a pair is a small number.
    let pair = |ordinal: u32| first.place(ordinal) * width + second.place(ordinal);
    if first.places().saturating_mul(width) <= DENSE_PAIRS_MAX {
        let mut counts = vec![0_u32; first.places() * width];
        let mut count = |pair: usize| {
            if let Some(count) = counts.get_mut(pair) {
                *count += 1;
            }
        };
        if events.len() == u64::from(terms.summary().end) {
            let both = first.of.iter().zip(&second.of);
            both.for_each(|(first, second)| count(*first as usize * width + *second as usize));
        } else {
            events.iter().for_each(|ordinal| count(pair(ordinal)));
        }
        counts.into_iter().enumerate().for_each(|(pair, count)| found(pair, count.into()));
    } else {
        let mut counts = HashMap::<usize, u64, RandomState>::default();
        events.iter().for_each(|ordinal| *counts.entry(pair(ordinal)).or_default() += 1);
        for (pair, count) in counts {
            found(pair, count);
        }
    }
    Ok(())
}
