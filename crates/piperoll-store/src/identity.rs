//! One daemon a directory: the lock on `piperoll.dir`, and the ids in it (R27, R28; I19).

use crate::disk::{Disk, DiskFile};
use crate::durable::read_whole;
use crate::options::Entropy;
use crate::recover::OpenError;
use piperoll_format::directory::{DIRECTORY_BYTES, DirectoryError, DirectoryFile};
use piperoll_format::units::UnixNanos;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

/// The file that makes a directory a piperoll directory.
pub(crate) const DIRECTORY_FILE: &str = "piperoll.dir";

/// Who uses the directory: this start of this daemon, for as long as this lives.
pub(crate) struct Identity<D: Disk> {
    pub(crate) directory: DirectoryFile,
    /// Holds the lock; the system takes it back with the process.
    _lock: D::File,
}

impl<D: Disk> Identity<D> {
    /// Locks the directory and writes down who uses it. A directory without anything of ours becomes one.
    pub(crate) fn take(disk: &D, entropy: &dyn Entropy, now: UnixNanos) -> Result<Self, OpenError> {
        let at = Path::new(DIRECTORY_FILE);
        let lock = disk.lock(at).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => in_use(disk),
            _ => OpenError::io(at)(error),
        })?;
        let bytes = read_whole(disk, at, DIRECTORY_BYTES as u64 * 16).map_err(OpenError::io(at))?;
        let directory_id = if bytes.iter().all(|byte| *byte == 0) {
            check_nothing_there(disk)?;
            random(entropy)
        } else {
            DirectoryFile::decode(&bytes).map_err(refuse)?.directory_id
        };
        let process_id = std::process::id();
        let directory =
            DirectoryFile { directory_id, instance_id: random(entropy), process_id, started: now };
        // One sector, so that a crash leaves the old or the new.
        lock.write_at(&[IoSlice::new(&directory.encode())], 0)
            .and_then(|()| lock.sync_data())
            .and_then(|()| disk.sync_dir(Path::new("")))
            .map_err(OpenError::io(at))?;
        Ok(Self { directory, _lock: lock })
    }

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
        DirectoryError::Newer(_) => OpenError::Newer(error.to_string()),
        DirectoryError::Magic | DirectoryError::Damaged => OpenError::Directory(error.to_string()),
    }
}

/// Only an empty directory becomes ours: logs without their `piperoll.dir` are for a person to look at.
fn check_nothing_there<D: Disk>(disk: &D) -> Result<(), OpenError> {
    let root = Path::new("");
    let names = disk.list(root).map_err(OpenError::io(root))?;
    let ours = |name: &std::ffi::OsString| name == "logs" || name == "tree";
    match names.iter().find(|entry| ours(&entry.name)) {
        Some(entry) => Err(OpenError::Directory(format!(
            "{DIRECTORY_FILE} is empty or missing, and {} is there: put the file back from a copy",
            Path::new(&entry.name).display()
        ))),
        None => Ok(()),
    }
}
