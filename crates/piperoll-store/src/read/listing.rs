//! Which values a field has, and how many events have each.

use super::{
    Reader,
    asker::Asker,
    count::{bitmap_field, check_subject},
    error::ReadError,
    matching::{Found, Summary, for_each_match, for_each_ordinal},
    pinned::SegmentReader,
    position::Order,
    tally::Tally,
    values::combinations,
    walk::Question,
};
use crate::{disk::Disk, groups::Groups, segment::Segment};
use piperoll_filter::{Filter, Subject};
use piperoll_format::{
    event::{Field, Kind},
    names::Name,
};
use piperoll_index::{Group, IndexError, TermSet, Terms, group};
use roaring::RoaringBitmap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Most events that one list of values reads: those of a field that has no bitmaps.
pub const VALUES_EVENTS_READ_MAX: u64 = 1_000_000;

/// Which values to list.
#[derive(Clone, Debug)]
pub struct ListValues {
    /// Whose logs.
    pub tenant: Name,
    /// Of which events.
    pub filter: Filter,
    /// Whose values.
    pub subject: Subject,
    /// Only values that begin so; empty for all.
    pub begins: String,
    /// At most this many values, the most frequent first.
    pub limit: usize,
}

/// The values that a subject has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The values and how many events have each: the most frequent first, then by their text.
    pub values: Vec<(String, u64)>,
    /// Values that the limit left out.
    pub values_omitted: u64,
}

impl<D: Disk> Reader<D> {
    /// Lists the values that a subject has. `asker` is asked from time to time whether to give up.
    ///
    /// Where the filter and the subject have bitmaps, no event is read; else no more than
    /// [`VALUES_EVENTS_READ_MAX`] are, and there is an error where more match.
    pub fn values(&self, list: &ListValues, asker: &Asker<'_>) -> Result<Listed, ReadError> {
        check_subject(&list.subject).map_err(|error| match error {
            ReadError::NotCountedBy(name, why) => ReadError::NotListed(name, why),
            other => other,
        })?;
        let question = Question::new(&list.filter, Order::OldestFirst, asker, &self.core.helpers);
        let logs = self.core.catalog.logs_of(&list.tenant);
        let (listing, mut tally) =
            (Listing { list, question: &question, read: AtomicU64::new(0) }, Tally::default());
        for_each_match(&question, &logs, &listing, |of_segment: Groups| {
            tally.add_all(&of_segment).map_err(too_many_values)
        })?;
        let counted = tally.into_counted(list.limit);
        let values = counted.groups.into_iter();
        Ok(Listed {
            values: values
                .filter_map(|group| Some((group.values.into_iter().next()??, group.count)))
                .collect(),
            values_omitted: counted.groups_omitted,
        })
    }
}

struct Listing<'a> {
    list: &'a ListValues,
    question: &'a Question<'a>,
    /// Events read so far.
    read: AtomicU64,
}

impl<D: Disk> Summary<D> for Listing<'_> {
    type Part = Groups;

    fn known(&self, _: &Name, _: &Segment<D>, _: &TermSet) -> Option<Groups> {
        None
    }

    fn look(&self, Found { reader, exact, .. }: Found<'_, '_, D>) -> Result<Groups, ReadError> {
        let (list, mut tally) = (self.list, Tally::default());
        if list.subject == Subject::Class {
            let class = reader.class().as_str().to_owned();
            self.add(&mut tally, Some(class), exact.len())?;
            return Ok(tally.into_groups());
        }
        let groups = match bitmap_field(&list.subject) {
            Some(field) => reader.ask(|terms| by_bitmaps(terms, field, &list.begins, exact))?,
            None => None,
        };
        match groups {
            Some(groups) => {
                groups.into_iter().try_for_each(|(value, count)| self.add(&mut tally, value, count))?;
            }
            None => self.by_reading(reader, exact, &mut tally)?,
        }
        Ok(tally.into_groups())
    }
}

impl Listing<'_> {
    fn by_reading(
        &self,
        reader: &mut SegmentReader<'_>,
        exact: &RoaringBitmap,
        tally: &mut Tally,
    ) -> Result<(), ReadError> {
        let subject = &self.list.subject;
        let read = self.read.fetch_add(exact.len(), Relaxed).saturating_add(exact.len());
        if read > VALUES_EVENTS_READ_MAX {
            return Err(ReadError::TooManyToRead { subject: subject.name(), max: VALUES_EVENTS_READ_MAX });
        }
        for_each_ordinal(self.question, exact, |ordinal| {
            let subjects = std::slice::from_ref(subject);
            let found =
                reader.with_event(ordinal, |seen, event| combinations(subjects, seen.class, event))?;
            found.into_iter().flatten().try_for_each(|value| self.add(tally, value, 1))
        })
    }

    /// Takes in what so many events more have, if it is a value that was asked for.
    fn add(&self, tally: &mut Tally, value: Option<String>, count: u64) -> Result<(), ReadError> {
        if !value.as_ref().is_some_and(|value| value.starts_with(&self.list.begins)) {
            return Ok(());
        }
        tally.add(&[value], count).map_err(too_many_values)
    }
}

fn too_many_values(error: ReadError) -> ReadError {
    match error {
        ReadError::TooManyGroups { max, what } => ReadError::TooManyValues { max, what },
        other => other,
    }
}

/// The values from bitmaps alone; `None` where some of the events cannot be read: reading says so, the index
/// would say that they have no value.
fn by_bitmaps(
    terms: &dyn Terms,
    field: Field,
    begins: &str,
    exact: &RoaringBitmap,
) -> Result<Option<Vec<Group>>, IndexError> {
    if !terms.unreadable()?.is_disjoint(exact) {
        return Ok(None);
    }
    if begins.is_empty() || field.kind() != Kind::Text {
        return group(terms, field, exact);
    }
    let among = terms.with_prefix(field, begins.as_bytes())? & exact;
    if among.is_empty() { Ok(Some(Vec::new())) } else { group(terms, field, &among) }
}
