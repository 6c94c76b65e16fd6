//! One log, walked in one direction: the matches of a filter, segment by segment, as far as somebody asks.

use super::{
    asker::{Asker, RuledOut, Stage},
    count::bitmap_field,
    error::{Place, ReadError},
    helpers::Helpers,
    holes::Hole,
    matching::{EVENTS_DECIDED_MAX, decide},
    merge::{Ahead, Key, Source},
    pinned::{Record, SegmentReader},
    position::Order,
    zone::{Verdict, Zone},
};
use crate::{catalog::Log, disk::Disk, segment::Segment};
use piperoll_filter::{Expression, Filter, Needles};
use piperoll_format::{
    event::Field,
    names::Name,
    units::{Sequence, UnixNanos},
};
use piperoll_index::{Matches, TermSet};
use roaring::{RoaringBitmap, bitmap::IntoIter};
use std::{ops::Range, sync::Arc};

/// Events that are looked at between two looks at whether the asker still waits.
const EVENTS_BETWEEN_CHECKS: u32 = 1_024;
/// Events that a walk decides at first, where the index cannot. Then twice as many each time: a page whose matches
/// are common reads few, one whose matches are rare reads in bulk, and none reads much more than twice what it must.
const EVENTS_DECIDED_MIN: usize = 128;

/// Segments that are opened for the first time, one after the other, before others are opened ahead of the walk.
pub(super) const LEARNT_ALONE_MAX: usize = 3;
/// Segments that are opened ahead.
const LEARNT_AHEAD: usize = 64;

/// What is asked of every log.
pub(super) struct Question<'q> {
    pub(super) filter: &'q Filter,
    pub(super) order: Order,
    pub(super) asker: &'q Asker<'q>,
    pub(super) helpers: &'q Helpers,
    /// The fields with bitmaps that the filter compares.
    pub(super) fields: Vec<Field>,
    /// What every match has one of in its bytes.
    pub(super) needles: Option<Needles>,
}

impl<'q> Question<'q> {
    /// A question that these helpers help with.
    pub(super) fn new(filter: &'q Filter, order: Order, asker: &'q Asker<'q>, helpers: &'q Helpers) -> Self {
        let fields = bitmap_fields(filter);
        Self { filter, order, asker, helpers, fields, needles: filter.needles() }
    }
}

/// The part of a log that has not been answered from yet.
pub(super) struct Walk<'q, D: Disk> {
    question: &'q Question<'q>,
    class: Name,
    segments: Arc<Vec<Arc<Segment<D>>>>,
    /// Where the segment that comes next stood when it was last looked for: newest first, the place behind it.
    place: usize,
    /// What is left; shrinks from the end that comes first in the order.
    left: Range<Sequence>,
    /// No event that is left comes earlier in the order.
    bound: UnixNanos,
    open: Option<Candidates<'q, D>>,
    ready: Option<Record>,
    looked: u32,
    /// How many events are decided next.
    decides: usize,
    /// Segments that it had to open for the first time.
    learnt: usize,
    /// Nothing is wrong with the log: what a sealed segment lacks at its end was accepted as lost.
    is_whole: bool,
}

/// A segment that is open, and what is left in it to look at.
struct Candidates<'q, D: Disk> {
    segment: Arc<Segment<D>>,
    reader: SegmentReader<'q>,
    /// Matches, and the first ordinal of each hole: where the walk gets there, it ends.
    sure: RoaringBitmap,
    /// Those of which the bytes decide.
    maybe: RoaringBitmap,
    holes: Vec<Hole>,
    /// What comes first in the order of both, decided as far as it can be read.
    decided: IntoIter,
    undecided: RoaringBitmap,
    /// Where that ends in the order.
    border: Option<u32>,
}

/// Takes out of a set what comes first in the order, up to a border.
fn take_first(set: &mut RoaringBitmap, order: Order, border: u32) -> RoaringBitmap {
    let mut below = set.clone();
    below.remove_range(border..);
    set.remove_range(..border);
    match order {
        Order::NewestFirst => std::mem::replace(set, below),
        Order::OldestFirst => below,
    }
}

/// What a question finds in a segment, by what is known of it without opening it.
pub(super) enum Outlook {
    /// No event.
    Nothing,
    /// Nobody knows.
    Unknown,
    /// Every event, of which there are as many as the terms say.
    Everything(Arc<TermSet>),
}

