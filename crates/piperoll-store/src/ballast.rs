//! The ballast: room on the disk that is given up so that a seal or a drop can be finished when there is no
//! other (R14, R15), and taken again when there is.
//!
//! A seal may use three quarters of it, a drop all: a disk that is full of unsealed segments must not use up
//! the room for the receipts by which it gets empty again. While the ballast is lent, appends get no new room
//! from the disk, since they would eat what was just freed for the sweep.

use crate::disk::{Disk, DiskFile, Open};
use crate::durable::is_full;
use parking_lot::Mutex;
use std::io::{ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The file, in the data directory.
pub(crate) const BALLAST_FILE: &str = "ballast";

/// What the ballast is given up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Index and seal of a full segment.
    Seal,
    /// The receipt of an expired one.
    Drop,
}

/// Room kept back. Shared; whoever needs it lends it, the keeper takes it again.
pub(crate) struct Ballast<D: Disk> {
    /// What it should hold, in bytes; 0 for no ballast.
    wanted: u64,
    /// Room that must be free beside it before it is taken again, in bytes.
    margin: u64,
    file: Mutex<Option<D::File>>,
    /// What it holds, in bytes; less than wanted while it is lent. Changed under the lock of the file.
    bytes: AtomicU64,
}

impl<D: Disk> Ballast<D> {
    /// Takes the ballast at a start, as far as there is room. A disk that is full already has none.
    pub(crate) fn take(disk: &D, wanted: u64, margin: u64) -> Result<Self> {
        let file = match disk.open(Path::new(BALLAST_FILE), Open::Append) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let mut bytes = 0;
        if let Some(file) = &file {
            bytes = file.length()?;
            if bytes > wanted {
                file.truncate(wanted)?;
                bytes = wanted;
            }
        }
        let ballast = Self { wanted, margin, file: Mutex::new(file), bytes: AtomicU64::new(bytes) };
        ballast.fill(disk)?;
        Ok(ballast)
    }

    /// True while it holds less than it should: the room that is left is for seals and drops.
    pub(crate) fn is_lent(&self) -> bool {
        self.bytes() < self.wanted
    }

    /// What it holds, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }

    /// Gives room up; false where there is none left for this need.
    pub(crate) fn lend(&self, need: Need) -> Result<bool> {
        let keep = match need {
            Need::Seal => self.wanted / 4,
            Need::Drop => 0,
        };
        let file = self.file.lock();
        let Some(file) = file.as_ref().filter(|_| self.bytes() > keep) else { return Ok(false) };
        // Before the room is free, so that no append takes it.
        self.bytes.store(keep, SeqCst);
        file.truncate(keep)?;
        // Some file systems give blocks back with the next commit of their journal only.
        file.sync_data()?;
        Ok(true)
    }

    /// Takes the room again when there is enough of it.
    pub(crate) fn take_again(&self, disk: &D) -> Result<()> {
        if !self.is_lent() {
            return Ok(());
        }
        let missing = self.wanted.saturating_sub(self.bytes());
        if disk.free()? < missing.saturating_add(self.margin) {
            return Ok(());
        }
        self.fill(disk)
    }

    /// Reserves what is missing; a disk that has not so much room is no error.
    fn fill(&self, disk: &D) -> Result<()> {
        let mut file = self.file.lock();
        if !self.is_lent() {
            return Ok(());
        }
        match self.reserve(disk, &mut file) {
            Err(error) if is_full(&error) => Ok(()),
            done => done,
        }
    }

    fn reserve(&self, disk: &D, file: &mut Option<D::File>) -> Result<()> {
        let file = match file {
            Some(file) => file,
            none => none.insert(disk.open(Path::new(BALLAST_FILE), Open::CreateNew)?),
        };
        file.allocate(self.wanted)?;
        file.sync_data()?;
        disk.sync_dir(Path::new(""))?;
        self.bytes.store(self.wanted, SeqCst);
        Ok(())
    }
}
