//! Evaluates a filter on an index, whichever kind of index it is.
//!
//! An index does not know everything, so each part of a filter gets two sets: events that surely match, and
//! events that may. The truth lies between them, and AND, OR and NOT keep it there: NOT swaps the two.

use crate::{
    error::IndexError,
    keys::{attribute_key, bytes_key, digest_key, number_key, text_key},
    terms::{Terms, TermsOfField, slices},
};
use piperoll_filter::{Comparison, Expression, Filter, Needle, Subject, Test, Value};
use piperoll_format::{
    event::{Field, Indexed, Kind},
    units::UnixNanos,
};
use roaring::RoaringBitmap;
use std::ops::{Range, RangeInclusive};

/// Times that a scan of their column passes while one is looked up by itself.
const SCANNED_PER_LOOK_UP: u64 = 32;

/// Events up to which each is looked for in a bitmap, and no set made of it.
const LOOKED_UP_MAX: u64 = 64;

/// Ordinals that a filter picks. The two sets have nothing in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    /// These match.
    pub sure: RoaringBitmap,
    /// Of these the event's own bytes decide, through [`Filter::matches`]. What cannot be read stands here
    /// (see [`Terms::unreadable`]) for every question about the event's own fields; a question that its
    /// frame answers puts it in `sure`. It is never left out in silence.
    pub maybe: RoaringBitmap,
}

/// The truth lies between these (I13). The two sets have nothing in common.
struct Bounds {
    /// Match.
    sure: RoaringBitmap,
    /// May match. Most often there is none, and nothing is done with it.
    maybe: RoaringBitmap,
}

impl Bounds {
    /// What the index knows for certain.
    fn exact(set: RoaringBitmap) -> Self {
        Self { sure: set, maybe: RoaringBitmap::new() }
    }

    /// What only the events can tell.
    fn at_most(possible: RoaringBitmap) -> Self {
        Self { sure: RoaringBitmap::new(), maybe: possible }
    }

    fn is_empty(&self) -> bool {
        self.sure.is_empty() && self.maybe.is_empty()
    }

    fn len(&self) -> u64 {
        self.sure.len().saturating_add(self.maybe.len())
    }

    /// Those too may match.
    fn or_perhaps(mut self, others: &RoaringBitmap) -> Self {
        if !others.is_empty() {
            self.maybe |= others;
            self.maybe -= &self.sure;
        }
        self
    }

    fn and(self, other: Self) -> Self {
        let maybe = if self.maybe.is_empty() && other.maybe.is_empty() {
            RoaringBitmap::new()
        } else {
            // What both may have, but for what both have surely.
            ((&self.sure | &self.maybe) & (&other.sure | &other.maybe)) - (&self.sure & &other.sure)
        };
        Self { sure: self.sure & other.sure, maybe }
    }

    fn or(self, other: Self) -> Self {
        Self::exact(self.sure | other.sure).or_perhaps(&(self.maybe | other.maybe))
    }

    /// What is in `all` and not here.
    fn within(self, all: &RoaringBitmap) -> Self {
        let not_sure = all - self.sure;
        Self { maybe: &self.maybe & &not_sure, sure: not_sure - self.maybe }
    }
}

/// Which events in `ordinals` match the filter; `class` is the retention class that they are in.
pub fn evaluate(
    filter: &Filter,
    class: &str,
    terms: &dyn Terms,
    ordinals: Range<u32>,
) -> Result<Matches, IndexError> {
    if let Some(sets) = all_of(filter.expression()).filter(|_| terms.summary().unreadable == 0) {
        let mut sure = terms.with_all(&sets)?;
        sure.remove_range(..ordinals.start);
        sure.remove_range(ordinals.end..);
        return Ok(Matches { sure, maybe: RoaringBitmap::new() });
    }
    let mut all = terms.all()?;
    all.remove_range(..ordinals.start);
    all.remove_range(ordinals.end..);
    let is_everything = all.len() == u64::from(terms.summary().end);
    let question = Question { class, terms, all, unreadable: terms.unreadable()? };
    let Bounds { mut sure, mut maybe } = question.expression(filter.expression())?;
    // Nothing lies outside of everything.
    if !is_everything {
        sure &= &question.all;
        maybe &= &question.all;
    }
    Ok(Matches { sure, maybe })
}

