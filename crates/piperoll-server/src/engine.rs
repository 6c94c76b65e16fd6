//! The store as the daemon uses it: opened from the settings, kept by its threads, closed once.

use crate::{
    clock::{SystemClock, SystemEntropy},
    config::{Config, Size, StorageConfig},
    directory::{DIRECTORY_FILE, UnusableDirectory, check_owner, open_disk},
};
use parking_lot::Mutex;
use piperoll_format::{
    directory::DirectoryFile,
    names::{Name, NameError},
    units::{LogId, UnixNanos},
};
use piperoll_store::{
    Acceptance, Appender, ClockError, ClockReading, DropError, Keeper, Loss, LossError, OpenError, Options,
    Reader, RecoveryReport, Retirer, RoundWriteError, SealError, SealedSegment, StoreCounts, Threads,
    disk::{Disk as _, DiskFile as _, Open},
    mapping::explain_unreadable_pages,
    open,
    os::OsDisk,
};
use std::{io, num::NonZero, path::Path, sync::Arc, thread::available_parallelism};

/// Longest such file.
const DIRECTORY_FILE_BYTES_MAX: usize = 4_096;

/// Why the engine does not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data directory cannot be one, or not of this daemon.
    #[error(transparent)]
    Unusable(#[from] UnusableDirectory),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A class is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The daemon's own log has no name.
    #[error("the audit log: {0}")]
    Audit(String),
    /// A segment could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The sealed segments could not be listed.
    #[error(transparent)]
    List(#[from] DropError),
    /// A segment could not be dropped; its log was left alone from there on.
    #[error("{source} ({dropped} segments were dropped; the next sweep tries again)")]
    Sweep {
        /// Segments that were dropped all the same.
        dropped: usize,
        /// The first that was not, and why.
        source: DropError,
    },
    /// Nothing is dropped by a clock that is not believed (R25).
    #[error(
        "the clock is {ahead_s} s ahead of what is believed, so nothing is dropped; set the clock right, or say \
         that it is right with `piperoll clock accept`"
    )]
    ClockNotBelieved {
        /// By how much, in seconds.
        ahead_s: i64,
    },
    /// No loss was accepted.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The last marks could not be written.
    #[error(transparent)]
    Round(#[from] RoundWriteError),
    /// The directory's own file is damaged.
    #[error("{DIRECTORY_FILE}: {0}")]
    Directory(String),
}

/// What the daemon has of the store beside the ways in and out.
pub(crate) struct Engine {
    keeper: Arc<Keeper<OsDisk>>,
    /// None once it is closed.
    threads: Mutex<Option<Threads<OsDisk>>>,
    retirer: Retirer<OsDisk>,
    report: RecoveryReport,
    /// The directory again, to ask for its free bytes.
    disk: OsDisk,
    directory_id: LogId,
}

impl Engine {
    /// Opens the data directory and starts the engine's threads; `create` allows that it is empty. Blocks.
    pub(crate) fn open(
        config: &Config,
        clock: SystemClock,
        create: bool,
    ) -> Result<(Self, Appender<OsDisk>, Reader<OsDisk>), EngineError> {
        let root = &config.storage.directory;
        explain_unreadable_pages()?;
        let disk = open_disk(root)?;
        check_owner(&disk, create)?;
        let opened = open(disk, options(&config.storage), Arc::new(clock), Arc::new(SystemEntropy))?;
        let disk = open_disk(root)?;
        // Again: some network file systems give a new file to another user.
        check_owner(&disk, create)?;
        log_report(&opened.report);
        if let Some(refusal) = opened.appender.clock_refusal() {
            tracing::error!(%refusal, "appends wait for a clock that is believed");
        }
        let complain = |message: String| tracing::error!(%message, "the engine has found trouble");
        let threads = opened.keeper.spawn(Arc::new(complain))?;
        let engine = Self {
            keeper: Arc::clone(threads.keeper()),
            threads: Mutex::new(Some(threads)),
            retirer: opened.retirer,
            report: opened.report,
            directory_id: directory_id(&disk)?,
            disk,
        };
        Ok((engine, opened.appender, opened.reader))
    }

    /// The engine's counters.
    pub(crate) fn counts(&self) -> StoreCounts {
        self.keeper.counts()
    }

    /// How far the clock is ahead of what is believed, in nanoseconds; 0 while it is believed.
    pub(crate) fn clock_ahead_ns(&self) -> i64 {
        self.keeper.clock_ahead_ns().unwrap_or_default()
    }

    /// What the clocks say, and what is believed of it.
    pub(crate) fn clock_reading(&self) -> ClockReading {
        self.keeper.clock_reading()
    }

    /// Whether the clock may be accepted by a person who saw it show `seen`.
    pub(crate) fn may_accept_clock(&self, seen: UnixNanos) -> Result<(), ClockError> {
        self.keeper.may_accept_clock(seen)
    }