/// Looks at a segment without opening it. `is_whole` says that nothing is wrong with its log.
pub(super) fn outlook<D: Disk>(
    question: &Question<'_>,
    class: &Name,
    segment: &Segment<D>,
    is_whole: bool,
) -> Outlook {
    let (received, expression) = (segment.received_range(), question.filter.expression());
    if (Zone { class, received, terms: None }).judge(expression) == Verdict::None {
        question.asker.rules_out(RuledOut::ByTime);
        return Outlook::Nothing;
    }
    // What a segment lacks at its end may have had any terms.
    let Some(terms) = segment.terms().filter(|_| is_whole) else { return Outlook::Unknown };
    match (Zone { class, received, terms: Some(&terms) }).judge(expression) {
        Verdict::None => {
            question.asker.rules_out(RuledOut::ByTerms);
            Outlook::Nothing
        }
        Verdict::Perhaps => Outlook::Unknown,
        Verdict::All => Outlook::Everything(terms),
    }
}

/// Whether no event of a segment can match, by what is known of it without opening it.
pub(super) fn is_ruled_out<D: Disk>(
    question: &Question<'_>,
    class: &Name,
    segment: &Segment<D>,
    is_whole: bool,
) -> bool {
    matches!(outlook(question, class, segment, is_whole), Outlook::Nothing)
}

/// Opens a segment that was not ruled out: `None` where it is only now, or retention has taken it.
pub(super) fn open<'q, D: Disk>(
    question: &Question<'q>,
    class: &Name,
    segment: &Segment<D>,
    is_whole: bool,
) -> Result<Option<SegmentReader<'q>>, ReadError> {
    let asker = question.asker;
    asker.check()?;
    let had_learnt = segment.has_learnt(&question.fields);
    let pin = || {
        let pinned = segment.pin()?;
        // What nobody had asked of it, its times too, it tells only now.
        segment.learn_terms(&pinned, &question.fields);
        Ok(pinned)
    };
    match asker.timed(Stage::Open, pin) {
        Ok(pinned) => {
            let is_ruled_out = !had_learnt && is_ruled_out(question, class, segment, is_whole);
            Ok((!is_ruled_out).then(|| SegmentReader::new(pinned, asker)))
        }
        Err(error) => match (Place { class, first: segment.first(), end: segment.end() }).error(error) {
            Some(error) => Err(error),
            None => Ok(None),
        },
    }
}

/// The fields with bitmaps that a filter compares.
fn bitmap_fields(filter: &Filter) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut left = vec![filter.expression()];
    while let Some(expression) = left.pop() {
        match expression {
            Expression::All => {}
            Expression::And(parts) | Expression::Or(parts) => left.extend(parts),
            Expression::Not(part) => left.push(part),
            Expression::Compare(comparison) => fields.extend(bitmap_field(&comparison.subject)),
        }
    }
    fields
}

/// Which sequences of `asked` should be in a segment: it should end where the next one begins.
pub(super) fn share<D: Disk>(
    segments: &[Arc<Segment<D>>],
    segment: &Segment<D>,
    asked: &Range<Sequence>,
) -> Range<Sequence> {
    let behind = segments.partition_point(|other| other.first() <= segment.first());
    let end = segments.get(behind).map_or(asked.end, |next| next.first().min(asked.end));
    asked.start.max(segment.first())..end
}

impl<'q, D: Disk> Walk<'q, D> {
    /// A walk through those sequences of a snapshot.
    pub(super) fn new(
        question: &'q Question<'q>,
        log: &Log<D>,
        segments: Arc<Vec<Arc<Segment<D>>>>,
        left: Range<Sequence>,
    ) -> Self {
        let bound = match question.order {
            Order::NewestFirst => UnixNanos(i64::MAX),
            Order::OldestFirst => UnixNanos(i64::MIN),
        };
        let place = match question.order {
            Order::NewestFirst => segments.partition_point(|segment| segment.first() < left.end),
            Order::OldestFirst => segments.partition_point(|segment| segment.end() <= left.start),
        };
        let mut walk = Self {
            question,
            place,
            class: log.class().clone(),
            segments,
            left,
            bound,
            open: None,
            ready: None,
            looked: 0,
            decides: EVENTS_DECIDED_MIN,
            learnt: 0,
            is_whole: log.trouble().is_none(),
        };
        let asked = &walk.left;
        let in_question =
            |segment: &&Arc<Segment<D>>| segment.first() < asked.end && asked.start < segment.end();
        question.asker.meets_segments(walk.segments.iter().filter(in_question).count());
        walk.refine();
        walk
    }

