//! Requests of sample events, made before the clock runs.

use bytes::Bytes;
use piperoll_proto::v1::AppendStreamRequest;
use piperoll_samples::Events;
use prost::Message as _;
use std::sync::Arc;

/// So many different encoded requests, of `events` events each.
pub(crate) fn batches(seed: u64, count: usize, events: usize) -> Arc<[Bytes]> {
    let mut samples = Events::new(seed, (count * events) as u64, 1.0);
    let batch = |_| {
        let events = samples.by_ref().take(events).collect();
        AppendStreamRequest { events, ..AppendStreamRequest::default() }.encode_to_vec().into()
    };
    (0..count).map(batch).collect()
}
