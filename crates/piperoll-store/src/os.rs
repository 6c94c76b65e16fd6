//! The real disk: system calls below one root directory, none of which follows a symbolic link.

use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::disk::{Disk, DiskFile, Entry, EntryKind, Open, names, parent_and_name};
use crate::durable::TEMPORARY;
use crate::mapping::{Frontier, Mapping};

/// Parts that one `pwritev` takes (`IOV_MAX` of Linux).
const PARTS_MAX: usize = 1_024;

/// A directory of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    root: OwnedFd,
    /// Whether the kernel keeps a path below the root by itself (openat2, Linux 5.6; some sandboxes refuse it).
    resolves_beneath: bool,
}

impl OsDisk {
    /// The existing directory `root` as a disk. The root itself may be reached through symbolic links; what
    /// lies below it may not.
    pub fn open(root: &Path) -> Result<Self> {
        let root = retry_on_intr(|| rustix::fs::openat(CWD, root, directory_flags(), Mode::empty()))?;
        let probe = beneath(&root, Path::new("."), directory_flags(), Mode::empty());
        // EPERM is what a seccomp filter that is older than the call answers.
        let resolves_beneath = !matches!(probe, Err(Errno::NOSYS | Errno::PERM));
        Ok(Self { root, resolves_beneath })
    }

