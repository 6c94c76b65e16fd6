//! Reading one pinned segment: its matches from the index, its events from the map. What cannot be read is an error
//! and never left out (I14).

use super::{
    asker::{Asker, Stage},
    error::{Place, ReadError},
    holes::{self, Hole},
};
use crate::segment::{PinError, Pinned, TermSource};
use bytes::Bytes;
use piperoll_filter::{Filter, Needles, RecordFacts};
use piperoll_format::{
    envelope::Envelope,
    event::{EventView, Field},
    frame::check_frame_head,
    limits::SEGMENT_HEADER_BYTES,
    names::Name,
    segment::SegmentHeader,
    units::{Offset, Ordinal, Sequence, UnixNanos},
    walk::{ByteSource, walk},
};
use piperoll_index::{
    Columns, FrameRow, IndexError, IndexLayout, Matches, Terms, checked_event, count_matches, evaluate,
};
use roaring::RoaringBitmap;
use std::{
    convert::Infallible,
    fmt::Display,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// Where less than one of so many events will be read, the kernel is told to read no more around them.
const SPARSE_SHARE: u64 = 32;

/// An event as it was committed, with all that the daemon says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The retention class of its log.
    pub class: Name,
    /// Its place in the log.
    pub sequence: Sequence,
    /// When the daemon received it.
    pub received: UnixNanos,
    /// Who sent it; shared by the records of a frame.
    pub envelope: Arc<Envelope>,
    /// The producer's own bytes.
    pub event: Bytes,
}

/// A segment that is being read.
pub(super) struct SegmentReader<'q> {
    pinned: Pinned,
    asker: &'q Asker<'q>,
    /// Made from the `.log` where the index turned out to be unreadable.
    remade: OnceLock<Columns>,
    /// The frame that was read last: its neighbours are most often next.
    frame: Option<TouchedFrame>,
}

/// A frame whose head was found to be the one that was indexed.
struct TouchedFrame {
    row: FrameRow,
    envelope: Arc<Envelope>,
}

/// An event where it lies in the map.
pub(super) struct Seen<'a> {
    pub(super) class: &'a Name,
    pub(super) sequence: Sequence,
    pub(super) received: UnixNanos,
    pub(super) envelope: &'a Arc<Envelope>,
    pub(super) bytes: &'a [u8],
}

impl Seen<'_> {
    /// A copy that needs no map.
    pub(super) fn to_record(&self) -> Record {
        Record {
            class: self.class.clone(),
            sequence: self.sequence,
            received: self.received,
            envelope: Arc::clone(self.envelope),
            event: Bytes::copy_from_slice(self.bytes),
        }
    }
}

/// What the bytes of some events say of a filter.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) matches: RoaringBitmap,
    /// Those that cannot be read: whoever reads one of them is told why.
    pub(super) undecided: RoaringBitmap,
}

/// Events that are looked at by ascending ordinals.
struct Events<'a> {
    pinned: &'a Pinned,
    terms: &'a dyn Terms,
    /// The frame that was asked for last, and its number.
    frame: Option<(u32, FrameRow)>,
    /// Bytes of all that were looked at.
    bytes: u64,
}

impl Events<'_> {
    /// Whether an event matches; `None` where it cannot be read.
    fn is_match(
        &mut self,
        filter: &Filter,
        needles: Option<&Needles>,
        ordinal: u32,
    ) -> Result<Option<bool>, IndexError> {
        let (field, check) = (self.terms.field_offset(ordinal)?, self.terms.event_check(ordinal)?);
        let bytes = self.pinned.log.from(Offset(field.into())).unwrap_or_default();
        let Some(bytes) = checked_event(bytes, check).and_then(|event| bytes.get(event)) else {
            return Ok(None);
        };
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if needles.is_some_and(|needles| !needles.any_is_in(bytes)) {
            return Ok(Some(false));
        }
        let Some(received) = self.received(ordinal)? else { return Ok(None) };
        let facts = RecordFacts { received, class: self.pinned.class.as_str() };
        // It was indexed after it was checked, and is the same.
        Ok(Some(filter.matches(&EventView::of_checked(bytes), &facts)))
    }

    /// When its frame was received: mostly the one that was asked for last, or the next.
    fn received(&mut self, ordinal: u32) -> Result<Option<UnixNanos>, IndexError> {
        if !self.frame.is_some_and(|(_, frame)| frame.holds(ordinal)) {
            let next = self.frame.map_or(0, |(number, _)| number.saturating_add(1));
            let near = self.terms.frame_among(next..next.saturating_add(1), ordinal)?;
            self.frame =
                near.map_or_else(|| self.terms.frame_among(next..u32::MAX, ordinal), |near| Ok(Some(near)))?;
        }
        Ok(self.frame.map(|(_, frame)| frame.received))
    }
}

