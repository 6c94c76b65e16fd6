//! Counts over time, whole or split by one subject.
//!
//! Frames know when they were received, and the index knows the claimed times, so that no event is read unless
//! the filter or the subject needs it.

use super::{
    Reader,
    asker::Asker,
    count::{bitmap_field, check_subject},
    error::ReadError,
    extent::Time,
    grid::Grid,
    matching::{Found, Summary, for_each_match, for_each_ordinal},
    pinned::SegmentReader,
    position::Order,
    values::combinations,
    walk::Question,
};
use crate::{disk::Disk, groups::values_of, segment::Segment};
use piperoll_filter::{Filter, Subject};
use piperoll_format::{event::Field, names::Name, units::UnixNanos};
use piperoll_index::{IndexError, TermSet, Terms, term_text};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, ops::Range};

/// What to count, in which buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Whose logs.
    pub tenant: Name,
    /// Which events.
    pub filter: Filter,
    /// By which time.
    pub time: Time,
    /// Where the buckets begin, ascending, and where the last one ends. Events outside of them are left out.
    pub borders: Vec<UnixNanos>,
    /// What to split each bucket by. Of a repeated subject an event is counted once for each of its values.
    pub split_by: Option<Subject>,
    /// At most this many values, the most frequent; the others are counted together.
    pub split_limit: usize,
}

/// How many, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// Of each bucket, the events in it.
    pub counts: Vec<u64>,
    /// Events that match and do not have the time.
    pub untimed: u64,
    /// The same by value, where that was asked for.
    pub split: Option<Split>,
}

/// Counts by bucket and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The most frequent values, the most frequent first, then by their text.
    pub series: Vec<Series>,
    /// Of each bucket, what the values left out have together.
    pub rest: Vec<u64>,
    /// Values that the limit left out.
    pub values_omitted: u64,
}

/// One value's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The value; `None` for the events that lack it.
    pub value: Option<String>,
    /// Of each bucket, the events that have it.
    pub counts: Vec<u64>,
}

impl<D: Disk> Reader<D> {
    /// Counts what matches over time. `asker` is asked from time to time whether to give up.
    pub fn histogram(&self, histogram: &Histogram, asker: &Asker<'_>) -> Result<Bars, ReadError> {
        histogram.split_by.iter().try_for_each(check_subject)?;
        let question = Question::new(&histogram.filter, Order::OldestFirst, asker, &self.core.helpers);
        let logs = self.core.catalog.logs_of(&histogram.tenant);
        let counting = Counting { histogram, question: &question };
        let mut grid = counting.grid();
        for_each_match(&question, &logs, &counting, |of_segment: Grid| grid.merge(of_segment))?;
        let counts = std::mem::take(&mut grid.counts);
        let untimed = grid.untimed;
        grid.counts = vec![0; counts.len()];
        let split = histogram.split_by.as_ref().map(|_| grid.into_split(histogram.split_limit));
        Ok(Bars { counts, untimed, split })
    }
}

/// Events of a segment that are in one bucket.
enum Part {
    /// They follow each other.
    Range(Range<u32>),
    Set(RoaringBitmap),
}

impl Part {
    /// How many of the events are in it.
    fn count_in(&self, events: &RoaringBitmap) -> u64 {
        match self {
            Self::Range(range) => events.range_cardinality(range.clone()),
            Self::Set(set) => events.intersection_len(set),
        }
    }

    /// Those of the events that are in it.
    fn for_each(&self, events: &RoaringBitmap, each: impl FnMut(u32)) {
        match self {
            Self::Range(range) => events.range(range.clone()).for_each(each),
            Self::Set(set) => (events & set).into_iter().for_each(each),
        }
    }
}

/// The parts of a segment, by bucket.
#[derive(Default)]
struct Parts {
    by_bucket: Vec<(usize, Part)>,
    /// Events in buckets of which nobody asks which they are.
    counted: Vec<(usize, u64)>,
    /// Events that do not have the time.
    untimed: u64,
}

/// Counts of a value, by bucket.
type Valued = Vec<(Option<String>, Vec<(usize, u64)>)>;

struct Counting<'a> {
    histogram: &'a Histogram,
    question: &'a Question<'a>,
}

