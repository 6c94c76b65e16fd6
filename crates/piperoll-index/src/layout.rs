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
/// What each section begins with: a count and four zeros.
pub(crate) const SECTION_HEAD_BYTES: usize = 8;

/// Begins the trailer.
pub(crate) const TRAILER_MAGIC: &[u8; 8] = b"PIPEPRIV";
/// Version of the private part.
pub(crate) const PRIVATE_VERSION: u16 = 2;
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
    /// Of each ordinal a bit: whether there is a claimed time.
    Timed,
    /// For each bitmap field in order a Roaring bitmap of the events that have it: ends u32 each, then the
    /// bitmaps.
    Presence,
}

impl Private {
    pub(crate) const ALL: [Self; 6] =
        [Self::Frames, Self::Offsets, Self::Checks, Self::Times, Self::Timed, Self::Presence];
}
