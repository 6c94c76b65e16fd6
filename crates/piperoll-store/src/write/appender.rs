//! The capability to append: takes batches in, finds retries, hands parts to the logs' queues.

use crate::catalog::{Log, Trouble, log_dir};
use crate::core::Core;
use crate::disk::Disk;
use crate::segment::Home;
use crate::stats::add;
use crate::write::batch::{AddressRange, AppendError, Batch, Done, Receipt};
use crate::write::lookup::{self, Known};
use crate::write::part::{Finish, Part, ProducerName, Route, SplitFinish, cut, routes, split_envelope};
use crate::write::producers::Begun;
use crate::write::writer::{Obstacle, Writer, refusal};
use parking_lot::Mutex;
use piperoll_format::frame::ProducerKey;
use piperoll_format::limits::FRAME_BYTES_MAX;
use piperoll_format::names::Name;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// The capability to append. There is one: wrap it in an `Arc` to share it.
pub struct Appender<D: Disk> {
    core: Arc<Core<D>>,
}

/// A part and the log that it goes to.
type Addressed<D> = (Arc<Log<D>>, Part);

/// What is left to do of a batch.
struct Task<'a> {
    batch: &'a Batch,
    /// All parts of the batch.
    all: Vec<Route>,
    /// The ranges that are stored already.
    stored: Vec<AddressRange>,
    finish: Finish,
}

impl<D: Disk> Appender<D> {
    /// The appender of an engine.
    pub(crate) fn new(core: Arc<Core<D>>) -> Self {
        Self { core }
    }

    /// Takes a batch in; `done` is called once, with the acknowledgement when all of it is durable, or with
    /// the reason why it is not. It may be called before this returns, and on another thread.
    ///
    /// A batch with a producer is stored once however often it is sent (R2): a retry gets the first answer.
    pub fn submit(&self, batch: Batch, done: Done) {
        if let Some(error) = self.core.clock_refusal() {
            return done(Err(error));
        }
        self.submit_own(batch, done);
    }

    /// Why appends wait for a clock that is believed (R25), if they do.
    pub fn clock_refusal(&self) -> Option<AppendError> {
        self.core.clock_refusal()
    }

    /// As [`Self::submit`], for what the daemon itself has to say: taken also while the clock of a start is not
    /// believed (R25). What is received then is not later than the last entry and the time since the start.
    #[expect(clippy::needless_pass_by_value, reason = "the caller is done with the batch")]
    pub fn submit_own(&self, batch: Batch, done: Done) {
        if self.core.closing.load(SeqCst) {
            return done(Err(AppendError::ShuttingDown));
        }
        let all = match routes(&batch) {
            Ok(all) => all,
            Err(error) => return done(Err(error)),
        };
        let Some(key) = batch.request.producer else {
            return self.store(Task { batch: &batch, all, stored: Vec::new(), finish: Finish::Plain(done) });
        };
        let name = ProducerName { principal: batch.sender.shared_principal(), id: key.id };
        let table = self.core.producers(&batch.tenant);
        let now = (self.core.now(), self.core.options.producer_window_ns);
        let begun = table.begin(&name, key, &batch.request.payload, done, now);
        let finish = Finish::Keyed(name.clone(), key.sequence);
        let task = Task { batch: &batch, all, stored: Vec::new(), finish };
        match begun {
            Begun::Settled => {}
            Begun::New | Begun::Older { .. } if table.unknown().is_some() => {
                // I5: it may be a retry of what is in the log that cannot be read.
                let (class, reason) =
                    table.unknown().cloned().unwrap_or((batch.tenant.clone(), String::new()));
                let error = AppendError::Stopped { tenant: batch.tenant.clone(), class, reason };
                self.core.conclude(&batch.tenant, task.finish, Err(error));
            }
            Begun::New => self.store(task),
            Begun::Older { floor, last } => self.again(task, &name, key, (floor, last)),
        }
    }

    /// A request that may have been stored before: answers it from the logs, adds what is missing of it, or
    /// stores it where nothing of it is there.
    fn again(&self, mut task: Task<'_>, name: &ProducerName, key: ProducerKey, (floor, last): (u64, u64)) {
        let ProducerKey { id: producer, sequence } = key;
        let tenant = &task.batch.tenant;
        let too_old = || Err(AppendError::OutOfRange { producer, sequence, last });
        if sequence <= floor {
            return self.core.conclude(tenant, task.finish, too_old());
        }
        let known = match lookup::find(&self.core, tenant, name, key, &task.batch.request) {
            Ok(known) => known,
            Err(reason) => {
                let reason = reason.to_string();
                let error = AppendError::Unknown { producer, sequence, reason };
                return self.core.conclude(tenant, task.finish, Err(error));
            }
        };
        match known {
            Known::Old => self.core.conclude(tenant, task.finish, too_old()),
            Known::Nothing { floor } if sequence <= floor => {
                self.core.conclude(tenant, task.finish, too_old());
            }
            // A request below the last one may be there for the first time: the ones before it went to other
            // logs, and a crash or a full disk took this one only.
            Known::Nothing { .. } => self.store(task),
            Known::Other => {
                let error = AppendError::AlreadyExists { producer, sequence };
                self.core.conclude(tenant, task.finish, Err(error));
            }
            Known::Stored { ranges, routes } => {
                add(&self.core.stats.repeated, 1);
                if ranges.len() == routes.len() {
                    let receipt = Receipt { ranges, repeated: true };
                    return self.core.conclude(tenant, task.finish, Ok(receipt));
                }
                (task.all, task.stored) = (routes, ranges);
                self.store(task);
            }
        }
    }

