//! The file of a round: the marks of all unsealed segments, where recovery finds them.

use crate::entry::{EntryError, MARK_BYTES, Mark};
use crate::fixed::{Fixed, put_crc, without_crc};

const MAGIC: [u8; 8] = *b"PIPEROUN";
/// The version of the round file that this crate reads and writes.
pub const ROUND_VERSION: u16 = 1;

/// A round's marks, as `tree/round.0` and `tree/round.1` hold them in turn: round *n* is in
/// `tree/round.(n mod 2)`, and the greater number that checks counts.
///
/// | bytes | field |
/// |---:|---|
/// | 8 | magic `PIPEROUN` |
/// | 2 | version, 1 |
/// | 6 | zero |
/// | 8 | number, from 1 |
/// | 8 | count |
/// | 146 × count | the marks, sorted by log id and first sequence, each once |
/// | 4 | crc32 over all before it |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundFile {
    /// The round's number, from 1.
    pub number: u64,
    /// Its marks.
    pub marks: Vec<Mark>,
}

/// Why bytes are no round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    /// The checksum is wrong: damage, or a file that was not written whole.
    #[error("the round's crc32 is wrong: it is damaged or was not written whole")]
    Crc,
    /// It begins with something else.
    #[error("a round begins with PIPEROUN")]
    Magic,
    /// A later version wrote it.
    #[error("the round has version {0}, this program reads version {ROUND_VERSION}: use a later piperoll")]
    Newer(u16),
    /// Its bytes are not those of so many marks.
    #[error("a round of {count} marks does not have {found} bytes of marks")]
    Length {
        /// Marks that it claims.
        count: u64,
        /// Bytes that it has for them.
        found: usize,
    },
    /// A field breaks a rule.
    #[error("the round's {0} breaks a rule of docs/format.md")]
    Field(&'static str),
    /// A mark breaks a rule.
    #[error(transparent)]
    Mark(#[from] EntryError),
}

impl RoundFile {
    /// The file's bytes. Sorts the marks.
    pub fn encode(&self) -> Vec<u8> {
        let mut marks = self.marks.clone();
        marks.sort_by_key(place);
        let mut out = Vec::with_capacity(36 + marks.len() * MARK_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&ROUND_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&(marks.len() as u64).to_le_bytes());
        out.extend(marks.iter().flat_map(Mark::encode));
        put_crc(&mut out);
        out
    }

    /// Reads a file of a round.
    pub fn decode(bytes: &[u8]) -> Result<Self, RoundError> {
        let mut fixed = Fixed(without_crc(bytes).ok_or(RoundError::Crc)?);
        if fixed.array() != Some(MAGIC) {
            return Err(RoundError::Magic);
        }
        match fixed.u16().ok_or(RoundError::Field("version"))? {
            ROUND_VERSION => {}
            version => return Err(RoundError::Newer(version)),
        }
        if fixed.array() != Some([0; 6]) {
            return Err(RoundError::Field("zeros"));
        }
        let number = fixed.u64().filter(|number| *number > 0).ok_or(RoundError::Field("number"))?;
        let count = fixed.u64().ok_or(RoundError::Field("count"))?;
        let (chunks, rest) = fixed.0.as_chunks::<MARK_BYTES>();
        if chunks.len() as u64 != count || !rest.is_empty() {
            return Err(RoundError::Length { count, found: fixed.0.len() });
        }
        let marks = chunks.iter().map(|mark| Mark::decode(mark)).collect::<Result<Vec<_>, _>>()?;
        if !marks.is_sorted_by(|a, b| place(a) < place(b)) {
            return Err(RoundError::Field("order of marks"));
        }
        Ok(Self { number, marks })
    }
}

fn place(mark: &Mark) -> (crate::units::LogId, crate::units::Sequence) {
    (mark.head.log_id, mark.head.first)
}
