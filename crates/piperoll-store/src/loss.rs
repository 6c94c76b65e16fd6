//! The way out of damage: a person accepts that something is lost, and the log goes on behind it (R8).
//!
//! Nothing of what is damaged is overwritten. The entry of the loss is durable first, the next segment is begun
//! after it; a crash between the two leaves a state from which the next start, or the same command, goes on.

use crate::catalog::{Log, Trouble};
use crate::disk::Disk;
use crate::durable::{FileKind, write_new};
use crate::keeper::Keeper;
use crate::recover::{FoundLoss, OpenError, recover_again, survey};
use piperoll_format::entry::{EntryDetail, EntryFile, EntryHead, Loss as LossEntry, Mark, SealedDetail};
use piperoll_format::names::Name;
use piperoll_format::units::{LogId, Root, Sequence, UnixNanos};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is lost of one segment, and nobody has accepted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The segment's `.log`, within the data directory; it may be missing.
    pub path: PathBuf,
    /// Where its first whole frames end.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
    /// The first sequence that is lost.
    pub first: Sequence,
    /// The sequence after the last one that may be lost: where the next segment begins, or will.
    pub end: Sequence,
    /// Frames behind `offset` that check, and stay readable.
    pub frames_behind: u64,
    /// Events in those frames.
    pub events_behind: u64,
    /// BLAKE3 of the whole file as it is, of no bytes where it is missing. Names what is accepted.
    pub root: Root,
    /// What was found, in words.
    pub reason: String,
}

/// A loss that a person accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The segment's `.log`, within the data directory.
    pub path: PathBuf,
    /// Where its first whole frames end.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
    /// The first sequence that is lost.
    pub first: Sequence,
    /// The first sequence of the next segment.
    pub end: Sequence,
    /// BLAKE3 of the whole file as it was accepted.
    pub root: Root,
    /// When.
    pub accepted: UnixNanos,
    /// By whom.
    pub principal: String,
    /// Their words.
    pub text: String,
    /// The log's id.
    pub(crate) log_id: LogId,
}

impl AcceptedLoss {
    /// What the entry of a loss says.
    pub(crate) fn new(path: PathBuf, entry: &LossEntry, detail: EntryDetail) -> Self {
        Self {
            path,
            offset: entry.offset,
            bytes: entry.length,
            first: entry.head.first,
            end: entry.head.end,
            root: entry.root,
            accepted: entry.head.made,
            principal: detail.principal,
            text: detail.text,
            log_id: entry.head.log_id,
        }
    }
}

/// Who accepts a loss, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// The roots of all losses, as [`Keeper::find_losses`] told them: what is accepted is what was seen.
    pub roots: Vec<Root>,
    /// Who.
    pub principal: String,
    /// Their words.
    pub text: String,
}

