//! The capability to drop sealed segments: the only one that unlinks a `.log`.
//!
//! The receipt is durable before anything goes (R26). A drop that a crash interrupts is finished by the next
//! start, one that an error interrupts by the next drop.

use crate::ballast::Need;
use crate::catalog::Log;
use crate::core::Core;
use crate::disk::Disk;
use crate::durable::{FileKind, is_full, write_new};
use crate::seal::SealedSegment;
use crate::segment::{Home, PinError, Segment, SegmentState};
use crate::stats::add;
use parking_lot::Mutex;
use piperoll_format::entry::{Drop, EntryDetail, EntryFile, EntryHead, Seal, SealedDetail};
use piperoll_format::units::Sequence;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes with a dropped segment. The seal stays beside the receipt; the `.log` goes last, so that a start
/// sees that the drop is not finished.
pub(crate) const DROPPED_KINDS: [FileKind; 4] =
    [FileKind::Index, FileKind::Producers, FileKind::Torn, FileKind::Log];
/// No place in the tree: there is none yet.
const NOT_IN_TREE: u64 = u64::MAX;

/// Why a segment is dropped; written into its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRule {
    /// The rule, in words.
    pub rule: String,
    /// How long it keeps events, in seconds.
    pub keep_seconds: u64,
    /// Who swept.
    pub principal: String,
}

/// What a drop freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes of the `.log`.
    pub bytes: u64,
    /// Events in it.
    pub events: u64,
}

