//! The data directory before the engine has it: it is there, it is a directory, and of this daemon's user (R29).

use crate::engine::EngineError;
use piperoll_store::{OpenError, os::OsDisk};
use std::{
    fs::{DirBuilder, read_link},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// The file that names the directory.
pub(crate) const DIRECTORY_FILE: &str = "piperoll.dir";
/// Owner and group: what it holds is not for everybody.
const DIRECTORY_MODE: u32 = 0o750;

/// Why a directory cannot be the data directory.
#[derive(Debug, thiserror::Error)]
pub enum UnusableDirectory {
    /// It is not there.
    #[error(
        "there is no such directory; make it (serve --init does), or set storage.directory to the one you mean"
    )]
    Missing,
    /// It is a symbolic link to nothing.
    #[error("it is a symbolic link to {}, which is not there; is a volume not mounted?", .0.display())]
    Dangling(PathBuf),
    /// It is no directory.
    #[error("it is no directory; set storage.directory to the one you mean")]
    NotADirectory,
    /// There is no `piperoll.dir`, and nobody said that one is to be made.
    #[error(
        "it holds no {DIRECTORY_FILE}. Is a volume not mounted there, or the file lost? serve --init begins a new data \
         directory in it, if it is empty"
    )]
    New,
    /// It belongs to somebody else.
    #[error(
        "{what} belongs to the user with id {owner}, and this process runs as the one with id {user}: run it as that \
         user, or give the directory with all that is in it to the daemon's user (chown -R)"
    )]
    Owner {
        /// The file or directory.
        what: &'static str,
        /// Whom it belongs to.
        owner: u32,
        /// Who runs this.
        user: u32,
    },
}

/// The data directory as a disk.
pub(crate) fn open_disk(root: &Path) -> Result<OsDisk, EngineError> {
    OsDisk::open(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            read_link(root).map_or(UnusableDirectory::Missing, UnusableDirectory::Dangling).into()
        }
        io::ErrorKind::NotADirectory => UnusableDirectory::NotADirectory.into(),
        _ => refused(Path::new(""), error),
    })
}

/// Refuses a directory of another user: what this process makes in it, that user's daemon could not open; and one that
/// is not a data directory yet, unless it is to become one.
pub(crate) fn check_owner(disk: &OsDisk, create: bool) -> Result<(), EngineError> {
    let user = OsDisk::user();
    let file = Path::new(DIRECTORY_FILE);
    let (what, owner) = match disk.owner(file) {
        Ok(owner) => (DIRECTORY_FILE, owner),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(file, error)),
        Err(_) if !create => return Err(UnusableDirectory::New.into()),
        // A volume may belong to root and let others write. That root does so by mistake is what is meant.
        Err(_) if user != 0 => return Ok(()),
        Err(_) => ("it", disk.owner(Path::new(""))?),
    };
    if owner == user { Ok(()) } else { Err(UnusableDirectory::Owner { what, owner, user }.into()) }
}

/// Makes the data directory where it is missing.
pub(crate) fn make_directory(root: &Path) -> Result<(), EngineError> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(refused(Path::new(""), error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn refused(path: &Path, source: io::Error) -> EngineError {
    OpenError::Io { path: PathBuf::from(path), source }.into()
}
