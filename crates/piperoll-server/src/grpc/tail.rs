//! Following: oldest-first pages from a position to the present, then what all tails of the filter share
//! ([`crate::live`]). Nothing is kept for a tail but its position, so one that takes nothing can be let go.

use super::{
    answers::{Answers, answers_and_end},
    query::{PAGE_EVENTS_MAX, position},
    records::{filter, tail_page},
};
use crate::{
    clock,
    daemon::Daemon,
    live::{Member, News},
    refusal::Refusal,
};
use piperoll_filter::Filter;
use piperoll_format::names::Name;
use piperoll_proto::{
    raw::RawMessage,
    v1::{self, tail_request::Start},
};
use piperoll_store::{Order, Page, Position, Query};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes of events in a message: with a thousand tails that do not read, twice as much waits for each.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Messages that may wait for the reader.
const ANSWERS_WAITING_MAX: usize = 1;
/// How long a tail that does not read keeps what it shares with others.
const SHARING_STALL_MAX: Duration = Duration::from_millis(250);

struct Tail {
    daemon: Arc<Daemon>,
    query: Query,
    /// Where the reader is once it has taken what was sent.
    position: Position,
    /// Whether all that was there at the start has been sent.
    live: bool,
    /// When the reader last heard of its position.
    told: Option<Instant>,
    answers: mpsc::Sender<Result<RawMessage, Status>>,
    /// One of the tails that may be connected at one time.
    _counts: OwnedSemaphorePermit,
}

/// Begins a tail; what is wrong with the request is said at once.
pub(super) async fn start(
    daemon: Arc<Daemon>,
    tenant: Name,
    request: v1::TailRequest,
) -> Result<Answers<RawMessage>, Refusal> {
    let counts = daemon.tail_place()?;
    let filter = filter(&request.filter, daemon.now())?;
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
    let tail = Tail { daemon, query, position, live: false, told: None, answers, _counts: counts };
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
        let ended = tokio::select! {
            () = reader.closed() => return None,
            () = stopping.cancelled() => Err(Refusal::stopping()),
            ended = self.follow() => ended,
        };
        let refusal = ended.err()?;
        Some(self.daemon.refused(refusal.at_position(self.position.encode())))
    }

    /// Ends well only where the reader has gone.
    async fn follow(&mut self) -> Result<(), Refusal> {
        loop {
            if self.slot().await?.is_none() {
                return Ok(());
            }
            self.catch_up().await?;
            // What is published while it catches up for the last time is in the first piece.
            let (daemon, query) = (&self.daemon, &self.query);
            let member = daemon.live.join(&daemon.reader, &query.tenant, &query.filter);
            self.catch_up().await?;
            self.share(member).await?;
        }
    }

    /// Reads for itself until nothing is left.
    async fn catch_up(&mut self) -> Result<(), Refusal> {
        while !self.live || self.daemon.reader.is_behind(&self.position) {
            let page = self.page().await?;
            let became_live = page.exhausted && !self.live;
            self.live |= page.exhausted;
            // At once, so that a reader has a position before the first event.
            if page.records.is_empty()
                && !became_live
                && self.told.is_some()
                && Instant::now() < self.heartbeat()
            {
                self.position = page.position;
            } else {
                self.send_page(page).await?;
            }
        }
        Ok(())
    }

    async fn page(&self) -> Result<Page, Refusal> {
        let query = Query { position: Some(self.position.clone()), ..self.query.clone() };
        self.daemon.read_on(move |reader, asker| reader.query(&query, asker)).await
    }

    async fn send_page(&mut self, page: Page) -> Result<(), Refusal> {
        let message = tail_page(&self.query.tenant, page.records, &page.position, self.live);
        let Some(slot) = self.slot().await? else { return Ok(()) };
        slot.send(Ok(RawMessage(message)));
        self.position = page.position;
        self.told = Some(Instant::now());
        Ok(())
    }

    /// Passes on what its group finds, until it misses something or does not read.
    async fn share(&mut self, mut member: Member) -> Result<(), Refusal> {
        loop {
            let news = tokio::select! {
                piece = member.next() => match piece {
                    Some(piece) => piece.news(&self.position),
                    None => return Ok(()),
                },
                () = sleep_until(self.heartbeat()) => self.standing(&member),
            };
            match news {
                News::Known => {}
                News::Gap => return Ok(()),
                News::Message(message, position) => {
                    let slot = timeout(SHARING_STALL_MAX, self.answers.reserve()).await;
                    let Ok(Ok(slot)) = slot else { return Ok(()) };
                    slot.send(Ok(RawMessage(message)));
                    self.position = position;
                    self.told = Some(Instant::now());
                }
            }
        }
    }

    fn heartbeat(&self) -> Instant {
        self.told.unwrap_or_else(Instant::now) + self.daemon.limits.tail_heartbeat.0
    }

    /// The message that tells where the tail is.
    fn standing(&self, member: &Member) -> News {
        let mut position = self.position.clone();
        if let Some(reached) = member.position() {
            position.advance(&reached);
        }
        News::Message(tail_page(&self.query.tenant, [], &position, self.live), position)
    }

    /// Room for a message; `None` where the reader has gone.
    async fn slot(&self) -> Result<Option<mpsc::Permit<'_, Result<RawMessage, Status>>>, Refusal> {
        let stall_max = self.daemon.limits.reader_stall_max;
        let slot = timeout(stall_max.0, self.answers.reserve()).await;
        let slow = |_| {
            let message = format!("this tail took nothing for {stall_max}; go on from its position");
            Refusal::overload("slow_reader", message)
        };
        Ok(slot.map_err(slow)?.ok())
    }
}
