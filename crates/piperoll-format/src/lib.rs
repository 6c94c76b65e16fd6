//! The bytes of a piperoll directory, and the checked view of an event.
//!
//! Pure: nothing here opens a file, reads a clock or starts a thread. With `piperoll-index` this is the
//! only crate that knows a byte offset. Everything that is decoded was checked; bytes that were not are
//! `&[u8]` and nothing else.

pub mod directory;
pub mod entry;
pub mod envelope;
pub mod event;
mod fixed;
pub mod frame;
pub mod limits;
pub mod names;
pub mod producers;
pub mod request;
pub mod round;
pub mod segment;
pub mod units;
pub mod walk;
mod wire;
