//! A client for Rust: batches, retries, idempotence, backpressure.
//!
//! [`Client`] asks and orders. [`Producer`] sends many events: in batches, several of them on their way at one
//! time, each one numbered, so that what is sent again after a lost connection is stored once. [`Tail`] follows
//! and goes on from its position when the connection is lost.

mod client;
mod error;
mod options;
mod producer;
mod query;
mod retry;
mod tail;
mod timeline;

pub use client::Client;
pub use error::{BatchName, ClientError, Refusal, Violation};
pub use options::{AckFn, ClientOptions, ProducerOptions};
pub use producer::{Ack, Producer, Progress};
pub use query::Query;
pub use tail::Tail;
pub use timeline::Timeline;
