//! How files appear and names are spelled: every sequence of system calls that makes something durable.
//!
//! A new file gets a temporary name, its bytes are synced, it is renamed, the directory is synced. So no
//! reader, and no restart, ever meets half a file under a name that means something.

use crate::disk::{Disk, DiskFile, Open};
use piperoll_format::units::{Root, Sequence};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

/// Ending of a name that means nothing yet; removed at the next start.
pub(crate) const TEMPORARY: &str = "tmp";
/// Buffer of the loops that read or write files front to back.
const STEP_BYTES: usize = 1024 * 1024;

/// The kinds of files that a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// Frames: the truth.
    Log,
    /// Index, derived.
    Index,
    /// Seal entry.
    Seal,
    /// Drop entry: the receipt of a dropped segment.
    Drop,
    /// Loss entry.
    Loss,
    /// Reindex entry.
    Reindex,
    /// Producers at the roll, derived.
    Producers,
    /// Torn tail, kept aside.
    Torn,
}

impl FileKind {
    const ALL: [Self; 8] = [
        Self::Log,
        Self::Index,
        Self::Seal,
        Self::Drop,
        Self::Loss,
        Self::Reindex,
        Self::Producers,
        Self::Torn,
    ];

    /// The ending of the name.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "idx",
            Self::Seal => "seal",
            Self::Drop => "drop",
            Self::Loss => "loss",
            Self::Reindex => "reindex",
            Self::Producers => "producers",
            Self::Torn => "torn",
        }
    }

    /// Reads a name in a log's directory; `None` for a name that is none of a segment's.
    pub(crate) fn parse(name: &str) -> Option<(Sequence, Self)> {
        let (stem, ending) = name.split_once('.')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.ending() == ending)?;
        let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
        let first = digits.then(|| stem.parse().ok()).flatten()?;
        Some((Sequence(first), kind))
    }

    /// The name of this file of the segment that begins at `first`, in the log's directory `dir`.
    pub(crate) fn path(self, dir: &Path, first: Sequence) -> PathBuf {
        dir.join(format!("{:020}.{}", first.0, self.ending()))
    }
}

/// `at` with the ending of a temporary name behind it.
pub(crate) fn temporary(at: &Path) -> PathBuf {
    let mut name = at.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// Opens a new file under the temporary name of `at`; one that a crash left behind is replaced.
pub(crate) fn create_temporary<D: Disk>(disk: &D, at: &Path) -> io::Result<D::File> {
    let temporary = temporary(at);
    match disk.open(&temporary, Open::CreateNew) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            disk.unlink(&temporary)?;
            disk.open(&temporary, Open::CreateNew)
        }
        other => other,
    }
}

/// Writes the new file `at` whole and durably (I11), but for its name: the caller syncs the directory.
pub(crate) fn write_new<D: Disk>(disk: &D, at: &Path, bytes: &[u8], protect: bool) -> io::Result<()> {
    let written = write_temporary(disk, at, bytes, protect);
    if written.is_err() {
        // Best effort: on a full disk the room is wanted back, and a start removes temporary names anyway.
        let _ = disk.unlink(&temporary(at));
    }
    written?;
    disk.rename(&temporary(at), at)
}

fn write_temporary<D: Disk>(disk: &D, at: &Path, bytes: &[u8], protect: bool) -> io::Result<()> {
    let file = create_temporary(disk, at)?;
    let (mut offset, mut rest) = (0, bytes);
    loop {
        let (step, after) = rest.split_at(rest.len().min(STEP_BYTES));
        file.write_at(&[IoSlice::new(step)], offset)?;
        // Each step by itself: the next append's sync waits for what a file system has to write with it.
        file.sync_data()?;
        if after.is_empty() {
            break;
        }
        (offset, rest) = (offset.saturating_add(step.len() as u64), after);
    }
    if protect {
        file.protect()?;
    }
    Ok(())
}

/// Reads the file `at` whole; longer than `bytes_max` is `InvalidData`.
pub(crate) fn read_whole<D: Disk>(disk: &D, at: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(at, Open::Read)?;
    let length = file.length()?;
    if length > bytes_max {
        let text = format!("{} has {length} bytes, at most {bytes_max} are expected", at.display());
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    read_steps(&file, 0, length, &mut |_, step| {
        bytes.extend_from_slice(step);
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads `from..to` of a file in steps; a file that ends before `to` is `UnexpectedEof`.
pub(crate) fn read_steps<F: DiskFile>(
    file: &F,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; STEP_BYTES.min(usize::try_from(to.saturating_sub(from)).unwrap_or(STEP_BYTES))];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap_or(STEP_BYTES).min(buffer.len());
        let step = buffer.get_mut(..want).unwrap_or_default();
        let read = file.read_at(step, at)?;
        if read == 0 {
            let text = format!("the file ends at {at}, before {to}");
            return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
        }
        each(at, step.get(..read).unwrap_or_default())?;
        at = at.saturating_add(read as u64);
    }
    Ok(())
}

/// BLAKE3 of a whole file, from the disk.
pub(crate) fn hash<F: DiskFile>(file: &F) -> io::Result<Root> {
    let mut hasher = blake3::Hasher::new();
    read_steps(file, 0, file.length()?, &mut |_, step| {
        hasher.update(step);
        Ok(())
    })?;
    Ok(Root(*hasher.finalize().as_bytes()))
}

/// Makes the directory `dir` in `parent`, durably; one that is there already is fine.
pub(crate) fn ensure_dir<D: Disk>(disk: &D, parent: &Path, dir: &Path) -> io::Result<()> {
    match disk.make_dir(dir) {
        Ok(()) => disk.sync_dir(parent),
        // It may be there because a start before this one made it and did not get to the sync.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => disk.sync_dir(parent),
        Err(error) => Err(error),
    }
}

/// True for errors that go away when somebody makes room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(u64, FileKind)>) {
        assert_eq!(FileKind::parse(name), expected.map(|(first, kind)| (Sequence(first), kind)), "{name}");
    }

    #[test]
    fn names_are_twenty_digits_and_an_ending() {
        check("00000000000000000000.log", Some((0, FileKind::Log)));
        check("00000000000000000042.producers", Some((42, FileKind::Producers)));
        check("18446744073709551615.seal", Some((u64::MAX, FileKind::Seal)));
        check("18446744073709551616.seal", None);
        check("0000000000000000000.log", None);
        check("00000000000000000000.log.tmp", None);
        check("+0000000000000000000.log", None);
        check("log.open", None);
        let path = FileKind::Index.path(Path::new("logs/a/b"), Sequence(7));
        assert_eq!(path, Path::new("logs/a/b/00000000000000000007.idx"));
        let last = FileKind::Log.path(Path::new("logs/a/b"), Sequence(u64::MAX));
        assert_eq!(last, Path::new("logs/a/b/18446744073709551615.log"));
        assert_eq!(temporary(&path), Path::new("logs/a/b/00000000000000000007.idx.tmp"));
    }
}