/// How many events in `ordinals` match, where bitmaps tell that without a set of them: where the filter asks for values of
/// bitmap fields, joined by AND, and about all events, each of which can be read. `None` for all else.
pub fn count_matches(
    filter: &Filter,
    terms: &dyn Terms,
    ordinals: &Range<u32>,
) -> Result<Option<u64>, IndexError> {
    let summary = terms.summary();
    let is_everything = ordinals.start == 0 && ordinals.end >= summary.end && summary.events == summary.end;
    match all_of(filter.expression()).filter(|_| is_everything && summary.unreadable == 0) {
        Some(sets) => terms.count_with_all(&sets).map(Some),
        None => Ok(None),
    }
}

/// The terms that a filter asks for, where it asks for values of bitmap fields, joined by AND.
fn all_of(expression: &Expression) -> Option<Vec<TermsOfField>> {
    match expression {
        Expression::And(parts) => parts.iter().map(terms_of_field).collect(),
        part => terms_of_field(part).map(|set| vec![set]),
    }
}

/// The terms that a part of a filter asks for, where it asks for values of a bitmap field.
fn terms_of_field(part: &Expression) -> Option<TermsOfField> {
    match part {
        Expression::Compare(Comparison { subject: Subject::Field(field), test: Test::OneOf(values) })
            if field.indexed() == Indexed::Bitmap =>
        {
            Some((*field, field_terms(*field, values)))
        }
        _ => None,
    }
}

/// What an AND joins.
enum Part<'a> {
    /// All of its look-ups in bitmap fields, which are combined where they lie.
    Sets(&'a [TermsOfField]),
    Other(&'a Expression),
}

/// What stays the same while a filter is walked.
struct Question<'a> {
    class: &'a str,
    terms: &'a dyn Terms,
    /// The events that are asked about.
    all: RoaringBitmap,
    unreadable: RoaringBitmap,
}

