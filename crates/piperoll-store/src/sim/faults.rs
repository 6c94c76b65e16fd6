//! What can go wrong on command, and the record of what was called.

use std::collections::VecDeque;
use std::fmt;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

/// Calls that are kept for the report of a failure, unless a test wants all.
const LAST_CALLS_MAX: usize = 64;
/// Kinds of calls.
const KINDS: usize = 16;

/// One method of [`crate::disk::Disk`] or [`crate::disk::DiskFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum CallKind {
    Open,
    MakeDir,
    List,
    Rename,
    Unlink,
    SyncDir,
    Free,
    Lock,
    Write,
    Read,
    Allocate,
    Truncate,
    SyncData,
    Length,
    Protect,
    Map,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails and changes nothing. A failed `sync_data` is worse: see [`crate::sim`].
    Fail(Errno),
    /// It does its work, and then says that it failed; an open or a lock just fails.
    DoneBut(Errno),
    /// A sync says that it is done, and does nothing.
    Lie,
    /// A write puts down so many bytes, and then fails.
    ShortWrite(u64, Errno),
    /// From this call on all files together may have only so many bytes more than before it; see
    /// [`super::SimDisk::set_capacity`].
    Room(u64),
    /// A read or map gives one bit the other way round; the number is taken modulo the bits.
    FlipBit(u64),
    /// A read or map gives of one sector, by its number modulo those touched, what the device had before it was
    /// last written: where that write is not synced, what the device has.
    Stale(u64),
    /// A read or map gives in place of one sector, by its number modulo those touched, the one behind it.
    Misdirected(u64),
}

/// A plan for calls to go wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    kind: Option<CallKind>,
    path_end: Option<String>,
    passes: u64,
    times: u64,
    effect: Effect,
}

impl Fault {
    /// The next call goes wrong, once.
    pub fn next(effect: Effect) -> Self {
        Self { kind: None, path_end: None, passes: 0, times: 1, effect }
    }

    /// Only calls of this kind.
    #[must_use]
    pub fn kind(mut self, kind: CallKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only calls on paths that end with `text`.
    #[must_use]
    pub fn on(mut self, text: &str) -> Self {
        self.path_end = Some(text.to_owned());
        self
    }

    /// Lets so many matching calls pass first.
    #[must_use]
    pub fn after(mut self, passes: u64) -> Self {
        self.passes = passes;
        self
    }

    /// Every matching call from then on.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = u64::MAX;
        self
    }

    /// Whether this call is hit; counts it.
    fn hits(&mut self, kind: CallKind, at: &Path) -> bool {
        let on_path = |text: &String| at.to_string_lossy().ends_with(text.as_str());
        if self.kind.is_some_and(|only| only != kind) || !self.path_end.as_ref().is_none_or(on_path) {
            return false;
        }
        let due = self.passes == 0;
        self.passes = self.passes.saturating_sub(1);
        self.times = self.times.saturating_sub(u64::from(due && self.times != u64::MAX));
        due
    }
}

/// A call that was made.
#[derive(Debug, Clone)]
struct Call {
    number: u64,
    kind: CallKind,
    at: Arc<Path>,
    numbers: [u64; 2],
    failed: Option<ErrorKind>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, kind, at, numbers: [first, second], failed } = self;
        write!(f, "{number:6} {kind:?} {} {first} {second}", at.display())?;
        failed.map_or(Ok(()), |kind| write!(f, " -> {kind:?}"))
    }
}

/// Counts calls, decides which go wrong, and remembers the last ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    pub(super) made: u64,
    pub(super) stop_at: Option<u64>,
    pub(super) faults: Vec<Fault>,
    pub(super) keeps_all: bool,
    of_kind: [u64; KINDS],
    last: VecDeque<Call>,
}

impl Calls {
    /// Counts a call; says how it goes wrong, or that the machine has stopped.
    pub(super) fn begin(
        &mut self,
        kind: CallKind,
        at: &Arc<Path>,
        numbers: [u64; 2],
    ) -> Result<Option<Effect>, Error> {
        if self.stop_at.is_some_and(|stop| self.made >= stop) {
            return Err(Error::other("the simulated machine has stopped"));
        }
        if self.last.len() >= LAST_CALLS_MAX && !self.keeps_all {
            self.last.pop_front();
        }
        self.last.push_back(Call { number: self.made, kind, at: Arc::clone(at), numbers, failed: None });
        self.of_kind.get_mut(kind as usize).into_iter().for_each(|count| *count = count.saturating_add(1));
        self.made = self.made.saturating_add(1);
        let hit = self.faults.iter_mut().find_map(|fault| fault.hits(kind, at).then_some(fault.effect));
        self.faults.retain(|fault| fault.times > 0);
        Ok(hit)
    }

    /// Remembers how the call ended that began last.
    pub(super) fn end(&mut self, failed: Option<&Error>) {
        if let Some(call) = self.last.back_mut() {
            call.failed = failed.map(Error::kind);
        }
    }

    /// For the disk that comes out of a crash.
    pub(super) fn begin_again(&self) -> Self {
        Self { keeps_all: self.keeps_all, ..Self::default() }
    }

    /// Calls of this kind that were made.
    pub(super) fn of_kind(&self, kind: CallKind) -> u64 {
        self.of_kind.get(kind as usize).copied().unwrap_or(0)
    }

    /// The last calls, one a line.
    pub(super) fn report(&self) -> String {
        self.last.iter().map(Call::to_string).collect::<Vec<_>>().join("\n")
    }
}
