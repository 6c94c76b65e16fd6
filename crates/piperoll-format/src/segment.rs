//! The header of a segment's `.log` file.

use crate::fixed::{Fixed, is_zero};
use crate::names::Name;
use crate::units::{FrameSalt, LogId, Root, Sequence, UnixNanos};

/// What every `.log` begins with.
const MAGIC: [u8; 8] = *b"PIPEROLL";
/// The version of the segment format that this crate reads and writes.
pub const SEGMENT_VERSION: u16 = 1;
/// [`SEGMENT_HEADER_BYTES`](crate::limits::SEGMENT_HEADER_BYTES), to count in memory with.
const LENGTH: usize = 1_024;
const _: () = assert!(LENGTH as u64 == crate::limits::SEGMENT_HEADER_BYTES);

/// The first 1,024 bytes of a segment: exactly one BLAKE3 chunk, so that no proof of a frame shows them.
///
/// | at | bytes | field |
/// |---:|---:|---|
/// | 0 | 8 | magic `PIPEROLL` |
/// | 8 | 2 | version, 1 |
/// | 10 | 2 | zero |
/// | 12 | 4 | crc32 over the 1,024 bytes with this field 0 |
/// | 16 | 16 | log id |
/// | 32 | 16 | frame salt |
/// | 48 | 8 | first sequence |
/// | 56 | 8 | created, i64 |
/// | 64 | 8 | first sequence of the segment before; all ones for a log's first |
/// | 72 | 8 | its length; 0 for a log's first |
/// | 80 | 32 | its root; zero for a log's first |
/// | 112 | 64 | tenant: length, name, zeros |
/// | 176 | 64 | class: length, name, zeros |
/// | 240 | 784 | zero |
///
/// Magic, version and checksum keep their places in every version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log's id.
    pub log_id: LogId,
    /// What the segment's frames are salted with.
    pub salt: FrameSalt,
    /// Sequence of the segment's first event.
    pub first: Sequence,
    /// When it was made.
    pub created: UnixNanos,
    /// The segment before; `None` for a log's first.
    pub previous: Option<Previous>,
    /// The log's tenant.
    pub tenant: Name,
    /// The log's retention class.
    pub class: Name,
}

/// What a segment's header says of the segment before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its first sequence.
    pub first: Sequence,
    /// Its length in bytes.
    pub length: u64,
    /// The BLAKE3 root of its file.
    pub root: Root,
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// There are fewer than 1,024 of them.
    #[error("a segment begins with {LENGTH} bytes of header, found {0}")]
    Short(usize),
    /// It is no piperoll segment, or its first bytes are damaged.
    #[error("a segment begins with PIPEROLL, found {0:02x?}")]
    Magic([u8; 8]),
    /// The checksum is wrong: damage.
    #[error("the header's crc32 is {found:08x}, its bytes have {expected:08x}: the header is damaged")]
    Crc {
        /// That of the bytes.
        expected: u32,
        /// That in the header.
        found: u32,
    },
    /// A later version wrote it.
    #[error(
        "the segment has version {0}, this program reads version {SEGMENT_VERSION}: use a later piperoll"
    )]
    Newer(u16),
    /// A field breaks a rule.
    #[error("the header's {0} breaks a rule of docs/format.md")]
    Field(&'static str),
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; LENGTH] {
        let none = Previous { first: Sequence(u64::MAX), length: 0, root: Root::default() };
        let previous = self.previous.unwrap_or(none);
        let mut out = Vec::with_capacity(LENGTH);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.salt.0);
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.extend_from_slice(&previous.first.0.to_le_bytes());
        out.extend_from_slice(&previous.length.to_le_bytes());
        out.extend_from_slice(&previous.root.0);
        put_name(&mut out, &self.tenant);
        put_name(&mut out, &self.class);
        let mut header = [0; LENGTH];
        header.iter_mut().zip(out).for_each(|(place, byte)| *place = byte);
        let crc = crc_of(&header);
        header.iter_mut().skip(12).zip(crc.to_le_bytes()).for_each(|(place, byte)| *place = byte);
        header
    }

    /// Reads a header from the first bytes of a file; more than 1,024 may be given.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let header: &[u8; LENGTH] = bytes.first_chunk().ok_or(SegmentError::Short(bytes.len()))?;
        let mut fixed = Fixed(header);
        let short = SegmentError::Short(bytes.len());
        let magic = fixed.array().ok_or(short)?;
        if magic != MAGIC {
            return Err(SegmentError::Magic(magic));
        }
        let (version, zero) = (fixed.u16().ok_or(short)?, fixed.u16().ok_or(short)?);
        let (found, expected) = (fixed.u32().ok_or(short)?, crc_of(header));
        if found != expected {
            return Err(SegmentError::Crc { expected, found });
        }
        if version != SEGMENT_VERSION {
            return Err(SegmentError::Newer(version));
        }
        let header = Self::fields(&mut fixed).ok_or(SegmentError::Field("tenant or class"))?;
        if zero != 0 || !is_zero(fixed.0) {
            return Err(SegmentError::Field("zeros"));
        }
        header.checked()
    }

    fn fields(fixed: &mut Fixed<'_>) -> Option<Self> {
        Some(Self {
            log_id: LogId(fixed.array()?),
            salt: FrameSalt(fixed.array()?),
            first: Sequence(fixed.u64()?),
            created: UnixNanos(fixed.i64()?),
            previous: Some(Previous {
                first: Sequence(fixed.u64()?),
                length: fixed.u64()?,
                root: Root(fixed.array()?),
            }),
            tenant: take_name(fixed)?,
            class: take_name(fixed)?,
        })
    }

    /// A log begins at 0 and has a segment before every other one.
    fn checked(mut self) -> Result<Self, SegmentError> {
        let none = Previous { first: Sequence(u64::MAX), length: 0, root: Root::default() };
        match self.previous {
            Some(previous) if previous == none && self.first == Sequence(0) => self.previous = None,
            Some(previous) if previous.first < self.first => {}
            _ => return Err(SegmentError::Field("previous segment")),
        }
        Ok(self)
    }
}

/// The checksum of a header, its own field counted as 0.
fn crc_of(header: &[u8; LENGTH]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header.get(..12).unwrap_or_default());
    crc.update(&[0; 4]);
    crc.update(header.get(16..).unwrap_or_default());
    crc.finalize()
}

/// A name in 64 bytes: length, name, zeros.
fn put_name(out: &mut Vec<u8>, name: &Name) {
    let end = out.len() + 64;
    out.push(u8::try_from(name.as_str().len()).unwrap_or_default());
    out.extend_from_slice(name.as_str().as_bytes());
    out.resize(end, 0);
}

fn take_name(fixed: &mut Fixed<'_>) -> Option<Name> {
    let mut place = Fixed(fixed.take(64)?);
    let length = usize::from(place.u8()?);
    let name = std::str::from_utf8(place.take(length)?).ok()?;
    is_zero(place.0).then(|| Name::from_disk(name).ok())?
}
