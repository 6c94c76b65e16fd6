//! Other people's vocabularies, mapped to piperoll events.
//!
//! Pure: bytes in, [`Event`] out. No files, no clock, no network. What each field of a payload becomes stands
//! in `docs/mapping-github.md`.

mod github;
mod json;
mod text;
mod tree;

pub use github::{IntakeError, PAYLOAD_BYTES_MAX, github};
pub use json::{JsonError, event_json, json_event, json_event_lenient};
pub use piperoll_proto::v1::Event;

/// Longest event that intake makes, in bytes of its encoding: what a daemon accepts.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