/// Why a segment was not dropped.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// It is not there, or not sealed, or its root is another.
    #[error("{0} is no sealed segment that can be dropped: {1}")]
    NotSealed(String, String),
    /// Segments before it are still there.
    #[error("{0} is not the oldest segment of its log: only the oldest is dropped")]
    NotOldest(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The system refused. Where the receipt is written already, the next drop or start finishes.
    #[error("cannot drop {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DropError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// The capability to drop sealed segments. There is one.
pub struct Retirer<D: Disk> {
    core: Arc<Core<D>>,
    /// Drops whose receipt is durable and whose files are not all gone; also makes drops one at a time.
    unfinished: Mutex<Vec<(PathBuf, Sequence)>>,
}

/// The oldest segment of a log.
struct Oldest<D: Disk> {
    log: Arc<Log<D>>,
    /// Segments before it of which nothing can be read, as a person accepted.
    lost: Vec<Arc<Segment<D>>>,
    segment: Arc<Segment<D>>,
    seal: Seal,
}

impl<D: Disk> Retirer<D> {
    /// The retirer of an engine.
    pub(crate) fn new(core: Arc<Core<D>>) -> Self {
        Self { core, unfinished: Mutex::new(Vec::new()) }
    }

    /// The time by which retention is decided; `None` while the clock is not believed (R25).
    pub fn believed_time(&self) -> Option<piperoll_format::units::UnixNanos> {
        let now = self.core.now();
        self.core.clock_ahead_ns().is_none().then_some(now)
    }

    /// All sealed segments, by tenant and class, oldest first. Reads each seal once.
    pub fn sealed(&self) -> Result<Vec<SealedSegment>, DropError> {
        let mut sealed = Vec::new();
        for log in self.core.catalog.all_logs() {
            for segment in log.snapshot().iter() {
                match segment.seal() {
                    Ok(Some(seal)) => sealed.push(SealedSegment::new(log.home(), &seal)),
                    Ok(None) | Err(PinError::Dropped | PinError::Lost) => {}
                    Err(error) => return Err(DropError::Unreadable(error.to_string())),
                }
            }
        }
        Ok(sealed)
    }

    /// Drops a segment, the oldest of its log. Readers that hold it go on reading.
    pub fn drop_segment(&self, segment: &SealedSegment, rule: &DropRule) -> Result<Freed, DropError> {
        let mut unfinished = self.unfinished.lock();
        finish_all(&*self.core.disk, &mut unfinished)?;
        let _turn = self.core.sealing.lock();
        let Oldest { log, lost, segment: oldest, seal } = self.oldest(segment)?;
        // I15
        let is_full = |error: &DropError| matches!(error, DropError::Io { source, .. } if is_full(source));
        let receipt = || self.write_receipt(log.home(), &seal, rule);
        self.core.with_ballast(Need::Drop, is_full, receipt)?;
        // What was lost before it goes with it: nothing of it could be read.
        for gone in lost.iter().chain([&oldest]) {
            log.remove(gone.first());
            gone.become_dropped();
            unfinished.push((log.home().dir.clone(), gone.first()));
        }
        add(&self.core.stats.drops, 1);
        add(&self.core.stats.dropped_bytes, seal.length);
        finish_all(&*self.core.disk, &mut unfinished)?;
        Ok(Freed { bytes: seal.length, events: seal.events })
    }

    fn oldest(&self, segment: &SealedSegment) -> Result<Oldest<D>, DropError> {
        let name = || segment.path.display().to_string();
        let not_sealed = |why: &str| DropError::NotSealed(name(), why.to_owned());
        let log = self.core.catalog.log(&segment.tenant, &segment.class);
        let log = log.ok_or_else(|| not_sealed("there is no such log"))?;
        let segments = log.snapshot();
        let is_lost = |segment: &&Arc<Segment<D>>| segment.state() == SegmentState::Lost;
        let lost: Vec<_> = segments.iter().take_while(is_lost).cloned().collect();
        let oldest = segments.get(lost.len()).cloned().ok_or_else(|| not_sealed("its log is empty"))?;
        if oldest.first() < segment.first {
            return Err(DropError::NotOldest(name()));
        }
        if oldest.first() > segment.first {
            return Err(not_sealed("it is gone already"));
        }
        let seal = oldest.seal().map_err(|error| DropError::Unreadable(error.to_string()))?;
        let seal = seal.ok_or_else(|| not_sealed("it has no seal"))?;
        if seal.root != segment.root {
            return Err(not_sealed("its root is another"));
        }
        Ok(Oldest { log, lost, segment: oldest, seal })
    }

    fn write_receipt(&self, home: &Home<D>, seal: &Seal, rule: &DropRule) -> Result<(), DropError> {
        let detail = EntryDetail {
            tenant: home.tenant.as_str().to_owned(),
            class: home.class.as_str().to_owned(),
            rule: rule.rule.clone(),
            keep_seconds: rule.keep_seconds,
            principal: rule.principal.clone(),
            text: String::new(),
        };
        let detail = SealedDetail { nonce: self.core.random(), detail };
        let head = EntryHead { made: self.core.now(), detail: detail.hash(), ..seal.head };
        let entry = Drop { head, root: seal.root, seal_tree_index: NOT_IN_TREE };
        let at = FileKind::Drop.path(&home.dir, seal.head.first);
        let file = EntryFile { entry: entry.into(), tree_index: None, detail: Some(detail) };
        let bytes = file.encode().map_err(|error| DropError::io(&at)(io::Error::other(error)))?;
        write_new(&*home.disk, &at, &bytes, true).map_err(DropError::io(&at))?;
        home.disk.sync_dir(&home.dir).map_err(DropError::io(&home.dir))
    }
}

fn finish_all<D: Disk>(disk: &D, unfinished: &mut Vec<(PathBuf, Sequence)>) -> Result<(), DropError> {
    while let Some((dir, first)) = unfinished.last() {
        finish_drop(disk, dir, *first).map_err(DropError::io(&FileKind::Log.path(dir, *first)))?;
        unfinished.pop();
    }
    Ok(())
}

/// Unlinks what goes with a segment whose receipt is durable; what is gone already is fine.
pub(crate) fn finish_drop<D: Disk>(disk: &D, dir: &Path, first: Sequence) -> io::Result<()> {
    for kind in DROPPED_KINDS {
        match disk.unlink(&kind.path(dir, first)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    disk.sync_dir(dir)
}
