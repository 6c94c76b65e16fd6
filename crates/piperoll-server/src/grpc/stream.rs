//! `AppendStream`: requests are taken and answered in runs of those that have arrived together, and of a run all
//! that go one way are stored as one, so that what a hand-over costs is paid once for many.

use super::{
    TOO_LONG_MESSAGE,
    event::{Door, check, ranges, submit},
};
use crate::{daemon::Daemon, refusal::Refusal};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use parking_lot::Mutex;
use piperoll_format::{names::Name, request::CheckedBatch};
use piperoll_proto::{raw::RawMessage, v1::AppendStreamResponse};
use piperoll_store::{AppendError, Classes, Receipt};
use std::sync::{Arc, OnceLock};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::yield_now,
    time::timeout,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status, Streaming};

/// Requests of a run: enough that what is paid for each run is little.
const RUN_REQUESTS_MAX: usize = 256;
/// A run ends with the request that reaches as many bytes: what waits should be small beside what is answered. What is
/// stored as one is no longer either: copying more together saves nothing.
const RUN_BYTES_MAX: usize = 64 << 10;

type Outcome = Result<Receipt, AppendError>;

/// Requests of a run that are stored as one: of one class, and without a retry key, which names a request alone.
struct Joint {
    class: Name,
    /// Of each, its place in the run.
    places: Vec<usize>,
    requests: Vec<CheckedBatch>,
    bytes: usize,
}

/// Takes requests as fast as the window of unanswered ones and the budget of bytes let it, which is what holds
/// the sender back: the transport's own windows fill up behind it.
pub(super) struct Taker {
    daemon: Arc<Daemon>,
    door: Door,
    requests: Streaming<RawMessage>,
    /// Requests that may be taken before others are answered.
    window: Arc<Semaphore>,
    /// Bytes of them.
    room: Arc<Semaphore>,
    runs: mpsc::Sender<Pending>,
    /// Set when a request failed: none behind it in its log may be stored, or its retry would come out of order.
    failed: Arc<OnceLock<AppendError>>,
}

/// A run on its way to the disk, and its places in the stream's window.
struct Pending(oneshot::Receiver<Vec<Outcome>>, OwnedSemaphorePermit);

/// Requests that arrived together.
struct Arrived {
    messages: Vec<Bytes>,
    bytes: usize,
    /// What came behind them.
    then: Then,
}

enum Then {
    /// Nothing yet.
    More,
    /// The end, or a connection that broke.
    End,
    /// A request that is refused.
    Refused(Status),
}

/// The outcomes of a run; the last one to come gives all of them.
struct Outcomes {
    /// That of the stream.
    failed: Arc<OnceLock<AppendError>>,
    state: Mutex<OutcomesState>,
}

struct OutcomesState {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    /// What the run takes up until it is stored, and who waits for it.
    done: Option<(Room, oneshot::Sender<Vec<Outcome>>)>,
}

