//! The index of an active segment, in memory: columns of interned ids, and exact keys in buckets.
//!
//! Events pour in, so nothing here is kept sorted; a question costs a scan of a column of integers.

mod dictionary;
mod exact;

use crate::{
    bits::Bits,
    error::IndexError,
    group::Labels,
    keys::{exact_key, producer_key},
    terms::{FrameRow, Summary, Terms, bitmap_fields},
    wire::leb128_bytes,
    writer::{self, BuiltIndex},
};
pub(crate) use dictionary::Interned;
pub(crate) use exact::{ExactKeys, KeyOrdinal};
use piperoll_format::{
    event::{Field, FieldSet, Indexed, Term},
    frame::{CheckedFrame, FrameView},
    limits::{SEGMENT_BYTES_MAX, SEGMENT_EVENTS_MAX},
    names::Name,
    units::{FrameSalt, Offset, Root, Sequence, UnixNanos},
};
use roaring::RoaringBitmap;
use std::ops::RangeInclusive;

/// The index of an active segment. It takes frames in as they are committed, answers [`Terms`], and becomes
/// the `.idx` at the seal.
pub struct Columns {
    pub(crate) first: Sequence,
    pub(crate) salt: FrameSalt,
    class: Name,
    pub(crate) summary: Summary,
    pub(crate) frames: Vec<FrameRow>,
    /// Of each ordinal, where the event's field begins in the `.log`; 0 for none.
    pub(crate) offsets: Vec<u32>,
    /// Of each ordinal, the crc32 of the event's bytes; 0 for none.
    pub(crate) checks: Vec<u32>,
    /// Of each ordinal, the claimed time; 0 for none.
    pub(crate) times: Vec<i64>,
    /// Of each ordinal, which fields the event has.
    pub(crate) present: Vec<FieldSet>,
    /// The bitmap fields, by ascending number.
    pub(crate) fields: Vec<Interned>,
    /// Of each field number, the place among them: numbers have no gaps.
    places: [Option<u8>; Field::ALL.len() + 1],
    pub(crate) exact: ExactKeys,
}

impl Columns {
    /// The columns of a segment without frames; `first`, `salt` and `class` are those of its header.
    pub fn new(first: Sequence, salt: &FrameSalt, class: &Name) -> Self {
        let fields: Vec<Interned> = bitmap_fields().map(Interned::new).collect();
        let mut places = [None; Field::ALL.len() + 1];
        for (place, column) in (0..).zip(&fields) {
            if let Some(slot) = places.get_mut(usize::from(column.field.number())) {
                *slot = Some(place);
            }
        }
        Self {
            first,
            salt: *salt,
            class: class.clone(),
            summary: Summary::default(),
            frames: Vec::new(),
            offsets: Vec::new(),
            checks: Vec::new(),
            times: Vec::new(),
            present: Vec::new(),
            fields,
            places,
            exact: ExactKeys::default(),
        }
    }

    /// Takes in the next frame, which begins at `offset` of the `.log`. Sequences may jump, as a loss lets
    /// them. Of a frame that is malformed or newer only the ordinals are taken.
    ///
    /// Fails, and takes in nothing, where the frame does not lie behind the ones before it, or beyond what a
    /// segment holds.
    pub fn frame(&mut self, offset: Offset, frame: &FrameView<'_>) -> Result<(), IndexError> {
        self.take(offset, frame, frame.validate(&self.class).ok())
    }

    /// As [`Self::frame`], for a frame that this process has written: its events were checked before that.
    pub fn own_frame(&mut self, offset: Offset, frame: &FrameView<'_>) -> Result<(), IndexError> {
        self.take(offset, frame, frame.validate_own(&self.class).ok())
    }

    fn take(
        &mut self,
        offset: Offset,
        frame: &FrameView<'_>,
        checked: Option<CheckedFrame<'_>>,
    ) -> Result<(), IndexError> {
        let row = self.place(offset, frame, checked.is_some())?;
        let end = row.end() as usize;
        self.offsets.resize(end, 0);
        self.checks.resize(end, 0);
        self.times.resize(end, 0);
        self.present.resize(end, FieldSet::default());
        self.fields.iter_mut().for_each(|field| field.ids.resize(end, 0));
        if let Some(checked) = checked {
            self.producers(row.first, &checked);
            self.events(&row, &checked);
        }
        self.count(row);
        Ok(())
    }

