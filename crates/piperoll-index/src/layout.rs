//! Where what stands in an `.idx`.
//!
//! ```text
//!      0  magic PIPEIDX1 (8) | version u16 | zero (6) | frame salt (16) | root of the .log (32)
//!     64  events u64 | canonical length u64 | zeros to 1,024
//!   1024  directory: sections u32 | zero (4)
//!         for each: field number u16 | kind u16 (1 bitmap, 2 exact) | zero (4) | offset u64 | length u64
//!         the exact section, then the bitmap sections by ascending field number; each at a multiple of 8
//! ------  canonical length: the private part, which a release may change
//!         frames, event offsets, checks, times, presence: each at a multiple of 8
//!         crc32 of every 4,096 bytes before it, u32 each
//!         trailer, 256 bytes
//! ```
//! Beside a table of sections the private part has a checksum for every block and not for every section: a
//! look-up reads a few pages of a section that may be many megabytes long, and checks what it reads.

use crate::{packed::WINDOW_BITS, wire::u32_at};
use piperoll_format::limits::SEGMENT_EVENTS_MAX;

/// Begins the canonical part.
pub(crate) const MAGIC: &[u8; 8] = b"PIPEIDX1";
/// Version of the canonical part: the seal names it.
pub const CANONICAL_VERSION: u16 = 1;
/// The first block, which evaluation does not read and no proof shows.
pub(crate) const FIRST_BLOCK_BYTES: usize = 1_024;
/// Offset of the root of the `.log`.
pub(crate) const LOG_ROOT_AT: usize = 32;
/// Offset of the count of events.
pub(crate) const EVENTS_AT: usize = 64;
/// Offset of the canonical length.
pub(crate) const CANONICAL_LENGTH_AT: usize = 72;

/// The directory's own head.
pub(crate) const DIRECTORY_HEAD_BYTES: usize = 8;
/// An entry of the directory.
pub(crate) const DIRECTORY_ENTRY_BYTES: usize = 24;
/// The kind of a section with a bitmap for each term.
pub(crate) const KIND_BITMAP: u16 = 1;
/// The kind of the section with the exact keys.
pub(crate) const KIND_EXACT: u16 = 2;
/// The field number of the exact section.
pub(crate) const EXACT_NUMBER: u16 = 0;
/// What each section begins with: a count u32, and four bytes that are zero, but for the exact section's first one.
pub(crate) const SECTION_HEAD_BYTES: usize = 8;

/// Begins the trailer.
pub(crate) const TRAILER_MAGIC: &[u8; 8] = b"PIPEPRIV";
/// Version of the private part.
pub(crate) const PRIVATE_VERSION: u16 = 3;
/// The trailer ends the file.
pub(crate) const TRAILER_BYTES: usize = 256;
/// Bytes under one checksum.
pub(crate) const BLOCK_BYTES: usize = 4_096;

/// The sections of the private part, in their order in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Private {
    /// [`FrameRow`](crate::FrameRow)s.
    Frames,
    /// Of each ordinal u32: where the event's field begins in the `.log`, 0 for none.
    Offsets,
    /// Of each ordinal u32: the crc32 of the event's bytes, 0 for none.
    Checks,
    /// Of each ordinal i64: the claimed time, 0 for none.
    Times,
    /// For each field of an event, by ascending number, where the Roaring bitmap of the events that have it starts and
    /// ends, u32 each; then the bitmaps.
    Presence,
}

impl Private {
    pub(crate) const ALL: [Self; 5] =
        [Self::Frames, Self::Offsets, Self::Checks, Self::Times, Self::Presence];
}

/// Keys that a bucket of the exact section has on average where that many are there: this to twice this.
const BUCKET_KEYS_LOG2: u32 = 4;
/// Most bits of an ordinal.
pub(crate) const ORDINAL_BITS_MAX: u32 = 24;
/// Most bits that a Rice code has behind its one: a difference of ordinals is below 2²⁴.
pub(crate) const RICE_BITS_MAX: u8 = 23;

const _: () = assert!(SEGMENT_EVENTS_MAX <= 1 << ORDINAL_BITS_MAX);
// A record is taken in one piece.
const _: () = assert!(u32::BITS + ORDINAL_BITS_MAX < WINDOW_BITS);

/// How the exact section lies:
///
/// ```text
/// keys u32 | ordinal bits u8 | zero (3) | of each bucket where it ends, u32 | the buckets
///
/// bucket, empty for no key: how many keys, LEB128
///         records, packed from the lowest bit on: the key's bits below those of the bucket
///                                                 | its first ordinal | 1 bit: whether it has more
///         zeros to a whole byte
///         of each key with more a list: its bytes behind this, LEB128 | low bits u8
///                                       | the differences less one, as Rice codes | zeros to a whole byte
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExactShape {
    /// How many keys there are.
    pub(crate) keys: u32,
    /// Bits that the highest ordinal takes.
    pub(crate) ordinal_bits: u32,
}

impl ExactShape {
    pub(crate) fn new(keys: u32, highest_ordinal: u32) -> Self {
        Self { keys, ordinal_bits: u32::BITS - highest_ordinal.leading_zeros() }
    }

    /// The shape that stands at the head of a section.
    pub(crate) fn read(head: &[u8]) -> Option<Self> {
        let (keys, &[ordinal_bits, 0, 0, 0]) = (u32_at(head, 0)?, head.get(4..)?) else { return None };
        let ordinal_bits = u32::from(ordinal_bits);
        (ordinal_bits <= ORDINAL_BITS_MAX).then_some(Self { keys, ordinal_bits })
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend(self.keys.to_le_bytes());
        out.extend(self.ordinal_bits.to_le_bytes());
    }

    /// Upper bits of a key that choose its bucket.
    fn bucket_bits(self) -> u32 {
        (u32::BITS - self.keys.leading_zeros()).saturating_sub(BUCKET_KEYS_LOG2 + 1)
    }

    /// Lower bits of a key, which its record has.
    pub(crate) fn rest_bits(self) -> u32 {
        u32::BITS - self.bucket_bits()
    }

    pub(crate) fn buckets(self) -> u32 {
        1 << self.bucket_bits()
    }

    pub(crate) fn bucket_of(self, key: u32) -> u32 {
        key.checked_shr(self.rest_bits()).unwrap_or(0)
    }

    pub(crate) fn rest_of(self, key: u32) -> u32 {
        key & u32::MAX.checked_shr(self.bucket_bits()).unwrap_or(0)
    }

    /// The key with these lower bits in this bucket.
    pub(crate) fn key(self, bucket: u32, rest: u32) -> u32 {
        bucket.checked_shl(self.rest_bits()).unwrap_or(0) | rest
    }

    /// Bits of a record.
    pub(crate) fn record_bits(self) -> u32 {
        self.rest_bits() + self.ordinal_bits + 1
    }

    /// Bytes of so many records, if they are few enough for a section.
    pub(crate) fn record_bytes(self, records: u32) -> Option<usize> {
        let bits = u64::from(records) * u64::from(self.record_bits());
        usize::try_from(bits.div_ceil(8)).ok()
    }
}

/// The low bits of the Rice codes of a list: near the least that it can be written with, and the same for all writers.
pub(crate) fn rice_bits(first: u32, last: u32, ordinals: u32) -> u32 {
    let mean = last.saturating_sub(first).checked_div(ordinals.saturating_sub(1));
    mean.and_then(u32::checked_ilog2).unwrap_or(0)
}
