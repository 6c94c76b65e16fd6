//! What is published, found once for all tails that ask the same and are up to date.
//!
//! One thread at a time looks at what is new, in rounds, each followed by a rest that grows with its cost: however
//! many tails there are, appends keep most of the machine. A tail that is not up to date reads for itself.

use crate::{daemon::Daemon, grpc::tail_page};
use bytes::Bytes;
use parking_lot::Mutex;
use piperoll_filter::Filter;
use piperoll_format::names::Name;
use piperoll_store::{Asker, Clock as _, Order, Position, Query, ReadError, Reader, Record, os::OsDisk};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    time::sleep,
};

/// Events, and bytes of them, in a piece.
const PIECE_EVENTS_MAX: usize = 500;
const PIECE_BYTES_MAX: usize = 32 << 10;
/// Pieces that may wait for the slowest tail of a group; one that is slower than that reads for itself.
const PIECES_WAITING_MAX: usize = 16;
/// Pieces for a group in one round.
const ROUND_PIECES_MAX: usize = 8;
/// Rest for each tail that a piece went to: a multiple of what it costs to hand it on.
const REST_PER_TAIL: Duration = Duration::from_micros(40);
/// The longest rest: what a tail may wait for it.
const REST_MAX: Duration = Duration::from_millis(50);
/// Shorter rests are put together, since no timer keeps them.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// The groups of tails, and the sign that there is something new.
pub(crate) struct Live {
    /// By tenant and filter.
    groups: Mutex<HashMap<(Name, String), Arc<Group>>>,
    /// Changes whenever something was published in any log.
    published: watch::Sender<()>,
}

/// Tails that ask the same.
struct Group {
    /// What is looked for next; one thread at a time does.
    query: Mutex<Query>,
    reached: Arc<Mutex<Reached>>,
    pieces: broadcast::Sender<Arc<Piece>>,
}

/// How far a group is.
struct Reached {
    /// The end of the last piece, or where the group began.
    sent: Position,
    /// Nothing between `sent` and here matches.
    position: Position,
}

/// A tail's place in its group.
pub(crate) struct Member {
    reached: Arc<Mutex<Reached>>,
    pieces: broadcast::Receiver<Arc<Piece>>,
}

/// Events that were published, from one position to another.
pub(crate) struct Piece {
    tenant: Name,
    from: Position,
    to: Position,
    records: Vec<Record>,
    /// The message for tails that had everything up to `from`, made for the first of them.
    message: OnceLock<Bytes>,
}

/// What a piece is to a tail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something before it is missing.
    Gap,
    /// The tail has it.
    Known,
    /// This message, and where the tail is then.
    Message(Bytes, Position),
}

impl Live {
    /// No tails yet.
    pub(crate) fn new() -> Self {
        Self { groups: Mutex::default(), published: watch::Sender::new(()) }
    }

    /// What is to be called whenever something was published.
    pub(crate) fn wake(&self) -> impl Fn() + Send + Sync + 'static {
        let published = self.published.clone();
        move || {
            published.send_replace(());
        }
    }

    /// A place among the tails of `filter`: it gets every piece from now on.
    pub(crate) fn join(&self, reader: &Reader<OsDisk>, tenant: &Name, filter: &Filter) -> Member {
        let mut groups = self.groups.lock();
        let make = || Arc::new(Group::new(reader, tenant, filter));
        let group = groups.entry((tenant.clone(), filter.to_string())).or_insert_with(make);
        Member { reached: Arc::clone(&group.reached), pieces: group.pieces.subscribe() }
    }

    /// The groups that have tails; forgets the others.
    fn groups(&self) -> Vec<Arc<Group>> {
        let mut groups = self.groups.lock();
        groups.retain(|_, group| group.pieces.receiver_count() > 0);
        groups.values().cloned().collect()
    }

    /// Ends a group; its tails find out for themselves what is wrong.
    fn end(&self, group: &Arc<Group>) {
        self.groups.lock().retain(|_, other| !Arc::ptr_eq(other, group));
    }
}

impl Group {
    fn new(reader: &Reader<OsDisk>, tenant: &Name, filter: &Filter) -> Self {
        let position = reader.position_now(tenant, filter);
        let query = Query {
            tenant: tenant.clone(),
            filter: filter.clone(),
            order: Order::OldestFirst,
            limit: PIECE_EVENTS_MAX,
            bytes_max: PIECE_BYTES_MAX,
            position: None,
        };
        let reached = Reached { sent: position.clone(), position };
        Self {
            query: Mutex::new(query),
            reached: Arc::new(Mutex::new(reached)),
            pieces: broadcast::Sender::new(PIECES_WAITING_MAX),
        }
    }