    /// Bytes of memory that the columns hold.
    pub fn memory_bytes(&self) -> usize {
        let fixed = size_of::<Self>()
            + size_of::<FrameRow>() * self.frames.capacity()
            + size_of::<u32>() * (self.offsets.capacity() + self.checks.capacity())
            + size_of::<i64>() * self.times.capacity()
            + size_of::<FieldSet>() * self.present.capacity();
        let fields: usize = self.fields.iter().map(Interned::memory_bytes).sum();
        fixed + fields + self.exact.memory_bytes()
    }

    /// The sequence after the last event.
    pub fn end(&self) -> Sequence {
        self.first.plus(self.summary.end.into())
    }

    /// The `.idx` of the segment as it is; `root` is the BLAKE3 root of the `.log`. The same frames and root
    /// give the same canonical bytes, always.
    pub fn build(&self, root: &Root) -> Result<BuiltIndex, IndexError> {
        writer::build(self, root)
    }

    /// The frame's row, if this is the frame's place.
    fn place(&self, offset: Offset, frame: &FrameView<'_>, readable: bool) -> Result<FrameRow, IndexError> {
        let header = frame.header();
        let last = self.frames.last().map_or(Offset(0), |row| row.offset);
        let order = IndexError::Order { offset, expected: self.end(), found: header.first_sequence };
        let first = header.first_sequence.ordinal_from(self.first).ok_or_else(|| order.clone())?;
        if first.0 < self.summary.end || (offset <= last && !self.frames.is_empty()) {
            return Err(order);
        }
        let end = u64::from(first.0) + u64::from(header.event_count);
        check_limit("the end of the frame's ordinals", end, SEGMENT_EVENTS_MAX)?;
        let end_offset = offset.0.saturating_add(header.length.into());
        check_limit("the end of the frame", end_offset, SEGMENT_BYTES_MAX)?;
        Ok(FrameRow {
            received: header.received,
            offset,
            first: first.0,
            events: header.event_count,
            readable,
            head_check: crc32fast::hash(frame.head()),
        })
    }

    /// Each message's retry key, at its first event.
    fn producers(&mut self, first: u32, checked: &CheckedFrame<'_>) {
        let mut ordinal = first;
        for (number, message) in (0_u32..).zip(checked.frame().messages()) {
            let producer = checked.frame().producer_of(number);
            if let Some(producer) = producer {
                self.exact.push(producer_key(&checked.envelope().principal, producer), ordinal);
            }
            ordinal = ordinal.saturating_add(message.events);
        }
    }

    fn events(&mut self, row: &FrameRow, checked: &CheckedFrame<'_>) {
        for (event, view) in checked.events() {
            let ordinal = row.first.saturating_add(event.position);
            let field = u64::from(event.start).saturating_sub(1 + leb128_bytes(event.bytes.len()));
            if let Some(offset) = self.offsets.get_mut(ordinal as usize) {
                // It fits: the end of the frame was checked.
                *offset = u32::try_from(row.offset.0 + field).unwrap_or(0);
            }
            if let Some(check) = self.checks.get_mut(ordinal as usize) {
                *check = crc32fast::hash(event.bytes);
            }
            let present = view.for_each_term(&mut |term| self.term(ordinal, &term));
            if let Some(place) = self.present.get_mut(ordinal as usize) {
                *place = present;
            }
        }
    }

    fn term(&mut self, ordinal: u32, term: &Term<'_>) {
        let number;
        let (field, bytes) = match *term {
            Term::Time(time) => return self.time(ordinal, time),
            Term::Text(field, text) => (field, text),
            Term::Number(field, value) => {
                number = value.to_le_bytes();
                (field, number.as_slice())
            }
            Term::Bytes(field, bytes) => (field, bytes),
            Term::Digest(field, ..) => (field, [].as_slice()),
            Term::Attribute(..) => (Field::Attributes, [].as_slice()),
        };
        if field.indexed() == Indexed::Bitmap {
            if let Some(column) = self.column_place(field).and_then(|place| self.fields.get_mut(place)) {
                column.put(ordinal, bytes);
            }
        } else if let Some(key) = exact_key(term) {
            self.exact.push(key, ordinal);
        }
    }

