//! The published list of logs and their segments; readers take snapshots of it.

use crate::disk::Disk;
use crate::held::Held;
use crate::segment::{Home, OpenSegment, Segment, SegmentState};
use crate::write::inbox::Inbox;
use crate::write::writer::Writer;
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use piperoll_format::names::Name;
use piperoll_format::units::{Sequence, UnixNanos};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Directory of all logs.
pub(crate) const LOGS_DIR: &str = "logs";

/// Why a log takes no appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Damage, a newer format, or missing segments: a person has to decide.
    ReadOnly(String),
    /// A write or sync failed: the next start finds out what is on the disk.
    Stopped(String),
    /// The disk is full; ends by itself.
    NoSpace(String),
}

impl Trouble {
    /// The reason in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::ReadOnly(reason) | Self::Stopped(reason) | Self::NoSpace(reason) => reason,
        }
    }
}

/// A callback after each publish.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// A log: the unit of order, sealing and retention; one for each tenant and retention class.
pub(crate) struct Log<D: Disk> {
    home: Arc<Home<D>>,
    /// Shared, swapped whole under the writer's lock; the last one is active.
    segments: ArcSwap<Vec<Arc<Segment<D>>>>,
    /// Shared: appenders put in, the writer takes out.
    pub(crate) inbox: Inbox,
    /// Owned by the writer thread; a roll that somebody asks for borrows it.
    pub(crate) writer: Mutex<Writer<D>>,
    trouble: RwLock<Option<Trouble>>,
    /// True once its writer has a thread.
    pub(crate) started: AtomicBool,
}

impl<D: Disk> Log<D> {
    /// A log of `segments`, written by `writer`.
    pub(crate) fn new(
        home: Arc<Home<D>>,
        segments: Vec<Arc<Segment<D>>>,
        writer: Writer<D>,
        trouble: Option<Trouble>,
    ) -> Self {
        Self {
            home,
            segments: ArcSwap::from_pointee(segments),
            inbox: Inbox::new(),
            writer: Mutex::new(writer),
            trouble: RwLock::new(trouble),
            started: AtomicBool::new(false),
        }
    }

    /// Takes what a recovery of the same log found; `writer` is this log's own.
    pub(crate) fn become_again(&self, recovered: Self, writer: &mut Writer<D>) {
        *writer = recovered.writer.into_inner();
        self.segments.store(recovered.segments.load_full());
        *self.trouble.write() = recovered.trouble.into_inner();
    }

    /// Its tenant.
    pub(crate) fn tenant(&self) -> &Name {
        &self.home.tenant
    }

    /// Its retention class.
    pub(crate) fn class(&self) -> &Name {
        &self.home.class
    }

    /// Where it lives.
    pub(crate) fn home(&self) -> &Arc<Home<D>> {
        &self.home
    }

    /// Its segments, ascending; the last one is active. Empty before the first append.
    pub(crate) fn snapshot(&self) -> Arc<Vec<Arc<Segment<D>>>> {
        self.segments.load_full()
    }

    /// When its last entry was made, as far as a start knows without reading history.
    pub(crate) fn last_entry(&self) -> Option<UnixNanos> {
        let written = match &*self.writer.lock() {
            Writer::Ready(active) => Some(active.last_received),
            Writer::AfterLoss(after) => Some(after.last_received),
            Writer::Unborn(_) | Writer::Shut => None,
        };
        let unsealed = self.unsealed();
        let received = unsealed.iter().filter_map(|open| Some(open.reach().received?.1));
        unsealed.iter().map(|open| open.header.created).chain(received).chain(written).max()
    }

    /// The sequence that the next event gets.
    pub(crate) fn end(&self) -> Sequence {
        self.segments.load().last().map_or(Sequence(0), |segment| segment.end())
    }

    /// The first sequence that is still there.
    pub(crate) fn first(&self) -> Sequence {
        self.segments.load().first().map_or(Sequence(0), |segment| segment.first())
    }

    /// The active segment.
    pub(crate) fn active(&self) -> Option<Arc<Segment<D>>> {
        self.segments.load().last().cloned()
    }

    /// Its unsealed segments.
    pub(crate) fn unsealed(&self) -> Vec<Arc<OpenSegment>> {
        self.segments.load().iter().filter_map(|segment| segment.unsealed()).collect()
    }

    /// Its newest segments that are full and wait for the sealer. One that it has passed over does not count.
    pub(crate) fn waiting_segments(&self) -> usize {
        let segments = self.segments.load();
        let newest = segments.iter().rev().skip(1);
        newest.take_while(|segment| segment.state() == SegmentState::Closed).count()
    }

