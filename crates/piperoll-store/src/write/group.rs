//! A group: the frames under one write and one sync.

use crate::write::part::Part;
use bytes::Bytes;
use piperoll_format::frame::{FrameEncodeError, FrameParts, MessageSpan, PADDING, encode_frame};
use piperoll_format::units::{FrameSalt, Offset, Sequence, UnixNanos};
use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;

/// Longest payload of a frame of several parts: a read of one event checks the whole frame.
const MERGED_BYTES_MAX: u64 = 128 * 1024;
/// Runs of the client's bytes shorter than this are copied: a part of a vectored write costs more.
const COPY_BYTES_MAX: usize = 4 * 1024;

/// Parts that become one frame: one part, consecutive messages of one producer, or what one sender sent without a
/// producer, which has no borders that anybody could ask for.
pub(crate) struct PlannedFrame {
    pub(crate) parts: Vec<Part>,
    payload_bytes: u64,
}

impl PlannedFrame {
    fn takes(&self, part: &Part) -> bool {
        let Some(last) = self.parts.last() else { return false };
        let follows = match (last.producer, part.producer) {
            (Some(a), Some(b)) => a.id == b.id && a.sequence.checked_add(1) == Some(b.sequence),
            (None, None) => true,
            _ => false,
        };
        let bytes = self.payload_bytes.saturating_add(part.payload_bytes.into());
        follows
            && !last.is_split()
            && !part.is_split()
            && bytes <= MERGED_BYTES_MAX
            && last.envelope == part.envelope
    }
}

/// Sorts parts into frames. Frames stand in the order of their first parts, so that what each sender sent keeps its
/// order; among those who wait together there is no other.
pub(crate) fn plan_frames(parts: Vec<Part>) -> Vec<PlannedFrame> {
    let mut frames: Vec<PlannedFrame> = Vec::new();
    let mut newest: HashMap<u64, usize> = HashMap::new();
    for part in parts {
        let sender = part.sender();
        let frame = newest.get(&sender).and_then(|&frame| frames.get_mut(frame));
        if let Some(frame) = frame.filter(|frame| frame.takes(&part)) {
            frame.payload_bytes = frame.payload_bytes.saturating_add(part.payload_bytes.into());
            frame.parts.push(part);
            continue;
        }
        newest.insert(sender, frames.len());
        let payload_bytes = part.payload_bytes.into();
        frames.push(PlannedFrame { parts: vec![part], payload_bytes });
    }
    frames
}

/// Two messages as one; together they are shorter than [`MERGED_BYTES_MAX`].
fn joined(one: MessageSpan, two: MessageSpan) -> MessageSpan {
    MessageSpan {
        events: one.events.saturating_add(two.events),
        payload_bytes: one.payload_bytes.saturating_add(two.payload_bytes),
    }
}

/// Where a group goes in its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPlace {
    pub(crate) offset: Offset,
    pub(crate) first: Sequence,
    pub(crate) received: UnixNanos,
}

enum Run {
    Staged(Range<usize>),
    Client(Bytes),
}

/// The bytes of a group, ready to be written. Kept by the writer and used again.
#[derive(Default)]
pub(crate) struct GroupBytes {
    staged: Vec<u8>,
    runs: Vec<Run>,
    length: u64,
    events: u64,
}

impl GroupBytes {
    /// Encodes frames that go to `place`; what is durable there ends where they begin.
    pub(crate) fn encode(
        &mut self,
        frames: &[PlannedFrame],
        place: GroupPlace,
        salt: &FrameSalt,
    ) -> Result<(), FrameEncodeError> {
        self.staged.clear();
        self.runs.clear();
        (self.length, self.events) = (0, 0);
        frames.iter().try_for_each(|frame| self.encode_frame(frame, place, salt))
    }

    fn encode_frame(
        &mut self,
        frame: &PlannedFrame,
        place: GroupPlace,
        salt: &FrameSalt,
    ) -> Result<(), FrameEncodeError> {
        let Some(head) = frame.parts.first() else { return Ok(()) };
        let spans = frame
            .parts
            .iter()
            .map(|part| MessageSpan { events: part.events, payload_bytes: part.payload_bytes });
        let messages: Vec<MessageSpan> = match head.producer {
            Some(_) => spans.collect(),
            None => spans.reduce(joined).into_iter().collect(),
        };
        let pieces = || frame.parts.iter().flat_map(|part| &part.pieces);
        let payload: Vec<&[u8]> = pieces().map(AsRef::as_ref).collect();
        let parts = FrameParts {
            // I3
            first_sequence: place.first.plus(self.events),
            received: place.received,
            durable_end: place.offset.0,
            producer: head.producer,
            messages: &messages,
            envelope: &head.envelope,
            payload: &payload,
        };
        let offset = Offset(place.offset.0.saturating_add(self.length));
        let start = self.staged.len();
        let encoded = encode_frame(&parts, salt, offset, &mut self.staged)?;
        self.stage_from(start);
        pieces().for_each(|piece| self.put(piece));
        let start = self.staged.len();
        self.staged.extend_from_slice(PADDING.get(..encoded.padding).unwrap_or_default());
        self.stage_from(start);
        self.length = self.length.saturating_add(encoded.length);
        self.events = self.events.saturating_add(encoded.events.into());
        Ok(())
    }

    fn put(&mut self, piece: &Bytes) {
        if piece.len() >= COPY_BYTES_MAX {
            self.runs.push(Run::Client(piece.clone()));
            return;
        }
        let start = self.staged.len();
        self.staged.extend_from_slice(piece);
        self.stage_from(start);
    }

    /// Notes that what was staged from `start` on comes next.
    fn stage_from(&mut self, start: usize) {
        let end = self.staged.len();
        match self.runs.last_mut() {
            Some(Run::Staged(run)) if run.end == start => run.end = end,
            _ => self.runs.push(Run::Staged(start..end)),
        }
    }

    /// The bytes, in order.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.runs.iter().map(|run| IoSlice::new(self.bytes(run))).collect()
    }

    fn bytes<'a>(&'a self, run: &'a Run) -> &'a [u8] {
        match run {
            Run::Staged(range) => self.staged.get(range.clone()).unwrap_or_default(),
            Run::Client(bytes) => bytes,
        }
    }

    /// How many bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many events.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}
