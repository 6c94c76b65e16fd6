//! Sealing: a full segment gets its index and its seal, and is read-only from then on.
//!
//! The hash is taken from the disk, not from memory: what is sealed is what the disk has.

use crate::ballast::Need;
use crate::catalog::{Log, Trouble};
use crate::core::Core;
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, hash, is_full, read_whole, write_new};
use crate::loss::AcceptedLoss;
use crate::recover::{ENTRY_FILE_BYTES_MAX, Source};
use crate::segment::{Home, IndexBytes, LogBytes, OpenSegment, PinError, SealedBody, Segment};
use crate::stats::add;
use piperoll_format::entry::{Entry, EntryFile, EntryFileError, EntryHead, Seal};
use piperoll_format::frame::check_frame;
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::names::Name;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{Offset, Root, Sequence, UnixNanos};
use piperoll_format::walk::walk;
use piperoll_index::{Builder, BuiltIndex, CANONICAL_VERSION, IndexError, SealedIndex, Terms as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A sealed segment, as its seal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Tenant of its log.
    pub tenant: Name,
    /// Retention class of its log.
    pub class: Name,
    /// Its first sequence.
    pub first: Sequence,
    /// The sequence after its last.
    pub end: Sequence,
    /// Bytes of its `.log`.
    pub bytes: u64,
    /// BLAKE3 of its `.log`.
    pub root: Root,
    /// Events in it.
    pub events: u64,
    /// When its first frame was received.
    pub earliest_received: UnixNanos,
    /// When its last frame was received.
    pub latest_received: UnixNanos,
    /// Its `.log`, within the directory.
    pub path: PathBuf,
}

impl SealedSegment {
    pub(crate) fn new<D: Disk>(home: &Home<D>, seal: &Seal) -> Self {
        Self {
            tenant: home.tenant.clone(),
            class: home.class.clone(),
            first: seal.head.first,
            end: seal.head.end,
            bytes: seal.length,
            root: seal.root,
            events: seal.events,
            earliest_received: seal.earliest_received,
            latest_received: seal.latest_received,
            path: FileKind::Log.path(&home.dir, seal.head.first),
        }
    }
}

/// Why a segment could not be sealed. It stays full, unsealed and readable, and sealing is tried again.
#[derive(Debug, thiserror::Error)]
#[error("{tenant}/{class} cannot be sealed: {reason}")]
pub struct SealError {
    /// Tenant of the log.
    pub tenant: Name,
    /// Retention class of the log.
    pub class: Name,
    /// What failed.
    pub reason: String,
}

impl SealError {
    pub(crate) fn new<D: Disk>(log: &Log<D>, reason: &impl ToString) -> Self {
        let (tenant, class) = (log.tenant().clone(), log.class().clone());
        Self { tenant, class, reason: reason.to_string() }
    }
}

impl<D: Disk> Core<D> {
    /// Seals a segment of `log` that is full; `None` when it is not, or no longer.
    pub(crate) fn seal(
        &self,
        log: &Log<D>,
        segment: &Segment<D>,
    ) -> Result<Option<SealedSegment>, SealError> {
        // One at a time: the keeper and whoever asks may come together.
        let _turn = self.sealing.lock();
        let Some(open) = segment.unsealed().filter(|open| open.closed().is_some()) else { return Ok(None) };
        let is_full = |error: &PinError| matches!(error, PinError::Io { source, .. } if is_full(source));
        let seal = || self.seal_open(log.home(), &open, segment.loss().is_some());
        match self.with_ballast(Need::Seal, is_full, seal) {
            Ok(seal) => {
                segment.become_sealed(seal);
                add(&self.stats.seals, 1);
                self.sealed.ring();
                Ok(Some(SealedSegment::new(log.home(), &seal)))
            }
            Err(error) => {
                add(&self.stats.seal_failures, 1);
                if let PinError::Damaged { .. } = &error {
                    log.refuse(Trouble::ReadOnly(error.to_string()));
                }
                Err(SealError::new(log, &error))
            }
        }
    }