    /// Its class.
    pub(super) fn class(&self) -> &Name {
        &self.class
    }

    /// Where a later walk goes on: newest first, below this; oldest first, at or above it.
    pub(super) fn resume(&self) -> Sequence {
        let untaken = self.ready.as_ref().map(|record| record.sequence);
        match self.question.order {
            Order::NewestFirst => untaken.map_or(self.left.end, |sequence| sequence.plus(1)),
            Order::OldestFirst => untaken.unwrap_or(self.left.start),
        }
    }

    /// The segment that comes next in the order, of those with something left.
    fn next_segment(&mut self) -> Option<&Arc<Segment<D>>> {
        if self.left.is_empty() {
            return None;
        }
        let is_passed = |segment: &Segment<D>| match self.question.order {
            Order::NewestFirst => self.left.end <= segment.first(),
            Order::OldestFirst => segment.end() <= self.left.start,
        };
        let at = loop {
            let at = match self.question.order {
                Order::NewestFirst => self.place.checked_sub(1)?,
                Order::OldestFirst => self.place,
            };
            if !is_passed(self.segments.get(at)?) {
                break at;
            }
            self.place = match self.question.order {
                Order::NewestFirst => at,
                Order::OldestFirst => at + 1,
            };
        };
        let next = self.segments.get(at);
        next.filter(|segment| segment.first() < self.left.end && self.left.start < segment.end())
    }

    /// Takes what the next segment says of its times for all that is left.
    fn refine(&mut self) {
        let Some(segment) = self.next_segment().cloned() else {
            // What is left are gaps only.
            self.left = match self.question.order {
                Order::NewestFirst => self.left.start..self.left.start,
                Order::OldestFirst => self.left.end..self.left.end,
            };
            return;
        };
        if let Some((earliest, latest)) = segment.received_range() {
            self.bound = match self.question.order {
                Order::NewestFirst => self.bound.min(latest),
                Order::OldestFirst => self.bound.max(earliest),
            };
        }
    }

    fn leave(&mut self, segment: &Segment<D>) {
        self.open = None;
        let Range { start, end } = &mut self.left;
        match self.question.order {
            Order::NewestFirst => *end = segment.first().clamp(*start, *end),
            Order::OldestFirst => *start = segment.end().clamp(*start, *end),
        }
        self.refine();
    }

    fn open_next(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.next_segment().cloned() else { return Ok(()) };
        let before = self.bound;
        if is_ruled_out(self.question, &self.class, &segment, self.is_whole) {
            self.leave(&segment);
            return Ok(());
        }
        self.learn_ahead(&segment)?;
        let Some(reader) = open(self.question, &self.class, &segment, self.is_whole)? else {
            self.leave(&segment);
            return Ok(());
        };
        self.refine();
        if self.bound != before {
            // Opening it told its times: perhaps another log comes first.
            return Ok(());
        }
        let matches = reader.matches(self.question.filter, &reader.ordinals(&self.left))?;
        let expected = share(&self.segments, &segment, &self.left);
        let holes = reader.holes(self.question.filter, &expected, self.is_whole)?;
        let Matches { mut sure, maybe } = matches;
        sure.extend(holes.iter().map(|hole| hole.ordinals.start));
        let (decided, undecided) = (RoaringBitmap::new().into_iter(), RoaringBitmap::new());
        self.open =
            Some(Candidates { segment, reader, sure, maybe, holes, decided, undecided, border: None });
        Ok(())
    }

    /// Opens the segments that come next, several at one time, once some of those before had to be opened for the first
    /// time: the disk has much to do then, and one thread waits for it most of the time.
    fn learn_ahead(&mut self, segment: &Segment<D>) -> Result<(), ReadError> {
        let fields = &self.question.fields;
        if segment.has_learnt(fields) {
            return Ok(());
        }
        self.learnt += 1;
        if self.learnt <= LEARNT_ALONE_MAX {
            return Ok(());
        }
        let next = match self.question.order {
            Order::NewestFirst => self.place.saturating_sub(LEARNT_AHEAD)..self.place,
            Order::OldestFirst => self.place..self.segments.len().min(self.place + LEARNT_AHEAD),
        };
        let next = self.segments.get(next).unwrap_or_default();
        let clock = || self.question.asker.monotonic_ns();
        self.question.helpers.opening.for_each(next, clock, |segment| {
            if !segment.has_learnt(fields) {
                self.question.asker.check()?;
                // What cannot be opened is an error when the walk comes to it, and only then.
                if let Ok(pinned) = segment.pin() {
                    segment.learn_terms(&pinned, fields);
                }
            }
            Ok(())
        })
    }

