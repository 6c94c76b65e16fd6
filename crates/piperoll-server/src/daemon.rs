//! What all requests share: the engine, the routes, the limits, and the sign to stop.

use crate::{
    audit::Audit,
    clock::SystemClock,
    config::{Config, LimitsConfig},
    directory::make_directory,
    engine::{Engine, EngineError},
    live::Live,
    metrics::{Metrics, Reading},
    refusal::{Refusal, bad_tenant},
    room::Room,
    routing::Router,
    sweeper::{Sweeper, Swept},
};
use piperoll_format::{names::Name, units::UnixNanos};
use piperoll_proto::TENANT_METADATA;
use piperoll_store::{
    Appender, Asker, Clock as _, Halt, LogStatus, ReadError, Reader, SHARE_OF_QUEUE, os::OsDisk,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, metadata::MetadataMap};

/// Tenant of requests that name none.
const DEFAULT_TENANT: &str = "default";

/// A running daemon, shared by its listeners, jobs and calls.
pub(crate) struct Daemon {
    pub(crate) clock: SystemClock,
    pub(crate) engine: Engine,
    pub(crate) appender: Arc<Appender<OsDisk>>,
    pub(crate) reader: Reader<OsDisk>,
    pub(crate) router: Router,
    sweeper: Sweeper,
    pub(crate) audit: Audit,
    pub(crate) limits: LimitsConfig,
    pub(crate) metrics: Metrics,
    /// Bytes of requests that may still be taken.
    pub(crate) request_bytes: Arc<Semaphore>,
    /// What a stream may have of them: a sender's share of a log's queue, or one request.
    pub(crate) stream_bytes_max: u32,
    /// For requests that have not arrived whole.
    pub(crate) arriving: Arc<Room>,
    /// Reads that may still begin.
    reads: Arc<Semaphore>,
    /// Queries that may still be answered.
    queries: Arc<Semaphore>,
    /// Tails that may still connect.
    tails: Arc<Semaphore>,
    /// What tails share.
    pub(crate) live: Live,
    /// Told once, when the daemon is to end.
    pub(crate) stopping: CancellationToken,
    /// Everything that calls leave running; the daemon ends after it.
    pub(crate) tasks: TaskTracker,
    pub(crate) started: UnixNanos,
    /// Unix nanoseconds; 0 for not yet.
    last_sweep: AtomicI64,
}

/// What somebody asks for.
enum Wants {
    /// A whole answer.
    Answer,
    /// What is found in half of the time, and where to go on.
    Part,
    /// An answer, and what each condition finds.
    Plan,
}

impl Daemon {
    /// Opens the data directory. Blocks.
    pub(crate) fn open(config: &Config, create: bool) -> Result<Arc<Self>, EngineError> {
        let clock = SystemClock::new();
        if create {
            make_directory(&config.storage.directory)?;
        }
        let router = Router::new(&config.retention)?;
        let (engine, appender, reader) = Engine::open(config, clock, create)?;
        let live = Live::new();
        reader.subscribe(Box::new(live.wake()));
        let (limits, metrics) = (config.limits.clone(), Metrics::default());
        let request_bytes = usize::try_from(limits.requests_bytes_max.0).unwrap_or(usize::MAX);
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Ok(Arc::new(Self {
            started: clock.now().wall,
            clock,
            engine,
            appender: Arc::new(appender),
            reader,
            router,
            sweeper: Sweeper::new(&config.retention)?,
            audit: Audit::new().map_err(|error| EngineError::Audit(error.to_string()))?,
            arriving: Room::new(request_bytes, metrics.refusals.clone()),
            metrics,
            request_bytes: semaphore(request_bytes),
            stream_bytes_max: u32::try_from(config.storage.queue_bytes_max.0 / SHARE_OF_QUEUE)
                .unwrap_or(u32::MAX),
            reads: semaphore(limits.reads_max.0 as usize),
            queries: semaphore(limits.queries_max.0 as usize),
            tails: semaphore(limits.tails_max.0 as usize),
            limits,
            live,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            last_sweep: AtomicI64::new(0),
        }))
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> UnixNanos {
        self.clock.now().wall
    }

    /// Counts a refusal and makes its status.
    pub(crate) fn refused(&self, refusal: Refusal) -> Status {
        self.metrics.refusals.status(refusal)
    }

    /// Reads on a thread that may block, no more of them at one time than `limits.reads_max`. When the caller
    /// goes, the second argument of `ask` says so.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reader<OsDisk>, &Asker<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.read_as(Wants::Answer, ask).await
    }

