//! Losses: those that a person accepted, each in a file of its own, and those that nobody has accepted yet.

use super::before::newer;
use super::files::LogFiles;
use super::log::read_entry;
use super::{OpenError, Recovery};
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, hash};
use crate::loss::{AcceptedLoss, Loss};
use crate::segment::Home;
use piperoll_format::entry::{Entry, EntryFile, EntryFileError};
use piperoll_format::units::{LogId, Root, Sequence};
use piperoll_format::walk::FrameAfter;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How far above a segment that is gone the next one begins. A segment that is there has at most 2²⁴ events by the
/// format, and its first sequence is its name. Of one that is gone without a trace of its own end, others behind it
/// may be gone too, back to the last round of marks: 2³² events are 256 full segments, far more than are written
/// between two rounds.
const MISSING_EVENTS_MAX: u64 = 1 << 32;

/// The losses of a log that were accepted, by the first sequence of their segment.
#[derive(Default)]
pub(super) struct AcceptedLosses {
    readable: BTreeMap<Sequence, AcceptedLoss>,
    /// Those whose entry cannot be read.
    unreadable: BTreeSet<Sequence>,
}

impl AcceptedLosses {
    /// That of a segment.
    pub(super) fn get(&self, first: Sequence) -> Option<&AcceptedLoss> {
        self.readable.get(&first)
    }

    /// Whether one was accepted whose entry cannot be read any more.
    pub(super) fn is_unreadable(&self, first: Sequence) -> bool {
        self.unreadable.contains(&first)
    }

    /// True where an accepted gap that begins before this sequence reaches beyond it.
    pub(super) fn cover(&self, sequence: Sequence) -> bool {
        let before = self.readable.range(..sequence).next_back();
        before.is_some_and(|(_, loss)| loss.root == no_bytes() && loss.end > sequence)
    }

    /// Where segments are known to have been, by these names.
    pub(super) fn firsts(&self) -> impl Iterator<Item = Sequence> {
        self.readable.keys().copied()
    }
}

impl AcceptedLoss {
    /// Whether this is what was accepted.
    pub(super) fn is_of(&self, log_id: LogId, root: &Root) -> bool {
        self.log_id == log_id && self.root == *root
    }

    /// That a file is not what was accepted.
    pub(super) fn differs(&self, path: &Path) -> String {
        format!(
            "{} is not the file whose loss was accepted: expected root {}; put that file back, or see \
             `piperoll accept-loss`",
            path.display(),
            self.root
        )
    }
}

/// What a segment lacks: what the entry of a loss will say.
pub(super) struct Lost<'a> {
    /// First sequence of the segment.
    pub(super) segment: Sequence,
    pub(super) log_id: Option<LogId>,
    /// Where the walk ended: the offset, and the sequence expected there.
    pub(super) from: (u64, Sequence),
    /// First sequence of the next segment, there or to be made.
    pub(super) end: Sequence,
    pub(super) behind: &'a [FrameAfter],
    pub(super) reason: &'a str,
}

/// A loss that nobody has accepted yet, as a survey finds it.
pub(crate) struct FoundLoss {
    /// First sequence of the segment: names the file of the entry.
    pub(crate) segment: Sequence,
    pub(crate) log_id: Option<LogId>,
    pub(crate) loss: Loss,
}

impl<D: Disk> Recovery<'_, D> {
    /// Reads the losses that were accepted, from `begin` on.
    pub(super) fn accepted(
        &mut self,
        home: &Home<D>,
        files: &LogFiles,
        begin: Sequence,
    ) -> Result<AcceptedLosses, OpenError> {
        let mut accepted = AcceptedLosses::default();
        for first in files.with(FileKind::Loss).filter(|first| *first >= begin) {
            match self.accepted_loss(home, first)? {
                Some(loss) => drop(accepted.readable.insert(first, loss)),
                None => drop(accepted.unreadable.insert(first)),
            }
        }
        Ok(accepted)
    }

    /// The loss of a segment that was accepted; `None` and a note where the entry cannot be read.
    pub(super) fn accepted_loss(
        &mut self,
        home: &Home<D>,
        first: Sequence,
    ) -> Result<Option<AcceptedLoss>, OpenError> {
        let at = FileKind::Loss.path(&home.dir, first);
        match EntryFile::decode(&read_entry(&*home.disk, &at)?) {
            Ok(EntryFile { entry: Entry::Loss(loss), detail, .. }) => {
                let detail = detail.map(|detail| detail.detail).unwrap_or_default();
                let path = FileKind::Log.path(&home.dir, first);
                Ok(Some(AcceptedLoss::new(path, &loss, detail)))
            }
            Err(error @ EntryFileError::Newer { .. }) => Err(newer(&at, &error)),
            other => {
                let what = other.map_or_else(|error| error.to_string(), |_| "no loss entry".to_owned());
                self.note(format!("the accepted loss {} cannot be read: {what}", at.display()));
                Ok(None)
            }
        }
    }

    /// Notes a loss for whoever asked for a survey.
    pub(super) fn lose(&mut self, home: &Home<D>, lost: &Lost<'_>) -> Result<(), OpenError> {
        if self.survey.is_none() {
            return Ok(());
        }
        let path = FileKind::Log.path(&home.dir, lost.segment);
        let (length, root) = self.as_it_is(&path)?;
        let loss = Loss {
            offset: lost.from.0.min(length),
            bytes: length.saturating_sub(lost.from.0),
            first: lost.from.1,
            end: lost.end.max(lost.from.1),
            frames_behind: lost.behind.len() as u64,
            events_behind: lost.behind.iter().map(|frame| u64::from(frame.events)).sum(),
            root,
            reason: lost.reason.to_owned(),
            path,
        };
        let found = FoundLoss { segment: lost.segment, log_id: lost.log_id, loss };
        self.survey.get_or_insert_default().push(found);
        Ok(())
    }

    /// Length and root of a file, whatever is in it; a file that is not there has no bytes.
    fn as_it_is(&self, path: &Path) -> Result<(u64, Root), OpenError> {
        let file = match self.disk.open(path, Open::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, no_bytes())),
            file => file.map_err(OpenError::io(path))?,
        };
        Ok((file.length().map_err(OpenError::io(path))?, hash(&file).map_err(OpenError::io(path))?))
    }

    /// Where a log goes on behind a segment that is gone: above everything that may have been acknowledged.
    pub(super) fn behind_missing(&self, first: Sequence, log_id: Option<LogId>) -> Sequence {
        let marks = self.marks.values().filter(|mark| Some(mark.head.log_id) == log_id);
        marks.map(|mark| mark.head.end).fold(first, Sequence::max).plus(MISSING_EVENTS_MAX)
    }
}

/// The root of a file that is not there.
pub(super) fn no_bytes() -> Root {
    Root(*blake3::hash(&[]).as_bytes())
}