impl<'q> SegmentReader<'q> {
    /// A reader of what was pinned.
    pub(super) fn new(pinned: Pinned, asker: &'q Asker<'q>) -> Self {
        Self { pinned, asker, remade: OnceLock::new(), frame: None }
    }

    /// The retention class of its log.
    pub(super) fn class(&self) -> &Name {
        &self.pinned.class
    }

    /// The segment's first sequence.
    pub(super) fn first(&self) -> Sequence {
        self.pinned.first
    }

    /// The ordinals of those of its published events whose sequences are in `sequences`.
    pub(super) fn ordinals(&self, sequences: &Range<Sequence>) -> Range<u32> {
        let Pinned { first, end, .. } = self.pinned;
        // A segment has at most 2²⁴ events, so an ordinal that does not fit lies behind all of them.
        let ordinal = |at: Sequence| at.min(end).ordinal_from(first).map_or(0, |ordinal| ordinal.0);
        let (start, end) = (ordinal(sequences.start), ordinal(sequences.end));
        start..end.max(start)
    }

    /// Asks the index, or the columns made anew where the index cannot be read.
    pub(super) fn ask<T>(&self, ask: impl Fn(&dyn Terms) -> Result<T, IndexError>) -> Result<T, ReadError> {
        if self.remade.get().is_none() {
            let answer = match &self.pinned.terms {
                TermSource::Sealed(index) => {
                    index.open().and_then(|index| ask(&index.knowing(self.pinned.known.as_deref())))
                }
                TermSource::Active(columns) => ask(&columns.read().columns),
            };
            if let Ok(answer) = answer {
                return Ok(answer);
            }
        }
        ask(self.remade()?).map_err(|error| {
            let path = self.pinned.log.path();
            self.damaged(PinError::damaged(path, Offset(SEGMENT_HEADER_BYTES), error))
        })
    }

    fn remade(&self) -> Result<&Columns, ReadError> {
        if let Some(columns) = self.remade.get() {
            return Ok(columns);
        }
        let columns = remake(&self.pinned).map_err(|error| self.damaged(error))?;
        Ok(self.remade.get_or_init(|| columns))
    }

    /// Tells that most of what the index has of these fields will be read.
    pub(super) fn expect_reads_of_fields(&self, fields: impl IntoIterator<Item = Field>) {
        if let TermSource::Sealed(index) = &self.pinned.terms {
            fields.into_iter().for_each(|field| index.expect_reads_of(|layout| layout.range_of(field)));
        }
    }

    /// The ordinals that match: surely, and those of which the bytes decide.
    pub(super) fn matches(&self, filter: &Filter, ordinals: &Range<u32>) -> Result<Matches, ReadError> {
        let (class, asker) = (self.pinned.class.as_str(), self.asker);
        let matches = asker
            .timed(Stage::Index, || self.ask(|terms| evaluate(filter, class, terms, ordinals.clone())))?;
        if asker.is_explaining() {
            for condition in filter.conditions() {
                let found = self.ask(|terms| evaluate(&condition, class, terms, ordinals.clone()))?;
                asker.meets(condition, &found);
            }
        }
        let found = matches.sure.len().saturating_add(matches.maybe.len());
        asker.finds(found);
        let events = u64::from(ordinals.end.saturating_sub(ordinals.start));
        let is_sparse = |events_read: u64| events_read.saturating_mul(SPARSE_SHARE) < events;
        self.pinned.log.expect_sparse_reads(is_sparse(found));
        if !is_sparse(matches.maybe.len())
            && let TermSource::Sealed(index) = &self.pinned.terms
        {
            index.expect_reads_of(IndexLayout::range_of_events);
        }
        Ok(matches)
    }

    /// How many events in `sequences` match, where the index tells without a set of them.
    pub(super) fn count_matches(
        &mut self,
        filter: &Filter,
        sequences: &Range<Sequence>,
    ) -> Result<Option<u64>, ReadError> {
        let (asker, ordinals) = (self.asker, self.ordinals(sequences));
        let count =
            asker.timed(Stage::Index, || self.ask(|terms| count_matches(filter, terms, &ordinals)))?;
        if let Some(count) = count {
            asker.finds(count);
        }
        Ok(count)
    }

