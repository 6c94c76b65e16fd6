//! What an evaluation asks of a segment's index: one set of questions for the columns of an active segment
//! and for the `.idx` of a sealed one.

use crate::{
    error::IndexError,
    group::Labels,
    keys::producer_key,
    wire::{i64_at, u32_at},
};
use piperoll_format::{
    event::{Field, Indexed},
    frame::ProducerKey,
    units::{Offset, Ordinal, UnixNanos},
};
use roaring::RoaringBitmap;
use std::ops::{Range, RangeInclusive};

/// What can be said of a segment's events at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Ordinals are below this: the end sequence minus the segment's first sequence.
    pub end: u32,
    /// Events in frames that check, unreadable ones too. Below `end` where a loss left a hole.
    pub events: u32,
    /// Frames that check.
    pub frames: u32,
    /// Events of malformed and newer frames.
    pub unreadable: u32,
    /// Events with a claimed time.
    pub timed: u32,
    /// Earliest and latest time that the daemon received a frame; `None` without one.
    pub received: Option<(UnixNanos, UnixNanos)>,
    /// Earliest and latest claimed time; `None` without one.
    pub time: Option<(UnixNanos, UnixNanos)>,
}

impl Summary {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for count in [self.end, self.events, self.frames, self.unreadable, self.timed] {
            out.extend(count.to_le_bytes());
        }
        let (received, time) = (self.received, self.time);
        out.extend((u32::from(received.is_some()) | u32::from(time.is_some()) << 1).to_le_bytes());
        for (earliest, latest) in [received.unwrap_or_default(), time.unwrap_or_default()] {
            out.extend(earliest.0.to_le_bytes());
            out.extend(latest.0.to_le_bytes());
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let count = |at| u32_at(bytes, at);
        let known = count(20)?;
        let range = |bit: u32, at| {
            let range = (UnixNanos(i64_at(bytes, at)?), UnixNanos(i64_at(bytes, at + 8)?));
            Some((known & bit != 0).then_some(range))
        };
        Some(Self {
            end: count(0)?,
            events: count(4)?,
            frames: count(8)?,
            unreadable: count(12)?,
            timed: count(16)?,
            received: range(1, 24)?,
            time: range(2, 40)?,
        })
    }
}

/// A frame as the index knows it.
///
/// | at | bytes | field |
/// |---:|---:|---|
/// | 0 | 8 | received, i64 |
/// | 8 | 4 | offset in the `.log` |
/// | 12 | 4 | first ordinal |
/// | 16 | 4 | events |
/// | 20 | 4 | 1 = readable, else 0 |
/// | 24 | 4 | crc32 of the frame's header, message table and envelope |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// When the daemon received it.
    pub received: UnixNanos,
    /// Where it begins in the `.log`.
    pub offset: Offset,
    /// The ordinal of its first event.
    pub first: u32,
    /// Its events.
    pub events: u32,
    /// Whether its events can be served: `false` for a malformed and for a newer frame, whose events have
    /// ordinals and neither terms nor keys.
    pub readable: bool,
    /// crc32 of all that stands before its payload
    /// ([`FrameView::head`](piperoll_format::frame::FrameView::head)).
    pub head_check: u32,
}

impl FrameRow {
    pub(crate) const BYTES: usize = 28;

    /// The ordinal after its last event.
    pub fn end(&self) -> u32 {
        self.first.saturating_add(self.events)
    }

    /// Whether it is the frame of this event.
    pub fn holds(&self, ordinal: u32) -> bool {
        (self.first..self.end()).contains(&ordinal)
    }

    pub(crate) fn write(&self, offset: u32, out: &mut Vec<u8>) {
        out.extend(self.received.0.to_le_bytes());
        for part in [offset, self.first, self.events, self.readable.into(), self.head_check] {
            out.extend(part.to_le_bytes());
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            received: UnixNanos(i64_at(bytes, 0)?),
            offset: Offset(u32_at(bytes, 8)?.into()),
            first: u32_at(bytes, 12)?,
            events: u32_at(bytes, 16)?,
            readable: u32_at(bytes, 20)? == 1,
            head_check: u32_at(bytes, 24)?,
        })
    }
}