impl Counting<'_> {
    /// An empty one.
    fn grid(&self) -> Grid {
        Grid::new(self.histogram.borders.len().saturating_sub(1))
    }

    fn by_reading(&self, reader: &mut SegmentReader<'_>, exact: &RoaringBitmap) -> Result<Grid, ReadError> {
        let mut grid = self.grid();
        let Histogram { time, borders, split_by, .. } = self.histogram;
        for_each_ordinal(self.question, exact, |ordinal| {
            let (at, found) = reader.with_event(ordinal, |seen, event| {
                let at = match time {
                    Time::Received => Some(seen.received),
                    Time::Claimed => event.time(),
                };
                (
                    at,
                    split_by
                        .iter()
                        .flat_map(|by| combinations(std::slice::from_ref(by), seen.class, event))
                        .collect::<Vec<_>>(),
                )
            })?;
            let Some(at) = at else {
                grid.untimed = grid.untimed.saturating_add(1);
                return Ok(());
            };
            let Some(bucket) = bucket_of(borders, at) else { return Ok(()) };
            grid.add(bucket, 1);
            found.into_iter().flatten().try_for_each(|value| grid.add_value(bucket, value, 1))
        })?;
        Ok(grid)
    }
}

impl<D: Disk> Summary<D> for Counting<'_> {
    type Part = Grid;

    fn known(&self, class: &Name, segment: &Segment<D>, terms: &TermSet) -> Option<Grid> {
        let (earliest, latest) = match self.histogram.time {
            Time::Received => segment.received_range()?,
            Time::Claimed => terms.time_of_all()?,
        };
        let borders = &self.histogram.borders;
        let borders_until = |time| borders.partition_point(|border| *border <= time);
        if borders_until(earliest) != borders_until(latest) {
            return None;
        }
        let mut grid = self.grid();
        let Some(bucket) = bucket_of(borders, earliest) else { return Some(grid) };
        grid.add(bucket, terms.events().into());
        match &self.histogram.split_by {
            None => {}
            Some(Subject::Class) => {
                grid.add_value(bucket, Some(class.to_string()), terms.events().into()).ok()?;
            }
            Some(subject) => {
                for (key, count) in segment.counts(bitmap_field(subject)?)?.iter() {
                    grid.add_value(bucket, values_of(key).pop().flatten(), count).ok()?;
                }
            }
        }
        Some(grid)
    }

    fn look(&self, Found { reader, exact, .. }: Found<'_, '_, D>) -> Result<Grid, ReadError> {
        let Histogram { time, borders, .. } = self.histogram;
        if *time == Time::Claimed {
            reader.expect_reads_of_fields([Field::Time]);
        }
        let parts = reader.ask(|terms| match time {
            Time::Received => Ok(Some(by_frames(terms, borders)?)),
            Time::Claimed => by_times(terms, exact, borders, self.histogram.split_by.is_some()),
        })?;
        let Some(Parts { by_bucket: parts, counted, untimed }) = parts else {
            return self.by_reading(reader, exact);
        };
        let valued = match &self.histogram.split_by {
            None => Some(Vec::new()),
            Some(Subject::Class) => {
                let counts = parts.iter().map(|(bucket, part)| (*bucket, part.count_in(exact))).collect();
                Some(vec![(Some(reader.class().as_str().to_owned()), counts)])
            }
            Some(subject) => match bitmap_field(subject) {
                Some(field) => reader.ask(|terms| split(terms, field, exact, &parts))?,
                None => None,
            },
        };
        let Some(valued) = valued else { return self.by_reading(reader, exact) };
        let mut grid = self.grid();
        grid.untimed = untimed;
        for (bucket, part) in &parts {
            grid.add(*bucket, part.count_in(exact));
        }
        for (bucket, count) in counted {
            grid.add(bucket, count);
        }
        for (value, counts) in valued {
            for (bucket, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                grid.add_value(bucket, value.clone(), count)?;
            }
        }
        Ok(grid)
    }
}

/// The bucket that a time is in, if it is in one.
fn bucket_of(borders: &[UnixNanos], time: UnixNanos) -> Option<usize> {
    let behind = borders.partition_point(|border| *border <= time);
    behind.checked_sub(1).filter(|_| behind < borders.len())
}

/// Frames follow each other in time, so that those of a bucket do too: two searches find them.
fn by_frames(terms: &dyn Terms, borders: &[UnixNanos]) -> Result<Parts, IndexError> {
    let summary = terms.summary();
    let mut parts = Vec::new();
    let mut number = 0;
    while number < summary.frames {
        let frame = terms.frame_at(number)?;
        let behind = borders.partition_point(|border| *border <= frame.received);
        let next = match borders.get(behind) {
            Some(border) => first_frame(terms, number + 1, *border)?,
            None => summary.frames,
        };
        let end = if next < summary.frames { terms.frame_at(next)?.first } else { summary.end };
        if let Some(bucket) = bucket_of(borders, frame.received) {
            parts.push((bucket, Part::Range(frame.first..end)));
        }
        number = next;
    }
    Ok(Parts { by_bucket: parts, ..Parts::default() })
}