    fn seal_open(&self, home: &Home<D>, open: &OpenSegment, has_loss: bool) -> Result<Seal, PinError> {
        let (path, first) = (&open.path, open.header.first);
        let file = self.disk.open(path, Open::Read).map_err(PinError::io(path))?;
        let closed =
            open.closed().unwrap_or(crate::segment::Closed { length: Offset(0), root: Root([0; 32]) });
        let root = hash(&file).map_err(PinError::io(path))?;
        if root != closed.root {
            let reason = format!("the file hashes to {root}, {} was written", closed.root);
            return Err(PinError::damaged(path, Offset(0), reason));
        }
        let index = if has_loss || !open.is_marked {
            index(path, &file, &open.header, &root, has_loss)?
        } else {
            index_of_columns(open, closed.length, &root)?
        };
        let seal = seal_of(&open.header, (closed.length.0, root), &index, open.reach().end, self.now());
        file.protect().map_err(PinError::io(path))?;
        write_index(home, first, &index.bytes)?;
        let at = FileKind::Seal.path(&home.dir, first);
        let bytes = EntryFile { entry: seal.into(), tree_index: None, detail: None }.encode();
        let bytes = bytes.map_err(|error| PinError::io(&at)(std::io::Error::other(error)))?;
        write_new(&*home.disk, &at, &bytes, true).map_err(PinError::io(&at))?;
        home.disk.sync_dir(&home.dir).map_err(PinError::io(&home.dir))?;
        Ok(seal)
    }
}

/// Writes the index of a segment; the caller syncs the directory.
fn write_index<D: Disk>(home: &Home<D>, first: Sequence, bytes: &[u8]) -> Result<(), PinError> {
    let at = FileKind::Index.path(&home.dir, first);
    write_new(&*home.disk, &at, bytes, true).map_err(PinError::io(&at))
}

/// The index of a segment from its columns: their frames were checked in the map of the file that has `root`.
fn index_of_columns(open: &OpenSegment, length: Offset, root: &Root) -> Result<BuiltIndex, PinError> {
    let (reach, columns) = open.follow()?;
    if reach.length != length {
        return Err(PinError::damaged(&open.path, reach.length, format!("expected frames up to {length}")));
    }
    let built = columns.read().columns.build(root);
    built.map_err(|error| PinError::damaged(&open.path, length, error))
}

/// The index of a segment's file, made from its frames: all of them, and nothing else between them, unless a person
/// accepted that some are lost. Then it has those that check.
fn index<F: DiskFile>(
    path: &Path,
    file: &F,
    header: &SegmentHeader,
    root: &Root,
    has_loss: bool,
) -> Result<BuiltIndex, PinError> {
    let length = file.length().map_err(PinError::io(path))?;
    let mut builder = Builder::new(header.first, &header.salt, &header.class);
    let mut refused: Option<(Offset, IndexError)> = None;
    let verdict = walk(&mut Source(file), header, length, None, &mut |offset, frame| {
        if refused.is_none()
            && let Err(error) = builder.frame(offset, frame)
        {
            refused = Some((offset, error));
        }
    });
    let verdict = verdict.map_err(|error| PinError::io(path)(std::io::Error::other(error)))?;
    if let Some((offset, error)) = refused {
        return Err(PinError::damaged(path, offset, error));
    }
    if has_loss {
        for after in &verdict.frames_after {
            let mut bytes = vec![0; usize::try_from(after.length).unwrap_or_default()];
            let read = file.read_at(&mut bytes, after.offset.0).map_err(PinError::io(path))?;
            let frame = check_frame(bytes.get(..read).unwrap_or_default(), after.offset, &header.salt);
            let frame = frame.map_err(|error| PinError::damaged(path, after.offset, error))?;
            // As in the columns: one that does not lie behind the others is part of the damage.
            let _ = builder.frame(after.offset, &frame);
        }
    } else if verdict.end.0 != length {
        return Err(PinError::damaged(path, verdict.end, format!("expected frames up to {length}")));
    }
    builder.finish(root).map_err(|error| PinError::damaged(path, Offset(length), error))
}