    fn examine(&mut self, mut open: Candidates<'q, D>) -> Result<(), ReadError> {
        let next = match self.question.order {
            Order::NewestFirst => open.decided.next_back(),
            Order::OldestFirst => open.decided.next(),
        };
        let Some(ordinal) = next else { return self.look_further(open) };
        if let Some(hole) = open.holes.iter().find(|hole| hole.ordinals.start == ordinal) {
            return Err(open.reader.lost(hole));
        }
        if !open.undecided.contains(ordinal) || open.reader.is_match(self.question.filter, ordinal)? {
            let record = open.reader.read(ordinal)?.to_record();
            self.bound = record.received;
            self.ready = Some(record);
        }
        self.pass(
            &open,
            match self.question.order {
                Order::NewestFirst => ordinal,
                Order::OldestFirst => ordinal.saturating_add(1),
            },
        );
        self.open = Some(open);
        Ok(())
    }

    /// Nothing is left of a segment on this side of the border.
    fn pass(&mut self, open: &Candidates<'q, D>, border: u32) {
        let sequence = open.reader.first().plus(u64::from(border));
        match self.question.order {
            Order::NewestFirst => self.left.end = sequence,
            Order::OldestFirst => self.left.start = sequence,
        }
    }

    /// Decides what comes next in a segment, if anything does.
    fn look_further(&mut self, mut open: Candidates<'q, D>) -> Result<(), ReadError> {
        if open.sure.is_empty() && open.maybe.is_empty() {
            self.leave(&open.segment);
            return Ok(());
        }
        if let Some(border) = open.border {
            self.pass(&open, border);
        }
        let order = self.question.order;
        let border = open.next_border(order, self.decides);
        let maybe: Vec<u32> = take_first(&mut open.maybe, order, border).iter().collect();
        let mut decided = take_first(&mut open.sure, order, border);
        let found = decide(self.question, &open.reader, &maybe)?;
        decided |= found.matches | &found.undecided;
        (open.decided, open.undecided, open.border) = (decided.into_iter(), found.undecided, Some(border));
        if !maybe.is_empty() {
            self.decides = self.decides.saturating_mul(2).min(EVENTS_DECIDED_MAX);
        }
        self.open = Some(open);
        Ok(())
    }
}

impl<D: Disk> Candidates<'_, D> {
    /// The border behind the next `events` of which the bytes decide, or behind all.
    fn next_border(&self, order: Order, events: usize) -> u32 {
        let rank = match order {
            Order::NewestFirst => self.maybe.len().checked_sub(events as u64),
            Order::OldestFirst => Some(events as u64),
        };
        let border = rank.and_then(|rank| self.maybe.select(u32::try_from(rank).ok()?));
        border.unwrap_or(match order {
            Order::NewestFirst => 0,
            Order::OldestFirst => u32::MAX,
        })
    }
}

impl<D: Disk> Source for Walk<'_, D> {
    type Item = Record;
    type Error = ReadError;

    fn ahead(&self) -> Ahead {
        if let Some(record) = &self.ready {
            return Ahead::Ready(Key { received: record.received, sequence: record.sequence });
        }
        let sequence = match self.question.order {
            Order::NewestFirst => self.left.end,
            Order::OldestFirst => self.left.start,
        };
        if self.left.is_empty() {
            Ahead::Nothing
        } else {
            Ahead::NotBefore(Key { received: self.bound, sequence })
        }
    }

    fn look(&mut self) -> Result<(), ReadError> {
        self.looked = self.looked.wrapping_add(1);
        if self.looked.is_multiple_of(EVENTS_BETWEEN_CHECKS) {
            self.question.asker.check()?;
        }
        match self.open.take() {
            Some(open) => self.examine(open),
            None => self.open_next(),
        }
    }

    fn take(&mut self) -> Option<Record> {
        self.ready.take()
    }
}
