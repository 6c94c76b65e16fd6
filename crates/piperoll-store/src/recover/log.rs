//! Opening one log: its segments in a row, without a gap, the last one walked.

use super::before::newer;
use super::files::LogFiles;
use super::loss::{AcceptedLosses, Lost, no_bytes};
use super::tail::{LastSegment, Walked, walk_segment};
use super::{OpenError, ReadOnlyLog, Recovery};
use crate::catalog::{Log, Trouble};
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, hash, read_whole};
use crate::segment::{Closed, Home, Segment};
use crate::write::roll::{AfterLoss, LOG_OPEN};
use crate::write::writer::Writer;
use piperoll_format::entry::{ENTRY_BYTES_MAX, Entry, EntryFile};
use piperoll_format::limits::{SEGMENT_EVENTS_MAX, SEGMENT_HEADER_BYTES};
use piperoll_format::segment::{Previous, SegmentError, SegmentHeader};
use piperoll_format::units::{LogId, Offset, Sequence, UnixNanos};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// No entry file is longer: entry, index, random bytes, detail, checksum.
pub(crate) const ENTRY_FILE_BYTES_MAX: u64 = ENTRY_BYTES_MAX as u64 + 64 * 1024;

/// A log as far as it is recovered.
pub(super) struct Found<D: Disk> {
    pub(super) segments: Vec<Arc<Segment<D>>>,
    /// Why it takes no appends, if it does not.
    pub(super) trouble: Option<Trouble>,
    pub(super) accepted: AcceptedLosses,
    log_id: Option<LogId>,
}

/// Where a log's row of segments ends.
enum Tail {
    /// With a segment that is there.
    Last(Sequence),
    /// With one that should be there.
    Missing(Sequence),
}

impl<D: Disk> Found<D> {
    /// Notes that a segment cannot be read: the log is read-only.
    fn unreadable(&mut self, home: &Arc<Home<D>>, first: Sequence, end: Sequence, reason: &str) {
        self.segments.push(Arc::new(Segment::unreadable(home, first, end, reason.to_owned())));
        self.read_only(reason);
    }

    fn read_only(&mut self, reason: &str) {
        self.trouble.get_or_insert_with(|| Trouble::ReadOnly(reason.to_owned()));
    }
}