    /// The id of the user whom a file or directory belongs to; of the root itself for an empty path.
    pub fn owner(&self, at: &Path) -> Result<u32> {
        let is_root = at.as_os_str().is_empty();
        let (parent, name) = if is_root { (Vec::new(), OsStr::new(".")) } else { parent_and_name(at)? };
        Ok(rustix::fs::statat(self.directory(&parent)?, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
    }

    /// The id of the user as whom this process makes files.
    pub fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn open_at(&self, at: &Path, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let (parent, name) = parent_and_name(at)?;
        let mode = Mode::from_raw_mode(0o640);
        if self.resolves_beneath {
            return Ok(beneath(&self.root, at, flags, mode)?);
        }
        let parent = self.walk(&parent)?;
        Ok(retry_on_intr(|| rustix::fs::openat(&parent, name, flags, mode))?)
    }

    fn directory(&self, names: &[&OsStr]) -> Result<OwnedFd> {
        if !self.resolves_beneath {
            return self.walk(names);
        }
        let path: PathBuf = std::iter::once(OsStr::new(".")).chain(names.iter().copied()).collect();
        Ok(beneath(&self.root, &path, directory_flags(), Mode::empty())?)
    }

    /// Name by name, each refused when it is a symbolic link.
    fn walk(&self, names: &[&OsStr]) -> Result<OwnedFd> {
        let step = |from: &OwnedFd, name: &OsStr| {
            let flags = directory_flags() | OFlags::NOFOLLOW;
            retry_on_intr(|| rustix::fs::openat(from, name, flags, Mode::empty()))
        };
        let root = step(&self.root, OsStr::new("."))?;
        Ok(names.iter().try_fold(root, |from, name| step(&from, name))?)
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn beneath(root: &OwnedFd, at: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
    // The kernel answers EAGAIN when something was renamed while it looked.
    loop {
        match retry_on_intr(|| rustix::fs::openat2(root, at, flags, mode, resolve)) {
            Err(Errno::AGAIN) => {}
            answer => return answer,
        }
    }
}

impl Disk for OsDisk {
    type File = OsFile;

    fn open(&self, at: &Path, how: Open) -> Result<OsFile> {
        let flags = match how {
            Open::Read => OFlags::RDONLY,
            Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Open::Append => OFlags::RDWR,
        };
        Ok(OsFile::over(self.open_at(at, flags)?, at))
    }

    fn make_dir(&self, at: &Path) -> Result<()> {
        let (parent, name) = parent_and_name(at)?;
        Ok(rustix::fs::mkdirat(self.directory(&parent)?, name, Mode::from_raw_mode(0o750))?)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let directory = self.directory(&names(dir)?)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Not every file system says in the listing.
                FileType::Unknown => stat_kind(&directory, name)?,
                known => kind_of(known),
            };
            entries.push(Entry { name: OsString::from(name), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (parent, name) = parent_and_name(from)?;
        let (to_parent, to_name) = parent_and_name(to)?;
        if parent != to_parent {
            return Err(Error::new(ErrorKind::InvalidInput, "a file is renamed within its directory only"));
        }
        let directory = self.directory(&parent)?;
        Ok(rustix::fs::renameat(&directory, name, &directory, to_name)?)
    }

    fn unlink(&self, at: &Path) -> Result<()> {
        let (parent, name) = parent_and_name(at)?;
        Ok(rustix::fs::unlinkat(self.directory(&parent)?, name, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        Ok(rustix::fs::fsync(self.directory(&names(dir)?)?)?)
    }

    fn free(&self) -> Result<u64> {
        let statistics = rustix::fs::fstatvfs(&self.root)?;
        Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }

    fn lock(&self, at: &Path) -> Result<OsFile> {
        let file = self.open_at(at, OFlags::RDWR | OFlags::CREATE)?;
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive))?;
        Ok(OsFile::over(file, at))
    }
}

fn stat_kind(directory: &OwnedFd, name: &OsStr) -> Result<EntryKind> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(kind_of(FileType::from_raw_mode(stat.st_mode)))
}

fn kind_of(kind: FileType) -> EntryKind {
    match kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        _ => EntryKind::Other,
    }
}

/// An open file of the operating system.
#[derive(Debug)]
pub struct OsFile {
    file: OwnedFd,
    /// Below the root; without the ending of a temporary name, which it soon loses.
    name: Arc<str>,
    frontier: Arc<Frontier>,
}

impl OsFile {
    fn over(file: OwnedFd, at: &Path) -> Self {
        let is_temporary = at.extension().is_some_and(|ending| ending == TEMPORARY);
        let name = if is_temporary { at.with_extension("") } else { at.to_path_buf() };
        Self { file, name: name.to_string_lossy().into(), frontier: Frontier::new() }
    }
}

impl DiskFile for OsFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let change = self.frontier.change(offset)?;
        let mut left = parts.to_vec();
        let mut left = left.as_mut_slice();
        let mut at = offset;
        // Drops empty parts in front, so that a write of nothing ends the loop.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let some = left.get(..PARTS_MAX).unwrap_or(left);
            let written = retry_on_intr(|| rustix::io::pwritev(&self.file, some, at))?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            at = at.saturating_add(written as u64);
            IoSlice::advance_slices(&mut left, written);
        }
        change.grown(at);
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            match retry_on_intr(|| rustix::io::pread(&self.file, &mut *rest, at))? {
                0 => break,
                count => done = done.saturating_add(count),
            }
        }
        Ok(done)
    }

    fn allocate(&self, length: u64) -> Result<()> {
        let change = self.frontier.change(u64::MAX)?;
        if length > 0 {
            match retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length)) {
                // The file system can not reserve room: then a full disk shows itself at the write instead.
                Err(Errno::OPNOTSUPP) if self.length()? < length => {
                    rustix::fs::ftruncate(&self.file, length)?;
                }
                Err(Errno::OPNOTSUPP) => {}
                answer => answer?,
            }
        }
        change.grown(length);
        Ok(())
    }

    fn truncate(&self, length: u64) -> Result<()> {
        let change = self.frontier.change(length)?;
        retry_on_intr(|| rustix::fs::ftruncate(&self.file, length))?;
        change.cut(length);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        // Not again after EINTR either: whether a second call still knows of the first one's failure depends
        // on the kernel.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn length(&self) -> Result<u64> {
        let length = rustix::fs::fstat(&self.file)?.st_size;
        u64::try_from(length).map_err(|_| Error::new(ErrorKind::InvalidData, "a negative file length"))
    }

    fn protect(&self) -> Result<()> {
        Ok(rustix::fs::fchmod(&self.file, Mode::from_raw_mode(0o444))?)
    }

    fn map(&self, length: u64) -> Result<Mapping> {
        Mapping::of_file(&self.file, &self.name, length, self.length()?, &self.frontier)
    }
}

#[cfg(test)]
mod tests;
