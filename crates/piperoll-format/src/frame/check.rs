//! Reads a frame: first whether it *checks*, then, deeper, whether it is well-formed.

use super::{FrameError, FrameHeader, MessageSpan, ProducerKey, bad, crc_of_place};
use crate::envelope::{Envelope, EnvelopeError};
use crate::event::{EventError, EventView, check_event};
use crate::fixed::{Fixed, is_zero};
use crate::names::Name;
use crate::units::{FrameSalt, Offset, Sequence};
use crate::wire::{Reader, Value};

/// [`FRAME_HEADER_BYTES`](crate::limits::FRAME_HEADER_BYTES), to count in memory with.
const HEADER: usize = 72;
const _: () = assert!(HEADER as u64 == crate::limits::FRAME_HEADER_BYTES);

/// A frame that *checks*: its checksum is right, and its parts add up. What stands in envelope and payload
/// was not looked at yet; [`FrameView::validate`] does that.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    header: FrameHeader,
    bytes: &'a [u8],
    table: &'a [u8],
    envelope: &'a [u8],
    payload: &'a [u8],
}

/// A frame whose every byte passed: a reader may believe it as far as it believes the file.
#[derive(Clone, Debug)]
pub struct CheckedFrame<'a> {
    frame: FrameView<'a>,
    envelope: Envelope,
}

/// An event where it lies in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEvent<'a> {
    /// Place among the frame's events, from 0.
    pub position: u32,
    /// Where the event's own bytes begin, counted from the start of the frame.
    pub start: u32,
    /// The event's own bytes.
    pub bytes: &'a [u8],
}

/// Why a frame that checks is *malformed* as a whole: reads of it give an error, and nothing of it is
/// indexed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFrame {
    /// A later version wrote it. It is not damaged, only not for this version to read.
    #[error("the frame is of kind {kind} with flags {flags}, which a later version of piperoll reads")]
    Newer {
        /// Its kind.
        kind: u8,
        /// Its flags.
        flags: u8,
    },
    /// The producer's number or sequence contradicts a rule.
    #[error(
        "producer {id} with sequence {sequence}: both or none are 0, several messages have one, and the \
        sequence ends below 2^64"
    )]
    Producer {
        /// The producer's number.
        id: u64,
        /// The first message's sequence.
        sequence: u64,
    },
    /// The envelope breaks a rule.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope's split does not fit the frame.
    #[error("the split is not that of one message with this many events of this class")]
    Split,
    /// The payload is no run of event fields with the borders of the table.
    #[error("the payload's events do not fit the frame's messages at event {position}")]
    Borders {
        /// The event at which that shows.
        position: u32,
    },
    /// An event breaks a rule.
    #[error("event {position}: {source}")]
    Event {
        /// The event's place in the frame.
        position: u32,
        /// The rule.
        source: EventError,
    },
}

/// Whether the bytes at `offset` of a segment begin with a frame that checks.
///
/// `bytes` are the file's, from the frame's start on; there may be more of them than the frame has. Where
/// there are fewer, the answer says how many are needed; the caller knows where the file ends, and that a
/// frame which reaches beyond that does not check.
pub fn check_frame<'a>(
    bytes: &'a [u8],
    offset: Offset,
    salt: &FrameSalt,
) -> Result<FrameView<'a>, FrameError> {
    let header = FrameHeader::read(bytes, offset)?;
    let need = FrameError::NeedBytes(header.length.into());
    let bytes = bytes.get(..header.length as usize).ok_or(need)?;
    let mut crc = crc_of_place(salt, offset, header.length);
    crc.update(bytes.get(8..).ok_or(need)?);
    // I9
    if crc.finalize() != header.crc {
        return Err(bad("crc32", "that of these bytes at this place", header.crc));
    }
    let frame = FrameView::split(header, bytes).ok_or(need)?;
    frame.check_table()?;
    Ok(frame)
}