impl<D: Disk> Recovery<'_, D> {
    /// Opens the log of `home`; `None` where a crash left nothing but a directory.
    pub(super) fn log(&mut self, home: &Arc<Home<D>>) -> Result<Option<Log<D>>, OpenError> {
        let mut files = self.files(home)?;
        let dropped = self.finish_drops(home, &mut files)?;
        let accepted = self.accepted(home, &files, dropped.unwrap_or_default())?;
        let log_id = log_id(home, &files)?;
        let mut found = Found { segments: Vec::new(), trouble: None, accepted, log_id };
        let mut row = self.row(home, &files, dropped, &found);
        let Some(last) = row.pop_last() else { return self.log_without_segments(home, &files, log_id) };
        self.remove_unborn(home, &files, last)?;
        self.settle_sealed(&files, log_id);
        let tail = if !files.has(last, FileKind::Log) {
            Tail::Missing(last)
        } else if files.has(last, FileKind::Seal) {
            // A segment is sealed after the next one was begun.
            row.insert(last);
            let seal = crate::seal::read(home, last);
            Tail::Missing(seal.map_or(last.plus(1), |seal| seal.head.end))
        } else {
            Tail::Last(last)
        };
        let row: Vec<Sequence> = row.into_iter().collect();
        let (Tail::Last(first) | Tail::Missing(first)) = tail;
        self.older(home, &files, &row, first, &mut found)?;
        let writer = match tail {
            Tail::Last(first) => self.present(home, &files, first, &mut found)?,
            Tail::Missing(first) => {
                let ends = (first, self.behind_missing(first, found.log_id));
                self.unreadable_tail(home, &files, ends, &missing(home, first), &mut found)?
            }
        };
        self.report.segments += found.segments.len();
        Ok(Some(self.finished(home, found, writer)))
    }

    /// The first sequences of all segments that are there or should be.
    fn row(
        &self,
        home: &Home<D>,
        files: &LogFiles,
        dropped: Option<Sequence>,
        found: &Found<D>,
    ) -> BTreeSet<Sequence> {
        let begin = dropped.unwrap_or_default();
        // Not `.producers`: a roll that a crash interrupted leaves one.
        let kinds = [FileKind::Seal, FileKind::Index];
        let named = kinds.into_iter().flat_map(|kind| files.with(kind));
        // A segment gets its mark when it is there, durably.
        let marks = self.marks.keys().filter(|(log_id, _)| Some(*log_id) == found.log_id);
        let mut row: BTreeSet<Sequence> =
            named.chain(marks.map(|(_, first)| *first)).chain(found.accepted.firsts()).collect();
        row.retain(|first| *first >= begin);
        row.extend(files.logs());
        for first in files.logs().into_iter().filter(|first| !files.has(*first, FileKind::Seal)) {
            // The one before is there, or dropped, or missing. One that cannot be read says so when it is opened.
            if let Ok(Ok(header)) = read_header(home, first) {
                row.extend(header.previous.map(|previous| previous.first).filter(|before| *before >= begin));
            }
        }
        if !row.is_empty() || dropped.is_some() {
            row.insert(begin);
        }
        row.retain(|first| files.has(*first, FileKind::Log) || !found.accepted.cover(*first));
        row
    }

    /// The last segment, which is there.
    fn present(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        first: Sequence,
        found: &mut Found<D>,
    ) -> Result<Writer<D>, OpenError> {
        let header = match read_header(home, first)? {
            Ok(header) => header,
            Err(reason) => {
                // 2^24 events are the most that a segment holds, so the next one begins above all of its own.
                let ends = (first, first.plus(SEGMENT_EVENTS_MAX));
                return self.unreadable_tail(home, files, ends, &reason, found);
            }
        };
        match self.last(home, &header, &found.accepted)? {
            LastSegment::Healthy(mut active) => {
                self.remember_producers(home, files, header.created, first, &mut active.heard)?;
                found.segments.push(Arc::new(Segment::of_open(home, Arc::clone(&active.open))));
                Ok(Writer::Ready(active))
            }
            LastSegment::Damaged(reason, mut walked) => {
                let end = above(first, &walked, self.marks.get(&(header.log_id, first)).map(|m| m.head.end));
                self.remember_producers(home, files, header.created, first, &mut walked.heard)?;
                if !walked.verdict.newer {
                    self.lose(home, &lost_of(&header, &walked, end, &reason))?;
                }
                self.opened(home, header, &walked, None, found)?;
                found.read_only(&reason);
                Ok(Writer::Shut)
            }
            LastSegment::Accepted(mut walked) => {
                self.remember_producers(home, files, header.created, first, &mut walked.heard)?;
                let last_received = walked.latest.unwrap_or(header.created).max(header.created);
                let heard = std::mem::take(&mut walked.heard);
                let closed = self.opened_accepted(home, header, &walked, found)?;
                Ok(self.after_loss(first, closed, last_received, heard, found))
            }
        }
    }

    /// The last segment, of which nothing can be read: it is missing, or its header does not check, and nothing
    /// else has its salt. The next one may begin at `end`.
    fn unreadable_tail(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        (first, end): (Sequence, Sequence),
        reason: &str,
        found: &mut Found<D>,
    ) -> Result<Writer<D>, OpenError> {
        let mut heard = HashMap::new();
        self.remember_producers(home, files, UnixNanos(i64::MAX), first, &mut heard)?;
        let closed = self.unreadable(home, (first, None), end, reason, found)?;
        Ok(closed
            .map_or(Writer::Shut, |closed| self.after_loss(first, closed, UnixNanos(i64::MIN), heard, found)))
    }

    /// Puts a segment of which nothing can be read into the row: as lost, where that was accepted; else the log is
    /// read-only.
    fn unreadable(
        &mut self,
        home: &Arc<Home<D>>,
        (first, next): (Sequence, Option<Sequence>),
        end: Sequence,
        reason: &str,
        found: &mut Found<D>,
    ) -> Result<Option<Closed>, OpenError> {
        let closed = self.accepted_whole(home, first, next, found)?;
        if closed.is_none() {
            let (log_id, from) = (found.log_id, (0, first));
            self.lose(home, &Lost { segment: first, log_id, from, end, behind: &[], reason })?;
            found.unreadable(home, first, end, reason);
        }
        Ok(closed)
    }

    /// The writer of a log whose last segment was closed by a loss that a person accepted.
    fn after_loss(
        &mut self,
        segment: Sequence,
        closed: Closed,
        last_received: UnixNanos,
        heard: HashMap<crate::write::part::ProducerName, crate::write::writer::Heard>,
        found: &Found<D>,
    ) -> Writer<D> {
        let Some(loss) = found.accepted.get(segment) else { return Writer::Shut };
        let mark = self.marks.get(&(loss.log_id, segment)).map(|mark| mark.head.made);
        // What was lost was received before its loss was accepted.
        let last_received = last_received.max(loss.accepted).max(mark.unwrap_or(loss.accepted));
        let previous = Previous { first: segment, length: closed.length.0, root: closed.root };
        Writer::AfterLoss(Box::new(AfterLoss {
            log_id: loss.log_id,
            first: loss.end,
            previous,
            last_received,
            heard,
        }))
    }

    /// The log, with what keeps it from taking appends.
    fn finished(&mut self, home: &Arc<Home<D>>, found: Found<D>, writer: Writer<D>) -> Log<D> {
        let writer = if found.trouble.is_some() { Writer::Shut } else { writer };
        if let Some(trouble) = &found.trouble {
            let (tenant, class) = (home.tenant.clone(), home.class.clone());
            let reason = trouble.reason().to_owned();
            self.report.read_only.push(ReadOnlyLog { tenant, class, reason });
        }
        Log::new(Arc::clone(home), found.segments, writer, found.trouble)
    }

    fn log_without_segments(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        log_id: Option<LogId>,
    ) -> Result<Option<Log<D>>, OpenError> {
        self.remove_unborn(home, files, Sequence(0))?;
        // Without one that can be read, the first append makes another: nothing bears the old id.
        let log = |id| Log::new(Arc::clone(home), Vec::new(), Writer::Unborn(Some(id)), None);
        Ok(if files.log_open { log_id.map(log) } else { None })
    }

    /// The segments before the last one: sealed ones by name only, others opened.
    fn older(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        row: &[Sequence],
        last: Sequence,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        for (at, &first) in row.iter().enumerate() {
            let end = row.get(at + 1).copied().unwrap_or(last);
            if !files.has(first, FileKind::Log) {
                self.unreadable(home, (first, Some(end)), end, &missing(home, first), found)?;
            } else if files.has(first, FileKind::Seal) {
                self.sealed(home, first..end, found)?;
            } else if let Err(error) = self.closed(home, files, first..end, found) {
                // The segment alone cannot be read: what lies before and behind it can.
                let OpenError::Io { .. } = error else { return Err(error) };
                let reason = error.to_string();
                found.segments.push(Arc::new(Segment::unreadable(home, first, end, reason.clone())));
                found.trouble.get_or_insert(Trouble::Stopped(reason));
            }
        }
        Ok(())
    }

    /// A sealed segment, by its name only; whoever asks for a survey wants to know of gaps too.
    fn sealed(
        &mut self,
        home: &Arc<Home<D>>,
        sequences: Range<Sequence>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        let Range { start: first, end } = sequences;
        let accepted = found.accepted.get(first);
        let segment = Segment::sealed(home, first, end).with_loss(accepted.cloned());
        found.segments.push(Arc::new(segment));
        if self.survey.is_none() || accepted.is_some() {
            return Ok(());
        }
        let gap = crate::seal::read(home, first).ok().map(|seal| seal.head.end).filter(|own| *own < end);
        let Some(from) = gap else { return Ok(()) };
        let reason = missing(home, from);
        let log_id = found.log_id;
        self.lose(home, &Lost { segment: from, log_id, from: (0, from), end, behind: &[], reason: &reason })
    }

    /// Opens a segment that is full and not sealed yet; the next one says its length and root. What can be
    /// read of a damaged one is served, and the reason for more said.
    fn closed(
        &mut self,
        home: &Arc<Home<D>>,
        files: &LogFiles,
        sequences: Range<Sequence>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        let Range { start: first, end } = sequences;
        let path = FileKind::Log.path(&home.dir, first);
        let header = match read_header(home, first)? {
            Ok(header) => header,
            Err(reason) => {
                self.unreadable(home, (first, Some(end)), end, &reason, found)?;
                return Ok(());
            }
        };
        let next = if files.has(end, FileKind::Log) { read_header(home, end)?.ok() } else { None };
        let said = next.and_then(|next| next.previous).filter(|previous| previous.first == first);
        let file = self.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
        let length = file.length().map_err(OpenError::io(&path))?;
        let mut walked = walk_segment(&path, &file, &header, length, None)?;
        let is_whole = walked.is_whole(length) && walked.verdict.end_sequence == end;
        let closed = match said {
            Some(said) if is_whole && said.length == length => {
                Some(Closed { length: Offset(length), root: said.root })
            }
            // The next segment cannot be read; its name says that nothing is missing here.
            None if is_whole => {
                Some(Closed { length: Offset(length), root: hash(&file).map_err(OpenError::io(&path))? })
            }
            _ => None,
        };
        self.report.unsealed += 1;
        if closed.is_some() {
            self.settled.insert((header.log_id, first));
            return self.opened(home, header, &walked, closed, found);
        }
        walked.hear_behind(&file, &header);
        let accepted = found.accepted.get(first);
        let reason = match accepted {
            Some(accepted) if accepted.is_of(header.log_id, &hash(&file).map_err(OpenError::io(&path))?) => {
                return self.opened_accepted(home, header, &walked, found).map(drop);
            }
            Some(accepted) => accepted.differs(&path),
            None => format!(
                "{} should have {} bytes of whole frames, found {} of {length}; restore it from a copy, or \
                 see `piperoll accept-loss`",
                path.display(),
                said.map_or("an unknown number of".to_owned(), |said| said.length.to_string()),
                walked.verdict.end
            ),
        };
        self.lose(home, &lost_of(&header, &walked, end, &reason))?;
        self.opened(home, header, &walked, None, found)?;
        found.read_only(&reason);
        Ok(())
    }

    /// Puts a walked segment into the row; one that is not known to be whole takes no mark.
    fn opened(
        &mut self,
        home: &Arc<Home<D>>,
        header: SegmentHeader,
        walked: &Walked,
        closed: Option<Closed>,
        found: &mut Found<D>,
    ) -> Result<(), OpenError> {
        let path = FileKind::Log.path(&home.dir, header.first);
        let file = self.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
        let open = walked.open(&path, &file, header, closed.is_some(), walked.marked)?;
        if let Some(closed) = closed {
            open.close(closed);
        }
        found.segments.push(Arc::new(Segment::of_open(home, Arc::new(open))));
        Ok(())
    }

    /// Puts a damaged segment whose loss was accepted into the row, closed as it is.
    fn opened_accepted(
        &mut self,
        home: &Arc<Home<D>>,
        header: SegmentHeader,
        walked: &Walked,
        found: &mut Found<D>,
    ) -> Result<Closed, OpenError> {
        let first = header.first;
        let loss = found.accepted.get(first).cloned();
        let path = FileKind::Log.path(&home.dir, first);
        let file = self.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
        let length = Offset(file.length().map_err(OpenError::io(&path))?);
        let root = loss.as_ref().map_or_else(Default::default, |loss| loss.root);
        let closed = Closed { length, root };
        self.settled.insert((header.log_id, first));
        let segment = match loss {
            // A segment without a frame is never sealed.
            Some(loss) if walked.is_empty() => Segment::lost(home, first..loss.end, loss),
            loss => {
                let open = walked.open(&path, &file, header, false, None)?;
                open.close(closed);
                Segment::of_open(home, Arc::new(open)).with_loss(loss)
            }
        };
        found.segments.push(Arc::new(segment));
        Ok(closed)
    }

    /// Puts a segment of which nothing can be read into the row, where that was accepted.
    fn accepted_whole(
        &mut self,
        home: &Arc<Home<D>>,
        first: Sequence,
        next: Option<Sequence>,
        found: &mut Found<D>,
    ) -> Result<Option<Closed>, OpenError> {
        let Some(loss) = found.accepted.get(first).cloned() else { return Ok(None) };
        let path = FileKind::Log.path(&home.dir, first);
        let (length, root) = match self.disk.open(&path, Open::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (0, no_bytes()),
            file => {
                let file = file.map_err(OpenError::io(&path))?;
                (file.length().map_err(OpenError::io(&path))?, hash(&file).map_err(OpenError::io(&path))?)
            }
        };
        let end = next.unwrap_or(loss.end);
        if root != loss.root || loss.end < end {
            return Ok(None);
        }
        self.settled.insert((loss.log_id, first));
        found.segments.push(Arc::new(Segment::lost(home, first..end, loss)));
        Ok(Some(Closed { length: Offset(length), root }))
    }

    /// Removes what a roll wrote before the segment that it did not get to.
    fn remove_unborn(&self, home: &Home<D>, files: &LogFiles, last: Sequence) -> Result<(), OpenError> {
        for first in files.with(FileKind::Producers).filter(|first| *first > last) {
            let path = FileKind::Producers.path(&home.dir, first);
            self.disk.unlink(&path).map_err(OpenError::io(&path))?;
        }
        Ok(())
    }

    /// Marks of segments that are sealed, dropped or closed by a loss need no carrying on.
    fn settle_sealed(&mut self, files: &LogFiles, log_id: Option<LogId>) {
        let Some(log_id) = log_id else { return };
        let sealed = files.with(FileKind::Seal).chain(files.with(FileKind::Drop));
        self.settled.extend(sealed.map(|first| (log_id, first)));
    }
}