/// Where an event lies in its `.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// The frame.
    pub frame: FrameRow,
    /// Where the event's field (tag, length, event) begins; `None` in a frame that is not readable.
    /// [`checked_event`] takes the event from there.
    pub field: Option<Offset>,
    /// crc32 of the event's bytes.
    pub check: u32,
}

/// Where in `bytes`, which begin at an event's field, the event's own bytes are, if `check` is their crc32: then they
/// are those that were indexed.
pub fn checked_event(bytes: &[u8], check: u32) -> Option<Range<usize>> {
    let (&0x0A, mut rest) = bytes.split_first()? else { return None };
    let length = usize::try_from(crate::wire::take_leb128(&mut rest)?).ok()?;
    let start = bytes.len() - rest.len();
    (crc32fast::hash(rest.get(..length)?) == check).then_some(start..start + length)
}

/// Terms as the questions take them.
pub(crate) fn slices(terms: &[Vec<u8>]) -> Vec<&[u8]> {
    terms.iter().map(Vec::as_slice).collect()
}

/// Some terms of a field.
pub type TermsOfField = (Field, Vec<Vec<u8>>);

/// The index of one segment's events.
///
/// Sets hold the ordinals of readable events only, all below [`Summary::end`]; what has ordinals but cannot
/// be read stands in [`Terms::unreadable`].
pub trait Terms {
    /// What can be said at one look.
    fn summary(&self) -> &Summary;

    /// The frame with this number, below [`Summary::frames`]; frames ascend by ordinal and by offset.
    fn frame_at(&self, number: u32) -> Result<FrameRow, IndexError>;

    /// Where the event's field begins in the `.log`; 0 where it cannot be read or does not exist.
    fn field_offset(&self, ordinal: u32) -> Result<u32, IndexError>;

    /// The crc32 of the event's bytes; 0 where it cannot be read or does not exist.
    fn event_check(&self, ordinal: u32) -> Result<u32, IndexError>;

    /// Events that have one of these terms in a bitmap field; a text is its bytes, an enum its number as u64 little-endian.
    fn with_terms(&self, field: Field, terms: &[&[u8]]) -> Result<RoaringBitmap, IndexError>;

    /// At most so many events have one of these terms in a bitmap field; costs no more than to find the terms.
    fn cardinality(&self, field: Field, terms: &[&[u8]]) -> Result<u64, IndexError>;

    /// Those of a few events that have one of these terms in a bitmap field.
    fn among(
        &self,
        events: &RoaringBitmap,
        field: Field,
        terms: &[&[u8]],
    ) -> Result<RoaringBitmap, IndexError> {
        Ok(self.with_terms(field, terms)? & events)
    }

    /// Events that have, of each of these bitmap fields, one of its terms; there is one field at least.
    fn with_all(&self, sets: &[TermsOfField]) -> Result<RoaringBitmap, IndexError> {
        let mut common: Option<RoaringBitmap> = None;
        for (field, terms) in sets {
            let with_terms = self.with_terms(*field, &slices(terms))?;
            common = Some(match common {
                Some(common) => common & with_terms,
                None => with_terms,
            });
        }
        Ok(common.unwrap_or_default())
    }

    /// How many events these are.
    fn count_with_all(&self, sets: &[TermsOfField]) -> Result<u64, IndexError> {
        Ok(self.with_all(sets)?.len())
    }

    /// Events that have a value of this field.
    fn present(&self, field: Field) -> Result<RoaringBitmap, IndexError>;

    /// Events that have a term in a bitmap field which begins so.
    fn with_prefix(&self, field: Field, prefix: &[u8]) -> Result<RoaringBitmap, IndexError>;

    /// Events that may have the exact value with this key: candidates, their bytes decide.
    fn with_key(&self, key: u32) -> Result<RoaringBitmap, IndexError>;

    /// Events whose claimed time is in the range.
    fn with_time(&self, range: RangeInclusive<i64>) -> Result<RoaringBitmap, IndexError>;