/// Of the stream's bytes, and of all.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Taker {
    /// With the answers to what it takes.
    pub(super) fn new(
        daemon: Arc<Daemon>,
        door: Door,
        requests: Streaming<RawMessage>,
    ) -> (Self, impl Stream<Item = Result<AppendStreamResponse, Status>> + Send + 'static) {
        let requests_max = daemon.limits.stream_requests_max.0 as usize;
        let (runs, pending) = mpsc::channel(requests_max);
        let (window, room) = (Semaphore::new(requests_max), Semaphore::new(daemon.stream_bytes_max as usize));
        let of = Arc::clone(&daemon);
        let answers = ReceiverStream::new(pending).then(move |pending| answers(Arc::clone(&of), pending));
        let taker = Self {
            daemon,
            door,
            requests,
            window: Arc::new(window),
            room: Arc::new(room),
            runs,
            failed: Arc::default(),
        };
        (taker, futures_util::StreamExt::flatten(answers))
    }

    /// Until the sender ends it; what ends it before is answered last.
    pub(super) async fn run(mut self) -> Result<(), Status> {
        loop {
            let stall_max = self.daemon.limits.reader_stall_max;
            let place = tokio::select! {
                place = timeout(stall_max.0, Arc::clone(&self.window).acquire_owned()) => place,
                // The reader of the answers has gone.
                () = self.runs.closed() => return Ok(()),
            };
            let Ok(place) = place else { return Err(self.daemon.refused(self.stalled())) };
            let stopping = self.daemon.stopping.clone();
            let arrived = tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(self.daemon.refused(Refusal::stopping())),
                arrived = self.next() => arrived,
            };
            let then = match place {
                Ok(place) if !arrived.messages.is_empty() => self.begin(arrived, place).await?,
                _ => arrived.then,
            };
            match then {
                // A sender that never pauses would keep this thread until its window is full.
                Then::More => yield_now().await,
                Then::End => return Ok(()),
                Then::Refused(status) => return Err(status),
            }
        }
    }

    fn stalled(&self) -> Refusal {
        let limits = &self.daemon.limits;
        let (requests, time) = (limits.stream_requests_max, limits.reader_stall_max);
        let message = format!(
            "no answer to this stream's last {requests} requests was taken for {time}; open it again"
        );
        Refusal::overload("slow_reader", message)
    }

    /// Waits for a request, and takes those with it that are there already and have a place in the window.
    async fn next(&mut self) -> Arrived {
        let count_max = self.window.available_permits().saturating_add(1).min(RUN_REQUESTS_MAX);
        let mut arrived = Arrived { messages: Vec::new(), bytes: 0, then: Then::More };
        let mut next = Some(self.requests.message().await);
        while let Some(message) = next.take() {
            match message {
                Ok(Some(RawMessage(message))) => {
                    arrived.bytes = arrived.bytes.saturating_add(message.len());
                    arrived.messages.push(message);
                }
                Ok(None) => arrived.then = Then::End,
                Err(status) => arrived.then = self.broken(status),
            }
            let goes_on = matches!(arrived.then, Then::More)
                && arrived.messages.len() < count_max
                && arrived.bytes < RUN_BYTES_MAX;
            if goes_on {
                next = self.requests.message().now_or_never();
            }
        }
        arrived
    }

    /// What an error of the transport is to the sender.
    fn broken(&self, status: Status) -> Then {
        match status.code() {
            // The transport says so of a message that is too long.
            Code::OutOfRange => {
                Then::Refused(self.daemon.refused(Refusal::field("request", TOO_LONG_MESSAGE)))
            }
            // It was refused, and counted, while it arrived.
            Code::ResourceExhausted | Code::DeadlineExceeded => Then::Refused(status),
            _ => Then::End,
        }
    }

    /// Hands a run to the store, up to the first request that is refused; what comes behind those that it handed.
    async fn begin(&self, arrived: Arrived, mut place: OwnedSemaphorePermit) -> Result<Then, Status> {
        let stopping = || self.daemon.refused(Refusal::stopping());
        let count = arrived.messages.len();
        // Only this task takes places, and `next` has looked.
        let others = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        place.merge(Arc::clone(&self.window).acquire_many_owned(others).await.map_err(|_| stopping())?);
        let bytes = u32::try_from(arrived.bytes).unwrap_or(u32::MAX);
        let of_stream =
            Arc::clone(&self.room).acquire_many_owned(bytes.min(self.daemon.stream_bytes_max)).await;
        let of_all = Arc::clone(&self.daemon.request_bytes).acquire_many_owned(bytes).await;
        let room = (of_stream.map_err(|_| stopping())?, of_all.map_err(|_| stopping())?);
        let (done, outcomes) = oneshot::channel();
        let run = Outcomes::new(count, Arc::clone(&self.failed), (room, done));
        let mut then = arrived.then;
        let mut begun = 0;
        let mut joints: Vec<Joint> = Vec::new();
        for message in arrived.messages {
            if self.failed.get().is_some() {
                then = Then::End;
                break;
            }
            match check(&self.daemon, message) {
                Ok((request, Classes::One(class))) if request.producer.is_none() => {
                    self.join(&mut joints, &run, (begun, request, class));
                }
                Ok(checked) => {
                    // Without a key, it comes behind those before it.
                    joints.drain(..).for_each(|joint| self.store(joint, &run));
                    let (run, place) = (Arc::clone(&run), begun);
                    let done = move |outcome: Outcome| run.put([(place, outcome)]);
                    submit(&self.daemon, &self.door, checked, Box::new(done));
                }
                Err(refusal) => {
                    then = Then::Refused(self.daemon.refused(refusal));
                    break;
                }
            }
            begun = begun.saturating_add(1);
        }
        joints.drain(..).for_each(|joint| self.store(joint, &run));
        run.cut(begun);
        // Fails where the reader of the answers has gone: the requests are stored all the same.
        let _ = self.runs.send(Pending(outcomes, place)).await;
        Ok(then)
    }

    /// Puts a request to the others of its class.
    fn join(
        &self,
        joints: &mut Vec<Joint>,
        run: &Arc<Outcomes>,
        (place, request, class): (usize, CheckedBatch, Name),
    ) {
        let bytes = request.payload.len();
        let joint = match joints.iter().position(|joint| joint.class == class) {
            Some(at)
                if joints.get(at).is_some_and(|joint| joint.bytes.saturating_add(bytes) > RUN_BYTES_MAX) =>
            {
                self.store(joints.swap_remove(at), run);
                None
            }
            at => at.and_then(|at| joints.get_mut(at)),
        };
        match joint {
            Some(joint) => {
                joint.places.push(place);
                joint.requests.push(request);
                joint.bytes = joint.bytes.saturating_add(bytes);
            }
            None => joints.push(Joint { class, places: vec![place], requests: vec![request], bytes }),
        }
    }

    /// Hands requests to the store as one.
    fn store(&self, Joint { class, places, requests, .. }: Joint, run: &Arc<Outcomes>) {
        if let Some(error) = self.failed.get() {
            return run.put(places.into_iter().map(|place| (place, Err(error.clone()))));
        }
        let events: Vec<u64> = requests.iter().map(|request| request.spans.len() as u64).collect();
        let run = Arc::clone(run);
        let done = move |outcome: Outcome| {
            let other = || AppendError::Refused("its receipt is that of other events".to_owned());
            match outcome.and_then(|receipt| receipt.split(events.into_iter()).ok_or_else(other)) {
                Ok(receipts) => run.put(places.into_iter().zip(receipts.into_iter().map(Ok))),
                Err(error) => run.put(places.into_iter().map(|place| (place, Err(error.clone())))),
            }
        };
        let checked = (CheckedBatch::join(requests), Classes::One(class));
        submit(&self.daemon, &self.door, checked, Box::new(done));
    }
}

