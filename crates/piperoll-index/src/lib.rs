//! The segment index: build it from a log, evaluate a filter on it.
//!
//! [`Columns`] is the index of an active segment, in memory; [`SealedIndex`] reads the `.idx` of a sealed one
//! in place. Both are [`Terms`], so there is one [`evaluate`]. Its answer has two halves: events that match
//! by what the index knows, and events whose bytes decide.
//!
//! Pure: nothing here opens a file, reads a clock or starts a thread.

mod bits;
mod columns;
mod error;
mod evaluate;
mod group;
mod keys;
mod layout;
mod packed;
mod posting;
mod sealed;
mod term_set;
mod terms;
mod wire;
mod writer;

pub use columns::Columns;
pub use error::IndexError;
pub use evaluate::{Matches, count_matches, evaluate};
pub use group::{EachPair, Group, Labels, count_by, cross, group, term_text};
pub use keys::{
    PRODUCER_FIELD_NUMBER, attribute_key, bytes_key, digest_key, exact_key, number_key, producer_key,
    text_key,
};
pub use layout::CANONICAL_VERSION;
pub use sealed::{ExactTotals, GoodBlocks, IndexLayout, SealedIndex};
pub use term_set::{Share, TermSet};
pub use terms::{EventPlace, FrameRow, Summary, Terms, TermsOfField, checked_event};
pub use writer::{Builder, BuiltIndex};

#[cfg(test)]
mod tests;
