//! Following: oldest-first pages from a position on, and again whenever something was published. Nothing is
//! kept for a tail but its position, so one that takes nothing can be let go.

use super::{
    answers::{Answers, answers_and_end},
    query::{PAGE_EVENTS_MAX, position},
    records::{event_record, filter},
};
use crate::{clock, daemon::Daemon, refusal::Refusal};
use piperoll_filter::Filter;
use piperoll_format::names::Name;
use piperoll_proto::{
    raw,
    v1::{self, tail_request::Start},
};
use piperoll_store::{Order, Page, Position, Query};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes of events in a message: with a thousand tails that do not read, twice as much waits for each.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Messages that may wait for the reader.
const ANSWERS_WAITING_MAX: usize = 1;

struct Tail {
    daemon: Arc<Daemon>,
    query: Query,
    /// Where the reader is once it has taken what was sent.
    position: Position,
    /// Whether all that was there at the start has been sent.
    live: bool,
    published: watch::Receiver<()>,
    answers: mpsc::Sender<Result<raw::TailResponse, Status>>,
    /// One of the tails that may be connected at one time.
    _counts: OwnedSemaphorePermit,
}

/// Begins a tail; what is wrong with the request is said at once.
pub(super) async fn start(
    daemon: Arc<Daemon>,
    tenant: Name,
    request: v1::TailRequest,
) -> Result<Answers<raw::TailResponse>, Refusal> {
    let counts = daemon.tail_place()?;
    let filter = filter(&request.filter, daemon.now())?;
    // Before the position is taken, so that nothing is published unnoticed in between.
    let published = daemon.published.subscribe();
    let position = beginning(&daemon, &tenant, &filter, request.start).await?;
    let query = Query {
        tenant,
        filter,
        order: Order::OldestFirst,
        limit: PAGE_EVENTS_MAX,
        bytes_max: PAGE_BYTES_MAX,
        position: None,
    };
    let (answers, reader) = mpsc::channel(ANSWERS_WAITING_MAX);
    let of = Arc::clone(&daemon);
    let tail = Tail { daemon, query, position, live: false, published, answers, _counts: counts };
    Ok(answers_and_end(&of, ReceiverStream::new(reader), tail.run()))
}

async fn beginning(
    daemon: &Arc<Daemon>,
    tenant: &Name,
    filter: &Filter,
    start: Option<Start>,
) -> Result<Position, Refusal> {
    let (tenant, filter) = (tenant.clone(), filter.clone());
    match start {
        Some(Start::Position(text)) => match position(&text)? {
            Some(position) => Ok(position),
            None => Err(Refusal::field("position", "it is empty; leave it out to begin now")),
        },
        Some(Start::ReceivedFrom(time)) => {
            let time = clock::from_timestamp(&time);
            let time = time.ok_or_else(|| Refusal::field("received_from", "it is no time"))?;
            daemon.read(move |reader, _| reader.position_at_received(&tenant, &filter, time)).await
        }
        None => Ok(daemon.reader.position_now(&tenant, &filter)),
    }
}

impl Tail {
    /// Until the reader goes (no status), or the daemon ends it.
    async fn run(mut self) -> Option<Status> {
        let reader = self.answers.clone();
        let stopping = self.daemon.stopping.clone();
        let refusal = tokio::select! {
            () = reader.closed() => return None,
            () = stopping.cancelled() => Refusal::stopping(),
            refusal = self.follow() => refusal,
        };
        Some(self.daemon.refused(refusal.at_position(self.position.encode())))
    }

    async fn follow(&mut self) -> Refusal {
        // At once, so that a reader has a position before the first event.
        let mut heartbeat_due = true;
        loop {
            self.published.mark_unchanged();
            let page = match self.page().await {
                Ok(page) => page,
                Err(refusal) => return refusal,
            };
            let exhausted = page.exhausted;
            let became_live = exhausted && !self.live;
            self.live |= exhausted;
            if !heartbeat_due && !became_live && page.records.is_empty() {
                // Nothing of it is for this reader, who hears of the position with the next answer.
                self.position = page.position;
            } else if let Err(refusal) = self.send(page).await {
                return refusal;
            }
            heartbeat_due = exhausted && self.wait().await;
        }
    }

    async fn page(&self) -> Result<Page, Refusal> {
        let query = Query { position: Some(self.position.clone()), ..self.query.clone() };
        self.daemon.read(move |reader, cancelled| reader.query(&query, cancelled)).await
    }

    /// Until something is published, or (true) until it is time to tell the position again.
    async fn wait(&mut self) -> bool {
        let heartbeat = sleep(self.daemon.limits.tail_heartbeat.0);
        tokio::pin!(heartbeat);
        loop {
            if self.daemon.reader.is_behind(&self.position) {
                return false;
            }
            tokio::select! {
                () = &mut heartbeat => return true,
                changed = self.published.changed() => if changed.is_err() { return true },
            }
        }
    }

    async fn send(&mut self, page: Page) -> Result<(), Refusal> {
        let stall_max = self.daemon.limits.reader_stall_max;
        let slow = || {
            let message = format!("this tail took nothing for {stall_max}; go on from its position");
            Refusal::overload("slow_reader", message)
        };
        let slot = timeout(stall_max.0, self.answers.reserve()).await.map_err(|_| slow())?;
        // Fails where the reader has gone, which `run` sees too.
        let slot = slot.map_err(|_| Refusal::stopping())?;
        self.position = page.position;
        slot.send(Ok(raw::TailResponse {
            position: self.position.encode(),
            live: self.live,
            records: page
                .records
                .into_iter()
                .map(|record| event_record(&self.query.tenant, record))
                .collect(),
        }));
        Ok(())
    }
}
