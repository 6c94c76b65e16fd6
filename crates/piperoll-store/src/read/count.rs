//! Counts of what matches, by up to two subjects.

use super::{
    Reader,
    asker::Asker,
    error::ReadError,
    matching::{for_each_match, for_each_ordinal},
    pinned::SegmentReader,
    position::Order,
    tally::{Tally, Values},
    values::combinations,
    walk::Question,
};
use crate::disk::Disk;
use piperoll_filter::{Filter, Subject};
use piperoll_format::{
    event::{Field, Indexed},
    names::Name,
};
use piperoll_index::{IndexError, Terms, group};
use roaring::RoaringBitmap;

/// Most subjects that a count is grouped by.
pub const GROUP_SUBJECTS_MAX: usize = 2;

/// Terms of the first of two fields up to which it pays to make a bitmap for each.
const TERMS_CROSSED_MAX: usize = 64;

/// What to count.
#[derive(Clone, Debug)]
pub struct Count {
    /// Whose logs.
    pub tenant: Name,
    /// Which events.
    pub filter: Filter,
    /// By what: none, one or two. Of a repeated subject an event is counted once for each of its values.
    pub group_by: Vec<Subject>,
    /// At most this many groups, the largest first.
    pub limit: usize,
}

/// How many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Events that match.
    pub total: u64,
    /// Groups, the largest first, then by their values; none where nothing was grouped by.
    pub groups: Vec<Group>,
    /// Groups that the limit left out.
    pub groups_omitted: u64,
}

/// One group of a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// A value for each subject; `None` for the events that lack it.
    pub values: Vec<Option<String>>,
    /// Events in it.
    pub count: u64,
}

impl<D: Disk> Reader<D> {
    /// Counts what matches. `asker` is asked from time to time whether to give up.
    ///
    /// Where the filter and the subjects have bitmaps, no event is read.
    pub fn count(&self, count: &Count, asker: &Asker<'_>) -> Result<Counted, ReadError> {
        count.group_by.iter().try_for_each(check_subject)?;
        if count.group_by.len() > GROUP_SUBJECTS_MAX {
            let names: Vec<_> = count.group_by.iter().map(Subject::name).collect();
            return Err(ReadError::NotCountedBy(names.join(", "), "at most two fields at a time"));
        }
        let question = Question::new(&count.filter, Order::OldestFirst, asker, &self.core.helpers);
        let mut tally = Tally::default();
        let logs = self.core.catalog.logs_of(&count.tenant);
        for_each_match(
            &question,
            &logs,
            |reader, exact| count_segment(&question, reader, exact, &count.group_by),
            |of_segment| tally.merge(of_segment),
        )?;
        Ok(tally.into_counted(count.limit))
    }
}

pub(super) fn check_subject(subject: &Subject) -> Result<(), ReadError> {
    let why = match subject {
        Subject::Received | Subject::Field(Field::Time) => "times hardly ever repeat",
        Subject::Field(Field::Attributes) => "name one attribute, as in attr.region",
        Subject::Field(Field::Original) => "payloads hardly ever repeat",
        Subject::Class | Subject::Attribute(_) | Subject::Field(_) => return Ok(()),
    };
    Err(ReadError::NotCountedBy(subject.name(), why))
}

/// What one segment has of a count.
fn count_segment(
    question: &Question<'_>,
    reader: &mut SegmentReader<'_>,
    exact: &RoaringBitmap,
    group_by: &[Subject],
) -> Result<Tally, ReadError> {
    let mut tally = Tally::default();
    tally.add_total(exact.len());
    if !group_by.is_empty() {
        group_segment(question, reader, exact, group_by, &mut tally)?;
    }
    Ok(tally)
}

fn group_segment(
    question: &Question<'_>,
    reader: &mut SegmentReader<'_>,
    exact: &RoaringBitmap,
    group_by: &[Subject],
    tally: &mut Tally,
) -> Result<(), ReadError> {
    let fields: Vec<Field> = group_by.iter().filter_map(bitmap_field).collect();
    let has_bitmaps = |subject: &Subject| bitmap_field(subject).is_some() || *subject == Subject::Class;
    let groups = if group_by.iter().all(has_bitmaps) {
        reader.ask(|terms| by_bitmaps(terms, &fields, exact))?
    } else {
        None
    };
    let Some(groups) = groups else {
        return by_reading(question, reader, exact, group_by, tally);
    };
    let class = reader.class().as_str().to_owned();
    for (values, count) in groups {
        let mut values = values.into_iter();
        let of = |subject: &Subject| match subject {
            Subject::Class => Some(class.clone()),
            _ => values.next().flatten(),
        };
        tally.add(group_by.iter().map(of).collect(), count)?;
    }
    Ok(())
}

pub(super) fn bitmap_field(subject: &Subject) -> Option<Field> {
    match subject {
        Subject::Field(field) if field.indexed() == Indexed::Bitmap => Some(*field),
        _ => None,
    }
}

type Counts = Vec<(Values, u64)>;

/// Counts from bitmaps alone; `None` where reading the events is less work.
fn by_bitmaps(
    terms: &dyn Terms,
    fields: &[Field],
    exact: &RoaringBitmap,
) -> Result<Option<Counts>, IndexError> {
    if !terms.unreadable()?.is_disjoint(exact) {
        // What cannot be read has no known value: reading says so, the index would say "none".
        return Ok(None);
    }
    match fields {
        [] => Ok(Some(vec![(Vec::new(), exact.len())])),
        [field] => {
            let groups = group(terms, *field, exact)?;
            Ok(groups.map(|groups| groups.into_iter().map(|(value, count)| (vec![value], count)).collect()))
        }
        [first, second, ..] => by_two(terms, *first, *second, exact),
    }
}

/// One bitmap for each term of the first field, the second counted within it.
fn by_two(
    terms: &dyn Terms,
    first: Field,
    second: Field,
    exact: &RoaringBitmap,
) -> Result<Option<Counts>, IndexError> {
    let mut of_first = Vec::new();
    terms.count_terms(first, exact, &mut |term, _| of_first.push(term.to_vec()))?;
    if of_first.len() > TERMS_CROSSED_MAX {
        return Ok(None);
    }
    let mut rest = exact.clone();
    let mut counts = Vec::new();
    for term in of_first {
        let with_term = terms.with_terms(first, &[&term])? & exact;
        rest -= &with_term;
        let value = group(terms, first, &with_term)?
            .and_then(|groups| groups.into_iter().find_map(|(value, _)| value));
        cross(terms, value.as_ref(), second, &with_term, &mut counts)?;
    }
    cross(terms, None, second, &rest, &mut counts)?;
    Ok(Some(counts))
}

fn cross(
    terms: &dyn Terms,
    value: Option<&String>,
    second: Field,
    within: &RoaringBitmap,
    counts: &mut Counts,
) -> Result<(), IndexError> {
    if !within.is_empty() {
        let groups = group(terms, second, within)?.unwrap_or_default();
        counts.extend(groups.into_iter().map(|(other, count)| (vec![value.cloned(), other], count)));
    }
    Ok(())
}

fn by_reading(
    question: &Question<'_>,
    reader: &mut SegmentReader<'_>,
    exact: &RoaringBitmap,
    group_by: &[Subject],
    tally: &mut Tally,
) -> Result<(), ReadError> {
    for_each_ordinal(question, exact, |ordinal| {
        let found = reader.with_event(ordinal, |seen, event| combinations(group_by, seen.class, event))?;
        found.into_iter().try_for_each(|values| tally.add(values, 1))
    })
}