/// The first frame from `low` on that was received at `time` or later.
fn first_frame(terms: &dyn Terms, mut low: u32, time: UnixNanos) -> Result<u32, IndexError> {
    let mut high = terms.summary().frames;
    while low < high {
        let middle = low.midpoint(high);
        if terms.frame_at(middle)?.received < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// By the column of claimed times, and which events are in each bucket only `with_sets`; `None` where some of the events cannot be read, so that nothing knows theirs.
fn by_times(
    terms: &dyn Terms,
    exact: &RoaringBitmap,
    borders: &[UnixNanos],
    with_sets: bool,
) -> Result<Option<Parts>, IndexError> {
    if !terms.unreadable()?.is_disjoint(exact) {
        return Ok(None);
    }
    if let Some(parts) = in_one_bucket(terms, exact, borders)? {
        return Ok(Some(parts));
    }
    let mut counts = vec![0_u64; borders.len()];
    let mut sets = BTreeMap::<usize, RoaringBitmap>::new();
    let mut timed = 0;
    // Events that stand together are of about one time.
    let mut last: Option<(usize, Range<UnixNanos>)> = None;
    terms.claimed_times(exact, &mut |ordinal, time| {
        timed += 1;
        let time = UnixNanos(time);
        if !last.as_ref().is_some_and(|(_, range)| range.contains(&time)) {
            last = bucket_of(borders, time)
                .and_then(|bucket| Some((bucket, *borders.get(bucket)?..*borders.get(bucket + 1)?)));
        }
        let Some((bucket, _)) = &last else { return };
        if with_sets {
            sets.entry(*bucket).or_default().insert(ordinal);
        } else if let Some(count) = counts.get_mut(*bucket) {
            *count += 1;
        }
    })?;
    let parts = sets.into_iter().map(|(bucket, set)| (bucket, Part::Set(set))).collect();
    let counted = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
    Ok(Some(Parts { by_bucket: parts, counted, untimed: exact.len().saturating_sub(timed) }))
}

/// Where all events of a segment claim times of one bucket, none of the times is looked at.
fn in_one_bucket(
    terms: &dyn Terms,
    exact: &RoaringBitmap,
    borders: &[UnixNanos],
) -> Result<Option<Parts>, IndexError> {
    let Some((earliest, latest)) = terms.summary().time else { return Ok(None) };
    let Some(bucket) =
        bucket_of(borders, earliest).filter(|first| bucket_of(borders, latest) == Some(*first))
    else {
        return Ok(None);
    };
    let timed = terms.with_time(earliest.0..=latest.0)? & exact;
    let untimed = exact.len().saturating_sub(timed.len());
    Ok(Some(Parts { by_bucket: vec![(bucket, Part::Set(timed))], untimed, ..Parts::default() }))
}

/// Counts by value from bitmaps alone; `None` where only reading the events tells.
fn split(
    terms: &dyn Terms,
    field: Field,
    exact: &RoaringBitmap,
    parts: &[(usize, Part)],
) -> Result<Option<Valued>, IndexError> {
    if !terms.unreadable()?.is_disjoint(exact) {
        return Ok(None);
    }
    let labels = terms.labels(field)?;
    let mut counts = vec![0_u64; labels.places()];
    let mut valued: Vec<Vec<(usize, u64)>> = vec![Vec::new(); labels.places()];
    for (bucket, part) in parts {
        // Few values are in a bucket, when there are many buckets.
        let mut found = Vec::new();
        part.for_each(exact, |ordinal| {
            let place = labels.place(ordinal);
            if let Some(count) = counts.get_mut(place) {
                if *count == 0 {
                    found.push(place);
                }
                *count += 1;
            }
        });
        for place in found {
            if let Some((count, of_value)) = counts.get_mut(place).zip(valued.get_mut(place)) {
                of_value.push((*bucket, std::mem::take(count)));
            }
        }
    }
    let text = |place| labels.term(place).map(|term| term_text(field, term).into_owned());
    Ok(Some(valued.into_iter().enumerate().map(|(place, counts)| (text(place), counts)).collect()))
}
