//! Counts of what matches, by up to two subjects.

use super::{
    Reader,
    asker::Asker,
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
    event::{Field, Indexed},
    names::Name,
};
use piperoll_index::{IndexError, TermSet, Terms, count_by, cross, term_text};
use roaring::RoaringBitmap;
use std::{borrow::Cow, sync::Arc};

/// Most subjects that a count is grouped by.
pub const GROUP_SUBJECTS_MAX: usize = 2;

/// As many terms are gone through in the time that an event is read in.
const TERMS_PER_READ: u64 = 8;
/// Events of a segment up to which they may be read instead: where nothing is cached, each is a read of the disk.
const EVENTS_READ_MAX: u64 = 128;

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
    /// Where the filter and the subjects have bitmaps, no event is read, but for a few where that is less work. A
    /// segment of which every event matches is not opened where its counts are known.
    pub fn count(&self, count: &Count, asker: &Asker<'_>) -> Result<Counted, ReadError> {
        count.group_by.iter().try_for_each(check_subject)?;
        if count.group_by.len() > GROUP_SUBJECTS_MAX {
            let names: Vec<_> = count.group_by.iter().map(Subject::name).collect();
            return Err(ReadError::NotCountedBy(names.join(", "), "at most two fields at a time"));
        }
        let question = Question::new(&count.filter, Order::OldestFirst, asker, &self.core.helpers);
        let mut tally = Tally::default();
        let logs = self.core.catalog.logs_of(&count.tenant);
        let counting = Counting { question: &question, group_by: &count.group_by };
        for_each_match(&question, &logs, &counting, |part: Part| {
            tally.add_total(part.total);
            tally.add_all(&part.groups)
        })?;
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

pub(super) fn bitmap_field(subject: &Subject) -> Option<Field> {
    match subject {
        Subject::Field(field) if field.indexed() == Indexed::Bitmap => Some(*field),
        _ => None,
    }
}

/// The field in which the values of a subject are.
fn field_of(subject: &Subject) -> Option<Field> {
    match subject {
        Subject::Field(field) => Some(*field),
        Subject::Attribute(_) => Some(Field::Attributes),
        Subject::Received | Subject::Class => None,
    }
}

/// What one segment has of a count.
struct Part {
    total: u64,
    groups: Arc<Groups>,
}

struct Counting<'a> {
    question: &'a Question<'a>,
    group_by: &'a [Subject],
}

impl<D: Disk> Summary<D> for Counting<'_> {
    type Part = Part;

    fn known(&self, class: &Name, segment: &Segment<D>, terms: &TermSet) -> Option<Part> {
        let total = terms.events().into();
        let groups = match self.group_by {
            [] => Arc::default(),
            [Subject::Class] => {
                let mut groups = Groups::default();
                groups.push([Some(class.as_str().as_bytes())], total);
                Arc::new(groups)
            }
            [subject] => segment.counts(bitmap_field(subject)?)?,
            _ => return None,
        };
        Some(Part { total, groups })
    }

    fn of_count(&self) -> Option<fn(u64) -> Part> {
        self.group_by.is_empty().then_some(|total| Part { total, groups: Arc::default() })
    }

    fn look(&self, found: Found<'_, '_, D>) -> Result<Part, ReadError> {
        let Found { reader, exact, whole } = found;
        let class = reader.class().clone();
        let has_bitmaps = |subject: &Subject| bitmap_field(subject).is_some() || *subject == Subject::Class;
        let groups = match self.group_by {
            [] => Some(Groups::default()),
            subjects if subjects.iter().all(has_bitmaps) && !self.is_soon_read(reader, exact)? => {
                reader.expect_reads_of_fields(subjects.iter().filter_map(bitmap_field));
                reader.ask(|terms| by_bitmaps(terms, subjects, &class, exact))?
            }
            _ => None,
        };
        let mut groups = match groups {
            Some(groups) => groups,
            None => self.by_reading(reader, exact)?,
        };
        groups.shrink();
        let groups = Arc::new(groups);
        if let (Some(segment), [subject]) = (whole, self.group_by)
            && let Some(field) = bitmap_field(subject)
        {
            segment.learn_counts(field, &groups);
        }
        Ok(Part { total: exact.len(), groups })
    }
}

impl Counting<'_> {
    /// Whether these events are so few that to read them is less work than to look for them among those of every term.
    fn is_soon_read(&self, reader: &SegmentReader<'_>, exact: &RoaringBitmap) -> Result<bool, ReadError> {
        if exact.len() > EVENTS_READ_MAX {
            return Ok(false);
        }
        let mut terms = 0;
        for field in self.group_by.iter().filter_map(bitmap_field) {
            terms += reader.ask(|index| index.term_count(field))? as u64;
        }
        Ok(exact.len().saturating_mul(TERMS_PER_READ) < terms)
    }

    fn by_reading(&self, reader: &mut SegmentReader<'_>, exact: &RoaringBitmap) -> Result<Groups, ReadError> {
        let mut tally = Tally::default();
        let mut with_value = Cow::Borrowed(exact);
        if let [subject] = self.group_by
            && let Some(field) = field_of(subject)
        {
            // What cannot be read is an error, not an event without a value.
            let present = reader.ask(|terms| Ok(terms.present(field)? | terms.unreadable()?))?;
            with_value = Cow::Owned(exact & present);
            let without = exact.len().saturating_sub(with_value.len());
            if without > 0 {
                tally.add(&[None], without)?;
            }
        }
        for_each_ordinal(self.question, &with_value, |ordinal| {
            let found =
                reader.with_event(ordinal, |seen, event| combinations(self.group_by, seen.class, event))?;
            found.iter().try_for_each(|values| tally.add(values, 1))
        })?;
        Ok(tally.into_groups())
    }
}

/// Counts from bitmaps alone, by the class and by fields that have bitmaps; `None` where only reading tells: what cannot
/// be read has no known value, and the index would say "none".
fn by_bitmaps(
    terms: &dyn Terms,
    subjects: &[Subject],
    class: &Name,
    exact: &RoaringBitmap,
) -> Result<Option<Groups>, IndexError> {
    if !terms.unreadable()?.is_disjoint(exact) {
        return Ok(None);
    }
    let fields: Vec<Field> = subjects.iter().filter_map(bitmap_field).collect();
    let mut groups = Groups::default();
    let mut add = |found: [Option<&[u8]>; 2], count: u64| {
        let mut texts = found.into_iter().zip(&fields);
        let texts: [_; GROUP_SUBJECTS_MAX] = std::array::from_fn(|at| match subjects.get(at) {
            Some(Subject::Class) => Some(Cow::Borrowed(class.as_str())),
            _ => texts.next().and_then(|(term, field)| Some(term_text(*field, term?))),
        });
        let values = texts.iter().take(subjects.len());
        groups.push(values.map(|value| value.as_ref().map(|text| text.as_bytes())), count);
    };
    match *fields.as_slice() {
        [] => add([None, None], exact.len()),
        [field] => count_by(terms, field, exact, &mut |term, count| add([term, None], count))?,
        [first, second, ..] => cross(terms, [first, second], exact, &mut add)?,
    }
    Ok(Some(groups))
}
