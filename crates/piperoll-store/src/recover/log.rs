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

impl<D: Disk> Recovery<'_, D> {
    /// Opens the log of `home`; `None` where a crash left nothing but a directory.
    pub(super) fn log(&mut self, home: &Arc<Home<D>>) -> Result<Option<Log<D>>, OpenError> {
        let mut files = self.files(home)?;
        let dropped = self.finish_drops(home, &mut files)?;
        let mut firsts = files.logs();
        let mut found = Found { segments: Vec::new(), reason: None };
        let Some(last) = firsts.pop() else { return self.log_without_segments(home, &files, dropped) };
        found.reason = gap_before(firsts.first().copied().unwrap_or(last), dropped);
        if files.has(last, FileKind::Seal) {
            // A segment is sealed after the next one was begun.
            firsts.push(last);
            let reason = format!("the segment behind {} is missing", name(home, last));
            self.older(home, &files, &firsts, None, &mut found)?;
            return Ok(Some(self.shut(home, found, reason)));
        }
        let end = match self.last(home, &files, last)? {
            LastSegment::Header(reason) => {
                self.older(home, &files, &firsts, None, &mut found)?;
                return Ok(Some(self.shut(home, found, reason)));
            }
            LastSegment::Walked(end) => *end,
        };
        let header = &end.active.open.header;
        found.reason = found.reason.or(missing_before(home, header, firsts.last().copied(), dropped));
        let next = (last, header.previous, header.log_id);
        self.settle_sealed(&files, header.log_id);
        self.older(home, &files, &firsts, Some(next), &mut found)?;
        found.segments.push(Arc::new(Segment::of_open(home, Arc::clone(&end.active.open))));
        self.report.segments += found.segments.len();
        if let Some(reason) = found.reason.take().or(end.reason) {
            return Ok(Some(self.shut(home, found, reason)));
        }
        let writer = Writer::Ready(Box::new(end.active));
        Ok(Some(Log::new(Arc::clone(home), found.segments, writer, None)))
    }

    /// A log that serves what it has and takes nothing more.
    fn shut(&mut self, home: &Arc<Home<D>>, found: Found<D>, reason: String) -> Log<D> {
        let reason = found.reason.unwrap_or(reason);
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
            let found = Found { segments: Vec::new(), reason: None };
            let reason = format!("all segments of {} are missing", home.dir.display());
            return Ok(Some(self.shut(home, found, reason)));
        }
        if !files.log_open {
            return Ok(None);
        }
        let bytes = read_entry(&*home.disk, &home.dir.join(LOG_OPEN))?;
        let log_id = match EntryFile::decode(&bytes).map(|file| file.entry) {
            Ok(Entry::Open(open)) => Some(open.head.log_id),
            _ => None,
        };
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
        last: Option<(Sequence, Option<Previous>, LogId)>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        for (at, &first) in firsts.iter().enumerate() {
            let next = firsts.get(at + 1).copied();
            if files.has(first, FileKind::Seal) {
                let end = next.or(last.map(|(first, ..)| first)).unwrap_or(first);
                found.segments.push(Arc::new(Segment::sealed(home, first, end)));
                continue;
            }
            let previous = match (next, last) {
                (Some(next), _) => read_header(home, next)?.ok().and_then(|header| header.previous),
                (None, Some((_, previous, _))) => previous,
                (None, None) => None,
            };
            let (segment, reason) = self.closed(home, first, previous)?;
            if let Some(segment) = segment {
                self.report.unsealed += 1;
                found.segments.push(Arc::new(segment));
            }
            found.reason = found.reason.take().or(reason);
        }
        Ok(())
    }

    /// Opens a segment that is full and not sealed yet; the next one says its length and root. What can be
    /// read of a damaged one is served, and the reason for more said.
    fn closed(
        &mut self,
        home: &Arc<Home<D>>,
        first: Sequence,
        previous: Option<Previous>,
    ) -> Result<(Option<Segment<D>>, Option<String>), OpenError> {
        let path = FileKind::Log.path(&home.dir, first);
        let header = match read_header(home, first)? {
            Ok(header) => header,
            Err(reason) => return Ok((None, Some(reason))),
        };
        let file = home.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
        let length = file.length().map_err(OpenError::io(&path))?;
        let closed = previous.filter(|previous| previous.first == first);
        let closed = closed.map(|previous| Closed { length: Offset(previous.length), root: previous.root });
        let walked = walk_segment(&path, &file, &header, length, None)?;
        let is_whole = closed.is_some_and(|closed| walked.is_whole(length) && closed.length.0 == length);
        let key = (header.log_id, first);
        let open = walked.open(&path, &file, header, is_whole)?;
        let mut reason = None;
        if let Some(closed) = closed.filter(|_| is_whole) {
            self.settled.insert(key);
            open.close(closed);
        } else {
            let expected = closed.map_or("an unknown number of".to_owned(), |it| it.length.to_string());
            reason = Some(format!(
                "{} should have {expected} bytes of whole frames, found {} of {length}; restore it from a copy",
                path.display(),
                walked.verdict.end
            ));
        }
        Ok((Some(Segment::of_open(home, Arc::new(open))), reason))
    }

    /// Marks of sealed segments need no carrying on.
    fn settle_sealed(&mut self, files: &LogFiles, log_id: LogId) {
        let sealed = files.with(FileKind::Seal).chain(files.with(FileKind::Drop));
        self.settled.extend(sealed.map(|first| (log_id, first)));
    }
}

/// Why the segment before the last one is not the one that it names.
fn missing_before<D: Disk>(
    home: &Home<D>,
    header: &SegmentHeader,
    before: Option<Sequence>,
    dropped: Option<Sequence>,
) -> Option<String> {
    let expected = header.previous.map(|previous| previous.first);
    if expected == before || (before.is_none() && dropped == Some(header.first)) {
        return None;
    }
    let expected = expected.map_or("none".to_owned(), |first| name(home, first));
    let own = name(home, header.first);
    Some(format!("the segment before {own} should be {expected}, which is missing"))
}

fn gap_before(first: Sequence, dropped: Option<Sequence>) -> Option<String> {
    let expected = dropped.unwrap_or(Sequence(0));
    (first != expected).then(|| format!("sequences {expected} to {first} are missing, without a receipt"))
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
