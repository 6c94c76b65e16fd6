//! Opening a directory: what is there, what a crash left behind, what is damaged.
//!
//! A start reads the tails and not the history: the last segment of each log is walked, sealed ones are
//! opened when somebody reads them.

mod before;
mod drops;
mod files;
mod log;
mod loss;
mod producers;
mod tail;
mod unread;

pub(crate) use log::ENTRY_FILE_BYTES_MAX;
pub(crate) use loss::FoundLoss;
pub(crate) use producers::PRODUCERS_BYTES_MAX;
pub(crate) use tail::Source;

use crate::Opened;
use crate::ballast::{BALLAST_FILE, Ballast};
use crate::catalog::{Catalog, LOGS_DIR, Log, log_dir};
use crate::core::Core;
use crate::disk::{Disk, EntryKind};
use crate::durable::ensure_dir;
use crate::held::Held;
use crate::identity::Lock;
use crate::keeper::Keeper;
use crate::options::{Clock, Entropy, Options};
use crate::read::Reader;
use crate::retire::Retirer;
use crate::rounds::{Rounds, TREE_DIR};
use crate::segment::Home;
use crate::timekeeper::Timekeeper;
use crate::write::appender::Appender;
use crate::write::producers::ProducerTable;
use parking_lot::Mutex;
use piperoll_format::entry::Mark;
use piperoll_format::names::Name;
use piperoll_format::units::{LogId, Sequence, UnixNanos};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon uses it.
    #[error("the directory is {}", in_use(.0.as_ref()))]
    InUse(Option<(u32, UnixNanos)>),
    /// A later version of piperoll made it or something in it.
    #[error("{0}")]
    Newer(String),
    /// It is no piperoll directory, or what says so is damaged.
    #[error("{0}")]
    Directory(String),
    /// The system refused.
    #[error("{}{source}{}", of_file(path), remedy(source))]
    Io {
        /// The file or directory; empty for the directory itself.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn in_use(holder: Option<&(u32, UnixNanos)>) -> String {
    match holder {
        Some((process, since)) => {
            let time = jiff::Timestamp::from_nanosecond(since.0.into());
            let since = time.map(|time| format!(" since {time:.0}")).unwrap_or_default();
            format!("in use by pid {process}{since}")
        }
        None => "in use by another process".to_owned(),
    }
}

fn of_file(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!("{}: ", path.display()) }
}

/// What to do about an error of the system, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount it to be written: a daemon needs to write from its start on"
        }
        io::ErrorKind::PermissionDenied => {
            "; run the daemon as the user whom the directory belongs to, or give it to the daemon's user with all \
             that is in it (chown -R)"
        }
        _ => "",
    }
}

impl OpenError {
    /// Says which file an I/O error is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// A torn tail that was cut: bytes that were never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment's file.
    pub path: PathBuf,
    /// Where its log ends now.
    pub offset: u64,
    /// Bytes that were cut, from the first that was not zero to the last.
    pub bytes: u64,
    /// Where they were kept aside; `None` when there was no room for them.
    pub kept: Option<PathBuf>,
}

/// A log that opened read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOnlyLog {
    /// Its tenant.
    pub tenant: Name,
    /// Its retention class.
    pub class: Name,
    /// What was found, where, and what to do.
    pub reason: String,
}

/// What a start found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Logs.
    pub logs: usize,
    /// Segments of all logs.
    pub segments: usize,
    /// Those of them that were full and not sealed.
    pub unsealed: usize,
    /// Bytes of tails that were written and synced again before they are served.
    pub rewritten_bytes: u64,
    /// Torn tails.
    pub cuts: Vec<Cut>,
    /// Logs that opened read-only.
    pub read_only: Vec<ReadOnlyLog>,
    /// Names in the directory that are none of ours; they are left alone.
    pub foreign: Vec<PathBuf>,
    /// Other things that somebody should know: a receipt that cannot be read, a round that does not check.
    pub notes: Vec<String>,
}

impl RecoveryReport {
    /// Bytes cut from torn tails.
    pub fn cut_bytes(&self) -> u64 {
        self.cuts.iter().fold(0, |sum, cut| sum.saturating_add(cut.bytes))
    }
}

/// What recovery carries from log to log.
pub(crate) struct Recovery<'a, D: Disk> {
    disk: &'a Arc<D>,
    options: &'a Options,
    now: UnixNanos,
    marks: HashMap<(LogId, Sequence), Mark>,
    /// Marks whose segments are healthy, sealed or dropped: the next rounds say more than they do.
    settled: HashSet<(LogId, Sequence)>,
    /// Logs of which nobody knows what producers sent to them: tenant, class, and why.
    unheard: Vec<(Name, Name, String)>,
    tenants: HashMap<Name, Arc<ProducerTable>>,
    /// Losses that nobody has accepted, where somebody asks for them: then nothing is changed on the disk.
    survey: Option<Vec<FoundLoss>>,
    held: Arc<Held>,
    report: RecoveryReport,
}

