//! Sample events into the daemon, made while they are sent.

use crate::{net::connect, questions::Sent};
use anyhow::Result;
use futures_util::StreamExt as _;
use piperoll_proto::{
    raw::{RawMessage, event_service_client::EventServiceClient},
    v1::{AppendStreamRequest, Event},
};
use piperoll_samples::Events;
use prost::Message as _;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const BATCH_EVENTS: usize = 1_000;
const BATCHES_WAITING: usize = 8;
const DAYS: f64 = 30.0;

/// Sends the first `count` events of `seed`, and waits until all are acknowledged.
pub(crate) async fn fill(address: SocketAddr, seed: u64, count: usize) -> Result<Sent> {
    let (batches, taken) = mpsc::channel(BATCHES_WAITING);
    let making = tokio::task::spawn_blocking(move || {
        let mut sent = Sent::default();
        let mut events = Events::new(seed, count as u64, DAYS).take(count);
        loop {
            let batch: Vec<Event> = events.by_ref().take(BATCH_EVENTS).collect();
            for event in &batch {
                sent.note(event);
            }
            // The receiver goes when the stream breaks, and that is what the caller hears of.
            if batch.is_empty() || batches.blocking_send(batch).is_err() {
                return sent;
            }
        }
    });
    let encoded = ReceiverStream::new(taken).map(|events| {
        let request = AppendStreamRequest { events, ..AppendStreamRequest::default() };
        RawMessage(request.encode_to_vec().into())
    });
    let mut client = EventServiceClient::new(connect(address).await?);
    let mut answers = client.append_stream(encoded).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(making.await?)
}
