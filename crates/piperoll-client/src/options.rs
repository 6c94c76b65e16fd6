//! What the caller chooses.

use crate::producer::Ack;
use std::time::Duration;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `http://` host and port of the daemon's gRPC.
    pub endpoint: String,
    /// The tenant of every request.
    pub tenant: String,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a tail tries to get its connection back before it gives up.
    pub retry_for: Duration,
}

impl ClientOptions {
    /// For the daemon at `endpoint` (`http://127.0.0.1:7421`), tenant `default`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            tenant: "default".to_owned(),
            connect_timeout: Duration::from_secs(5),
            retry_for: Duration::from_mins(1),
        }
    }
}

/// Called with each acknowledged batch, in order. It runs between two answers, so it should be short.
pub type AckFn = Box<dyn FnMut(&Ack) + Send>;

/// How a [`Producer`](crate::Producer) sends. The defaults suit a busy sender and delay a lone event by 5 ms.
pub struct ProducerOptions {
    /// Most events in a batch; the daemon takes up to 16,384.
    pub batch_events_max: usize,
    /// Most bytes of events in a batch; the daemon takes up to 8 MiB.
    pub batch_bytes_max: usize,
    /// How long a batch waits to become full; at most a day.
    pub linger: Duration,
    /// Batches on their way at one time.
    pub in_flight_max: usize,
    /// Names this producer for retries, not 0. None: a random one, which is right unless the producer carries
    /// on where an earlier one of that name ended.
    pub producer_id: Option<u64>,
    /// Number of the first batch, from 1: one more than the last that an earlier producer of this name had
    /// acknowledged.
    pub first_sequence: u64,
    /// How long to try again without any progress before giving up.
    pub retry_for: Duration,
    /// Called with each acknowledged batch.
    pub on_ack: Option<AckFn>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            batch_events_max: 1_000,
            batch_bytes_max: 1 << 20,
            linger: Duration::from_millis(5),
            in_flight_max: 8,
            producer_id: None,
            first_sequence: 1,
            retry_for: Duration::from_mins(1),
            on_ack: None,
        }
    }
}