/// The entry of a damaged segment's loss, as its walk says.
fn lost_of<'a>(header: &SegmentHeader, walked: &'a Walked, end: Sequence, reason: &'a str) -> Lost<'a> {
    Lost {
        segment: header.first,
        log_id: Some(header.log_id),
        from: (walked.verdict.end.0, walked.verdict.end_sequence),
        end,
        behind: &walked.verdict.frames_after,
        reason,
    }
}

/// The first sequence above every one that may have been acknowledged in a last segment: by the format it has at
/// most 2²⁴ events, and the first of them is its own first sequence.
fn above(first: Sequence, walked: &Walked, marked: Option<Sequence>) -> Sequence {
    let behind = walked.verdict.frames_after.iter().map(|frame| frame.first.plus(frame.events.into()));
    let known = behind.chain(marked).fold(walked.verdict.end_sequence, Sequence::max);
    known.max(first.plus(SEGMENT_EVENTS_MAX))
}

/// The id of a log, from whatever of it can be read.
fn log_id<D: Disk>(home: &Home<D>, files: &LogFiles) -> Result<Option<LogId>, OpenError> {
    if files.log_open
        && let Ok(EntryFile { entry: Entry::Open(open), .. }) =
            EntryFile::decode(&read_entry(&*home.disk, &home.dir.join(LOG_OPEN)).unwrap_or_default())
    {
        return Ok(Some(open.head.log_id));
    }
    if let Some(last) = files.logs().pop()
        && let Ok(header) = read_header(home, last)?
    {
        return Ok(Some(header.log_id));
    }
    for kind in [FileKind::Seal, FileKind::Drop, FileKind::Loss] {
        for first in files.with(kind) {
            let bytes = read_entry(&*home.disk, &kind.path(&home.dir, first));
            let file = bytes.ok().and_then(|bytes| EntryFile::decode(&bytes).ok());
            if let Some(head) = file.as_ref().and_then(|file| file.entry.head()) {
                return Ok(Some(head.log_id));
            }
        }
    }
    Ok(None)
}

pub(super) fn name<D: Disk>(home: &Home<D>, first: Sequence) -> String {
    FileKind::Log.path(&home.dir, first).display().to_string()
}

fn missing<D: Disk>(home: &Home<D>, first: Sequence) -> String {
    format!("{} is missing, without a receipt", name(home, first))
}

pub(super) fn read_entry<D: Disk>(disk: &D, at: &Path) -> Result<Vec<u8>, OpenError> {
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
        Err(error @ SegmentError::Newer(_)) => Err(newer(&path, &error)),
        Err(error) => Ok(Err(format!("{} is damaged: {error}", path.display()))),
    }
}