/// Reads the seal of a segment.
pub(crate) fn read<D: Disk>(home: &Home<D>, first: Sequence) -> Result<Seal, PinError> {
    let at = FileKind::Seal.path(&home.dir, first);
    let bytes = read_whole(&*home.disk, &at, ENTRY_FILE_BYTES_MAX).map_err(PinError::io(&at))?;
    match EntryFile::decode(&bytes).map(|file| file.entry) {
        Ok(Entry::Seal(seal)) if seal.index_version > CANONICAL_VERSION => {
            let version = seal.index_version;
            Err(newer(&at, format!("it names an index of version {version}: use a later piperoll")))
        }
        Ok(Entry::Seal(seal)) if seal.head.first == first => Ok(seal),
        // It is not damaged, so it is never made again.
        Err(error @ EntryFileError::Newer { .. }) => Err(newer(&at, error.to_string())),
        Ok(_) => Err(PinError::damaged(&at, Offset(0), "expected the seal of this segment")),
        Err(error) => Err(PinError::damaged(&at, Offset(0), error)),
    }
}

fn newer(at: &Path, text: String) -> PinError {
    PinError::io(at)(std::io::Error::new(std::io::ErrorKind::Unsupported, text))
}

/// Reads the seal of a segment whose next one begins at `next`. One that is damaged is made again where the next
/// segment's header, or the loss that was accepted, confirms the `.log` (R20); else the damage is the answer.
pub(crate) fn read_or_make<D: Disk>(
    home: &Home<D>,
    first: Sequence,
    next: Sequence,
    loss: Option<&AcceptedLoss>,
) -> Result<Seal, PinError> {
    let (path, reason) = match read(home, first) {
        Err(PinError::Damaged { path, reason, .. }) => (path, reason),
        other => return other,
    };
    let made = make_again(home, first, next, loss);
    let seal = made.map_err(|error| {
        PinError::damaged(&path, Offset(0), format!("{reason}; it cannot be made again: {error}"))
    })?;
    // Reading does not depend on room for the file: without it, the next look makes the seal again.
    let bytes = EntryFile { entry: seal.into(), tree_index: None, detail: None }.encode();
    let written = bytes.map_err(std::io::Error::other).and_then(|bytes| {
        write_new(&*home.disk, &path, &bytes, true).and_then(|()| home.disk.sync_dir(&home.dir))
    });
    let written =
        written.map_or_else(|error| format!(", and could not be written: {error}"), |()| String::new());
    let made = "it was made again from the log, whose root is confirmed; the time of the first one is lost";
    home.notes.lock().push(format!("{} was damaged ({reason}): {made}{written}", path.display()));
    Ok(seal)
}

/// A segment's header, and its file.
fn header_of<D: Disk>(
    home: &Home<D>,
    first: Sequence,
) -> Result<(SegmentHeader, D::File, PathBuf), PinError> {
    let path = FileKind::Log.path(&home.dir, first);
    let file = home.disk.open(&path, Open::Read).map_err(PinError::io(&path))?;
    let mut bytes = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or_default()];
    let read = file.read_at(&mut bytes, 0).map_err(PinError::io(&path))?;
    let header = SegmentHeader::decode(bytes.get(..read).unwrap_or_default());
    Ok((header.map_err(|error| PinError::damaged(&path, Offset(0), error))?, file, path))
}