    /// Puts a new active segment behind the others.
    pub(crate) fn push(&self, segment: &Arc<Segment<D>>) {
        self.segments.rcu(|segments| {
            let mut segments = Vec::clone(segments);
            segments.push(Arc::clone(segment));
            segments
        });
    }

    /// Puts a segment that is missing where it should be.
    pub(crate) fn insert(&self, segment: &Arc<Segment<D>>) {
        self.segments.rcu(|segments| {
            let mut segments = Vec::clone(segments);
            segments.push(Arc::clone(segment));
            segments.sort_by_key(|segment| segment.first());
            segments
        });
    }

    /// Takes a dropped segment out of the list.
    pub(crate) fn remove(&self, first: Sequence) {
        self.segments.rcu(|segments| {
            segments.iter().filter(|segment| segment.first() != first).cloned().collect::<Vec<_>>()
        });
    }

    /// Why it takes no appends, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.read().as_ref().map(|trouble| trouble.reason().to_owned())
    }

    /// Why it takes no appends.
    pub(crate) fn trouble_kind(&self) -> Option<Trouble> {
        self.trouble.read().clone()
    }

    /// Refuses appends from now on; a reason for good is never replaced by one that passes.
    pub(crate) fn refuse(&self, trouble: Trouble) {
        let mut current = self.trouble.write();
        if matches!(*current, None | Some(Trouble::NoSpace(_))) {
            *current = Some(trouble);
        }
    }

    /// Takes appends again after a full disk.
    pub(crate) fn resume(&self) {
        let mut current = self.trouble.write();
        if matches!(*current, Some(Trouble::NoSpace(_))) {
            *current = None;
        }
    }
}

/// Logs by tenant and class.
type Logs<D> = BTreeMap<(Name, Name), Arc<Log<D>>>;

/// All logs.
pub(crate) struct Catalog<D: Disk> {
    logs: RwLock<Logs<D>>,
    wakes: RwLock<Vec<Wake>>,
    held: Arc<Held>,
}

impl<D: Disk> Catalog<D> {
    /// A catalog of these logs, whose segments share `held`.
    pub(crate) fn new(logs: impl IntoIterator<Item = Arc<Log<D>>>, held: Arc<Held>) -> Self {
        let logs = logs.into_iter().map(|log| ((log.tenant().clone(), log.class().clone()), log)).collect();
        Self { logs: RwLock::new(logs), wakes: RwLock::new(Vec::new()), held }
    }

    /// What is held open of sealed segments.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The logs of a tenant, ascending by class.
    pub(crate) fn logs_of(&self, tenant: &Name) -> Vec<Arc<Log<D>>> {
        let logs = self.logs.read();
        logs.values().filter(|log| log.tenant() == tenant).cloned().collect()
    }

    /// All logs, ascending by tenant and class.
    pub(crate) fn all_logs(&self) -> Vec<Arc<Log<D>>> {
        self.logs.read().values().cloned().collect()
    }

    /// One log.
    pub(crate) fn log(&self, tenant: &Name, class: &Name) -> Option<Arc<Log<D>>> {
        self.logs.read().get(&(tenant.clone(), class.clone())).cloned()
    }

    /// One log, which `make` makes when there is none and fewer than `logs_max` are; else `None`.
    pub(crate) fn log_or_make(
        &self,
        tenant: &Name,
        class: &Name,
        logs_max: usize,
        make: impl FnOnce() -> Log<D>,
    ) -> Option<Arc<Log<D>>> {
        if let Some(log) = self.log(tenant, class) {
            return Some(log);
        }
        let mut logs = self.logs.write();
        let key = (tenant.clone(), class.clone());
        if !logs.contains_key(&key) && logs.len() >= logs_max {
            return None;
        }
        Some(Arc::clone(logs.entry(key).or_insert_with(|| Arc::new(make()))))
    }

    /// Calls `wake` after every publish in any log, on the writer's thread: it must be quick.
    pub(crate) fn subscribe(&self, wake: Wake) {
        self.wakes.write().push(wake);
    }

    /// Wakes whoever subscribed.
    pub(crate) fn wake(&self) {
        self.wakes.read().iter().for_each(|wake| wake());
    }
}

/// The directory of a log.
pub(crate) fn log_dir(tenant: &Name, class: &Name) -> PathBuf {
    Path::new(LOGS_DIR).join(tenant.as_str()).join(class.as_str())
}