impl Question<'_> {
    fn expression(&self, expression: &Expression) -> Result<Bounds, IndexError> {
        match expression {
            Expression::All => Ok(self.every()),
            Expression::And(parts) => self.and(parts),
            Expression::Or(parts) => self.or(parts),
            Expression::Not(part) => Ok(self.expression(part)?.within(&self.all)),
            Expression::Compare(comparison) => self.compare(comparison),
        }
    }

    /// The rarest part comes first, and none after nothing is left.
    fn and(&self, parts: &[Expression]) -> Result<Bounds, IndexError> {
        let (mut sets, mut ordered) = (Vec::new(), Vec::new());
        for part in parts {
            match terms_of_field(part) {
                Some(set) => sets.push(set),
                None => ordered.push((self.estimate(part)?, Part::Other(part))),
            }
        }
        if ordered.is_empty() {
            return self.with_all(&sets);
        }
        if !sets.is_empty() {
            let mut most = u64::MAX;
            for (field, terms) in &sets {
                most = most.min(self.terms.cardinality(*field, &slices(terms))?);
            }
            ordered.push((most, Part::Sets(&sets)));
        }
        ordered.sort_by_key(|(most, _)| *most);
        let mut both: Option<Bounds> = None;
        for (_, part) in ordered {
            let part = match (&both, part) {
                (Some(both), Part::Sets(sets)) => self.sets(sets, both)?,
                (Some(both), Part::Other(part)) => self.part(part, both)?,
                (None, Part::Sets(sets)) => self.with_all(sets)?,
                (None, Part::Other(part)) => self.expression(part)?,
            };
            let joined = match both {
                Some(both) => both.and(part),
                None => part,
            };
            if joined.is_empty() {
                return Ok(joined);
            }
            both = Some(joined);
        }
        Ok(both.unwrap_or_else(|| self.every()))
    }

    /// Events that have one of the terms of each set.
    fn with_all(&self, sets: &[TermsOfField]) -> Result<Bounds, IndexError> {
        Ok(Bounds::exact(self.terms.with_all(sets)?).or_perhaps(&self.unreadable))
    }

    /// As [`Self::with_all`], where only these events count.
    fn sets(&self, sets: &[TermsOfField], among: &Bounds) -> Result<Bounds, IndexError> {
        if !self.unreadable.is_empty() || among.len() > LOOKED_UP_MAX {
            return self.with_all(sets);
        }
        let mut left = &among.sure | &among.maybe;
        for (field, terms) in sets {
            left = self.terms.among(&left, *field, &slices(terms))?;
        }
        Ok(Bounds::exact(left))
    }

    /// A part of which only these events count.
    fn part(&self, part: &Expression, among: &Bounds) -> Result<Bounds, IndexError> {
        let few = among.len().saturating_mul(SCANNED_PER_LOOK_UP);
        match part {
            Expression::Compare(Comparison { subject: Subject::Field(field), test })
                if field.indexed() == Indexed::Range && few < self.terms.summary().end.into() =>
            {
                self.times_of(test, &(&among.sure | &among.maybe))
            }
            part => self.expression(part),
        }
    }

    /// At most about so many events match, as far as that can be told with a few looks.
    fn estimate(&self, expression: &Expression) -> Result<u64, IndexError> {
        let all = self.all.len();
        match expression {
            Expression::All | Expression::Not(_) => Ok(all),
            Expression::And(parts) => {
                parts.iter().try_fold(all, |least, part| Ok(least.min(self.estimate(part)?)))
            }
            Expression::Or(parts) => {
                parts.iter().try_fold(0_u64, |sum, part| Ok(sum.saturating_add(self.estimate(part)?)))
            }
            Expression::Compare(Comparison { subject, test }) => match (subject, test) {
                (Subject::Class, test) => Ok(if self.class(test).is_empty() { 0 } else { all }),
                (Subject::Field(field), Test::OneOf(values)) if field.indexed() == Indexed::Bitmap => {
                    self.terms.cardinality(*field, &slices(&field_terms(*field, values)))
                }
                // A key is found at once, and few events have it.
                (Subject::Attribute(_), Test::OneOf(_)) => Ok(1),
                (Subject::Field(field), Test::OneOf(_)) if field.indexed() == Indexed::Exact => Ok(1),
                (Subject::Received, _) => Ok(all / 2),
                (Subject::Field(field), _) if field.indexed() == Indexed::Range => Ok(all),
                _ => Ok(all.saturating_sub(1)),
            },
        }
    }

    fn or(&self, parts: &[Expression]) -> Result<Bounds, IndexError> {
        let mut either = Bounds::exact(RoaringBitmap::new());
        for part in parts {
            either = either.or(self.expression(part)?);
        }
        Ok(either)
    }

    fn compare(&self, Comparison { subject, test }: &Comparison) -> Result<Bounds, IndexError> {
        let bounds = match subject {
            Subject::Received => return self.received(test),
            Subject::Class => return Ok(self.class(test)),
            Subject::Attribute(name) => match test {
                Test::OneOf(values) => self.candidates(values, |value| match value {
                    Value::Text(text) => Some(attribute_key(name, text)),
                    _ => None,
                })?,
                _ => Bounds::at_most(self.terms.present(Field::Attributes)?),
            },
            Subject::Field(field) => self.field(*field, test)?,
        };
        Ok(bounds.or_perhaps(&self.unreadable))
    }

    fn field(&self, field: Field, test: &Test) -> Result<Bounds, IndexError> {
        match field.indexed() {
            Indexed::Bitmap => self.bitmap(field, test),
            Indexed::Range => self.time(test),
            Indexed::No | Indexed::Exact => match test {
                Test::Present => Ok(Bounds::exact(self.terms.present(field)?)),
                Test::OneOf(values) if field.indexed() == Indexed::Exact => {
                    self.candidates(values, |value| value_key(field, value))
                }
                Test::NoneOf(values) if field.indexed() == Indexed::Exact => {
                    let one_of = self.candidates(values, |value| value_key(field, value))?;
                    Ok(one_of.within(&self.terms.present(field)?))
                }
                _ => Ok(Bounds::at_most(self.terms.present(field)?)),
            },
        }
    }

    fn bitmap(&self, field: Field, test: &Test) -> Result<Bounds, IndexError> {
        let present = || self.terms.present(field);
        let one_of = |values: &[Value]| self.terms.with_terms(field, &slices(&field_terms(field, values)));
        Ok(match test {
            Test::OneOf(values) => Bounds::exact(one_of(values)?),
            Test::NoneOf(values) => Bounds::exact(present()? - one_of(values)?),
            Test::Prefix(_) if field.kind() != Kind::Text => Bounds::exact(RoaringBitmap::new()),
            Test::Prefix(begin) => Bounds::exact(self.terms.with_prefix(field, begin.as_bytes())?),
            Test::Contains(needle) => Bounds::exact(self.with_part(field, needle)?),
            Test::Present => Bounds::exact(present()?),
            Test::Less(_) | Test::AtMost(_) | Test::More(_) | Test::AtLeast(_) => Bounds::at_most(present()?),
        })
    }

    /// Events that have a term which has the needle in it: each term is looked at, and no event.
    fn with_part(&self, field: Field, needle: &Needle) -> Result<RoaringBitmap, IndexError> {
        if field.kind() != Kind::Text {
            return Ok(RoaringBitmap::new());
        }
        let mut terms: Vec<Vec<u8>> = Vec::new();
        self.terms.each_term(field, &mut |term| {
            if needle.is_in(term) {
                terms.push(term.to_vec());
            }
        })?;
        self.terms.with_terms(field, &slices(&terms))
    }

    /// Events that may have one of these values: a hit of an exact key is a candidate.
    fn candidates(
        &self,
        values: &[Value],
        key: impl Fn(&Value) -> Option<u32>,
    ) -> Result<Bounds, IndexError> {
        let mut candidates = RoaringBitmap::new();
        for key in values.iter().filter_map(key) {
            candidates |= self.terms.with_key(key)?;
        }
        Ok(Bounds::at_most(candidates))
    }

    fn time(&self, test: &Test) -> Result<Bounds, IndexError> {
        if let Test::NoneOf(values) = test {
            let present = self.times(&[i64::MIN..=i64::MAX])?.sure;
            return Ok(self.times(&points(values))?.within(&present));
        }
        self.times(&ranges(test))
    }

    fn times(&self, ranges: &[RangeInclusive<i64>]) -> Result<Bounds, IndexError> {
        let zone = self.terms.summary().time;
        let ranges: Vec<_> = ranges.iter().filter(|range| touches(range, zone)).collect();
        match ranges.as_slice() {
            [] => Ok(Bounds::exact(RoaringBitmap::new())),
            [only] => Ok(Bounds::exact(self.terms.with_time((*only).clone())?)),
            // Ranges ascend. One scan finds what lies between them all.
            [first, .., last] => Ok(Bounds::at_most(self.terms.with_time(*first.start()..=*last.end())?)),
        }
    }

    /// As [`Self::time`], one by one.
    fn times_of(&self, test: &Test, among: &RoaringBitmap) -> Result<Bounds, IndexError> {
        let is_not = matches!(test, Test::NoneOf(_));
        let ranges = if let Test::NoneOf(values) = test { points(values) } else { ranges(test) };
        let mut found = RoaringBitmap::new();
        self.terms.claimed_times(among, &mut |ordinal, time| {
            let before = ranges.partition_point(|range| *range.end() < time);
            if ranges.get(before).is_some_and(|range| range.contains(&time)) != is_not {
                found.insert(ordinal);
            }
        })?;
        Ok(Bounds::exact(found).or_perhaps(&self.unreadable))
    }

    fn received(&self, test: &Test) -> Result<Bounds, IndexError> {
        if let Test::NoneOf(values) = test {
            return Ok(Bounds::exact(&self.all - self.received_in(&points(values))?));
        }
        Ok(Bounds::exact(self.received_in(&ranges(test))?))
    }

    /// Frames know when they were received, readable or not.
    fn received_in(&self, ranges: &[RangeInclusive<i64>]) -> Result<RoaringBitmap, IndexError> {
        let zone = self.terms.summary().received;
        let touched: Vec<_> = ranges.iter().filter(|range| touches(range, zone)).collect();
        match (touched.as_slice(), zone) {
            ([], _) | (_, None) => Ok(RoaringBitmap::new()),
            ([only], Some((earliest, latest))) if only.contains(&earliest.0) && only.contains(&latest.0) => {
                Ok(self.all.clone())
            }
            (touched, _) => self.terms.in_frames(&|frame| {
                let before = touched.partition_point(|range| *range.end() < frame.received.0);
                touched.get(before).is_some_and(|range| range.contains(&frame.received.0))
            }),
        }
    }

    fn class(&self, test: &Test) -> Bounds {
        let is_in = |values: &[Value]| {
            values.iter().any(|value| matches!(value, Value::Text(text) if text == self.class))
        };
        let matches = match test {
            Test::OneOf(values) => is_in(values),
            Test::NoneOf(values) => !is_in(values),
            Test::Prefix(begin) => self.class.starts_with(begin.as_str()),
            Test::Contains(needle) => needle.is_in(self.class.as_bytes()),
            Test::Present => true,
            Test::Less(_) | Test::AtMost(_) | Test::More(_) | Test::AtLeast(_) => return self.unknown(),
        };
        if matches { self.every() } else { Bounds::exact(RoaringBitmap::new()) }
    }

    fn every(&self) -> Bounds {
        Bounds::exact(self.all.clone())
    }

    fn unknown(&self) -> Bounds {
        Bounds::at_most(self.all.clone())
    }
}

