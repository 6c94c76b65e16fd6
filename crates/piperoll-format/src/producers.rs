//! The producers of a log at the roll to a new segment: a private file, made again from the log when lost.

use crate::fixed::{Fixed, put_crc, without_crc};
use crate::units::{Sequence, UnixNanos};

const MAGIC: [u8; 8] = *b"PIPEPROD";
/// The version of the producers file that this crate reads and writes. Another one is made again.
pub const PRODUCERS_VERSION: u16 = 1;

/// The last message of one producer.
///
/// | bytes | field |
/// |---:|---|
/// | 2 | length of the principal |
/// | … | principal |
/// | 8 | producer id |
/// | 8 | last sequence |
/// | 8 | received, i64 |
/// | 8 | first sequence of the message's events in this log |
/// | 4 | their count |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The authenticated sender.
    pub principal: String,
    /// The producer's number.
    pub id: u64,
    /// The number of its last message.
    pub last_sequence: u64,
    /// When it was heard last: then, or when a retry of an earlier one was stored.
    pub received: UnixNanos,
    /// Where the message's events begin in the log.
    pub first_sequence: Sequence,
    /// How many they are in this log.
    pub event_count: u32,
}

/// Why bytes are no producers file: it is then made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the producers file is damaged or of another version; it can be made again")]
pub struct ProducersError;

/// The file's bytes: magic `PIPEPROD`, version u16, zero 6, count u64, the states, crc32 over all before it.
///
/// A principal of more than 65,535 bytes, which no envelope has, is cut there and will not be found again.
pub fn encode_producers(states: &[ProducerState]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&PRODUCERS_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&(states.len() as u64).to_le_bytes());
    for state in states {
        let length = u16::try_from(state.principal.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend(state.principal.bytes().take(length.into()));
        out.extend_from_slice(&state.id.to_le_bytes());
        out.extend_from_slice(&state.last_sequence.to_le_bytes());
        out.extend_from_slice(&state.received.0.to_le_bytes());
        out.extend_from_slice(&state.first_sequence.0.to_le_bytes());
        out.extend_from_slice(&state.event_count.to_le_bytes());
    }
    put_crc(&mut out);
    out
}

/// Reads a producers file.
pub fn decode_producers(bytes: &[u8]) -> Result<Vec<ProducerState>, ProducersError> {
    without_crc(bytes).and_then(|bytes| states(Fixed(bytes))).ok_or(ProducersError)
}

fn states(mut fixed: Fixed<'_>) -> Option<Vec<ProducerState>> {
    let head = (fixed.array()?, fixed.u16()?, fixed.array()?);
    if head != (MAGIC, PRODUCERS_VERSION, [0; 6]) {
        return None;
    }
    let count = fixed.u64()?;
    let mut states = Vec::new();
    while !fixed.0.is_empty() {
        let length = usize::from(fixed.u16()?);
        states.push(ProducerState {
            principal: std::str::from_utf8(fixed.take(length)?).ok()?.to_owned(),
            id: fixed.u64()?,
            last_sequence: fixed.u64()?,
            received: UnixNanos(fixed.i64()?),
            first_sequence: Sequence(fixed.u64()?),
            event_count: fixed.u32()?,
        });
    }
    (states.len() as u64 == count).then_some(states)
}
