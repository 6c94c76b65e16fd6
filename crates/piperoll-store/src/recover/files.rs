//! What lies in the directory of one log.

use super::{OpenError, Recovery};
use crate::disk::{Disk, EntryKind};
use crate::durable::{FileKind, TEMPORARY};
use crate::segment::Home;
use crate::write::roll::LOG_OPEN;
use piperoll_format::units::Sequence;
use std::collections::{BTreeMap, BTreeSet};

/// The log's drops of long ago, in one file.
const DROPPED: &str = "dropped";

/// The files of a log, by segment.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    kinds: BTreeMap<Sequence, BTreeSet<FileKind>>,
    pub(super) log_open: bool,
}

impl LogFiles {
    /// The segments that have a `.log`, ascending.
    pub(super) fn logs(&self) -> Vec<Sequence> {
        self.with(FileKind::Log).collect()
    }

    /// The segments that have a file of this kind, ascending.
    pub(super) fn with(&self, kind: FileKind) -> impl DoubleEndedIterator<Item = Sequence> {
        self.kinds.iter().filter(move |(_, kinds)| kinds.contains(&kind)).map(|(first, _)| *first)
    }

    /// Whether a segment has a file of this kind.
    pub(super) fn has(&self, first: Sequence, kind: FileKind) -> bool {
        self.kinds.get(&first).is_some_and(|kinds| kinds.contains(&kind))
    }

    /// Notes the file of this name; false where it is none of a log's.
    pub(super) fn add(&mut self, name: &str) -> bool {
        if let Some((first, kind)) = FileKind::parse(name) {
            self.kinds.entry(first).or_default().insert(kind);
        } else if name == LOG_OPEN {
            self.log_open = true;
        } else {
            return false;
        }
        true
    }

    /// Notes that a file is gone.
    pub(super) fn removed(&mut self, first: Sequence, kind: FileKind) {
        if let Some(kinds) = self.kinds.get_mut(&first) {
            kinds.remove(&kind);
        }
    }
}

impl<D: Disk> Recovery<'_, D> {
    /// Lists the directory of a log; removes temporary names, notes foreign ones.
    pub(super) fn files(&mut self, home: &Home<D>) -> Result<LogFiles, OpenError> {
        let mut files = LogFiles::default();
        self.settle_names(&home.dir)?;
        for entry in self.disk.list(&home.dir).map_err(OpenError::io(&home.dir))? {
            let at = home.dir.join(&entry.name);
            let name = entry.name.to_str().unwrap_or_default();
            if entry.kind != EntryKind::File {
                self.report.foreign.push(at);
            } else if files.add(name) {
                // One of ours.
            } else if is_temporary(name) {
                self.disk.unlink(&at).map_err(OpenError::io(&at))?;
            } else if name != DROPPED {
                self.report.foreign.push(at);
            }
        }
        Ok(files)
    }
}

/// True for the temporary name of one of our files: nothing else is ever removed.
fn is_temporary(name: &str) -> bool {
    let target = name.strip_suffix(TEMPORARY).and_then(|name| name.strip_suffix('.'));
    target.is_some_and(|target| target == LOG_OPEN || FileKind::parse(target).is_some())
}