/// The term that a value is in a bitmap field; `None` where the field has no such values.
pub(crate) fn field_term(field: Field, value: &Value) -> Option<Vec<u8>> {
    match (field.kind(), value) {
        (Kind::Text, Value::Text(text)) => Some(text.as_bytes().to_vec()),
        (Kind::Enum, Value::Number(number)) => Some(number.to_le_bytes().to_vec()),
        _ => None,
    }
}

/// Those of several values.
fn field_terms(field: Field, values: &[Value]) -> Vec<Vec<u8>> {
    values.iter().filter_map(|value| field_term(field, value)).collect()
}

/// The key that a value has under an exact field; `None` where the field has no such values.
fn value_key(field: Field, value: &Value) -> Option<u32> {
    match (field.kind(), value) {
        (Kind::Text | Kind::Texts | Kind::Links, Value::Text(text)) => Some(text_key(field, text)),
        (Kind::Number, Value::Number(number)) => Some(number_key(field, *number)),
        (Kind::Bytes, Value::Bytes(bytes)) => Some(bytes_key(field, bytes)),
        (Kind::Artifacts | Kind::Attestations, Value::Digest { algorithm, hex }) => {
            Some(digest_key(field, algorithm, hex))
        }
        _ => None,
    }
}

fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Time(UnixNanos(nanos)) => Some(*nanos),
        _ => None,
    }
}