/// Opens the directory that `disk` is.
///
/// The time and randomness come from `clock` and `entropy`; no thread is started (see
/// [`Keeper::spawn`](crate::Keeper::spawn)).
pub fn open<D: Disk>(
    disk: D,
    options: Options,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Opened<D>, OpenError> {
    let disk = Arc::new(disk);
    let options = options.bounded();
    let lock = Lock::take(&*disk)?;
    before::look(&disk)?;
    let mut report = RecoveryReport::default();
    let mut rounds = Rounds::load(&*disk, &mut report)?;
    // Nothing was written before this; now everything may be.
    let identity = lock.sign(&*disk, &*entropy, clock.now().wall)?;
    let ballast = Ballast::take(&*disk, options.ballast_bytes, options.allocate_bytes_min);
    let ballast = ballast.map_err(OpenError::io(Path::new(BALLAST_FILE)))?;
    for dir in [LOGS_DIR, TREE_DIR] {
        let dir = Path::new(dir);
        ensure_dir(&*disk, Path::new(""), dir).map_err(OpenError::io(dir))?;
    }
    let marked = rounds.marks().map(|mark| mark.head.made).max();
    let mut recovery = Recovery {
        disk: &disk,
        options: &options,
        // A clock that is not believed must not make producers look as if they had been silent for long.
        now: Timekeeper::start(&*clock, marked).believe(&*clock),
        marks: rounds.marks().map(|mark| ((mark.head.log_id, mark.head.first), *mark)).collect(),
        settled: HashSet::new(),
        unheard: Vec::new(),
        tenants: HashMap::new(),
        survey: None,
        held: Arc::new(Held::new(options.open_segments_max)),
        report,
    };
    let logs = recovery.all_logs()?;
    let Recovery { settled, unheard, tenants, held, report, .. } = recovery;
    rounds.carry_on_without(&settled);
    let catalog = Catalog::new(logs.into_iter().map(Arc::new), held);
    let last = catalog.all_logs().iter().filter_map(|log| log.last_entry()).max().max(marked);
    let time = Timekeeper::start(&*clock, last);
    let kept = (identity, ballast);
    let core = Arc::new(Core::new(disk, options, (clock, entropy), kept, time, (catalog, tenants)));
    for (tenant, class, reason) in unheard {
        core.producers(&tenant).does_not_know(class, reason);
    }
    core.catalog.all_logs().iter().for_each(|log| core.go_on_after_loss(log, &mut log.writer.lock()));
    Ok(Opened {
        appender: Appender::new(Arc::clone(&core)),
        reader: Reader::new(Arc::clone(&core)),
        retirer: Retirer::new(Arc::clone(&core)),
        keeper: Keeper::new(core, rounds),
        report,
    })
}

/// Segments by log and first sequence.
pub(crate) type SegmentKeys = HashSet<(LogId, Sequence)>;

/// What is lost of one log of a running engine, that nobody has accepted. Changes nothing.
pub(crate) fn survey<D: Disk>(
    core: &Core<D>,
    home: &Arc<Home<D>>,
    marks: HashMap<(LogId, Sequence), Mark>,
) -> Result<Vec<FoundLoss>, OpenError> {
    let mut recovery = Recovery::of_one(core, home, marks);
    recovery.survey = Some(Vec::new());
    recovery.log(home)?;
    Ok(recovery.survey.unwrap_or_default())
}

/// Recovers one log of a running engine again, whose writer writes nothing; answers the marks that are settled.
pub(crate) fn recover_again<D: Disk>(
    core: &Core<D>,
    home: &Arc<Home<D>>,
    marks: HashMap<(LogId, Sequence), Mark>,
) -> Result<(Option<Log<D>>, SegmentKeys), OpenError> {
    let mut recovery = Recovery::of_one(core, home, marks);
    let log = recovery.log(home)?;
    Ok((log, recovery.settled))
}

impl<'a, D: Disk> Recovery<'a, D> {
    fn of_one(core: &'a Core<D>, home: &Home<D>, marks: HashMap<(LogId, Sequence), Mark>) -> Self {
        let tenant = home.tenant.clone();
        let table = core.producers(&tenant);
        Self {
            disk: &core.disk,
            options: &core.options,
            now: core.now(),
            marks,
            settled: HashSet::new(),
            unheard: Vec::new(),
            tenants: HashMap::from([(tenant, table)]),
            survey: None,
            held: Arc::clone(&home.held),
            report: RecoveryReport::default(),
        }
    }
}

/// Where the log of a tenant and a class is.
fn home<D: Disk>(disk: &Arc<D>, tenant: &Name, class: Name, held: &Arc<Held>) -> Home<D> {
    let dir = log_dir(tenant, &class);
    let held = Arc::clone(held);
    Home { disk: Arc::clone(disk), tenant: tenant.clone(), class, dir, notes: Mutex::default(), held }
}

impl<D: Disk> Recovery<'_, D> {
    fn all_logs(&mut self) -> Result<Vec<Log<D>>, OpenError> {
        let mut logs = Vec::new();
        let top = Path::new(LOGS_DIR);
        for tenant in self.names(top)? {
            for class in self.names(&top.join(tenant.as_str()))? {
                let home = Arc::new(home(self.disk, &tenant, class, &self.held));
                logs.extend(self.log_or_why_not(&home)?);
            }
        }
        self.report.logs = logs.len();
        Ok(logs)
    }

    /// Makes the names in `dir` durable: a process that was killed may have made them and not got to the sync,
    /// and what is acknowledged from now on may lie under them.
    fn settle_names(&self, dir: &Path) -> Result<(), OpenError> {
        self.disk.sync_dir(dir).map_err(OpenError::io(dir))
    }

    /// The directories in `dir` whose names are those of tenants or classes.
    fn names(&mut self, dir: &Path) -> Result<Vec<Name>, OpenError> {
        self.settle_names(dir)?;
        let mut names = Vec::new();
        for entry in self.disk.list(dir).map_err(OpenError::io(dir))? {
            let name = entry.name.to_str().and_then(|name| Name::from_disk(name).ok());
            match name {
                Some(name) if entry.kind == EntryKind::Directory => names.push(name),
                _ => self.report.foreign.push(dir.join(entry.name)),
            }
        }
        Ok(names)
    }

    fn note(&mut self, text: String) {
        self.report.notes.push(text);
    }
}
