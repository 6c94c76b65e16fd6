//! `EventService`: the way in. The client's bytes are checked in one walk and handed to the store as they are.

use super::{
    answers::{Answers, answers_and_end},
    stream,
};
use crate::{
    connection::Peer,
    daemon::{Daemon, tenant_of},
    refusal::Refusal,
    routing::Routed,
};
use bytes::Bytes;
use piperoll_format::{
    names::Name,
    request::{CheckedBatch, check_batch},
};
use piperoll_proto::{
    raw::{RawMessage, event_service_server::EventService},
    v1,
};
use piperoll_store::{Batch, Classes, Done, Receipt, Sender};
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

/// `EventService` of a daemon.
#[derive(Clone)]
pub(super) struct EventGrpc(pub(super) Arc<Daemon>);

/// For whom, and from whom, the requests of one call are.
pub(super) struct Door {
    tenant: Name,
    sender: Arc<Sender>,
}

#[tonic::async_trait]
impl EventService for EventGrpc {
    type AppendStreamStream = Answers<v1::AppendStreamResponse>;

    async fn append(&self, request: Request<RawMessage>) -> Result<Response<v1::AppendResponse>, Status> {
        let receipt = self.append_one(request).await.map_err(|refusal| self.0.refused(refusal))?;
        Ok(Response::new(v1::AppendResponse { ranges: ranges(&receipt), repeated_request: receipt.repeated }))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let door = Door::of(&request).map_err(|refusal| self.0.refused(refusal))?;
        let (taker, answers) = stream::Taker::new(Arc::clone(&self.0), door, request.into_inner());
        Ok(Response::new(answers_and_end(&self.0, answers, async { taker.run().await.err() })))
    }
}

impl EventGrpc {
    async fn append_one(&self, request: Request<RawMessage>) -> Result<Receipt, Refusal> {
        let door = Door::of(&request)?;
        let message = request.into_inner().0;
        let bytes = Arc::clone(&self.0.request_bytes).try_acquire_many_owned(length_of(&message));
        let bytes =
            bytes.map_err(|_| Refusal::overload("over_capacity", "too many bytes of requests in flight"))?;
        let (done, outcome) = oneshot::channel();
        let done = move |result| {
            drop(bytes);
            // Fails where the caller does not wait any more: the request is stored all the same.
            let _ = done.send(result);
        };
        submit(&self.0, &door, check(&self.0, message)?, Box::new(done));
        let receipt = outcome.await.map_err(|_| Refusal::internal("the store dropped a request"))??;
        self.0.metrics.acks.inc();
        Ok(receipt)
    }
}

impl Door {
    fn of<T>(request: &Request<T>) -> Result<Self, Refusal> {
        let peer = request.extensions().get::<Peer>();
        let sender = peer.map(|peer| Arc::clone(&peer.0));
        Ok(Self {
            tenant: tenant_of(request.metadata())?,
            sender: sender.ok_or_else(|| Refusal::internal("the connection has no peer"))?,
        })
    }
}

/// Checks a request whole and tells its classes.
pub(super) fn check(daemon: &Daemon, message: Bytes) -> Result<(CheckedBatch, Classes), Refusal> {
    let mut routed = Routed::default();
    let request = check_batch(message, &mut |_, event| daemon.router.route(event, &mut routed))?;
    daemon.metrics.unknown_fields.inc_by(request.unknown_fields as u64);
    let classes = daemon.router.classes(&routed);
    Ok((request, classes))
}

/// Hands a checked request to the store, which calls `done` once.
pub(super) fn submit(daemon: &Daemon, door: &Door, (request, classes): (CheckedBatch, Classes), done: Done) {
    let batch = Batch { tenant: door.tenant.clone(), sender: Arc::clone(&door.sender), request, classes };
    daemon.appender.submit(batch, done);
}

pub(super) fn ranges(receipt: &Receipt) -> Vec<v1::AddressRange> {
    let range = |range: &piperoll_store::AddressRange| v1::AddressRange {
        class: range.class.to_string(),
        first_sequence: range.first.0,
        end_sequence: range.end.0,
        received: Some(crate::clock::timestamp(range.received)),
        positions: range.positions.clone(),
    };
    receipt.ranges.iter().map(range).collect()
}

/// A message is never longer than the transport's limit, which is far below 4 GiB.
fn length_of(message: &Bytes) -> u32 {
    u32::try_from(message.len()).unwrap_or(u32::MAX)
}