/// The values as ranges of one instant each, which ascend as the values do.
pub(crate) fn points(values: &[Value]) -> Vec<RangeInclusive<i64>> {
    values.iter().filter_map(instant).map(|nanos| nanos..=nanos).collect()
}

/// The times that pass a test which is not `NoneOf`, ascending.
pub(crate) fn ranges(test: &Test) -> Vec<RangeInclusive<i64>> {
    let below = |end: Option<i64>| end.map(|end| i64::MIN..=end).into_iter().collect();
    let above = |start: Option<i64>| start.map(|start| start..=i64::MAX).into_iter().collect();
    match test {
        Test::OneOf(values) => points(values),
        Test::Less(value) => below(instant(value).and_then(|nanos| nanos.checked_sub(1))),
        Test::AtMost(value) => below(instant(value)),
        Test::More(value) => above(instant(value).and_then(|nanos| nanos.checked_add(1))),
        Test::AtLeast(value) => above(instant(value)),
        Test::Present => above(Some(i64::MIN)),
        Test::Prefix(_) | Test::Contains(_) | Test::NoneOf(_) => Vec::new(),
    }
}

pub(crate) fn touches(range: &RangeInclusive<i64>, zone: Option<(UnixNanos, UnixNanos)>) -> bool {
    zone.is_some_and(|(earliest, latest)| *range.start() <= latest.0 && earliest.0 <= *range.end())
}
