//! The last segment of a log: where it ends, what of it is cut, what is written again (opening, rules 1-5).

use super::loss::AcceptedLosses;
use super::{Cut, OpenError, Recovery};
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, hash, is_full, read_steps, write_new};
use crate::follow::ActiveColumns;
use crate::segment::{Home, LogBytes, OpenSegment, Reach};
use crate::write::group::GroupBytes;
use crate::write::part::ProducerName;
use crate::write::writer::{ActiveWriter, Heard, hear};
use piperoll_format::entry::Mark;
use piperoll_format::envelope::Envelope;
use piperoll_format::frame::{FrameView, check_frame};
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{Offset, Sequence, UnixNanos};
use piperoll_format::walk::{ByteSource, Verdict, VerdictKind, WalkError, walk};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The last segment, walked.
pub(super) enum LastSegment<D: Disk> {
    /// Its frames end where it may go on.
    Healthy(Box<ActiveWriter<D>>),
    /// Nothing may be appended to it, and why.
    Damaged(String, Walked),
    /// It ends where a person accepted that it does.
    Accepted(Walked),
}

/// What a walk gathered.
pub(super) struct Walked {
    pub(super) verdict: Verdict,
    earliest: Option<UnixNanos>,
    pub(super) heard: HashMap<ProducerName, Heard>,
    /// When the last frame that checks was received, those behind the end counted.
    pub(super) latest: Option<UnixNanos>,
    /// The end that its last mark says.
    pub(super) marked: Option<Sequence>,
}

/// A file, for the walk.
pub(crate) struct Source<'a, F>(pub(crate) &'a F);

impl<F: DiskFile> ByteSource for Source<'_, F> {
    type Error = io::Error;

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }
}

impl Walked {
    /// True when frames fill the file up to `length`, and nothing else is there.
    pub(super) fn is_whole(&self, length: u64) -> bool {
        self.verdict.kind == VerdictKind::Clean && self.verdict.end.0 == length
    }

    /// True when no frame checks.
    pub(super) fn is_empty(&self) -> bool {
        self.verdict.frames == 0 && self.verdict.frames_after.is_empty()
    }

    /// Notes the producers of the frames behind the end, where these stay: their retries find their addresses.
    pub(super) fn hear_behind<F: DiskFile>(&mut self, file: &F, header: &SegmentHeader) {
        let mut names = Names::default();
        for after in &self.verdict.frames_after {
            let mut bytes = vec![0; usize::try_from(after.length).unwrap_or_default()];
            // What cannot be read now is not served later either.
            let read = file.read_at(&mut bytes, after.offset.0).unwrap_or_default();
            bytes.truncate(read);
            let Ok(frame) = check_frame(&bytes, after.offset, &header.salt) else { continue };
            self.latest = self.latest.max(Some(frame.header().received));
            names.hear(&frame, &mut self.heard);
        }
    }

    fn reach(&self) -> Reach {
        let received = self.earliest.zip(self.verdict.last_received);
        Reach { length: self.verdict.end, end: self.verdict.end_sequence, received }
    }

    /// The walked segment, to be read. One that is not healthy has its frames behind the end too. `end` is a sequence
    /// that it is known to have reached: where no frame gets there, whoever asks is told.
    pub(super) fn open<F: DiskFile>(
        &self,
        path: &Path,
        file: &F,
        header: SegmentHeader,
        is_healthy: bool,
        end: Option<Sequence>,
    ) -> Result<OpenSegment, OpenError> {
        let length = file.length().map_err(OpenError::io(path))?;
        let map = Arc::new(file.map(length).map_err(OpenError::io(path))?);
        let mut reach = self.reach();
        let mut columns = ActiveColumns::new(&header);
        if !is_healthy {
            let log = LogBytes::new(Arc::clone(&map), Offset(length), header.salt, path.into());
            // Whatever cannot be read of it is damaged too, and said to be.
            let frames = self.verdict.frames_after.iter().map(|frame| frame.offset);
            reach = columns.fill_damaged(&log, reach, frames);
            reach.end = reach.end.max(end.unwrap_or_default());
        }
        Ok(OpenSegment::new(header, path.to_path_buf(), map, reach, columns, is_healthy))
    }
}

