//! Why an index cannot be read or built.

use piperoll_format::units::{Offset, Sequence};

/// Why an index cannot be read or built. An `.idx` is derived: whatever is wrong with one, it is built again
/// from its `.log`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Bytes of the `.idx` are not what a writer of this version wrote.
    #[error("the .idx is damaged at byte {offset}: expected {expected}; build it again from its .log")]
    Damaged {
        /// Where, in bytes from the start of the `.idx`.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// A part of the `.idx` has another version.
    #[error(
        "the {part} part of the .idx has version {found}, this program reads {expected}; build it again from its .log"
    )]
    Version {
        /// `canonical` or `private`.
        part: &'static str,
        /// The version in the file.
        found: u16,
        /// The one version that is read.
        expected: u16,
    },
    /// A frame was given out of order.
    #[error(
        "the frame at offset {offset} begins at sequence {found}, expected {expected} or later: index frames in order, each once"
    )]
    Order {
        /// Where the frame begins in the `.log`.
        offset: Offset,
        /// The end of the frame before it.
        expected: Sequence,
        /// The frame's first sequence.
        found: Sequence,
    },
    /// More than a segment holds.
    #[error("{what} reaches {found}, a segment holds at most {limit}")]
    TooLarge {
        /// What grew too large.
        what: &'static str,
        /// How large.
        found: u64,
        /// The most there can be.
        limit: u64,
    },
}

impl IndexError {
    /// Damage at a place of the `.idx`.
    pub(crate) fn damaged(offset: usize, expected: &'static str) -> Self {
        Self::Damaged { offset: offset as u64, expected }
    }
}