/// Header and envelope of the frame at `offset` of a segment, of which `crc` is known to be the crc32 of
/// [`FrameView::head`]. The rest of the frame is not looked at.
pub fn check_frame_head(bytes: &[u8], offset: Offset, crc: u32) -> Result<(FrameHeader, &[u8]), FrameError> {
    let header = FrameHeader::read(bytes, offset)?;
    let need = FrameError::NeedBytes(header.length.into());
    let frame = FrameView::split(header, bytes.get(..header.length as usize).ok_or(need)?).ok_or(need)?;
    if crc32fast::hash(frame.head()) != crc {
        return Err(bad("crc32 of the head", "that of these bytes", crc));
    }
    Ok((header, frame.envelope))
}

impl<'a> FrameView<'a> {
    /// `None` only where the header was not checked.
    fn split(header: FrameHeader, bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Fixed(bytes);
        rest.take(HEADER)?;
        let table = rest.take(usize::try_from(header.table_length()).ok()?)?;
        let envelope = rest.take(header.envelope_length as usize)?;
        let payload = rest.take(header.payload_length as usize)?;
        Some(Self { header, bytes, table, envelope, payload })
    }

    fn padding(&self) -> &'a [u8] {
        let used = HEADER + self.table.len() + self.envelope.len() + self.payload.len();
        self.bytes.get(used..).unwrap_or_default()
    }

    fn check_table(&self) -> Result<(), FrameError> {
        if !is_zero(self.padding()) {
            return Err(bad("padding", "0", 1u32));
        }
        if self.is_newer() {
            return Ok(());
        }
        let (mut events, mut payload_bytes) = (0u64, 0u64);
        for message in self.messages() {
            if message.events == 0 {
                return Err(bad("events of a message", "1 or more", 0u32));
            }
            events += u64::from(message.events);
            payload_bytes += u64::from(message.payload_bytes);
        }
        if events != u64::from(self.header.event_count) {
            return Err(bad("events of all messages", "the frame's event count", events));
        }
        if payload_bytes != u64::from(self.header.payload_length) {
            return Err(bad("bytes of all messages", "the payload's length", payload_bytes));
        }
        Ok(())
    }

    /// The header.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The whole frame, padding included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All that stands before the payload: header, message table and envelope.
    pub fn head(&self) -> &'a [u8] {
        let length = HEADER + self.table.len() + self.envelope.len();
        self.bytes.get(..length).unwrap_or_default()
    }

    /// The envelope's bytes.
    pub fn envelope(&self) -> &'a [u8] {
        self.envelope
    }

    /// The payload: a run of `AppendRequest.events` fields.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether a later version wrote it: it has sequences, and nothing else that can be read.
    pub fn is_newer(&self) -> bool {
        self.header.is_newer()
    }

    /// The messages, in order; none of a newer frame.
    pub fn messages(&self) -> impl Iterator<Item = MessageSpan> + use<'a> {
        let header = self.header;
        let only = (header.messages == 1)
            .then_some(MessageSpan { events: header.event_count, payload_bytes: header.payload_length });
        let (entries, _) = self.table.as_chunks::<8>();
        let table = entries.iter().map(|[a, b, c, d, e, f, g, h]| MessageSpan {
            events: u32::from_le_bytes([*a, *b, *c, *d]),
            payload_bytes: u32::from_le_bytes([*e, *f, *g, *h]),
        });
        only.into_iter().chain(table).filter(move |_| !header.is_newer())
    }

    /// The retry key of the message with this place among the messages, where they have one.
    pub fn producer_of(&self, message: u32) -> Option<ProducerKey> {
        let ProducerKey { id, sequence } = self.producer()?;
        Some(ProducerKey { id, sequence: sequence.checked_add(message.into())? })
    }

    /// The retry key of the first message.
    pub fn producer(&self) -> Option<ProducerKey> {
        let FrameHeader { producer_id: id, producer_sequence: sequence, .. } = self.header;
        (id != 0 && sequence != 0).then_some(ProducerKey { id, sequence })
    }

    /// The events, as far as the payload is a run of them; none of a newer frame.
    pub fn events(&self) -> FrameEvents<'a> {
        let payload = if self.is_newer() { &[] } else { self.payload };
        let before = self.bytes.len() - self.padding().len() - self.payload.len();
        FrameEvents { rest: Reader::new(payload), length: before + payload.len(), position: 0 }
    }

    /// Checks all that a frame which checks may still have wrong, every event included. `class` is that of
    /// the segment's header.
    pub fn validate(&self, class: &Name) -> Result<CheckedFrame<'a>, MalformedFrame> {
        let checked = self.validate_own(class)?;
        self.check_events()?;
        Ok(checked)
    }

    /// As [`Self::validate`], for a frame that this process has written: it had checked each event before, and the
    /// checksum says that they are the same bytes.
    pub fn validate_own(&self, class: &Name) -> Result<CheckedFrame<'a>, MalformedFrame> {
        let header = &self.header;
        if self.is_newer() {
            return Err(MalformedFrame::Newer { kind: header.kind, flags: header.flags });
        }
        check_producer(header)?;
        let envelope = Envelope::decode(self.envelope)?;
        if !envelope.split.is_empty() {
            let own = envelope.part(class).map(|part| part.positions.len());
            if header.messages != 1 || own != Some(header.event_count as usize) {
                return Err(MalformedFrame::Split);
            }
        }
        Ok(CheckedFrame { frame: *self, envelope })
    }

    fn check_events(&self) -> Result<(), MalformedFrame> {
        let mut events = self.events();
        let mut position = 0;
        for message in self.messages() {
            let end = events.left() - (message.payload_bytes as usize).min(events.left());
            for _ in 0..message.events {
                let event = events.next().ok_or(MalformedFrame::Borders { position })?;
                check_event(event.bytes).map_err(|source| MalformedFrame::Event { position, source })?;
                position += 1;
            }
            if events.left() != end {
                return Err(MalformedFrame::Borders { position });
            }
        }
        Ok(())
    }
}