impl<D: Disk> Recovery<'_, D> {
    /// Walks the last segment, cuts a torn tail, writes again what may not be on the disk.
    pub(super) fn last(
        &mut self,
        home: &Home<D>,
        header: &SegmentHeader,
        accepted: &AcceptedLosses,
    ) -> Result<LastSegment<D>, OpenError> {
        let first = header.first;
        let path = FileKind::Log.path(&home.dir, first);
        let file = self.disk.open(&path, Open::Append).map_err(OpenError::io(&path))?;
        let length = file.length().map_err(OpenError::io(&path))?;
        let mark = self.marks.get(&(header.log_id, first)).copied();
        let mut walked = walk_segment(&path, &file, header, length, mark.as_ref())?;
        // Whatever the walk says: where a person closed it, nothing is cut and nothing follows.
        if let Some(accepted) = accepted.get(first) {
            walked.hear_behind(&file, header);
            return Ok(if accepted.is_of(header.log_id, &hash(&file).map_err(OpenError::io(&path))?) {
                LastSegment::Accepted(walked)
            } else {
                LastSegment::Damaged(accepted.differs(&path), walked)
            });
        }
        if accepted.is_unreadable(first) {
            walked.hear_behind(&file, header);
            let reason = format!("the entry that closed {} cannot be read", path.display());
            return Ok(LastSegment::Damaged(reason, walked));
        }
        let mut allocated = length;
        match walked.verdict.kind.clone() {
            VerdictKind::Damaged(_) => {
                walked.hear_behind(&file, header);
                return Ok(LastSegment::Damaged(damage_text(&path, &walked.verdict), walked));
            }
            _ if walked.verdict.newer => {
                let reason = format!("{} has frames that a later version wrote", path.display());
                return Ok(LastSegment::Damaged(reason, walked));
            }
            VerdictKind::Clean => {}
            VerdictKind::Torn { not_zero } => {
                if self.survey.is_none() {
                    self.cut(home, &path, &file, first, not_zero, walked.verdict.end.0)?;
                    allocated = walked.verdict.end.0;
                }
            }
        }
        if self.survey.is_none() {
            let from = mark.map_or(SEGMENT_HEADER_BYTES, |mark| mark.length);
            self.write_again(&path, &file, from..walked.verdict.end.0)?;
        }
        self.settled.insert((header.log_id, first));
        let open = Arc::new(walked.open(&path, &file, header.clone(), true, None)?);
        Ok(LastSegment::Healthy(Box::new(ActiveWriter {
            file,
            open,
            allocated,
            step: 0,
            dirty: false,
            is_rolling: false,
            last_received: walked.verdict.last_received.unwrap_or(header.created),
            heard: walked.heard,
            bytes: GroupBytes::default(),
        })))
    }

    /// Keeps a torn tail aside, and takes it out of the file before anything is appended (rule 1).
    fn cut(
        &mut self,
        home: &Home<D>,
        path: &Path,
        file: &D::File,
        first: Sequence,
        not_zero: Range<u64>,
        end: u64,
    ) -> Result<(), OpenError> {
        let io = OpenError::io;
        // I7
        let mut kept_bytes = Vec::new();
        let kept_end = not_zero.end.min(not_zero.start.saturating_add(self.options.torn_bytes_max));
        let kept = read_steps(file, not_zero.start, kept_end, &mut |_, step| {
            kept_bytes.extend_from_slice(step);
            Ok(())
        });
        kept.map_err(io(path))?;
        let aside = FileKind::Torn.path(&home.dir, first);
        let kept = match write_new(&*home.disk, &aside, &kept_bytes, false) {
            Ok(()) => Some(aside),
            // Bytes that nobody was promised do not keep a daemon from starting.
            Err(error) if is_full(&error) => None,
            Err(error) => return Err(io(&aside)(error)),
        };
        home.disk.sync_dir(&home.dir).map_err(io(&home.dir))?;
        file.truncate(end).and_then(|()| file.sync_data()).map_err(io(path))?;
        let bytes = not_zero.end.saturating_sub(not_zero.start);
        self.report.cuts.push(Cut { path: path.to_path_buf(), offset: end, bytes, kept });
        Ok(())
    }

    /// Writes a range of the file again, and syncs it: a sync before the start may have failed, and the
    /// system may show bytes that the disk has refused (rule 3).
    fn write_again(&mut self, path: &Path, file: &D::File, range: Range<u64>) -> Result<(), OpenError> {
        if range.is_empty() {
            return Ok(());
        }
        self.report.rewritten_bytes =
            self.report.rewritten_bytes.saturating_add(range.end.saturating_sub(range.start));
        let written = read_steps(file, range.start, range.end, &mut |at, step| {
            file.write_at(&[IoSlice::new(step)], at)
        });
        written.and_then(|()| file.sync_data()).map_err(OpenError::io(path))
    }
}

