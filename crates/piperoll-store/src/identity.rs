//! One daemon a directory: the lock on `piperoll.dir`, and the ids in it (R27, R28, R29; I19).

use crate::ballast::BALLAST_FILE;
use crate::catalog::LOGS_DIR;
use crate::disk::{Disk, DiskFile, EntryKind};
use crate::durable::read_whole;
use crate::options::Entropy;
use crate::recover::OpenError;
use crate::rounds::TREE_DIR;
use piperoll_format::directory::{DIRECTORY_BYTES, DirectoryError, DirectoryFile};
use piperoll_format::units::UnixNanos;
use std::ffi::OsStr;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

/// The file that makes a directory a piperoll directory.
pub(crate) const DIRECTORY_FILE: &str = "piperoll.dir";

/// What a new file system has at its top, and no daemon minds.
const FOUND_BY_FSCK: &str = "lost+found";

/// The directory's lock, with which nothing has been written yet.
pub(crate) struct Lock<D: Disk> {
    file: D::File,
    /// `None` in a new directory.
    directory_id: Option<[u8; 16]>,
}

/// Who uses the directory: this start of this daemon, for as long as this lives.
pub(crate) struct Identity<D: Disk> {
    pub(crate) directory: DirectoryFile,
    /// Holds the lock; the system takes it back with the process.
    _lock: D::File,
}

impl<D: Disk> Lock<D> {
    /// Locks the directory. One that is empty gets an empty `piperoll.dir`; nothing else is written.
    pub(crate) fn take(disk: &D) -> Result<Self, OpenError> {
        let at = Path::new(DIRECTORY_FILE);
        if !check_names(disk)? {
            check_nothing_there(disk)?;
        }
        let file = disk.lock(at).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => in_use(disk),
            _ => OpenError::io(at)(error),
        })?;
        let bytes = read_whole(disk, at, DIRECTORY_BYTES as u64 * 16).map_err(OpenError::io(at))?;
        // Shorter than it ever is once it was written: its making was cut off, by a full disk for example.
        let is_unfinished = bytes.len() < DIRECTORY_BYTES || bytes.iter().all(|byte| *byte == 0);
        let directory_id = if is_unfinished {
            check_nothing_there(disk)?;
            None
        } else {
            Some(DirectoryFile::decode(&bytes).map_err(refuse)?.directory_id)
        };
        Ok(Self { file, directory_id })
    }

    /// Writes down who uses the directory. One without anything of ours becomes ours.
    pub(crate) fn sign(
        self,
        disk: &D,
        entropy: &dyn Entropy,
        now: UnixNanos,
    ) -> Result<Identity<D>, OpenError> {
        let lock = self.file;
        let directory_id = self.directory_id.unwrap_or_else(|| random(entropy));
        let process_id = std::process::id();
        let directory =
            DirectoryFile { directory_id, instance_id: random(entropy), process_id, started: now };
        // One sector, so that a crash leaves the old or the new.
        lock.write_at(&[IoSlice::new(&directory.encode())], 0)
            .and_then(|()| lock.sync_data())
            .and_then(|()| disk.sync_dir(Path::new("")))
            .map_err(OpenError::io(Path::new(DIRECTORY_FILE)))?;
        Ok(Identity { directory, _lock: lock })
    }
}

impl<D: Disk> Identity<D> {
    /// Whether this start still is the one that uses the directory; else why not.
    pub(crate) fn check(&self, disk: &D) -> Result<(), String> {
        let at = Path::new(DIRECTORY_FILE);
        let bytes = read_whole(disk, at, DIRECTORY_BYTES as u64 * 16);
        let bytes = bytes.map_err(|error| format!("cannot read {DIRECTORY_FILE} again: {error}"))?;
        match DirectoryFile::decode(&bytes) {
            Ok(found) if found == self.directory => Ok(()),
            Ok(found) => Err(format!(
                "another daemon uses this directory: {DIRECTORY_FILE} was changed by process {}",
                found.process_id
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn random(entropy: &dyn Entropy) -> [u8; 16] {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    bytes
}

fn in_use<D: Disk>(disk: &D) -> OpenError {
    let bytes = read_whole(disk, Path::new(DIRECTORY_FILE), DIRECTORY_BYTES as u64 * 16);
    let holder = bytes.ok().and_then(|bytes| DirectoryFile::decode(&bytes).ok());
    OpenError::InUse(holder.map(|directory| (directory.process_id, directory.started)))
}

fn refuse(error: DirectoryError) -> OpenError {
    match error {
        DirectoryError::Newer(_) => OpenError::Newer(format!("{DIRECTORY_FILE}: {error}")),
        DirectoryError::Magic | DirectoryError::Damaged => OpenError::Directory(error.to_string()),
    }
}

/// Looks at the names at the top; answers whether `piperoll.dir` is among them.
fn check_names<D: Disk>(disk: &D) -> Result<bool, OpenError> {
    let root = Path::new("");
    let mut is_there = false;
    for entry in disk.list(root).map_err(OpenError::io(root))? {
        let expected = if entry.name == LOGS_DIR || entry.name == TREE_DIR {
            EntryKind::Directory
        } else if entry.name == DIRECTORY_FILE || entry.name == BALLAST_FILE {
            EntryKind::File
        } else {
            continue;
        };
        if entry.kind != expected {
            return Err(not_ours(Path::new(&entry.name), expected));
        }
        is_there |= entry.name == DIRECTORY_FILE;
    }
    Ok(is_there)
}

/// That something else has the place of a file or directory of ours (R29).
pub(crate) fn not_ours(at: &Path, expected: EntryKind) -> OpenError {
    let expected = if expected == EntryKind::Directory { "directory" } else { "regular file" };
    OpenError::Directory(format!(
        "{} is no {expected}: expected a {expected} of its own there, and no link is followed inside a data \
         directory. Put the {expected} itself there; to keep the data elsewhere, move the whole directory",
        at.display()
    ))
}

/// Only an empty directory becomes ours: logs without their `piperoll.dir` are for a person to look at, and files of
/// others say that another directory was meant.
fn check_nothing_there<D: Disk>(disk: &D) -> Result<(), OpenError> {
    let root = Path::new("");
    let names = disk.list(root).map_err(OpenError::io(root))?;
    let ours = |name: &OsStr| name == LOGS_DIR || name == TREE_DIR;
    let others = |name: &OsStr| name != DIRECTORY_FILE && name != FOUND_BY_FSCK;
    let find = |is: &dyn Fn(&OsStr) -> bool| names.iter().map(|entry| &*entry.name).find(|name| is(name));
    if let Some(name) = find(&ours) {
        return Err(OpenError::Directory(format!(
            "{DIRECTORY_FILE} is empty, cut short or missing, and {} is there: put the file back from a copy",
            name.display()
        )));
    }
    match find(&others) {
        Some(name) => Err(OpenError::Directory(format!(
            "it is no piperoll directory, and not empty ({} is there): name an empty directory, or one that \
             does not exist yet",
            name.display()
        ))),
        None => Ok(()),
    }
}