impl Outcomes {
    fn new(
        count: usize,
        failed: Arc<OnceLock<AppendError>>,
        done: (Room, oneshot::Sender<Vec<Outcome>>),
    ) -> Arc<Self> {
        let outcomes = (0..count).map(|_| None).collect();
        // One more than there are, for the cut.
        let missing = count.saturating_add(1);
        let state = Mutex::new(OutcomesState { outcomes, missing, done: Some(done) });
        Arc::new(Self { failed, state })
    }

    fn put(&self, outcomes: impl IntoIterator<Item = (usize, Outcome)>) {
        let mut state = self.state.lock();
        let mut count = 0_usize;
        for (place, outcome) in outcomes {
            if let Err(error) = &outcome {
                // The first one counts.
                let _ = self.failed.set(error.clone());
            }
            if let Some(free) = state.outcomes.get_mut(place) {
                *free = Some(outcome);
            }
            count = count.saturating_add(1);
        }
        state.arrived(count);
    }

    /// Says how many requests of the run were begun.
    fn cut(&self, begun: usize) {
        let mut state = self.state.lock();
        let left_out = state.outcomes.len().saturating_sub(begun);
        state.outcomes.truncate(begun);
        state.arrived(left_out.saturating_add(1));
    }
}

impl OutcomesState {
    fn arrived(&mut self, count: usize) {
        self.missing = self.missing.saturating_sub(count);
        if self.missing == 0
            && let Some((room, done)) = self.done.take()
        {
            drop(room);
            // Fails where nobody waits any more.
            let _ = done.send(self.outcomes.drain(..).flatten().collect());
        }
    }
}

/// The answers to a run; the transport ends the stream with the first that is a status.
async fn answers(
    daemon: Arc<Daemon>,
    Pending(outcomes, place): Pending,
) -> impl Stream<Item = Result<AppendStreamResponse, Status>> {
    let (outcomes, lost) = match outcomes.await {
        Ok(outcomes) => (outcomes, None),
        Err(_) => (Vec::new(), Some(Refusal::internal("the store dropped a request"))),
    };
    let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(Refusal::from));
    stream::iter(outcomes.chain(lost.map(Err)).map(move |outcome| {
        // The window opens when the last answer was taken.
        let _ = &place;
        let receipt = outcome.map_err(|refusal| daemon.refused(refusal))?;
        daemon.metrics.acks.inc();
        Ok(AppendStreamResponse { ranges: ranges(&receipt), repeated_request: receipt.repeated })
    }))
}
