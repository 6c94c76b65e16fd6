//! What all parts of the engine share.

use crate::ballast::{Ballast, Need};
use crate::catalog::{Catalog, Log};
use crate::disk::Disk;
use crate::identity::Identity;
use crate::options::{Clock, Entropy, Options};
use crate::read::Helpers;
use crate::stats::StoreStats;
use crate::timekeeper::{ClockReading, Timekeeper};
use crate::write::batch::AppendError;
use crate::write::producers::ProducerTable;
use parking_lot::{Condvar, Mutex};
use piperoll_format::names::Name;
use piperoll_format::units::UnixNanos;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Starts the writer of a log; set when the engine gets threads.
pub(crate) type StartWriter<D> = Box<dyn Fn(&Arc<Log<D>>) + Send + Sync>;

/// Tells a thread that there is work.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Bell {
    /// There is work.
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.ring.notify_all();
    }

    /// Waits until there is work, at most `time`.
    pub(crate) fn wait(&self, time: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.ring.wait_for(&mut rung, time);
        }
        *rung = false;
    }
}

/// What all parts of the engine share. It owns no thread: whoever calls does the work.
pub(crate) struct Core<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) time: Mutex<Timekeeper>,
    /// False once the clock was believed after the start; saves appends the lock of `time`.
    clock_unconfirmed: AtomicBool,
    pub(crate) catalog: Catalog<D>,
    pub(crate) stats: StoreStats,
    pub(crate) identity: Identity<D>,
    pub(crate) ballast: Ballast<D>,
    /// Set once the daemon is ending.
    pub(crate) closing: AtomicBool,
    pub(crate) start_writer: OnceLock<StartWriter<D>>,
    /// Rung when a segment waits to be sealed.
    pub(crate) work: Bell,
    /// Rung when a segment was sealed.
    pub(crate) sealed: Bell,
    /// Rung when hashes and columns have fallen behind the writers.
    pub(crate) behind: Bell,
    /// Held while a segment is sealed or dropped, or a loss accepted: one at a time.
    pub(crate) sealing: Mutex<()>,
    pub(crate) helpers: Helpers,
    tenants: Mutex<HashMap<Name, Arc<ProducerTable>>>,
}

impl<D: Disk> Core<D> {
    /// Puts the parts together.
    pub(crate) fn new(
        disk: Arc<D>,
        options: Options,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
        (identity, ballast): (Identity<D>, Ballast<D>),
        time: Timekeeper,
        (catalog, tenants): (Catalog<D>, HashMap<Name, Arc<ProducerTable>>),
    ) -> Self {
        let clock_unconfirmed = AtomicBool::new(time.is_unconfirmed());
        let time = Mutex::new(time);
        let helpers = Helpers::new(options.read_helpers_max, options.open_helpers_max);
        Self {
            disk,
            options,
            clock,
            entropy,
            time,
            clock_unconfirmed,
            catalog,
            stats: StoreStats::default(),
            identity,
            ballast,
            closing: AtomicBool::new(false),
            start_writer: OnceLock::new(),
            work: Bell::default(),
            sealed: Bell::default(),
            behind: Bell::default(),
            sealing: Mutex::new(()),
            helpers,
            tenants: Mutex::new(tenants),
        }
    }

    /// The believed time.
    pub(crate) fn now(&self) -> UnixNanos {
        self.time.lock().believe(&*self.clock)
    }

    /// Whether so many full segments of `log` wait for the sealer that its writer should wait too.
    pub(crate) fn has_unsealed_max(&self, log: &Log<D>) -> bool {
        log.waiting_segments() > self.options.unsealed_segments_max
    }

    /// How far the wall clock is ahead of what is believed; `None` while it is believed.
    pub(crate) fn clock_ahead_ns(&self) -> Option<i64> {
        let mut time = self.time.lock();
        time.believe(&*self.clock);
        time.ahead_ns()
    }

    /// What the clocks say, and what is believed of it.
    pub(crate) fn clock_reading(&self) -> ClockReading {
        self.time.lock().read(&*self.clock)
    }

    /// Why appends wait for a clock that is believed (R25), if they do.
    pub(crate) fn clock_refusal(&self) -> Option<AppendError> {
        if !self.clock_unconfirmed.load(Relaxed) {
            return None;
        }
        let ClockReading { wall, believed, is_unconfirmed, .. } = self.clock_reading();
        if !is_unconfirmed {
            self.clock_unconfirmed.store(false, Relaxed);
            return None;
        }
        Some(AppendError::ClockNotBelieved { wall, believed })
    }

    /// Does something that needs room; where the disk is full, once more with the room of the ballast.
    pub(crate) fn with_ballast<T, E>(
        &self,
        need: Need,
        is_full: impl Fn(&E) -> bool,
        work: impl Fn() -> Result<T, E>,
    ) -> Result<T, E> {
        match work() {
            // A ballast that cannot be given up changes nothing: the disk is full, as was said.
            Err(error) if is_full(&error) && self.ballast.lend(need).unwrap_or(false) => work(),
            done => done,
        }
    }

    /// The producers of a tenant.
    pub(crate) fn producers(&self, tenant: &Name) -> Arc<ProducerTable> {
        let mut tenants = self.tenants.lock();
        if let Some(table) = tenants.get(tenant) {
            return Arc::clone(table);
        }
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}
