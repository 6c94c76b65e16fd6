//! Drops that a crash interrupted (R26), and where a log begins after them.

use super::before::newer;
use super::files::LogFiles;
use super::log::read_entry;
use super::{OpenError, Recovery};
use crate::disk::Disk;
use crate::durable::FileKind;
use crate::retire::{DROPPED_KINDS, finish_drop};
use crate::segment::Home;
use piperoll_format::entry::{Entry, EntryFile, EntryFileError};
use piperoll_format::units::Sequence;

impl<D: Disk> Recovery<'_, D> {
    /// Finishes drops that a crash interrupted; answers where the log begins behind the last one.
    pub(super) fn finish_drops(
        &mut self,
        home: &Home<D>,
        files: &mut LogFiles,
    ) -> Result<Option<Sequence>, OpenError> {
        let mut end = None;
        let firsts: Vec<Sequence> = files.with(FileKind::Drop).collect();
        let newest = firsts.last().copied();
        for first in firsts {
            let is_left = is_left(files, first);
            // Receipts of long ago are history, which a start does not read.
            if !is_left && Some(first) != newest {
                continue;
            }
            let path = FileKind::Drop.path(&home.dir, first);
            match EntryFile::decode(&read_entry(&*home.disk, &path)?).map(|file| file.entry) {
                Ok(Entry::Drop(drop)) => {
                    end = end.max(Some(drop.head.end)).max(self.lost_behind(home, files, first)?);
                }
                Err(error @ EntryFileError::Newer { .. }) => return Err(newer(&path, &error)),
                other => {
                    let what = other.map_or_else(|error| error.to_string(), |_| "no drop entry".to_owned());
                    self.note(format!("the receipt {} cannot be read: {what}", path.display()));
                    // Its name is there, durably, and the seal beside it has its sequences (R20). What is not dropped
                    // yet stays.
                    if !is_left && let Ok(seal) = crate::seal::read(home, first) {
                        self.note(format!("{}: under which rule it was dropped is lost", path.display()));
                        end = end.max(Some(seal.head.end)).max(self.lost_behind(home, files, first)?);
                    }
                    continue;
                }
            }
            if is_left {
                finish_drop(&*home.disk, &home.dir, first).map_err(OpenError::io(&home.dir))?;
                files.removed(first, FileKind::Log);
            }
        }
        finish_lost(home, files, end.unwrap_or_default())?;
        Ok(end)
    }

    /// Where the loss of a dropped segment ended: what lay behind its last frame was lost with it.
    fn lost_behind(
        &mut self,
        home: &Home<D>,
        files: &LogFiles,
        first: Sequence,
    ) -> Result<Option<Sequence>, OpenError> {
        if !files.has(first, FileKind::Loss) {
            return Ok(None);
        }
        Ok(self.accepted_loss(home, first)?.map(|loss| loss.end))
    }
}

/// Segments of which nothing could be read go with the ones behind them.
fn finish_lost<D: Disk>(home: &Home<D>, files: &mut LogFiles, begin: Sequence) -> Result<(), OpenError> {
    let mut lost: Vec<Sequence> = files.with(FileKind::Loss).filter(|first| *first < begin).collect();
    lost.retain(|first| is_left(files, *first));
    for first in lost {
        finish_drop(&*home.disk, &home.dir, first).map_err(OpenError::io(&home.dir))?;
        files.removed(first, FileKind::Log);
    }
    Ok(())
}

fn is_left(files: &LogFiles, first: Sequence) -> bool {
    DROPPED_KINDS.iter().any(|kind| files.has(first, *kind))
}
