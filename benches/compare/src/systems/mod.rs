//! The systems, each with what starts it, sends to it, asks it and stops it.

pub(crate) mod columnar;
pub(crate) mod nats;
pub(crate) mod piperoll;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod sqlite;

use crate::{
    questions::{Input, answer::Answer, ask::Ask},
    samples::Sample,
    server::Server,
};
use anyhow::Result;
use std::{path::Path, sync::Arc, time::Duration};

/// What a system says about itself.
pub(crate) struct About {
    pub(crate) version: String,
    /// As read back from the running system.
    pub(crate) durability: String,
    /// Other settings than its defaults, and how events are sent.
    pub(crate) sent: String,
    /// The same, and what is indexed for the questions; empty where none is asked.
    pub(crate) asked: String,
}

/// A system that can be had here, or not.
pub(crate) trait System: Sized {
    /// What it is called.
    const NAME: &'static str;

    /// Why it cannot be measured here, where it cannot.
    fn missing() -> Option<String>;

    /// Starts it on a fresh directory, ready for events, without indexes.
    fn start(folder: &Path) -> impl Future<Output = Result<Self>>;

    /// Its version and settings, asked from it; an error where an ack would not be durable.
    fn about(&self) -> impl Future<Output = Result<About>>;

    /// Its process; none where it lives in this one.
    fn server(&self) -> Option<&Server>;

    /// Bytes that the events take up on the disk once all work behind the acknowledgements is done.
    fn stored_bytes(&self) -> impl Future<Output = Result<u64>>;

    /// Stops it.
    fn stop(self) -> Result<()>;
}

/// A system that takes events.
pub(crate) trait Ingest: System {
    /// A batch, as near to what goes over the wire as its client allows.
    type Batch: Send + Sync + 'static;
    /// One sender.
    type Lane: Lane<Self::Batch>;
    /// Batches in flight.
    const IN_FLIGHT: usize;

    /// Whether it is measured with batches of this many events.
    fn takes(batch: usize) -> bool {
        batch > 0
    }

    /// Makes a batch, before the clock runs.
    fn batch(samples: &[Arc<Sample>]) -> Self::Batch;

    /// Adds the indexes that it has during ingest, if it has any: by actor, by stage, by time.
    fn add_indexes(&self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// Another sender.
    fn lane(&self) -> impl Future<Output = Result<Self::Lane>>;

    /// What it counts a batch of this many events as.
    fn counted(batch: usize) -> u64 {
        batch as u64
    }

    /// How much it has, as it counts.
    fn stored(&self) -> impl Future<Output = Result<u64>>;
}

/// A system that answers questions.
pub(crate) trait Asked: System {
    /// Gives it the events, and everything that it answers faster with.
    fn fill(&mut self, input: &Input) -> impl Future<Output = Result<()>>;

    /// Asks it; how long it took until the whole answer was there, and what it was.
    fn ask(&mut self, ask: &Ask) -> impl Future<Output = Result<(Duration, Answer)>>;
}

/// Sends one batch after the other.
pub(crate) trait Lane<B>: Send + 'static {
    /// Sends a batch, and returns when it is acknowledged.
    fn send(&mut self, batch: &B) -> impl Future<Output = Result<()>> + Send;
}