/// Why no loss is accepted.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// There is no such log.
    #[error("there is no log {0}/{1}")]
    NoLog(Name, Name),
    /// The log takes appends.
    #[error("{0}/{1} is not read-only: there is no loss to accept")]
    Healthy(Name, Name),
    /// The log stopped, and only a start tells what is on the disk.
    #[error("{0}/{1} stopped: {2}; restart the daemon to find out what is on the disk")]
    Stopped(Name, Name, String),
    /// The log is read-only, and nothing of it is lost.
    #[error(
        "nothing that can be accepted as lost was found in {0}/{1}, which is read-only: {2}; where files were \
         put back, restart the daemon"
    )]
    Nothing(Name, Name, String),
    /// What was confirmed is not what is there.
    #[error("what was confirmed is not what is lost now: look again, and confirm the roots {0}")]
    Changed(String),
    /// No file of the log tells its id.
    #[error("no file of {0}/{1} can be read that tells the log's id: put its log.open back from a copy")]
    Nameless(Name, Name),
    /// The log cannot be looked through.
    #[error(transparent)]
    Unreadable(#[from] OpenError),
    /// The entry of a loss cannot be written. What was written before it counts.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is known of the marks of segments.
type Marks = HashMap<(LogId, Sequence), Mark>;

impl<D: Disk> Keeper<D> {
    /// What is lost of a log that is read-only, oldest first. Reads the damaged files whole; changes nothing.
    pub fn find_losses(&self, tenant: &Name, class: &Name) -> Result<Vec<Loss>, LossError> {
        let log = self.damaged(tenant, class)?;
        let _turn = self.core.sealing.lock();
        // Nobody appends meanwhile.
        let _writer = log.writer.lock();
        let found = self.survey(&log)?;
        Ok(found.into_iter().map(|found| found.loss).collect())
    }

    /// Accepts all losses of a log: writes them down, closes what is damaged as it is, and goes on behind it, at a
    /// sequence above every one that may have been acknowledged. Answers what was accepted.
    ///
    /// A request that was in a lost part and is sent again is stored as if for the first time.
    pub fn accept_losses(
        &self,
        tenant: &Name,
        class: &Name,
        acceptance: &Acceptance,
    ) -> Result<Vec<Loss>, LossError> {
        let log = self.damaged(tenant, class)?;
        let _turn = self.core.sealing.lock();
        let mut writer = log.writer.lock();
        let found = self.survey(&log)?;
        let roots: Vec<Root> = found.iter().map(|found| found.loss.root).collect();
        if roots != acceptance.roots {
            let roots: Vec<String> = roots.iter().map(Root::to_string).collect();
            return Err(LossError::Changed(roots.join(", ")));
        }
        for loss in &found {
            self.write_loss(&log, loss, acceptance)?;
        }
        let mut rounds = self.rounds.lock();
        let marks = marks(&log, rounds.marks());
        let (recovered, settled) = recover_again(&self.core, log.home(), marks)?;
        rounds.carry_on_without(&settled);
        drop(rounds);
        if let Some(recovered) = recovered {
            log.become_again(recovered, &mut writer);
        }
        self.core.go_on_after_loss(&log, &mut writer);
        self.core.catalog.wake();
        self.core.work.ring();
        Ok(found.into_iter().map(|found| found.loss).collect())
    }

    /// A log that is read-only.
    fn damaged(&self, tenant: &Name, class: &Name) -> Result<Arc<Log<D>>, LossError> {
        let names = || (tenant.clone(), class.clone());
        let log = self.core.catalog.log(tenant, class);
        let log = log.ok_or_else(|| LossError::NoLog(tenant.clone(), class.clone()))?;
        match log.trouble_kind() {
            Some(Trouble::ReadOnly(_)) => Ok(log),
            Some(Trouble::Stopped(reason)) => {
                let (tenant, class) = names();
                Err(LossError::Stopped(tenant, class, reason))
            }
            None | Some(Trouble::NoSpace(_)) => {
                let (tenant, class) = names();
                Err(LossError::Healthy(tenant, class))
            }
        }
    }

    fn survey(&self, log: &Log<D>) -> Result<Vec<FoundLoss>, LossError> {
        let marks = marks(log, self.rounds.lock().marks());
        let found = survey(&self.core, log.home(), marks)?;
        let names = || (log.tenant().clone(), log.class().clone());
        if found.is_empty() {
            let (tenant, class) = names();
            return Err(LossError::Nothing(tenant, class, log.trouble().unwrap_or_default()));
        }
        if found.iter().any(|found| found.log_id.is_none()) {
            let (tenant, class) = names();
            return Err(LossError::Nameless(tenant, class));
        }
        Ok(found)
    }

    fn write_loss(&self, log: &Log<D>, found: &FoundLoss, acceptance: &Acceptance) -> Result<(), LossError> {
        let home = log.home();
        let detail = EntryDetail {
            tenant: home.tenant.as_str().to_owned(),
            class: home.class.as_str().to_owned(),
            principal: acceptance.principal.clone(),
            text: acceptance.text.clone(),
            ..EntryDetail::default()
        };
        let detail = SealedDetail { nonce: self.core.random(), detail };
        let loss = &found.loss;
        let head = EntryHead {
            log_id: found.log_id.unwrap_or_default(),
            first: loss.first,
            end: loss.end,
            made: self.core.now(),
            detail: detail.hash(),
        };
        let entry = LossEntry { head, offset: loss.offset, length: loss.bytes, root: loss.root };
        let at = FileKind::Loss.path(&home.dir, found.segment);
        let file = EntryFile { entry: entry.into(), tree_index: None, detail: Some(detail) };
        let written = file
            .encode()
            .map_err(io::Error::other)
            .and_then(|bytes| write_new(&*home.disk, &at, &bytes, true))
            .and_then(|()| home.disk.sync_dir(&home.dir));
        written.map_err(io_error(&at))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> LossError {
    let path = path.to_path_buf();
    move |source| LossError::Io { path, source }
}

/// The marks of recovery, and what this process knows beyond them: what it has published was durable.
fn marks<'a, D: Disk>(log: &Log<D>, carried: impl Iterator<Item = &'a Mark>) -> Marks {
    let mut marks: Marks = carried.map(|mark| ((mark.head.log_id, mark.head.first), *mark)).collect();
    for open in log.unsealed().into_iter().filter(|open| open.is_marked) {
        let (reach, header) = (open.reach(), &open.header);
        let head = EntryHead {
            log_id: header.log_id,
            first: header.first,
            end: reach.end,
            made: reach.received.map_or(header.created, |(_, latest)| latest),
            ..EntryHead::default()
        };
        let mark = Mark { head, length: reach.length.0, ..Mark::default() };
        marks.insert((header.log_id, header.first), mark);
    }
    marks
}
