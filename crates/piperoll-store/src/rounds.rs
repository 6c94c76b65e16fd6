//! Rounds: the marks of all unsealed segments, in one file with one sync however many logs there are.
//!
//! Recovery finds there how far each log was durable, at least.

use crate::core::Core;
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::read_whole;
use crate::recover::{OpenError, RecoveryReport};
use crate::segment::{OpenSegment, PinError};
use crate::stats::add;
use piperoll_format::entry::{EntryHead, Mark};
use piperoll_format::round::{RoundError, RoundFile};
use piperoll_format::units::{LogId, Root, Sequence, UnixNanos};
use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directory of the rounds, and of the tree when there is one.
pub(crate) const TREE_DIR: &str = "tree";
/// No round file is longer.
const ROUND_BYTES_MAX: u64 = 1 << 30;

/// Why a round could not be written. The one before it still counts.
#[derive(Debug, thiserror::Error)]
pub enum RoundWriteError {
    /// The system refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment cannot be read.
    #[error("cannot mark a segment: {0}")]
    Segment(String),
}

/// The rounds so far.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    number: u64,
    /// Marks of segments that cannot be marked again: they are damaged, and their last mark says so.
    carried: Vec<Mark>,
    /// Lengths in the last round.
    lengths: HashMap<(LogId, Sequence), u64>,
    /// Monotonic time of the last round.
    at_ns: Option<u64>,
    /// Rounds that this process wrote: the names of both files are durable after the first two.
    written: u64,
}

/// The file of a round.
pub(crate) fn path(number: u64) -> PathBuf {
    Path::new(TREE_DIR).join(format!("round.{}", number % 2))
}

impl Rounds {
    /// Reads the last round.
    pub(crate) fn load<D: Disk>(disk: &D, report: &mut RecoveryReport) -> Result<Self, OpenError> {
        let mut last: Option<RoundFile> = None;
        for number in 0..2 {
            let at = path(number);
            let bytes = match read_whole(disk, &at, ROUND_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(OpenError::io(&at)(error)),
            };
            match RoundFile::decode(&bytes) {
                Ok(round) if last.as_ref().is_none_or(|last| last.number < round.number) => {
                    last = Some(round);
                }
                Ok(_) => {}
                Err(error @ RoundError::Newer(_)) => {
                    return Err(OpenError::Newer(format!("{}: {error}", at.display())));
                }
                // A crash while it was written leaves one such; the other one counts then.
                Err(error) => report.notes.push(format!("{}: {error}", at.display())),
            }
        }
        let (number, carried) = last.map_or((0, Vec::new()), |last| (last.number, last.marks));
        Ok(Self { number, carried, ..Self::default() })
    }

    /// The marks of the last round, before recovery.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.carried.iter()
    }

    /// Keeps the marks of segments that recovery could not settle, and no others.
    pub(crate) fn carry_on_without(&mut self, settled: &HashSet<(LogId, Sequence)>) {
        self.carried.retain(|mark| !settled.contains(&(mark.head.log_id, mark.head.first)));
    }

    /// Writes a round if it is time for one; true if it did.
    pub(crate) fn write_if_due<D: Disk>(&mut self, core: &Core<D>) -> Result<bool, RoundWriteError> {
        let now = core.clock.now().monotonic_ns;
        let waited = self.at_ns.map_or(u64::MAX, |at| now.saturating_sub(at));
        let options = &core.options;
        let due = waited >= options.idle_round_interval_ns
            || (waited >= options.round_interval_ns && self.has_growth(core));
        if due {
            self.write(core)?;
        }
        Ok(due)
    }

    fn has_growth<D: Disk>(&self, core: &Core<D>) -> bool {
        unsealed(core).iter().any(|open| {
            let known = self.lengths.get(&(open.header.log_id, open.header.first));
            known != Some(&open.reach().length.0)
        })
    }

    /// Writes the marks of all unsealed segments.
    pub(crate) fn write<D: Disk>(&mut self, core: &Core<D>) -> Result<(), RoundWriteError> {
        let now = core.clock.now().monotonic_ns;
        let written = self.try_write(core);
        add(if written.is_ok() { &core.stats.rounds } else { &core.stats.round_failures }, 1);
        self.lengths = written?;
        self.number += 1;
        self.written += 1;
        self.at_ns = Some(now);
        Ok(())
    }

    fn try_write<D: Disk>(&self, core: &Core<D>) -> Result<HashMap<(LogId, Sequence), u64>, RoundWriteError> {
        let made = core.now();
        let marks = unsealed(core).into_iter().map(|open| mark(&open, made));
        let marks: Result<Vec<Mark>, PinError> = marks.collect();
        let mut marks = marks.map_err(|error| RoundWriteError::Segment(error.to_string()))?;
        let key = |mark: &Mark| (mark.head.log_id, mark.head.first);
        let lengths = marks.iter().map(|mark| (key(mark), mark.length)).collect();
        marks.extend(&self.carried);
        marks.sort_by_key(key);
        let number = self.number + 1;
        let at = path(number);
        let bytes = RoundFile { number, marks }.encode();
        put(&*core.disk, &at, &bytes, self.written < 2)
            .map_err(|source| RoundWriteError::Io { path: at, source })?;
        Ok(lengths)
    }
}

/// Writes a round over the one before the last: while it is half written, the last one counts.
fn put<D: Disk>(disk: &D, at: &Path, bytes: &[u8], sync_name: bool) -> io::Result<()> {
    let file = match disk.open(at, Open::Append) {
        Err(error) if error.kind() == ErrorKind::NotFound => disk.open(at, Open::CreateNew),
        other => other,
    }?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    if file.length()? > bytes.len() as u64 {
        file.truncate(bytes.len() as u64)?;
    }
    file.sync_data()?;
    if sync_name { disk.sync_dir(Path::new(TREE_DIR)) } else { Ok(()) }
}

/// The unsealed segments that get marks, over all logs.
fn unsealed<D: Disk>(core: &Core<D>) -> Vec<Arc<OpenSegment>> {
    let logs = core.catalog.all_logs();
    let segments = logs.iter().flat_map(|log| log.unsealed());
    segments.filter(|open| open.is_marked).collect()
}

fn mark(open: &OpenSegment, made: UnixNanos) -> Result<Mark, PinError> {
    let (reach, root) = open.root()?;
    let header = &open.header;
    let head = EntryHead {
        log_id: header.log_id,
        first: header.first,
        end: reach.end,
        made,
        ..EntryHead::default()
    };
    let previous_root = header.previous.map_or(Root([0; 32]), |previous| previous.root);
    Ok(Mark { head, length: reach.length.0, root, previous_root })
}