    /// What damage took of the sequences that the segment should have, where matches may have been among it.
    /// What a sealed segment lacks was accepted as lost before it was sealed; what is missing behind it is a
    /// file, unless the log `is_whole`.
    pub(super) fn holes(
        &self,
        filter: &Filter,
        expected: &Range<Sequence>,
        is_whole: bool,
    ) -> Result<Vec<Hole>, ReadError> {
        let Pinned { first, end, ref class, .. } = self.pinned;
        let start = match self.pinned.terms {
            _ if self.pinned.has_loss => return Ok(Vec::new()),
            TermSource::Sealed(_) if is_whole => return Ok(Vec::new()),
            TermSource::Sealed(_) => end.max(expected.start),
            TermSource::Active(_) => expected.start,
        };
        let ordinal = |at: Sequence| at.ordinal_from(first).map_or(0, |ordinal| ordinal.0);
        let ordinals = ordinal(start)..ordinal(expected.end);
        let mut holes = self.ask(|terms| holes::find(terms, &ordinals))?;
        holes.retain(|hole| hole.may_match(filter, class));
        Ok(holes)
    }

    /// The error that a hole is.
    pub(super) fn lost(&self, hole: &Hole) -> ReadError {
        let log = &self.pinned.log;
        let end_of = |row: FrameRow| {
            let length = log.frame(row.offset).map_or(0, |frame| frame.header().length);
            row.offset.0.saturating_add(length.into())
        };
        ReadError::DataLoss {
            path: log.path().to_path_buf(),
            offset: hole.after.map_or(SEGMENT_HEADER_BYTES, end_of),
            reason: "no frame is where one was acknowledged".to_owned(),
            class: self.pinned.class.clone(),
            first: Ordinal(hole.ordinals.start).sequence_from(self.pinned.first),
            end: Ordinal(hole.ordinals.end).sequence_from(self.pinned.first),
        }
    }

    /// Decides which events match, by their bytes, in one look at the index. Those are found to be the ones that were
    /// indexed. The heads of their frames are not looked at: a filter asks of them only when they were received, and
    /// that the index knows (decision 14). `needles` are the filter's.
    pub(super) fn decide(
        &self,
        filter: &Filter,
        needles: Option<&Needles>,
        ordinals: &[u32],
    ) -> Result<Decided, ReadError> {
        let asker = self.asker;
        let decide = |terms: &dyn Terms| {
            let mut events = Events { pinned: &self.pinned, terms, frame: None, bytes: 0 };
            let mut decided = Decided::default();
            for &ordinal in ordinals {
                match events.is_match(filter, needles, ordinal)? {
                    Some(true) => decided.matches.insert(ordinal),
                    Some(false) => false,
                    None => decided.undecided.insert(ordinal),
                };
            }
            Ok((decided, events.bytes))
        };
        match asker.timed(Stage::Read, || self.ask(decide)) {
            Ok((decided, bytes)) => {
                asker.reads((ordinals.len() as u64).saturating_sub(decided.undecided.len()), bytes)?;
                Ok(decided)
            }
            // Those before the damage can perhaps be read one by one, and it is met again.
            Err(_) => Ok(Decided { undecided: ordinals.iter().collect(), ..Decided::default() }),
        }
    }

    /// Whether an event matches, by its bytes.
    pub(super) fn is_match(&mut self, filter: &Filter, ordinal: u32) -> Result<bool, ReadError> {
        self.with_event(ordinal, |seen, event| {
            filter.matches(&event, &RecordFacts { received: seen.received, class: seen.class.as_str() })
        })
    }

    /// Does something with an event. Its bytes are those that were checked before they were indexed.
    pub(super) fn with_event<T>(
        &mut self,
        ordinal: u32,
        with: impl FnOnce(&Seen<'_>, EventView<'_>) -> T,
    ) -> Result<T, ReadError> {
        let seen = self.read(ordinal)?;
        Ok(with(&seen, EventView::of_checked(seen.bytes)))
    }

    /// Whether any frame holds this event.
    pub(super) fn has_frame_of(&self, ordinal: u32) -> Result<bool, ReadError> {
        Ok(self.ask(|terms| terms.frame_of(ordinal))?.is_some())
    }