    /// The claimed time of each event of `among` that has one, by ascending ordinal.
    fn claimed_times(&self, among: &RoaringBitmap, each: &mut dyn FnMut(u32, i64)) -> Result<(), IndexError>;

    /// How many terms a bitmap field has.
    fn term_count(&self, field: Field) -> Result<usize, IndexError>;

    /// Each term of a bitmap field, once, in no order.
    fn each_term(&self, field: Field, each: &mut dyn FnMut(&[u8])) -> Result<(), IndexError>;

    /// For each term of a bitmap field, how many events of `among` have it; terms that none has may be left
    /// out. No order, each term once.
    fn count_terms(
        &self,
        field: Field,
        among: &RoaringBitmap,
        each: &mut dyn FnMut(&[u8], u64),
    ) -> Result<(), IndexError>;

    /// Which term of a bitmap field each event has.
    fn labels(&self, field: Field) -> Result<Labels, IndexError>;

    /// The place of an event; `None` where there is none with this ordinal.
    fn event_place(&self, ordinal: Ordinal) -> Result<Option<EventPlace>, IndexError> {
        let Some(frame) = self.frame_of(ordinal.0)? else { return Ok(None) };
        let field = Offset(self.field_offset(ordinal.0)?.into());
        let check = self.event_check(ordinal.0)?;
        Ok(Some(EventPlace { frame, field: (field.0 != 0 && frame.readable).then_some(field), check }))
    }

    /// The frame that holds an event; `None` where there is none with this ordinal.
    fn frame_of(&self, ordinal: u32) -> Result<Option<FrameRow>, IndexError> {
        Ok(self.frame_among(0..self.summary().frames, ordinal)?.map(|(_, frame)| frame))
    }

    /// The frame that holds an event, with its number, if it is one of these.
    fn frame_among(&self, numbers: Range<u32>, ordinal: u32) -> Result<Option<(u32, FrameRow)>, IndexError> {
        let (mut low, mut high) = (numbers.start, numbers.end.min(self.summary().frames));
        while low < high {
            let middle = low.midpoint(high);
            let frame = self.frame_at(middle)?;
            if ordinal < frame.first {
                high = middle;
            } else if ordinal >= frame.end() {
                low = middle + 1;
            } else {
                return Ok(Some((middle, frame)));
            }
        }
        Ok(None)
    }

    /// Events of the frames that are chosen, unreadable ones too.
    fn in_frames(&self, chosen: &dyn Fn(&FrameRow) -> bool) -> Result<RoaringBitmap, IndexError> {
        let mut events = RoaringBitmap::new();
        for number in 0..self.summary().frames {
            let frame = self.frame_at(number)?;
            if chosen(&frame) {
                events.insert_range(frame.first..frame.end().min(self.summary().end));
            }
        }
        Ok(events)
    }

    /// Every event that has an ordinal, unreadable ones too.
    fn all(&self) -> Result<RoaringBitmap, IndexError> {
        let summary = self.summary();
        if summary.events < summary.end {
            return self.in_frames(&|_| true);
        }
        let mut events = RoaringBitmap::new();
        events.insert_range(0..summary.end);
        Ok(events)
    }

    /// Events that have ordinals and cannot be served: of malformed and of newer frames.
    fn unreadable(&self) -> Result<RoaringBitmap, IndexError> {
        if self.summary().unreadable == 0 {
            return Ok(RoaringBitmap::new());
        }
        self.in_frames(&|frame| !frame.readable)
    }

    /// First events of messages that may have this retry key: candidates, frame header and envelope decide.
    fn with_producer(&self, principal: &str, producer: ProducerKey) -> Result<RoaringBitmap, IndexError> {
        self.with_key(producer_key(principal, producer))
    }
}

/// The bitmap fields, by ascending number.
pub(crate) fn bitmap_fields() -> impl Iterator<Item = Field> {
    Field::ALL.iter().copied().filter(|field| field.indexed() == Indexed::Bitmap)
}
