//! `EventService`: the way in. The client's bytes are checked in one walk and handed to the store as they are.

use super::{
    TOO_LONG_MESSAGE,
    answers::{Answers, answers_and_end},
};
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
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
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
struct Pending(oneshot::Receiver<Result<Receipt, AppendError>>);

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
        let (window, pending) = mpsc::channel(self.0.limits.stream_requests_max.0 as usize);
        let daemon = Arc::clone(&self.0);
        let answers = ReceiverStream::new(pending).then(move |begun| answer(Arc::clone(&daemon), begun));
        let daemon = Arc::clone(&self.0);
        let taking = async move { take_requests(&daemon, door, request.into_inner(), window).await.err() };
        Ok(Response::new(answers_and_end(&self.0, answers, taking)))
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
///
/// `room` is what the request takes up until it is stored.
fn submit(
    daemon: &Daemon,
    door: &Door,
    message: Bytes,
    room: impl Send + 'static,
) -> Result<Pending, Refusal> {
    let mut routed = Routed::default();
    let request = check_batch(message, &mut |_, event| daemon.router.route(event, &mut routed))?;
    daemon.metrics.unknown_fields.inc_by(request.unknown_fields as u64);
    let classes = daemon.router.classes(&routed);
    let batch = Batch { tenant: door.tenant.clone(), sender: Arc::clone(&door.sender), request, classes };
    let (done, outcome) = oneshot::channel();
    let failed = Arc::clone(&door.failed);
    daemon.appender.submit(
        batch,
        Box::new(move |result| {
            drop(room);
            if result.is_err() {
                failed.store(true, Relaxed);
            }
            // Fails where the caller does not wait any more: the request is stored all the same.
            let _ = done.send(result);
        }),
    );
    Ok(Pending(outcome))
}

/// Takes requests as fast as the window of unanswered ones and the budget of bytes let it, which is what holds
/// the sender back: the transport's own windows fill up behind them. What ends it before the sender does is
/// answered last.
async fn take_requests(
    daemon: &Daemon,
    door: Door,
    mut requests: Streaming<RawMessage>,
    window: mpsc::Sender<Pending>,
) -> Result<(), Status> {
    let room = Arc::new(Semaphore::new(daemon.stream_bytes_max as usize));
    loop {
        let stall_max = daemon.limits.reader_stall_max;
        let slot = match timeout(stall_max.0, window.reserve()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(daemon.refused(stalled(daemon))),
        };
        let begun = tokio::select! {
            biased;
            () = daemon.stopping.cancelled() => return Err(daemon.refused(Refusal::stopping())),
            begun = next_request(daemon, &door, &mut requests, &room) => begun?,
        };
        match begun {
            Some(begun) => slot.send(begun),
            None => return Ok(()),
        }
    }
}

fn stalled(daemon: &Daemon) -> Refusal {
    let (requests, time) = (daemon.limits.stream_requests_max, daemon.limits.reader_stall_max);
    let message =
        format!("no answer to this stream's last {requests} requests was taken for {time}; open it again");
    Refusal::overload("slow_reader", message)
}

/// The next request, begun; None where there is none, or where it must not be begun.
async fn next_request(
    daemon: &Daemon,
    door: &Door,
    requests: &mut Streaming<RawMessage>,
    room: &Arc<Semaphore>,
) -> Result<Option<Pending>, Status> {
    let message = match requests.message().await {
        Ok(Some(message)) => message.0,
        Ok(None) => return Ok(None),
        // The transport says so of a message that is too long.
        Err(status) if status.code() == Code::OutOfRange => {
            return Err(daemon.refused(Refusal::field("request", TOO_LONG_MESSAGE)));
        }
        // It was refused, and counted, while it arrived; everything else is a connection that broke.
        Err(status) => {
            let refused = matches!(status.code(), Code::ResourceExhausted | Code::DeadlineExceeded);
            return if refused { Err(status) } else { Ok(None) };
        }
    };
    let length = length_of(&message);
    let of_stream = Arc::clone(room).acquire_many_owned(length.min(daemon.stream_bytes_max));
    let of_all = Arc::clone(&daemon.request_bytes).acquire_many_owned(length);
    let room = (of_stream.await, of_all.await);
    let (Ok(of_stream), Ok(of_all)) = room else { return Err(daemon.refused(Refusal::stopping())) };
    if door.failed.load(Relaxed) {
        return Ok(None);
    }
    submit(daemon, door, message, (of_stream, of_all)).map(Some).map_err(|refusal| daemon.refused(refusal))
}

/// The answer to a request of a stream; the transport ends the stream with the first that is a status.
async fn answer(daemon: Arc<Daemon>, begun: Pending) -> Result<v1::AppendStreamResponse, Status> {
    let receipt = outcome(&daemon, begun).await.map_err(|refusal| daemon.refused(refusal))?;
    Ok(v1::AppendStreamResponse { ranges: ranges(&receipt), repeated_request: receipt.repeated })
}

async fn outcome(daemon: &Daemon, pending: Pending) -> Result<Receipt, Refusal> {
    let outcome = pending.0.await.map_err(|_| Refusal::internal("the store dropped a request"))?;
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