/// Walks a segment and notes its producers.
pub(super) fn walk_segment<F: DiskFile>(
    path: &Path,
    file: &F,
    header: &SegmentHeader,
    length: u64,
    mark: Option<&Mark>,
) -> Result<Walked, OpenError> {
    let (mut earliest, mut heard) = (None, HashMap::new());
    let mut names = Names::default();
    let verdict = walk(&mut Source(file), header, length, mark, &mut |_, frame| {
        earliest.get_or_insert(frame.header().received);
        names.hear(frame, &mut heard);
    });
    let verdict = verdict.map_err(|error| match error {
        WalkError::Read { source, .. } => OpenError::io(path)(source),
        short @ WalkError::Short { .. } => OpenError::io(path)(io::Error::other(short)),
    })?;
    let latest = verdict.last_received;
    let marked = mark.map(|mark| mark.head.end);
    Ok(Walked { verdict, earliest, heard, latest, marked })
}

/// Decodes the principals of frames, where most have the envelope of the one before.
#[derive(Default)]
pub(super) struct Names {
    envelope: Vec<u8>,
    principal: Option<Arc<str>>,
}

impl Names {
    /// Notes the producer of a frame.
    pub(super) fn hear(&mut self, frame: &FrameView<'_>, all: &mut HashMap<ProducerName, Heard>) {
        let header = frame.header();
        let last = frame.producer_of(header.messages.saturating_sub(1));
        let Some(last) = last.filter(|_| !frame.is_newer()) else { return };
        if self.principal.is_none() || self.envelope != frame.envelope() {
            self.envelope = frame.envelope().to_vec();
            let envelope = Envelope::decode(frame.envelope()).ok();
            self.principal = envelope.map(|envelope| envelope.principal.into());
        }
        let Some(principal) = &self.principal else { return };
        let name = ProducerName { principal: Arc::clone(principal), id: last.id };
        let (first, events, received) = (header.first_sequence, header.event_count, header.received);
        hear(all, name, Heard { last: last.sequence, received, first, events });
    }
}

fn damage_text(path: &Path, verdict: &Verdict) -> String {
    let end = verdict.frames_after.last().map(|frame| frame.first.plus(frame.events.into()));
    let readable = verdict.frames_after.first().map(|frame| frame.first);
    let lost = match (readable, end) {
        (Some(readable), Some(end)) => {
            format!("sequences {} to {readable} are unreadable, those to {end} are not", verdict.end_sequence)
        }
        _ => format!("sequences from {} on are unreadable", verdict.end_sequence),
    };
    format!(
        "{} is damaged at offset {}, below {} which was durable: {lost}; nothing was changed, restore the \
         file from a copy, or see `piperoll accept-loss`",
        path.display(),
        verdict.end,
        verdict.durable
    )
}
