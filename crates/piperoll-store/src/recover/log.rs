//! Opening one log: its segments in a row, without a gap, the last one walked.

use super::files::LogFiles;
use super::tail::{LastSegment, walk_segment};
use super::{OpenError, ReadOnlyLog, Recovery};
use crate::catalog::{Log, Trouble};
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, read_whole};
use crate::retire::{DROPPED_KINDS, finish_drop};
use crate::segment::{Closed, Home, Segment};
use crate::write::roll::LOG_OPEN;
use crate::write::writer::Writer;
use piperoll_format::entry::{ENTRY_BYTES_MAX, Entry, EntryFile};
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::segment::{Previous, SegmentError, SegmentHeader};
use piperoll_format::units::{LogId, Offset, Sequence};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// No entry file is longer: entry, index, random bytes, detail, checksum.
pub(crate) const ENTRY_FILE_BYTES_MAX: u64 = ENTRY_BYTES_MAX as u64 + 64 * 1024;

/// A log as far as it is recovered.
struct Found<D: Disk> {
    segments: Vec<Arc<Segment<D>>>,
    /// Why it is read-only, if it is.
    reason: Option<String>,
}

impl<D: Disk> Found<D> {
    /// Notes that a segment cannot be read: the log is read-only.
    fn unreadable(&mut self, home: &Arc<Home<D>>, first: Sequence, end: Sequence, reason: &str) {
        self.segments.push(Arc::new(Segment::unreadable(home, first, end, reason.to_owned())));
        self.reason.get_or_insert_with(|| reason.to_owned());
    }
}

