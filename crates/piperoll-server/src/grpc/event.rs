//! `EventService`: the way in. The client's bytes are checked in one walk and handed to the store as they are.

use super::TOO_LONG_MESSAGE;
use crate::{
    connection::Peer,
    daemon::{Daemon, tenant_of},
    refusal::Refusal,
    routing::Routed,
};
use bytes::Bytes;
use piperoll_format::{names::Name, request::check_batch};
use piperoll_proto::{
    raw::{RawMessage, event_service_server::EventService},
    v1,
};
use piperoll_store::{AppendError, Batch, Receipt, Sender};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

/// `EventService` of a daemon.
#[derive(Clone)]
pub(super) struct EventGrpc(pub(super) Arc<Daemon>);

/// For whom, and from whom, the requests of one call are.
struct Door {
    tenant: Name,
    sender: Arc<Sender>,
    /// Set when one of them failed: none behind it may be stored, or its retry would come out of order.
    failed: Arc<AtomicBool>,
}

/// A request on its way to the disk.
struct Pending {
    outcome: oneshot::Receiver<Result<Receipt, AppendError>>,
    _bytes: OwnedSemaphorePermit,
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::AppendStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventService for EventGrpc {
    type AppendStreamStream = Answers;

    async fn append(&self, request: Request<RawMessage>) -> Result<Response<v1::AppendResponse>, Status> {
        let receipt = self.append_one(request).await.map_err(|refusal| self.0.refused(refusal))?;
        Ok(Response::new(v1::AppendResponse { ranges: ranges(&receipt), repeated_request: receipt.repeated }))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let door = Door::of(&request).map_err(|refusal| self.0.refused(refusal))?;
        let (window, pending) = mpsc::channel(self.0.limits.stream_requests_max.0 as usize);
        self.0.tasks.spawn(take_requests(Arc::clone(&self.0), door, request.into_inner(), window));
        Ok(Response::new(Box::pin(give_answers(Arc::clone(&self.0), pending))))
    }
}

impl EventGrpc {
    async fn append_one(&self, request: Request<RawMessage>) -> Result<Receipt, Refusal> {
        let door = Door::of(&request)?;
        let message = request.into_inner().0;
        let bytes = Arc::clone(&self.0.request_bytes).try_acquire_many_owned(length_of(&message));
        let bytes =
            bytes.map_err(|_| Refusal::overload("over_capacity", "too many bytes of requests in flight"))?;
        outcome(&self.0, submit(&self.0, &door, message, bytes)?).await
    }
}

impl Door {
    fn of<T>(request: &Request<T>) -> Result<Self, Refusal> {
        let peer = request.extensions().get::<Peer>();
        let sender = peer.map(|peer| Arc::clone(&peer.0));
        Ok(Self {
            tenant: tenant_of(request.metadata())?,
            sender: sender.ok_or_else(|| Refusal::internal("the connection has no peer"))?,
            failed: Arc::default(),
        })
    }
}

/// Checks a request whole and hands it to the store.
fn submit(
    daemon: &Daemon,
    door: &Door,
    message: Bytes,
    bytes: OwnedSemaphorePermit,
) -> Result<Pending, Refusal> {
    let mut routed = Routed::default();
    let mut unknown_fields = 0;
    let request = check_batch(message, &mut |_, event| {
        unknown_fields += event.unknown_fields();
        daemon.router.route(event, &mut routed);
    })?;
    daemon.metrics.unknown_fields.inc_by(unknown_fields as u64);
    let classes = daemon.router.classes(&routed);
    let batch = Batch { tenant: door.tenant.clone(), sender: Arc::clone(&door.sender), request, classes };
    let (done, outcome) = oneshot::channel();
    let failed = Arc::clone(&door.failed);
    daemon.appender.submit(
        batch,
        Box::new(move |result| {
            if result.is_err() {
                failed.store(true, Relaxed);
            }
            // Fails where the caller does not wait any more: the request is stored all the same.
            let _ = done.send(result);
        }),
    );
    Ok(Pending { outcome, _bytes: bytes })
}

/// Takes requests as fast as the window of unanswered ones and the budget of bytes let it, which is what holds
/// the sender back: the transport's own windows fill up behind them.
async fn take_requests(
    daemon: Arc<Daemon>,
    door: Door,
    mut requests: Streaming<RawMessage>,
    window: mpsc::Sender<Result<Pending, Refusal>>,
) {
    while let Ok(slot) = window.reserve().await {
        let begun = tokio::select! {
            biased;
            () = daemon.stopping.cancelled() => Err(Refusal::stopping()),
            begun = next_request(&daemon, &door, &mut requests) => match begun {
                Some(begun) => begun,
                None => return,
            },
        };
        let ended = begun.is_err();
        slot.send(begun);
        if ended {
            return;
        }
    }
}

/// The next request, begun; None where there is none, or where it must not be begun.
async fn next_request(
    daemon: &Daemon,
    door: &Door,
    requests: &mut Streaming<RawMessage>,
) -> Option<Result<Pending, Refusal>> {
    let message = match requests.message().await {
        Ok(message) => message?.0,
        // The transport says so of a message that is too long; everything else is a connection that broke.
        Err(status) if status.code() == Code::OutOfRange => {
            return Some(Err(Refusal::field("request", TOO_LONG_MESSAGE)));
        }
        Err(_) => return None,
    };
    let bytes = Arc::clone(&daemon.request_bytes).acquire_many_owned(length_of(&message)).await.ok()?;
    if door.failed.load(Relaxed) {
        return None;
    }
    Some(submit(daemon, door, message, bytes))
}

/// Answers in the order of the requests, and ends with the first that failed.
fn give_answers(
    daemon: Arc<Daemon>,
    pending: mpsc::Receiver<Result<Pending, Refusal>>,
) -> impl Stream<Item = Result<v1::AppendStreamResponse, Status>> {
    futures_util::stream::unfold(Some(pending), move |pending| {
        let daemon = Arc::clone(&daemon);
        async move {
            let mut pending = pending?;
            let receipt = match pending.recv().await? {
                Ok(begun) => outcome(&daemon, begun).await,
                Err(refusal) => Err(refusal),
            };
            Some(match receipt {
                Ok(receipt) => {
                    let (ranges, repeated_request) = (ranges(&receipt), receipt.repeated);
                    (Ok(v1::AppendStreamResponse { ranges, repeated_request }), Some(pending))
                }
                Err(refusal) => (Err(daemon.refused(refusal)), None),
            })
        }
    })
}

async fn outcome(daemon: &Daemon, pending: Pending) -> Result<Receipt, Refusal> {
    let outcome = pending.outcome.await.map_err(|_| Refusal::internal("the store dropped a request"))?;
    let receipt = outcome?;
    daemon.metrics.acks.inc();
    Ok(receipt)
}

fn ranges(receipt: &Receipt) -> Vec<v1::AddressRange> {
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