    /// Hands the parts that are not stored yet to their logs.
    fn store(&self, task: Task<'_>) {
        let parts = match self.prepare(&task) {
            Ok(parts) => parts,
            Err(error) => return self.core.conclude(&task.batch.tenant, task.finish, Err(error)),
        };
        let finishes: Vec<Finish> = if parts.len() == 1 && task.stored.is_empty() {
            vec![task.finish]
        } else {
            let split = SplitFinish::new(parts.len(), task.stored, task.finish);
            parts.iter().map(|_| Finish::Split(Arc::clone(&split))).collect()
        };
        for ((log, part), finish) in parts.into_iter().zip(finishes) {
            if let Err(finish) = log.inbox.push(Part { finish, ..part }) {
                let outcome = [(finish, Err(AppendError::ShuttingDown))];
                self.core.settle(log.tenant(), outcome);
            } else if let Some(start) = self.core.start_writer.get()
                && !log.started.swap(true, SeqCst)
            {
                start(&log);
            }
        }
    }

    /// The parts that are not stored yet, each with room promised in its log's queue; all of them or none.
    fn prepare(&self, task: &Task<'_>) -> Result<Vec<Addressed<D>>, AppendError> {
        let is_split = task.all.len() > 1;
        let sender = &task.batch.sender;
        let envelope = if is_split { split_envelope(sender, &task.all) } else { sender.encoded() };
        let is_stored = |route: &&Route| task.stored.iter().any(|range| range.class == route.class);
        let mut parts: Vec<Addressed<D>> = Vec::new();
        for route in task.all.iter().filter(|route| !is_stored(route)) {
            let part = part(task.batch, route, envelope.clone())?;
            parts.push((self.log(&task.batch.tenant, &route.class)?, part));
        }
        let max = self.core.options.queue_bytes_max;
        for (at, (log, part)) in parts.iter().enumerate() {
            let Err(queued) = log.inbox.reserve(part, max) else { continue };
            for (log, part) in parts.iter().take(at) {
                log.inbox.release(part.bound());
            }
            let (tenant, class) = (log.tenant().clone(), log.class().clone());
            return Err(AppendError::Full { tenant, class, queued, max });
        }
        Ok(parts)
    }

    /// The log of a class, if it takes appends.
    fn log(&self, tenant: &Name, class: &Name) -> Result<Arc<Log<D>>, AppendError> {
        let core = &self.core;
        let max = core.options.logs_max;
        let make = || {
            let home = Home {
                disk: Arc::clone(&core.disk),
                tenant: tenant.clone(),
                class: class.clone(),
                dir: log_dir(tenant, class),
                notes: Mutex::default(),
                held: Arc::clone(core.catalog.held()),
            };
            Log::new(Arc::new(home), Vec::new(), Writer::Unborn(None), None)
        };
        let log = core.catalog.log_or_make(tenant, class, max, make);
        let too_many = || AppendError::TooManyLogs { tenant: tenant.clone(), class: class.clone(), max };
        let log = log.ok_or_else(too_many)?;
        match log.trouble_kind() {
            // A full disk ends by itself: the writer tries again with each group.
            None | Some(Trouble::NoSpace(_)) => Ok(log),
            Some(trouble) => Err(refusal(&log, &Obstacle::Log(trouble))),
        }
    }
}

/// The part of a batch that goes one way. Its finish is put in when the room of all parts is sure.
fn part(batch: &Batch, route: &Route, envelope: bytes::Bytes) -> Result<Part, AppendError> {
    let missing = || AppendError::Refused("a position of the split has no event".to_owned());
    let pieces = cut(&batch.request, &route.positions).ok_or_else(missing)?;
    let bytes: usize = pieces.iter().map(bytes::Bytes::len).sum();
    let events = if route.positions.is_empty() { batch.request.spans.len() } else { route.positions.len() };
    let too_large = || AppendError::Refused(format!("{events} events in {bytes} bytes fit no frame"));
    let part = Part {
        finish: Finish::Plain(Box::new(|_| ())),
        envelope,
        principal: batch.sender.shared_principal(),
        producer: batch.request.producer,
        events: u32::try_from(events).map_err(|_| too_large())?,
        pieces,
        payload_bytes: u32::try_from(bytes).map_err(|_| too_large())?,
        positions: route.positions.clone(),
    };
    if part.bound() > FRAME_BYTES_MAX { Err(too_large()) } else { Ok(part) }
}
