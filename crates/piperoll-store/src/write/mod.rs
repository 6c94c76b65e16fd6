//! The way in: batches are split over logs, queued, grouped, written, synced, published, acknowledged.

pub(crate) mod appender;
pub(crate) mod batch;
pub(crate) mod group;
pub(crate) mod inbox;
pub(crate) mod lookup;
pub(crate) mod part;
pub(crate) mod producers;
pub(crate) mod roll;
pub(crate) mod writer;