    /// Believes the clock because a person says so, who saw it show `seen`.
    pub(crate) fn accept_clock(&self, seen: UnixNanos) -> Result<UnixNanos, ClockError> {
        self.keeper.accept_clock(seen)
    }

    /// Sealed segments that are open.
    pub(crate) fn open_segments(&self) -> u64 {
        self.keeper.open_segments()
    }

    /// Memory that the terms of sealed segments take, in bytes.
    pub(crate) fn term_set_bytes(&self) -> u64 {
        self.keeper.term_set_bytes()
    }

    /// What the ballast holds, in bytes.
    pub(crate) fn ballast_bytes(&self) -> u64 {
        self.keeper.ballast_bytes()
    }

    /// What opening found, in one line.
    pub(crate) fn recovery(&self) -> String {
        let RecoveryReport { logs, segments, unsealed, cuts, read_only, .. } = &self.report;
        let cut = self.cut_bytes();
        let read_only = read_only.len();
        let torn = cuts.len();
        format!(
            "{logs} logs, {segments} segments, {unsealed} of them to be sealed, {read_only} logs read-only, \
             {cut} bytes cut from {torn} torn tails"
        )
    }

    /// Bytes cut from torn tails at the start.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.report.cut_bytes()
    }

    /// Names found in the data directory at the start that are none of ours.
    pub(crate) fn foreign_files(&self) -> Vec<String> {
        self.report.foreign.iter().map(|path| path.display().to_string()).collect()
    }

    /// The random id of the data directory, in hexadecimal.
    pub(crate) fn directory_id(&self) -> String {
        self.directory_id.to_string()
    }

    /// Bytes free on the data directory's file system.
    pub(crate) fn free_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.disk.free()?)
    }

    /// Rolls and seals the logs of a tenant, of a class, or all.
    pub(crate) fn seal(
        &self,
        tenant: Option<&Name>,
        class: Option<&Name>,
    ) -> Result<Vec<SealedSegment>, EngineError> {
        Ok(self.keeper.seal_now(tenant, class)?)
    }

    /// What is lost of a log; nothing where it takes appends.
    pub(crate) fn find_losses(&self, tenant: &Name, class: &Name) -> Result<Vec<Loss>, EngineError> {
        match self.keeper.find_losses(tenant, class) {
            Err(LossError::Healthy(..)) => Ok(Vec::new()),
            losses => Ok(losses?),
        }
    }

    /// Accepts what is lost of a log.
    pub(crate) fn accept_losses(
        &self,
        tenant: &Name,
        class: &Name,
        acceptance: &Acceptance,
    ) -> Result<Vec<Loss>, EngineError> {
        Ok(self.keeper.accept_losses(tenant, class, acceptance)?)
    }

    /// The capability to drop.
    pub(crate) fn retirer(&self) -> &Retirer<OsDisk> {
        &self.retirer
    }

    /// Finishes the groups in flight, writes the last marks, ends the threads. Blocks.
    pub(crate) fn close(&self) -> Result<(), EngineError> {
        let threads = self.threads.lock().take();
        Ok(threads.map_or(Ok(()), Threads::stop)?)
    }
}

fn options(storage: &StorageConfig) -> Options {
    let bytes = |size: Size| size.0;
    Options {
        segment_bytes_max: bytes(storage.segment_bytes_max),
        segment_age_max_ns: storage.segment_age_max.nanoseconds(),
        queue_bytes_max: bytes(storage.queue_bytes_max),
        columns_bytes_max: bytes(storage.columns_bytes_max),
        ballast_bytes: bytes(storage.ballast_bytes),
        read_helpers_max: available_parallelism().map_or(1, NonZero::get).saturating_sub(1),
        ..Options::default()
    }
}

fn directory_id(disk: &OsDisk) -> Result<LogId, EngineError> {
    let file = disk.open(Path::new(DIRECTORY_FILE), Open::Read)?;
    let mut bytes = vec![0; DIRECTORY_FILE_BYTES_MAX];
    let length = file.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    let directory = DirectoryFile::decode(&bytes);
    directory.map(|it| LogId(it.directory_id)).map_err(|error| EngineError::Directory(error.to_string()))
}

fn log_report(report: &RecoveryReport) {
    for cut in &report.cuts {
        let (file, kept) = (cut.path.display(), cut.kept.as_ref().map(|path| path.display().to_string()));
        tracing::warn!(%file, offset = cut.offset, bytes = cut.bytes, ?kept, "cut a torn tail: never acknowledged");
    }
    for log in &report.read_only {
        tracing::error!(tenant = %log.tenant, class = %log.class, reason = log.reason, "the log is read-only");
    }
    for note in &report.notes {
        tracing::warn!(%note, "found at the start");
    }
    if !report.foreign.is_empty() {
        tracing::warn!(names = ?report.foreign, "names in the data directory that are none of ours are left alone");
    }
}