impl<D: Disk> Recovery<'_, D> {
    /// Opens the log of `home`; `None` where a crash left nothing but a directory.
    pub(super) fn log(&mut self, home: &Arc<Home<D>>) -> Result<Option<Log<D>>, OpenError> {
        let mut files = self.files(home)?;
        let dropped = self.finish_drops(home, &mut files)?;
        let mut firsts = files.logs();
        let mut found = Found { segments: Vec::new(), reason: None };
        let Some(last) = firsts.pop() else { return self.log_without_segments(home, &files, dropped) };
        self.remove_unborn(home, &files, last)?;
        let mut missing = missing_by_name(&files, dropped, last);
        if files.has(last, FileKind::Seal) {
            // A segment is sealed after the next one was begun.
            firsts.push(last);
            let reason = format!("the segment behind {} is missing", name(home, last));
            self.older(home, &files, &with(firsts, missing), None, &mut found)?;
            let first = crate::seal::read(home, last).map_or(last.plus(1), |seal| seal.head.end);
            found.unreadable(home, first, first.plus(1), &reason);
            return Ok(Some(self.shut(home, found)));
        }
        let end = match self.last(home, &files, last)? {
            LastSegment::Header(reason) => {
                let end = self.marked_end(home, &files, last)?;
                self.older(home, &files, &with(firsts, missing), Some((last, None)), &mut found)?;
                found.unreadable(home, last, end, &reason);
                return Ok(Some(self.shut(home, found)));
            }
            LastSegment::Walked(end) => *end,
        };
        let header = &end.active.open.header;
        let before = header.previous.map(|previous| previous.first);
        // The one before is there, or dropped, or missing.
        missing.extend(before.filter(|first| !files.has(*first, FileKind::Log) && Some(last) != dropped));
        self.settle_sealed(&files, header.log_id);
        self.older(home, &files, &with(firsts, missing), Some((last, header.previous)), &mut found)?;
        found.segments.push(Arc::new(Segment::of_open(home, Arc::clone(&end.active.open))));
        self.report.segments += found.segments.len();
        found.reason = found.reason.or(end.reason);
        if found.reason.is_some() {
            return Ok(Some(self.shut(home, found)));
        }
        let writer = Writer::Ready(Box::new(end.active));
        Ok(Some(Log::new(Arc::clone(home), found.segments, writer, None)))
    }

    /// A log that serves what it has and takes nothing more.
    fn shut(&mut self, home: &Arc<Home<D>>, found: Found<D>) -> Log<D> {
        let reason = found.reason.unwrap_or_default();
        let (tenant, class) = (home.tenant.clone(), home.class.clone());
        self.report.read_only.push(ReadOnlyLog { tenant, class, reason: reason.clone() });
        Log::new(Arc::clone(home), found.segments, Writer::Shut, Some(Trouble::ReadOnly(reason)))
    }

    fn log_without_segments(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        dropped: Option<Sequence>,
    ) -> Result<Option<Log<D>>, OpenError> {
        if dropped.is_some() || files.with(FileKind::Seal).next().is_some() {
            let reason = format!("all segments of {} are missing", home.dir.display());
            let mut found = Found { segments: Vec::new(), reason: None };
            let first = dropped.unwrap_or_default();
            found.unreadable(home, first, first.plus(1), &reason);
            return Ok(Some(self.shut(home, found)));
        }
        if !files.log_open {
            return Ok(None);
        }
        let log_id = log_id(home)?;
        // Without one that can be read, the first append makes another: nothing bears the old id.
        Ok(log_id.map(|id| Log::new(Arc::clone(home), Vec::new(), Writer::Unborn(Some(id)), None)))
    }

    /// Finishes drops that a crash interrupted (R26); answers the end of the last one.
    fn finish_drops(&mut self, home: &Home<D>, files: &mut LogFiles) -> Result<Option<Sequence>, OpenError> {
        let mut end = None;
        let firsts: Vec<Sequence> = files.with(FileKind::Drop).collect();
        let newest = firsts.last().copied();
        for first in firsts {
            let is_left = DROPPED_KINDS.iter().any(|kind| files.has(first, *kind));
            // Receipts of long ago are history, which a start does not read.
            if !is_left && Some(first) != newest {
                continue;
            }
            let path = FileKind::Drop.path(&home.dir, first);
            match EntryFile::decode(&read_entry(&*home.disk, &path)?).map(|file| file.entry) {
                Ok(Entry::Drop(drop)) => end = end.max(Some(drop.head.end)),
                other => {
                    let what = other.map_or_else(|error| error.to_string(), |_| "no drop entry".to_owned());
                    self.note(format!("the receipt {} cannot be read: {what}", path.display()));
                    continue;
                }
            }
            if is_left {
                finish_drop(&*home.disk, &home.dir, first).map_err(OpenError::io(&home.dir))?;
                files.removed(first, FileKind::Log);
            }
        }
        Ok(end)
    }

    /// The segments before the last one: sealed ones by name only, others opened.
    fn older(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        firsts: &[Sequence],
        last: Option<(Sequence, Option<Previous>)>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        for (at, &first) in firsts.iter().enumerate() {
            let next = firsts.get(at + 1).copied();
            let end = next.or(last.map(|(first, _)| first)).unwrap_or(first.plus(1));
            if !files.has(first, FileKind::Log) {
                let reason = format!("{} is missing, without a receipt", name(home, first));
                found.unreadable(home, first, end, &reason);
                continue;
            }
            if files.has(first, FileKind::Seal) {
                found.segments.push(Arc::new(Segment::sealed(home, first, end)));
                continue;
            }
            let previous = match (next, last) {
                (Some(next), _) if files.has(next, FileKind::Log) => {
                    read_header(home, next)?.ok().and_then(|header| header.previous)
                }
                (None, Some((_, previous))) => previous,
                _ => None,
            };
            self.closed(home, first..end, previous, found)?;
        }
        Ok(())
    }

    /// Opens a segment that is full and not sealed yet; the next one says its length and root. What can be
    /// read of a damaged one is served, and the reason for more said.
    fn closed(
        &mut self,
        home: &Arc<Home<D>>,
        sequences: Range<Sequence>,
        previous: Option<Previous>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        let first = sequences.start;
        let path = FileKind::Log.path(&home.dir, first);
        let header = match read_header(home, first)? {
            Ok(header) => header,
            Err(reason) => {
                found.unreadable(home, first, sequences.end, &reason);
                return Ok(());
            }
        };
        let file = home.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
        let length = file.length().map_err(OpenError::io(&path))?;
        let closed = previous.filter(|previous| previous.first == first);
        let closed = closed.map(|previous| Closed { length: Offset(previous.length), root: previous.root });
        let walked = walk_segment(&path, &file, &header, length, None)?;
        let is_whole = closed.is_some_and(|closed| walked.is_whole(length) && closed.length.0 == length);
        let key = (header.log_id, first);
        let open = walked.open(&path, &file, header, is_whole)?;
        if let Some(closed) = closed.filter(|_| is_whole) {
            self.settled.insert(key);
            open.close(closed);
        } else {
            let expected = closed.map_or("an unknown number of".to_owned(), |it| it.length.to_string());
            found.reason.get_or_insert(format!(
                "{} should have {expected} bytes of whole frames, found {} of {length}; restore it from a copy",
                path.display(),
                walked.verdict.end
            ));
        }
        self.report.unsealed += 1;
        found.segments.push(Arc::new(Segment::of_open(home, Arc::new(open))));
        Ok(())
    }

    /// Removes what a roll wrote before the segment that it did not get to.
    fn remove_unborn(&self, home: &Home<D>, files: &LogFiles, last: Sequence) -> Result<(), OpenError> {
        for first in files.with(FileKind::Producers).filter(|first| *first > last) {
            let path = FileKind::Producers.path(&home.dir, first);
            self.disk.unlink(&path).map_err(OpenError::io(&path))?;
        }
        Ok(())
    }

    /// Where a segment ends at least, by its last mark: its own header cannot be read.
    fn marked_end(&self, home: &Home<D>, files: &LogFiles, first: Sequence) -> Result<Sequence, OpenError> {
        let log_id = if files.log_open { log_id(home)? } else { None };
        let mark = log_id.and_then(|log_id| self.marks.get(&(log_id, first)));
        Ok(mark.map_or(first, |mark| mark.head.end).max(first.plus(1)))
    }

    /// Marks of sealed segments need no carrying on.
    fn settle_sealed(&mut self, files: &LogFiles, log_id: LogId) {
        let sealed = files.with(FileKind::Seal).chain(files.with(FileKind::Drop));
        self.settled.extend(sealed.map(|first| (log_id, first)));
    }
}