    fn time(&mut self, ordinal: u32, time: UnixNanos) {
        if let Some(place) = self.times.get_mut(ordinal as usize) {
            *place = time.0;
            self.summary.time = Some(widened(self.summary.time, time));
            self.summary.timed += 1;
        }
    }

    fn count(&mut self, row: FrameRow) {
        let summary = &mut self.summary;
        summary.end = row.end();
        summary.events += row.events;
        summary.frames += 1;
        summary.unreadable += if row.readable { 0 } else { row.events };
        summary.received = Some(widened(summary.received, row.received));
        self.frames.push(row);
    }

    fn column_place(&self, field: Field) -> Option<usize> {
        self.places.get(usize::from(field.number())).copied().flatten().map(usize::from)
    }

    fn column(&self, field: Field) -> Option<&Interned> {
        self.fields.get(self.column_place(field)?)
    }
}

fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<(), IndexError> {
    if found <= limit { Ok(()) } else { Err(IndexError::TooLarge { what, found, limit }) }
}

fn widened(range: Option<(UnixNanos, UnixNanos)>, with: UnixNanos) -> (UnixNanos, UnixNanos) {
    range.map_or((with, with), |(earliest, latest)| (earliest.min(with), latest.max(with)))
}

impl Terms for Columns {
    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn frame_at(&self, number: u32) -> Result<FrameRow, IndexError> {
        let beyond = IndexError::damaged(0, "a frame with this number");
        self.frames.get(number as usize).copied().ok_or(beyond)
    }

    fn field_offset(&self, ordinal: u32) -> Result<u32, IndexError> {
        Ok(self.offsets.get(ordinal as usize).copied().unwrap_or(0))
    }

    fn event_check(&self, ordinal: u32) -> Result<u32, IndexError> {
        Ok(self.checks.get(ordinal as usize).copied().unwrap_or(0))
    }

    fn with_terms(&self, field: Field, terms: &[&[u8]]) -> Result<RoaringBitmap, IndexError> {
        Ok(self.column(field).map(|column| column.with_terms(terms)).unwrap_or_default())
    }

    fn cardinality(&self, field: Field, terms: &[&[u8]]) -> Result<u64, IndexError> {
        let has_any = self.column(field).is_some_and(|column| column.has_any(terms));
        Ok(if has_any { self.summary.end.into() } else { 0 })
    }

    fn present(&self, field: Field) -> Result<RoaringBitmap, IndexError> {
        Ok(Bits::scan(&self.present, |present| present.has(field)).to_bitmap())
    }

    fn with_prefix(&self, field: Field, prefix: &[u8]) -> Result<RoaringBitmap, IndexError> {
        Ok(self.column(field).map(|column| column.with_prefix(prefix)).unwrap_or_default())
    }

    fn with_key(&self, key: u32) -> Result<RoaringBitmap, IndexError> {
        Ok(self.exact.find(key))
    }

    fn with_time(&self, range: RangeInclusive<i64>) -> Result<RoaringBitmap, IndexError> {
        let timed = self.present(Field::Time)?;
        Ok(Bits::scan(&self.times, |time| range.contains(&time)).to_bitmap() & timed)
    }

    fn claimed_times(&self, among: &RoaringBitmap, each: &mut dyn FnMut(u32, i64)) -> Result<(), IndexError> {
        let is_timed = |ordinal: &u32| {
            self.present.get(*ordinal as usize).is_some_and(|present| present.has(Field::Time))
        };
        among
            .iter()
            .filter(is_timed)
            .for_each(|ordinal| each(ordinal, self.times.get(ordinal as usize).copied().unwrap_or(0)));
        Ok(())
    }

    fn term_count(&self, field: Field) -> Result<usize, IndexError> {
        Ok(self.column(field).map_or(0, |column| column.terms.len()))
    }

    fn each_term(&self, field: Field, each: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        if let Some(column) = self.column(field) {
            column.terms.iter().for_each(|term| each(term));
        }
        Ok(())
    }

    fn count_terms(
        &self,
        field: Field,
        among: &RoaringBitmap,
        each: &mut dyn FnMut(&[u8], u64),
    ) -> Result<(), IndexError> {
        if let Some(column) = self.column(field) {
            column.count(among, each);
        }
        Ok(())
    }

    fn labels(&self, field: Field) -> Result<Labels, IndexError> {
        Ok(self.column(field).map_or_else(|| Labels::none(self.summary.end), Interned::labels))
    }
}
