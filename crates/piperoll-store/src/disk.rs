//! The door to the file system: one small trait, where every call is one system call.
//!
//! The engine is generic over [`Disk`]. [`crate::os::OsDisk`] is the real one; [`crate::sim::SimDisk`] crashes,
//! fills up, tears and lies on command, so that "a crash after every call" means "after every system call".
//! Paths are relative to the disk's root and consist of plain names: no `..`, no symbolic links. The empty
//! path is the root directory itself.

use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::path::{Component, Path};

use crate::mapping::Mapping;

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// An existing file, to read.
    Read,
    /// A new file, to read and write; `AlreadyExists` when the name is taken.
    CreateNew,
    /// An existing file, to read and write: the append side.
    Append,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else (a symbolic link, a socket): never ours.
    Other,
}

/// A name in a directory, as [`Disk::list`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a path; it need not be UTF-8, since anybody may put a file there.
    pub name: OsString,
    /// What the name stands for.
    pub kind: EntryKind,
}

/// A directory tree: the data directory of one daemon.
///
/// Nothing is durable before the sync that covers it: a file's bytes and length by
/// [`DiskFile::sync_data`], a name (created, renamed, unlinked) by [`Disk::sync_dir`] of its directory.
pub trait Disk: Send + Sync + 'static {
    /// An open file of this disk.
    type File: DiskFile;

    /// Opens the file `at`; a new one gets mode 0640.
    fn open(&self, at: &Path, how: Open) -> Result<Self::File>;

    /// Makes the directory `at` (mode 0750), whose parent exists; `AlreadyExists` when the name is taken.
    fn make_dir(&self, at: &Path) -> Result<()>;

    /// The names in the directory `dir`, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<Entry>>;

    /// Renames a file within its directory, atomically; a file that bears the name `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes the name of a file; its bytes go when the last handle and map are dropped.
    fn unlink(&self, at: &Path) -> Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Bytes that can still be written.
    fn free(&self) -> Result<u64>;

    /// Opens the file `at`, which is made when it is missing, and locks it against every other handle until
    /// the returned one is dropped or its process ends; `WouldBlock` when somebody else holds it.
    fn lock(&self, at: &Path) -> Result<Self::File>;
}

/// An open file of a [`Disk`].
///
/// One handle writes a file at a time. Maps share a frontier with the handle that made them (see
/// [`crate::mapping`]): a write or truncation below a slice that was handed out is refused with
/// `InvalidInput`.
pub trait DiskFile: Send + Sync {
    /// Writes all `parts` back to back at `offset`. Short writes are continued inside; after an error any
    /// part of the bytes may have been written.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()>;

    /// Reads into `into` from `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize>;

    /// Reserves room up to `length` bytes and makes the file at least that long; new bytes are zero.
    fn allocate(&self, length: u64) -> Result<()>;

    /// Sets the length of the file; bytes that are added are zero.
    fn truncate(&self, length: u64) -> Result<()>;

    /// Makes the bytes and the length durable. After an error nothing written since the last success may be
    /// relied upon, and another sync that succeeds does not change that: write the bytes again.
    fn sync_data(&self) -> Result<()>;

    /// The length of the file in bytes.
    fn length(&self) -> Result<u64>;

    /// Takes away the right to write (mode 0444), for good. Handles that are already open keep theirs.
    fn protect(&self) -> Result<()>;

    /// Maps the first `length` bytes, shared and read-only; `InvalidInput` when the file is shorter.
    fn map(&self, length: u64) -> Result<Mapping>;
}

/// The names that `at` consists of, one after the other; `InvalidInput` for anything that is not a plain name below
/// the root.
pub(crate) fn each_name(at: &Path) -> impl Iterator<Item = Result<&OsStr>> {
    let refusal =
        || Error::new(ErrorKind::InvalidInput, format!("not a path below the root: {}", at.display()));
    let name =
        move |component| if let Component::Normal(name) = component { Ok(name) } else { Err(refusal()) };
    at.components().map(name)
}

/// The names that `at` consists of; see [`each_name`].
pub(crate) fn names(at: &Path) -> Result<Vec<&OsStr>> {
    each_name(at).collect()
}

/// The directory and the last name of `at`; `InvalidInput` for the root, which has no name.
pub(crate) fn parent_and_name(at: &Path) -> Result<(Vec<&OsStr>, &OsStr)> {
    let mut names = names(at)?;
    let name = names.pop().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the root is not an entry"))?;
    Ok((names, name))
}