    /// Hands on what is new; how many tails got something, and whether there is more.
    fn go_on(&self, reader: &Reader<OsDisk>) -> Result<(usize, bool), ReadError> {
        let mut handed = 0;
        let mut query = self.query.lock();
        for _ in 0..ROUND_PIECES_MAX {
            let position = self.reached.lock().position.clone();
            if !reader.is_behind(&position) {
                return Ok((handed, false));
            }
            query.position = Some(position);
            let page = reader.query(&query, &Asker::patient())?;
            let mut reached = self.reached.lock();
            if !page.records.is_empty() {
                let piece = Piece {
                    tenant: query.tenant.clone(),
                    from: reached.sent.clone(),
                    to: page.position.clone(),
                    records: page.records,
                    message: OnceLock::new(),
                };
                // Fails where all tails have gone.
                handed += self.pieces.send(Arc::new(piece)).unwrap_or_default();
                reached.sent = page.position.clone();
            }
            reached.position = page.position;
        }
        Ok((handed, true))
    }
}

impl Member {
    /// The next piece; `None` where some were missed, or the group has ended.
    pub(crate) async fn next(&mut self) -> Option<Arc<Piece>> {
        self.pieces.recv().await.ok()
    }

    /// Where the group is, if this tail has had all pieces up to there.
    pub(crate) fn position(&self) -> Option<Position> {
        // Pieces are sent under this lock.
        let reached = self.reached.lock();
        self.pieces.is_empty().then(|| reached.position.clone())
    }
}

impl Piece {
    /// What it is to a tail that has everything before `at`.
    pub(crate) fn news(&self, at: &Position) -> News {
        if at.reaches(&self.to) {
            return News::Known;
        }
        if !at.reaches(&self.from) {
            return News::Gap;
        }
        if self.from.reaches(at) {
            let message = self.message.get_or_init(|| self.encode(&self.to, self.records.iter()));
            return News::Message(message.clone(), self.to.clone());
        }
        let mut to = at.clone();
        to.advance(&self.to);
        let new = self.records.iter().filter(|record| !at.is_past(&record.class, record.sequence));
        News::Message(self.encode(&to, new), to)
    }

    fn encode<'a>(&self, to: &Position, records: impl Iterator<Item = &'a Record>) -> Bytes {
        tail_page(&self.tenant, records.cloned(), to, true)
    }
}

/// Looks at what is new whenever something was published, until the daemon ends.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    let mut published = daemon.live.published.subscribe();
    let (mut more, mut owed) = (false, Duration::ZERO);
    loop {
        if !more {
            tokio::select! {
                () = daemon.stopping.cancelled() => return,
                changed = published.changed() => if changed.is_err() { return },
            }
        }
        published.mark_unchanged();
        let (rest, unfinished) = round(&daemon).await;
        (more, owed) = (unfinished, owed.saturating_add(rest));
        if owed >= TIMER_RESOLUTION {
            tokio::select! {
                () = daemon.stopping.cancelled() => return,
                () = sleep(owed.min(REST_MAX)) => owed = Duration::ZERO,
            }
        }
    }
}

/// One look for each group: how long to rest, and whether a group has more.
async fn round(daemon: &Arc<Daemon>) -> (Duration, bool) {
    let groups = daemon.live.groups();
    if groups.is_empty() {
        return (Duration::ZERO, false);
    }
    let of = Arc::clone(daemon);
    let looking = daemon.tasks.spawn_blocking(move || {
        let begun = of.clock.now().monotonic_ns;
        let (mut tails, mut more) = (0_usize, false);
        for group in &groups {
            match group.go_on(&of.reader) {
                Ok((handed, unfinished)) => {
                    tails = tails.saturating_add(handed);
                    more |= unfinished;
                }
                // Each of its tails meets the error when it reads for itself, and says so to its reader.
                Err(_) => of.live.end(group),
            }
        }
        let took = Duration::from_nanos(of.clock.now().monotonic_ns.saturating_sub(begun));
        let handing = REST_PER_TAIL.saturating_mul(u32::try_from(tails).unwrap_or(u32::MAX));
        (took.saturating_add(handing), more)
    });
    // Fails only while the runtime ends.
    looking.await.unwrap_or((REST_MAX, false))
}