/// What the seal of a segment says, from its `.log`.
fn make_again<D: Disk>(
    home: &Home<D>,
    first: Sequence,
    next: Sequence,
    loss: Option<&AcceptedLoss>,
) -> Result<Seal, PinError> {
    let (header, file, path) = header_of(home, first)?;
    let root = hash(&file).map_err(PinError::io(&path))?;
    let (said, made) = if let Some(loss) = loss {
        (Some(loss.root), loss.accepted)
    } else {
        let (after, ..) = header_of(home, next)?;
        (after.previous.filter(|previous| previous.first == first).map(|said| said.root), after.created)
    };
    if said != Some(root) {
        let said = said.map_or("nothing".to_owned(), |said| said.to_string());
        return Err(PinError::damaged(&path, Offset(0), format!("it hashes to {root}, {said} is expected")));
    }
    let index = index(&path, &file, &header, &root, loss.is_some())?;
    let summary = SealedIndex::open(&index.bytes).map(|index| *index.summary());
    let events = summary.map_err(|error| PinError::damaged(&path, Offset(0), error))?.end;
    let length = file.length().map_err(PinError::io(&path))?;
    Ok(seal_of(&header, (length, root), &index, first.plus(events.into()), made))
}

/// The seal of the segment with this header, whose file has so many bytes and this root.
fn seal_of(
    header: &SegmentHeader,
    (length, root): (u64, Root),
    index: &BuiltIndex,
    end: Sequence,
    made: UnixNanos,
) -> Seal {
    let (earliest_received, latest_received) = index.received.unwrap_or_default();
    Seal {
        head: EntryHead { log_id: header.log_id, first: header.first, end, made, ..EntryHead::default() },
        length,
        root,
        previous_root: header.previous.map_or(Root([0; 32]), |previous| previous.root),
        events: index.events,
        frames: index.frames,
        earliest_received,
        latest_received,
        index_version: CANONICAL_VERSION,
        index_root: index.index_root,
    }
}

/// Opens a sealed segment.
pub(crate) fn load<D: Disk>(home: &Home<D>, seal: Seal, has_loss: bool) -> Result<SealedBody, PinError> {
    let first = seal.head.first;
    let (header, file, path) = header_of(home, first)?;
    let length = file.length().map_err(PinError::io(&path))?;
    if length != seal.length {
        let reason = format!("the seal says {} bytes, found {length}", seal.length);
        return Err(PinError::damaged(&path, Offset(length.min(seal.length)), reason));
    }
    if header.log_id != seal.head.log_id || header.first != first {
        return Err(PinError::damaged(&path, Offset(0), "the header is that of another segment"));
    }
    let map = Arc::new(file.map(length).map_err(PinError::io(&path))?);
    let index = match open_index(home, &seal) {
        Some(index) => index,
        None => make_index(home, (&path, &file), &header, &seal, has_loss)?,
    };
    let log = LogBytes::new(map, Offset(length), header.salt, path.into());
    Ok(SealedBody::new(seal, log, index))
}

/// The index file, where it is there and belongs to the seal.
fn open_index<D: Disk>(home: &Home<D>, seal: &Seal) -> Option<IndexBytes> {
    let at = FileKind::Index.path(&home.dir, seal.head.first);
    let index = IndexBytes::map(&*home.disk, &at).ok()?;
    let root = index.open().map(|index| index.log_root());
    root.is_ok_and(|root| root == seal.root).then_some(index)
}

/// Makes the index again: it is derived, and its canonical part must come out as the seal says (R19).
fn make_index<D: Disk>(
    home: &Home<D>,
    (path, file): (&Path, &D::File),
    header: &SegmentHeader,
    seal: &Seal,
    has_loss: bool,
) -> Result<IndexBytes, PinError> {
    let built = index(path, file, header, &seal.root, has_loss)?;
    if built.index_root != seal.index_root {
        let reason =
            format!("its index comes out as {}, the seal says {}", built.index_root, seal.index_root);
        return Err(PinError::damaged(path, Offset(0), reason));
    }
    // Reading does not depend on room for the file: without it, the next load makes the index again.
    let written = write_index(home, header.first, &built.bytes)
        .and_then(|()| home.disk.sync_dir(&home.dir).map_err(PinError::io(&home.dir)));
    let mapped = written.ok().and_then(|()| open_index(home, seal));
    Ok(mapped.unwrap_or_else(|| IndexBytes::made(built.bytes)))
}