/// Segments that other names speak of, and whose `.log` is gone without a receipt; and the one that the log
/// should begin with.
fn missing_by_name(files: &LogFiles, dropped: Option<Sequence>, last: Sequence) -> Vec<Sequence> {
    let begin = dropped.unwrap_or_default();
    // Not `.producers`: a roll that a crash interrupted leaves one.
    let kinds = [FileKind::Seal, FileKind::Index];
    let named = kinds.into_iter().flat_map(|kind| files.with(kind));
    let named = named.filter(|first| (begin..last).contains(first)).chain([begin]);
    named.filter(|first| *first <= last && !files.has(*first, FileKind::Log)).collect()
}

/// Both lists as one, ascending, each once.
fn with(firsts: Vec<Sequence>, missing: Vec<Sequence>) -> Vec<Sequence> {
    firsts.into_iter().chain(missing).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The id in a log's `log.open`, where it can be read.
fn log_id<D: Disk>(home: &Home<D>) -> Result<Option<LogId>, OpenError> {
    match EntryFile::decode(&read_entry(&*home.disk, &home.dir.join(LOG_OPEN))?).map(|file| file.entry) {
        Ok(Entry::Open(open)) => Ok(Some(open.head.log_id)),
        _ => Ok(None),
    }
}

fn name<D: Disk>(home: &Home<D>, first: Sequence) -> String {
    FileKind::Log.path(&home.dir, first).display().to_string()
}

fn read_entry<D: Disk>(disk: &D, at: &Path) -> Result<Vec<u8>, OpenError> {
    read_whole(disk, at, ENTRY_FILE_BYTES_MAX).map_err(OpenError::io(at))
}

/// The header of a segment, or why it is none. A newer one refuses the whole start (R28).
pub(super) fn read_header<D: Disk>(
    home: &Home<D>,
    first: Sequence,
) -> Result<Result<SegmentHeader, String>, OpenError> {
    let path = FileKind::Log.path(&home.dir, first);
    let file = home.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
    let mut bytes = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or_default()];
    let read = file.read_at(&mut bytes, 0).map_err(OpenError::io(&path))?;
    bytes.truncate(read);
    match SegmentHeader::decode(&bytes) {
        Ok(header) => {
            let is_own = header.first == first && header.tenant == home.tenant && header.class == home.class;
            let wrong = || format!("{} is a segment of another place", path.display());
            Ok(is_own.then_some(header).ok_or_else(wrong))
        }
        Err(error @ SegmentError::Newer(_)) => Err(OpenError::Newer(format!("{}: {error}", path.display()))),
        Err(error) => Ok(Err(format!("{} is damaged: {error}", path.display()))),
    }
}