impl<'a> CheckedFrame<'a> {
    /// The frame.
    pub fn frame(&self) -> &FrameView<'a> {
        &self.frame
    }

    /// The header.
    pub fn header(&self) -> &FrameHeader {
        &self.frame.header
    }

    /// What the daemon knew of the sender.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The envelope alone, when the frame is no longer needed.
    pub fn into_envelope(self) -> Envelope {
        self.envelope
    }

    /// The events and where they lie, in order.
    pub fn events(&self) -> impl Iterator<Item = (FrameEvent<'a>, EventView<'a>)> + use<'a> {
        self.frame.events().map(|event| (event, EventView::of_checked(event.bytes)))
    }

    /// The event with this sequence.
    pub fn event_at(&self, sequence: Sequence) -> Option<EventView<'a>> {
        let position = sequence.0.checked_sub(self.frame.header.first_sequence.0)?;
        let event = self.frame.events().nth(usize::try_from(position).ok()?)?;
        Some(EventView::of_checked(event.bytes))
    }
}

/// The events of a payload, in order. Ends where the payload is no run of event fields.
#[derive(Clone, Debug)]
pub struct FrameEvents<'a> {
    rest: Reader<'a>,
    /// Where the payload ends, counted from the start of the frame.
    length: usize,
    position: u32,
}

impl FrameEvents<'_> {
    /// Bytes of the payload that were not read yet.
    pub fn left(&self) -> usize {
        self.rest.left()
    }
}

impl<'a> Iterator for FrameEvents<'a> {
    type Item = FrameEvent<'a>;

    fn next(&mut self) -> Option<FrameEvent<'a>> {
        let Ok(Some((1, Value::Bytes(bytes)))) = self.rest.field() else {
            return None;
        };
        let start = u32::try_from(self.length - self.rest.left() - bytes.len()).ok()?;
        let event = FrameEvent { position: self.position, start, bytes };
        self.position += 1;
        Some(event)
    }
}

pub(super) fn check_producer(header: &FrameHeader) -> Result<(), MalformedFrame> {
    let FrameHeader { producer_id: id, producer_sequence: sequence, messages, .. } = *header;
    let good = match (id, sequence) {
        (0, 0) => messages == 1,
        (0, _) | (_, 0) => false,
        _ => sequence.checked_add(messages.into()).is_some(),
    };
    if good { Ok(()) } else { Err(MalformedFrame::Producer { id, sequence }) }
}
