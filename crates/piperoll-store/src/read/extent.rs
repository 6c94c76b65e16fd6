//! Between which times the events of a question lie, from what is known without looking at them.

use super::{
    Reader,
    asker::Asker,
    error::ReadError,
    pinned::SegmentReader,
    position::Order,
    walk::{Question, is_ruled_out, open},
};
use crate::{catalog::Log, disk::Disk, segment::Segment};
use piperoll_filter::{Comparison, Expression, Filter, Subject, Test, Value};
use piperoll_format::{event::Field, names::Name, units::UnixNanos};
use std::ops::Range;

/// One of an event's two times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// When the daemon received it.
    #[default]
    Received,
    /// When it happened, as its source claims.
    Claimed,
}

impl Time {
    fn subject(self) -> Subject {
        match self {
            Self::Received => Subject::Received,
            Self::Claimed => Subject::Field(Field::Time),
        }
    }

    /// The bounds that a filter sets to this time for every event that it matches: not before the first, and
    /// before the second.
    pub fn bounds(self, filter: &Filter) -> (Option<UnixNanos>, Option<UnixNanos>) {
        let parts = match filter.expression() {
            Expression::And(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let subject = self.subject();
        let of_time = parts.iter().filter_map(|part| match part {
            Expression::Compare(Comparison { subject: found, test }) if *found == subject => Some(test),
            _ => None,
        });
        of_time.fold((None, None), |(from, until), test| {
            let (first, end) = bounds_of(test);
            (from.max(first), until.into_iter().chain(end).min())
        })
    }
}

fn bounds_of(test: &Test) -> (Option<UnixNanos>, Option<UnixNanos>) {
    let at = |value: &Value| if let Value::Time(time) = value { Some(*time) } else { None };
    match test {
        // Values are sorted.
        Test::OneOf(values) => (values.first().and_then(at), values.last().and_then(at).map(after)),
        Test::Less(value) => (None, at(value)),
        Test::AtMost(value) => (None, at(value).map(after)),
        Test::More(value) => (at(value).map(after), None),
        Test::AtLeast(value) => (at(value), None),
        Test::NoneOf(_) | Test::Prefix(_) | Test::Contains(_) | Test::Present => (None, None),
    }
}

/// The instant behind a time.
fn after(time: UnixNanos) -> UnixNanos {
    UnixNanos(time.0.saturating_add(1))
}

type Extent = Option<Range<UnixNanos>>;

fn widened(extent: Extent, range: Option<(UnixNanos, UnixNanos)>) -> Extent {
    let Some((first, last)) = range else { return extent };
    let range = first..after(last);
    Some(extent.map_or(range.clone(), |extent| extent.start.min(range.start)..extent.end.max(range.end)))
}

impl<D: Disk> Reader<D> {
    /// The times of all events in the segments that can hold matches: at least those of the matches, and mostly
    /// more. `None` where there are none. Claimed times cost a look at each segment, received ones at two a log.
    pub fn extent(
        &self,
        tenant: &Name,
        filter: &Filter,
        time: Time,
        asker: &Asker<'_>,
    ) -> Result<Extent, ReadError> {
        let question = Question::new(filter, Order::OldestFirst, asker, &self.core.helpers);
        let logs = self.core.catalog.logs_of(tenant);
        logs.iter().try_fold(None, |extent, log| match time {
            Time::Received => received(&question, log, extent),
            Time::Claimed => claimed(&question, log, extent),
        })
    }
}

/// Times only rise along a log, so the ends tell all.
fn received<D: Disk>(question: &Question<'_>, log: &Log<D>, extent: Extent) -> Result<Extent, ReadError> {
    let segments = log.snapshot();
    let range = |segment: &Segment<D>| {
        let found = open_candidate(question, log, segment)?;
        Ok::<_, ReadError>(found.and_then(|_| segment.received_range()))
    };
    let mut first = None;
    for segment in segments.iter() {
        first = range(segment)?;
        if first.is_some() {
            break;
        }
    }
    let mut last = None;
    for segment in segments.iter().rev().take_while(|_| first.is_some()) {
        last = range(segment)?;
        if last.is_some() {
            break;
        }
    }
    Ok(widened(widened(extent, first), last))
}

fn claimed<D: Disk>(question: &Question<'_>, log: &Log<D>, extent: Extent) -> Result<Extent, ReadError> {
    let segments = log.snapshot();
    segments.iter().try_fold(extent, |extent, segment| {
        let reader = open_candidate(question, log, segment)?;
        let ask = |reader: SegmentReader<'_>| reader.ask(|terms| Ok(terms.summary().time));
        Ok(widened(extent, reader.map(ask).transpose()?.flatten()))
    })
}

fn open_candidate<'q, D: Disk>(
    question: &Question<'q>,
    log: &Log<D>,
    segment: &Segment<D>,
) -> Result<Option<SegmentReader<'q>>, ReadError> {
    let is_whole = log.trouble().is_none();
    if is_ruled_out(question, log.class(), segment, is_whole) {
        return Ok(None);
    }
    open(question, log.class(), segment, is_whole)
}
