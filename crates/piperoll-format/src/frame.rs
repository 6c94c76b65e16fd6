//! The frame: a batch of events as it is committed to a segment.

mod check;
mod encode;

pub use check::{
    CheckedFrame, FrameEvent, FrameEvents, FrameView, MalformedFrame, check_frame, check_frame_head,
};
pub use encode::{EncodedFrame, FrameEncodeError, FrameParts, encode_frame, frame_length};

use crate::fixed::Fixed;
use crate::limits::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::units::{FrameSalt, Offset, Sequence, UnixNanos};

/// The kind of a frame that holds events.
pub const KIND_EVENTS: u8 = 1;
/// Zeros to pad a frame with: a frame is written as its head, its payload, and as many of these as
/// [`EncodedFrame::padding`] says.
pub const PADDING: [u8; 8] = [0; 8];

/// Who sent a message, and as which of its messages: the key of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey {
    /// The producer's number, 1 or more.
    pub id: u64,
    /// The message's number at that producer, 1 or more.
    pub sequence: u64,
}

/// How much of a frame is one message of a client: an entry of the frame's message table.
///
/// | at | bytes | field |
/// |---:|---:|---|
/// | 0 | 4 | events, 1 or more |
/// | 4 | 4 | bytes of the payload |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSpan {
    /// Events of the message.
    pub events: u32,
    /// Bytes of the payload that they take, tags and lengths counted.
    pub payload_bytes: u32,
}

/// The header of a frame. All integers are little-endian.
///
/// ```text
///      0        4        8                16               24               32
///      ┌────────┬────────┬────────────────┬────────────────┬────────────────┐
///    0 │ length │ crc32  │ first sequence │ received (i64) │ durable end    │
///      ├────────┴────────┼────────────────┼────────┬───────┴┬────────┬──────┴─┐
///   32 │ producer id     │ producer seq.  │ events │ messag.│ envel. │ payload│  counts, then lengths
///      ├────┬────┬───────┴────────┬───────┴────────┴────────┴────────┴────────┘
///   64 │kind│flag│ zero (6)       │
///      └────┴────┴────────────────┘
///   72   message table: 8 × messages, nothing when messages is 1
///        envelope, payload, zeros to a multiple of 8
/// ```
///
/// The crc covers: the segment's frame salt (16), the frame's offset (u64), the length (u32), and the
/// frame's bytes from 8 to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the whole frame, a multiple of 8.
    pub length: u32,
    /// Its checksum.
    pub crc: u32,
    /// Sequence of its first event.
    pub first_sequence: Sequence,
    /// When the daemon received it.
    pub received: UnixNanos,
    /// Offset in the segment that was known to be durable when the frame was written.
    pub durable_end: u64,
    /// Producer of its messages; 0 for none.
    pub producer_id: u64,
    /// Number of its first message at the producer; 0 for none.
    pub producer_sequence: u64,
    /// Events in it.
    pub event_count: u32,
    /// Messages in it.
    pub messages: u32,
    /// Bytes of the envelope.
    pub envelope_length: u32,
    /// Bytes of the payload.
    pub payload_length: u32,
    /// What is in it.
    pub kind: u8,
    /// None are known.
    pub flags: u8,
}

/// Why bytes at an offset are no frame that checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is 0: nothing was written here, or a length was damaged.
    #[error("the length is 0")]
    Zero,
    /// The bytes end before the frame does.
    #[error("{0} bytes are needed, and the bytes end before that")]
    NeedBytes(u64),
    /// A field is wrong.
    #[error("{field} is {found}, expected {expected}")]
    Bad {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: u64,
    },
}

fn bad(field: &'static str, expected: &'static str, found: impl Into<u64>) -> FrameError {
    FrameError::Bad { field, expected, found: found.into() }
}

impl FrameHeader {
    /// Sequence after its last event.
    pub fn end_sequence(&self) -> Sequence {
        self.first_sequence.plus(self.event_count.into())
    }

    /// Whether a later version wrote it: then its table and payload are not for us to read.
    pub fn is_newer(&self) -> bool {
        self.kind != KIND_EVENTS || self.flags != 0
    }

    /// Bytes of the message table.
    fn table_length(&self) -> u64 {
        table_length(self.messages)
    }

    /// Reads a header and checks all that can be told without the rest of the frame.
    ///
    /// `bytes` may be longer than the header. A length of 0 is told first, even where no header fits.
    pub(crate) fn read(bytes: &[u8], offset: Offset) -> Result<Self, FrameError> {
        let length = Fixed(bytes).u32().ok_or(FrameError::NeedBytes(4))?;
        if length == 0 {
            return Err(FrameError::Zero);
        }
        if length % 8 != 0 || !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&length.into()) {
            return Err(bad("length", "a multiple of 8 from 72 to 16777216", length));
        }
        let (header, zero) = Self::split(bytes).ok_or(FrameError::NeedBytes(FRAME_HEADER_BYTES))?;
        if zero != [0; 6] {
            return Err(bad("zero", "0", u64::from(zero.iter().fold(0, |all, byte| all | byte))));
        }
        header.check(offset)?;
        Ok(header)
    }

    fn split(bytes: &[u8]) -> Option<(Self, [u8; 6])> {
        let mut fixed = Fixed(bytes);
        let header = Self {
            length: fixed.u32()?,
            crc: fixed.u32()?,
            first_sequence: Sequence(fixed.u64()?),
            received: UnixNanos(fixed.i64()?),
            durable_end: fixed.u64()?,
            producer_id: fixed.u64()?,
            producer_sequence: fixed.u64()?,
            event_count: fixed.u32()?,
            messages: fixed.u32()?,
            envelope_length: fixed.u32()?,
            payload_length: fixed.u32()?,
            kind: fixed.u8()?,
            flags: fixed.u8()?,
        };
        Some((header, fixed.array()?))
    }

    fn check(&self, offset: Offset) -> Result<(), FrameError> {
        let parts = frame_length(self.messages, self.envelope_length, self.payload_length);
        if u64::from(self.length) != parts {
            return Err(bad("length", "the sum of the frame's parts", self.length));
        }
        if !(SEGMENT_HEADER_BYTES..=offset.0).contains(&self.durable_end) {
            return Err(bad("durable end", "from 1024 to the frame's own offset", self.durable_end));
        }
        if self.event_count == 0 {
            return Err(bad("event count", "1 or more", 0u32));
        }
        if self.first_sequence.0.checked_add(self.event_count.into()).is_none() {
            return Err(bad("first sequence", "below 2^64 with all events", self.first_sequence.0));
        }
        if !self.is_newer() && !(1..=self.event_count).contains(&self.messages) {
            return Err(bad("messages", "from 1 to the event count", self.messages));
        }
        Ok(())
    }
}

fn table_length(messages: u32) -> u64 {
    if messages == 1 { 0 } else { 8 * u64::from(messages) }
}

/// Begins the checksum of a frame: whatever says where it belongs.
pub(crate) fn crc_of_place(salt: &FrameSalt, offset: Offset, length: u32) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.0);
    crc.update(&offset.0.to_le_bytes());
    crc.update(&length.to_le_bytes());
    crc
}
