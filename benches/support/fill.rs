//! Events into the daemon, made while they are sent.

use crate::net::connect;
use anyhow::Result;
use futures_util::StreamExt as _;
use piperoll_proto::{
    TENANT_METADATA,
    raw::{RawMessage, event_service_client::EventServiceClient},
    v1::{AppendStreamRequest, Event},
};
use prost::Message as _;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

const BATCH_EVENTS: usize = 1_000;
const BATCHES_WAITING: usize = 8;

/// Sends `events` as `tenant`'s, and waits until all are acknowledged. Each is shown to `note` with `tally`,
/// which comes back.
pub(crate) async fn fill<T: Send + 'static>(
    address: SocketAddr,
    tenant: &str,
    mut events: impl Iterator<Item = Event> + Send + 'static,
    mut tally: T,
    note: fn(&mut T, &Event),
) -> Result<T> {
    let (batches, taken) = mpsc::channel(BATCHES_WAITING);
    let making = tokio::task::spawn_blocking(move || {
        loop {
            let batch: Vec<Event> = events.by_ref().take(BATCH_EVENTS).collect();
            for event in &batch {
                note(&mut tally, event);
            }
            // The receiver goes when the stream breaks, and that is what the caller hears of.
            if batch.is_empty() || batches.blocking_send(batch).is_err() {
                return tally;
            }
        }
    });
    let encoded = ReceiverStream::new(taken).map(|events| {
        let request = AppendStreamRequest { events, ..AppendStreamRequest::default() };
        RawMessage(request.encode_to_vec().into())
    });
    let mut request = Request::new(encoded);
    request.metadata_mut().insert(TENANT_METADATA, tenant.parse()?);
    let mut client = EventServiceClient::new(connect(address).await?);
    let mut answers = client.append_stream(request).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(making.await?)
}
