//! What the files beside a segment's file say about it.

use crate::cli::Failure;
use piperoll_format::entry::{Entry, EntryFile, Loss, Mark, Reindex, Seal};
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::round::RoundFile;
use piperoll_format::segment::{Previous, SegmentHeader};
use piperoll_format::units::{LogId, Root};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The digits of a segment's name.
const NAME_DIGITS: usize = 20;

/// What an entry file beside one says.
pub(super) enum Found<T> {
    /// There is none.
    Nothing,
    /// There is one, and it checks.
    Entry(T),
    /// There is one that does not check; why.
    Wrong(String),
}

impl<T> Found<T> {
    /// The entry, where there is one that checks.
    pub(super) fn entry(&self) -> Option<&T> {
        if let Self::Entry(entry) = self { Some(entry) } else { None }
    }
}

/// The seal of the segment that `path` belongs to.
pub(super) fn seal(path: &Path) -> Result<Found<Seal>, Failure> {
    entry(&path.with_extension("seal"), |entry| if let Entry::Seal(seal) = entry { Some(seal) } else { None })
}

/// The loss that a person accepted for the segment.
pub(super) fn loss(path: &Path) -> Result<Found<Loss>, Failure> {
    entry(&path.with_extension("loss"), |entry| if let Entry::Loss(loss) = entry { Some(loss) } else { None })
}

/// The reindex of the segment.
pub(super) fn reindex(path: &Path) -> Result<Found<Reindex>, Failure> {
    let wanted = |entry| if let Entry::Reindex(reindex) = entry { Some(reindex) } else { None };
    entry(&path.with_extension("reindex"), wanted)
}

fn entry<T>(path: &Path, wanted: impl Fn(Entry) -> Option<T>) -> Result<Found<T>, Failure> {
    let Some(bytes) = read(path)? else { return Ok(Found::Nothing) };
    Ok(match EntryFile::decode(&bytes) {
        Ok(file) => match wanted(file.entry) {
            Some(entry) => Found::Entry(entry),
            None => Found::Wrong(format!("{} holds an entry of another kind", path.display())),
        },
        Err(error) => Found::Wrong(format!("{}: {error}", path.display())),
    })
}

/// A small file; `None` where it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::running(anyhow::anyhow!(error).context(path.display().to_string()))),
    }
}

/// What the header of the next segment of the same log says of this one, which begins at `first`; with the path
/// that says so.
pub(super) fn next(path: &Path, header: &SegmentHeader) -> Result<Option<(PathBuf, Previous)>, Failure> {
    let mut next: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(folder(path))? {
        let candidate = entry?.path();
        let Some(first) = first_of(&candidate).filter(|first| *first > header.first.0) else { continue };
        if next.as_ref().is_none_or(|(least, _)| first < *least) {
            next = Some((first, candidate));
        }
    }
    let Some((_, path)) = next else { return Ok(None) };
    let mut bytes = Vec::new();
    File::open(&path)?.take(SEGMENT_HEADER_BYTES).read_to_end(&mut bytes)?;
    let next = SegmentHeader::decode(&bytes).ok().filter(|next| next.log_id == header.log_id);
    Ok(next.and_then(|next| next.previous).map(|previous| (path, previous)))
}

/// The first sequence in the name of a `.log`.
fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    (name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())?
}

/// The segment's mark in the newest round of the data directory that the file lies in.
pub(super) fn mark(path: &Path, header: &SegmentHeader) -> Result<Option<Mark>, Failure> {
    let path = path.canonicalize()?;
    // <data>/logs/<tenant>/<class>/<first>.log
    let Some(data) = path.ancestors().nth(4) else { return Ok(None) };
    let mut newest: Option<RoundFile> = None;
    for name in ["round.0", "round.1"] {
        let bytes = read(&data.join("tree").join(name)).ok().flatten();
        let Some(Ok(round)) = bytes.map(|bytes| RoundFile::decode(&bytes)) else { continue };
        if newest.as_ref().is_none_or(|other| other.number < round.number) {
            newest = Some(round);
        }
    }
    let is_ours = |mark: &Mark| mark.head.log_id == header.log_id && mark.head.first == header.first;
    Ok(newest.and_then(|round| round.marks.into_iter().find(is_ours)))
}

/// The BLAKE3 of the first `length` bytes of a file, as `b3sum` would print it for a file of just those; `None`
/// where there are fewer.
pub(super) fn root_of(path: &Path, length: u64) -> io::Result<Option<Root>> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = File::open(path)?.take(length);
    hasher.update_reader(&mut bytes)?;
    Ok((bytes.limit() == 0).then(|| Root(*hasher.finalize().as_bytes())))
}

/// The log id of the log that the file lies in, as its `log.open` says.
pub(super) fn log_id(path: &Path) -> Result<Option<LogId>, Failure> {
    let open = |entry| if let Entry::Open(open) = entry { Some(open) } else { None };
    Ok(entry(&folder(path).join("log.open"), open)?.entry().map(|open| open.head.log_id))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
