//! Writes a frame.

use super::{FrameHeader, KIND_EVENTS, MessageSpan, ProducerKey, crc_of_place, table_length};
use crate::envelope::{Envelope, EnvelopeError, SplitPart};
use crate::limits::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use crate::units::{FrameSalt, Offset, Sequence, UnixNanos};

/// What a frame is made of.
#[derive(Clone, Copy, Debug)]
pub struct FrameParts<'a> {
    /// Sequence of the first event.
    pub first_sequence: Sequence,
    /// When the daemon received it; never less than in the frame before.
    pub received: UnixNanos,
    /// Offset known to be durable.
    pub durable_end: u64,
    /// The key of the first message; the others follow it by 1 each.
    pub producer: Option<ProducerKey>,
    /// The messages, one or more.
    pub messages: &'a [MessageSpan],
    /// The encoded envelope.
    pub envelope: &'a [u8],
    /// The payload, in as many pieces as it happens to lie in.
    pub payload: &'a [&'a [u8]],
}

/// What was made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Bytes of the whole frame.
    pub length: u64,
    /// Events in it.
    pub events: u32,
    /// Bytes of zeros to be written behind the payload, 0 to 7.
    pub padding: usize,
}

/// Why parts make no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameEncodeError {
    /// The frame would be too long.
    #[error("a frame has at most {FRAME_BYTES_MAX} bytes, this one would have {0}")]
    TooLong(u64),
    /// The envelope is none that could be read again.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The parts contradict each other.
    #[error("the frame's parts disagree: {0}")]
    Disagree(&'static str),
}

/// Bytes of a frame with so many messages and so long an envelope and payload.
pub fn frame_length(messages: u32, envelope_bytes: u32, payload_bytes: u32) -> u64 {
    let parts =
        FRAME_HEADER_BYTES + table_length(messages) + u64::from(envelope_bytes) + u64::from(payload_bytes);
    parts.next_multiple_of(8)
}

/// Appends to `out` what stands before the payload: header, table and envelope, with the checksum of the
/// whole frame. The caller writes the payload's own bytes and the padding behind it, without a copy.
pub fn encode_frame(
    parts: &FrameParts<'_>,
    salt: &FrameSalt,
    offset: Offset,
    out: &mut Vec<u8>,
) -> Result<EncodedFrame, FrameEncodeError> {
    let header = header(parts, offset)?;
    let start = out.len();
    put_header(&header, out);
    if parts.messages.len() != 1 {
        for message in parts.messages {
            out.extend_from_slice(&message.events.to_le_bytes());
            out.extend_from_slice(&message.payload_bytes.to_le_bytes());
        }
    }
    out.extend_from_slice(parts.envelope);

    let length = u64::from(header.length);
    let unpadded = (out.len() - start) as u64 + u64::from(header.payload_length);
    let padding = usize::try_from(length - unpadded).unwrap_or_default();
    let mut crc = crc_of_place(salt, offset, header.length);
    crc.update(out.get(start + 8..).unwrap_or_default());
    parts.payload.iter().for_each(|piece| crc.update(piece));
    crc.update(super::PADDING.get(..padding).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&crc.finalize().to_le_bytes());
    }
    Ok(EncodedFrame { length, events: header.event_count, padding })
}

fn header(parts: &FrameParts<'_>, offset: Offset) -> Result<FrameHeader, FrameEncodeError> {
    let disagree = |what| move || FrameEncodeError::Disagree(what);
    let payload: usize = parts.payload.iter().map(|piece| piece.len()).sum();
    let count = |n: usize| u32::try_from(n).map_err(|_| FrameEncodeError::TooLong(n as u64));
    let (envelope_length, payload_length) = (count(parts.envelope.len())?, count(payload)?);
    let messages = count(parts.messages.len())?;
    let length = frame_length(messages, envelope_length, payload_length);
    if length > FRAME_BYTES_MAX {
        return Err(FrameEncodeError::TooLong(length));
    }
    let sum = |part: fn(&MessageSpan) -> u32| {
        parts.messages.iter().try_fold(0u32, |sum, span| sum.checked_add(part(span)))
    };
    if sum(|span| span.payload_bytes) != Some(payload_length) {
        return Err(FrameEncodeError::Disagree("the messages' bytes are not those of the payload"));
    }
    if parts.messages.iter().any(|span| span.events == 0) {
        return Err(FrameEncodeError::Disagree("a message has no events"));
    }
    let event_count = sum(|span| span.events).ok_or_else(disagree("too many events"))?;
    let header = FrameHeader {
        length: u32::try_from(length).map_err(|_| FrameEncodeError::TooLong(length))?,
        crc: 0,
        first_sequence: parts.first_sequence,
        received: parts.received,
        durable_end: parts.durable_end,
        producer_id: parts.producer.map_or(0, |key| key.id),
        producer_sequence: parts.producer.map_or(0, |key| key.sequence),
        event_count,
        messages,
        envelope_length,
        payload_length,
        kind: KIND_EVENTS,
        flags: 0,
    };
    header.check(offset).map_err(|_| FrameEncodeError::Disagree("the header breaks a rule of frames"))?;
    super::check::check_producer(&header).map_err(|_| FrameEncodeError::Disagree("producer"))?;
    check_envelope(parts.envelope, &header)?;
    Ok(header)
}

/// Whoever writes an envelope that cannot be read again makes acknowledged events unreadable with it.
fn check_envelope(envelope: &[u8], header: &FrameHeader) -> Result<(), FrameEncodeError> {
    let Envelope { split, .. } = Envelope::decode(envelope)?;
    let own = |part: &SplitPart| part.positions.len() == header.event_count as usize;
    let fits = split.is_empty() || (header.messages == 1 && split.iter().any(own));
    if fits { Ok(()) } else { Err(FrameEncodeError::Disagree("the split is not that of this message")) }
}

fn put_header(header: &FrameHeader, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.length.to_le_bytes());
    out.extend_from_slice(&header.crc.to_le_bytes());
    out.extend_from_slice(&header.first_sequence.0.to_le_bytes());
    out.extend_from_slice(&header.received.0.to_le_bytes());
    out.extend_from_slice(&header.durable_end.to_le_bytes());
    out.extend_from_slice(&header.producer_id.to_le_bytes());
    out.extend_from_slice(&header.producer_sequence.to_le_bytes());
    out.extend_from_slice(&header.event_count.to_le_bytes());
    out.extend_from_slice(&header.messages.to_le_bytes());
    out.extend_from_slice(&header.envelope_length.to_le_bytes());
    out.extend_from_slice(&header.payload_length.to_le_bytes());
    out.extend_from_slice(&[header.kind, header.flags, 0, 0, 0, 0, 0, 0]);
}