    /// As [`Self::read`], for somebody who takes a page that ends early, after half of the time, and asks on.
    pub(crate) async fn read_on<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reader<OsDisk>, &Asker<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.read_as(Wants::Part, ask).await
    }

    /// As [`Self::read`], for somebody who wants to know what each condition finds.
    pub(crate) async fn read_explained<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reader<OsDisk>, &Asker<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.read_as(Wants::Plan, ask).await
    }

    async fn read_as<T: Send + 'static>(
        &self,
        wants: Wants,
        ask: impl FnOnce(&Reader<OsDisk>, &Asker<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| Refusal::stopping())?;
        let reader = self.reader.clone();
        let gone = SetOnDrop(Arc::default());
        let cancelled = Arc::clone(&gone.0);
        let (clock, time_max) = (self.clock, self.limits.answer_time_max.0);
        let bytes_max = self.limits.answer_bytes_max.0;
        let reading = self.tasks.spawn_blocking(move || {
            let _permit = permit;
            let now = || clock.monotonic_ns();
            let time_ns = u64::try_from(time_max.as_nanos()).unwrap_or(u64::MAX);
            let begun = now();
            let end = begun.saturating_add(time_ns);
            let halt = || {
                let gone = cancelled.load(Relaxed).then_some(Halt::Gone);
                gone.or_else(|| (now() >= end).then_some(Halt::Late))
            };
            let asker = Asker::new(&halt, &now, bytes_max);
            let asker = match wants {
                Wants::Answer => asker,
                Wants::Part => asker.enough_at(begun.saturating_add(time_ns / 2)),
                Wants::Plan => asker.explaining(),
            };
            ask(&reader, &asker)
        });
        let answer = reading.await.map_err(|error| Refusal::internal(error.to_string()))?;
        drop(gone);
        Ok(answer?)
    }

    /// Does something of the engine on a thread that may block.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let daemon = Arc::clone(self);
        let working = self.tasks.spawn_blocking(move || work(&daemon));
        let done = working.await.map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(done?)
    }

    /// What a scrape shows.
    pub(crate) async fn reading(&self) -> Result<Reading, Refusal> {
        Ok(Reading {
            store: self.engine.counts(),
            logs: self.logs().await?,
            tails: self.tails_connected(),
            last_sweep_seconds: self.last_sweep.load(Relaxed) as f64 / 1e9,
            cut_bytes: self.engine.cut_bytes(),
            ballast_bytes: self.engine.ballast_bytes(),
            open_segments: self.engine.open_segments(),
            term_set_bytes: self.engine.term_set_bytes(),
            free_bytes: self.engine.free_bytes().unwrap_or_default(),
            clock_ahead_seconds: self.engine.clock_ahead_ns() as f64 / 1e9,
        })
    }

    /// The state of every log. It takes no place among the reads, so that it is seen while these are slow.
    pub(crate) async fn logs(&self) -> Result<Vec<LogStatus>, Refusal> {
        let reader = self.reader.clone();
        let looking = self.tasks.spawn_blocking(move || reader.status());
        looking.await.map_err(|error| Refusal::internal(error.to_string()))
    }

    /// A place among the queries that are answered at one time.
    pub(crate) fn query_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let max = self.limits.queries_max;
        place(&self.queries, || {
            Refusal::overload(
                "too_many_queries",
                format!("{max} queries are being answered, the most at one time"),
            )
        })
    }

    /// A place among the tails that are connected at one time.
    pub(crate) fn tail_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let max = self.limits.tails_max;
        place(&self.tails, || {
            Refusal::overload("too_many_tails", format!("{max} tails are connected, the most at one time"))
        })
    }

    /// Tails connected.
    pub(crate) fn tails_connected(&self) -> u64 {
        u64::from(self.limits.tails_max.0).saturating_sub(self.tails.available_permits() as u64)
    }

    /// When the sweeper last ran.
    pub(crate) fn last_sweep(&self) -> Option<UnixNanos> {
        Some(self.last_sweep.load(Relaxed)).filter(|time| *time != 0).map(UnixNanos)
    }

    /// Drops what has expired, or only tells what has.
    pub(crate) async fn sweep(self: &Arc<Self>, dry_run: bool) -> Result<Swept, Refusal> {
        let swept = self.work(move |daemon| daemon.sweeper.sweep(&daemon.engine, dry_run)).await?;
        if !dry_run {
            self.last_sweep.store(self.now().0, Relaxed);
        }
        Ok(swept)
    }
}

fn place(
    places: &Arc<Semaphore>,
    refusal: impl FnOnce() -> Refusal,
) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(places).try_acquire_owned().map_err(|_| refusal())
}

/// The tenant that a request to append names: never one of the daemon's own.
pub(crate) fn tenant_of(metadata: &MetadataMap) -> Result<Name, Refusal> {
    let text = tenant_text(metadata)?;
    Name::from_outside(text).map_err(|error| bad_tenant(text, &error))
}

/// The tenant that a request to read names: the daemon's own logs are read like all others.
pub(crate) fn tenant_to_read(metadata: &MetadataMap) -> Result<Name, Refusal> {
    let text = tenant_text(metadata)?;
    Name::from_disk(text).map_err(|error| bad_tenant(text, &error))
}

fn tenant_text(metadata: &MetadataMap) -> Result<&str, Refusal> {
    let mut values = metadata.get_all(TENANT_METADATA).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(DEFAULT_TENANT),
        (Some(value), None) => Ok(value.to_str().unwrap_or("\u{fffd}")),
        (Some(_), Some(_)) => Err(Refusal::field(TENANT_METADATA, "it is there twice")),
    }
}

/// Tells a thread that nobody waits for it any more.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