    /// An event, whose bytes and whose frame's head are those that were indexed. What lies beside them in the frame is
    /// not looked at (decision 14).
    pub(super) fn read(&mut self, ordinal: u32) -> Result<Seen<'_>, ReadError> {
        let asker = self.asker;
        let place = asker.timed(Stage::Read, || self.place(ordinal))?;
        let seen = self.seen(ordinal, place)?;
        asker.reads(1, seen.bytes.len() as u64)?;
        Ok(seen)
    }

    /// Where an event's bytes are in the `.log`; its frame is the touched one then.
    fn place(&mut self, ordinal: u32) -> Result<Range<usize>, ReadError> {
        let sequence = Ordinal(ordinal).sequence_from(self.pinned.first);
        let is_touched = self.frame.as_ref().is_some_and(|frame| frame.row.holds(ordinal));
        let (row, field, check) = self.ask(|terms| {
            let row = if is_touched { None } else { terms.frame_of(ordinal)? };
            Ok((row, terms.field_offset(ordinal)?, terms.event_check(ordinal)?))
        })?;
        if !is_touched {
            let row = row.ok_or_else(|| self.damaged_frame(format!("no frame holds event {sequence}")))?;
            self.frame = Some(self.touch(row)?);
        }
        let bytes = self.pinned.log.from(Offset(field.into())).unwrap_or_default();
        let event = checked_event(bytes, check).ok_or_else(|| self.damaged_event(sequence))?;
        let start = field as usize + event.start;
        Ok(start..start + event.len())
    }

    fn seen(&self, ordinal: u32, place: Range<usize>) -> Result<Seen<'_>, ReadError> {
        let sequence = Ordinal(ordinal).sequence_from(self.pinned.first);
        let bytes = self.pinned.log.from(Offset(0)).and_then(|bytes| bytes.get(place));
        match (&self.frame, bytes) {
            (Some(TouchedFrame { row, envelope }), Some(bytes)) => {
                Ok(Seen { class: &self.pinned.class, sequence, received: row.received, envelope, bytes })
            }
            _ => Err(self.damaged_event(sequence)),
        }
    }

    /// Checks the head of a frame, once for all the events that are read from it in a row. What is malformed
    /// inside a frame was found when it was indexed, and is not looked for again at every read.
    fn touch(&self, row: FrameRow) -> Result<TouchedFrame, ReadError> {
        let malformed =
            |error: &dyn Display| self.damaged(PinError::damaged(self.pinned.log.path(), row.offset, error));
        if !row.readable {
            let frame = self.pinned.log.frame(row.offset).map_err(|error| self.damaged(error))?;
            frame.validate(&self.pinned.class).map_err(|error| malformed(&error))?;
        }
        let bytes = self.pinned.log.from(row.offset).unwrap_or_default();
        let (_, envelope) =
            check_frame_head(bytes, row.offset, row.head_check).map_err(|error| malformed(&error))?;
        let envelope = Envelope::decode(envelope).map_err(|error| malformed(&error))?;
        Ok(TouchedFrame { row, envelope: Arc::new(envelope) })
    }

    /// The error that an event is whose bytes are not those that were indexed: what its frame says, if that shows.
    fn damaged_event(&self, sequence: Sequence) -> ReadError {
        let frame = self.frame.as_ref().map(|frame| self.pinned.log.frame(frame.row.offset));
        match frame {
            Some(Err(error)) => self.damaged(error),
            _ => self.damaged_frame(format!("event {sequence} is not the one that was indexed")),
        }
    }

    fn damaged(&self, error: PinError) -> ReadError {
        let place = Place { class: &self.pinned.class, first: self.pinned.first, end: self.pinned.end };
        // A pin that is held is not dropped under its reader.
        place.error(error).unwrap_or(ReadError::Cancelled)
    }

    fn damaged_frame(&self, reason: String) -> ReadError {
        let offset = self.frame.as_ref().map_or(Offset(SEGMENT_HEADER_BYTES), |frame| frame.row.offset);
        self.damaged(PinError::damaged(self.pinned.log.path(), offset, reason))
    }
}

/// The columns of a segment, from its bytes alone.
fn remake(pinned: &Pinned) -> Result<Columns, PinError> {
    let Pinned { first, class, log, .. } = pinned;
    let mut columns = Columns::new(*first, log.salt(), class);
    let mut offset = Offset(SEGMENT_HEADER_BYTES);
    while offset < log.length() {
        let frame = match log.frame(offset) {
            Err(_) if pinned.has_loss => return remake_behind(pinned, columns),
            frame => frame?,
        };
        let taken = Columns::frame(&mut columns, offset, &frame);
        taken.map_err(|error| PinError::damaged(log.path(), offset, error))?;
        offset = Offset(offset.0.saturating_add(u64::from(frame.header().length)));
    }
    Ok(columns)
}

/// Goes on behind a loss that a person accepted: with the frames that check.
fn remake_behind(pinned: &Pinned, mut columns: Columns) -> Result<Columns, PinError> {
    let log = &pinned.log;
    let damaged = |error: &dyn Display| PinError::damaged(log.path(), Offset(0), error);
    let bytes = log.from(Offset(0)).unwrap_or_default();
    let header = SegmentHeader::decode(bytes).map_err(|error| damaged(&error))?;
    let verdict = walk(&mut Mapped(bytes), &header, bytes.len() as u64, None, &mut |_, _| ());
    for after in verdict.map_err(|error| damaged(&error))?.frames_after {
        // As at the seal: one that does not lie behind the others is part of the damage.
        let _ = Columns::frame(&mut columns, after.offset, &log.frame(after.offset)?);
    }
    Ok(columns)
}

/// Mapped bytes, for the walk.
struct Mapped<'a>(&'a [u8]);

impl ByteSource for Mapped<'_> {
    type Error = Infallible;

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> Result<usize, Infallible> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let read = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        Ok(read)
    }
}
