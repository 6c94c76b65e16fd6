//! The filter language: parse, print, evaluate on an event.
//!
//! [`parse`] reads `actor = alice AND NOT outcome = success`; a [`Filter`] prints as canonical text that
//! parses to the same tree, and says of an event whether it matches. `docs/query.md` teaches the language.

mod contradiction;
mod error;
mod expression;
mod lexer;
mod matching;
mod needle;
mod parser;
mod print;
mod subject;
mod value;
mod zoned;

pub use error::{ParseError, nearest};
pub use expression::{Comparison, Expression, Filter, Operator, Test};
pub use matching::RecordFacts;
pub use needle::{Needle, Needles};
pub use parser::parse;
pub use subject::Subject;
pub use value::{Value, digest_digits};

/// Longest filter, in bytes, as typed and as printed.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most brackets and NOTs around a condition, so that no filter overflows a stack.
pub const DEPTH_MAX: usize = 64;
/// Most values in a filter, a presence counting as one.
pub const VALUES_MAX: usize = 4_096;
/// Most beginnings and substrings in a filter: each may have to look at every term of a field, or at the text
/// of every event.
pub const PATTERNS_MAX: usize = 256;
const _: () = assert!(PATTERNS_MAX <= VALUES_MAX);

#[cfg(test)]
mod tests;
