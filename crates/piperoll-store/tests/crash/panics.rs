//! Panics: a mistake of ours anywhere in the engine's threads ends the process, and loses nothing (R40).
//!
//! The test starts itself again as a child, over a disk whose n-th call panics: the child must end by SIGABRT,
//! as one whose other threads go on would not, and what it said was acknowledged must be there.

use piperoll_filter::Filter;
use piperoll_format::units::UnixNanos;
use piperoll_store::disk::{Disk, DiskFile, Entry, Open};
use piperoll_store::mapping::Mapping;
use piperoll_store::os::OsDisk;
use piperoll_store::{Asker, Clock, Entropy, Moment, Opened, Options, Order, Query};
use std::collections::BTreeSet;
use std::io::{IoSlice, Result, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use crate::message::{Message, tenant};
use crate::setting;
use crate::world::small_options;

const DIRECTORY: &str = "PIPEROLL_PANIC_DIRECTORY";
const CALL: &str = "PIPEROLL_PANIC_CALL";
const SIGABRT: i32 = 6;
/// How long the child waits for an answer that will not come: much longer than it ever takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that the child sends, one after the other.
const MESSAGES: usize = 40;

/// A disk whose n-th call from a thread of the engine panics.
struct Panicking {
    disk: OsDisk,
    left: Arc<AtomicU64>,
}

struct PanickingFile {
    file: <OsDisk as Disk>::File,
    left: Arc<AtomicU64>,
}

/// Counts a call; the main thread of a test is none of the engine's.
fn count(left: &AtomicU64) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let is_engine = name.starts_with("piperoll-") || name.starts_with("acme/");
    assert!(!is_engine || left.fetch_sub(1, SeqCst) != 1, "a mistake, on purpose, in {name}");
}

impl Panicking {
    fn over(&self, file: <OsDisk as Disk>::File) -> PanickingFile {
        PanickingFile { file, left: Arc::clone(&self.left) }
    }
}

impl Disk for Panicking {
    type File = PanickingFile;

    fn open(&self, at: &Path, how: Open) -> Result<PanickingFile> {
        count(&self.left);
        Ok(self.over(self.disk.open(at, how)?))
    }

    fn make_dir(&self, at: &Path) -> Result<()> {
        count(&self.left);
        self.disk.make_dir(at)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        count(&self.left);
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        count(&self.left);
        self.disk.rename(from, to)
    }

    fn unlink(&self, at: &Path) -> Result<()> {
        count(&self.left);
        self.disk.unlink(at)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        count(&self.left);
        self.disk.sync_dir(dir)
    }

    fn free(&self) -> Result<u64> {
        self.disk.free()
    }

    fn lock(&self, at: &Path) -> Result<PanickingFile> {
        Ok(self.over(self.disk.lock(at)?))
    }
}

impl DiskFile for PanickingFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        count(&self.left);
        self.file.write_at(parts, offset)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        count(&self.left);
        self.file.read_at(into, offset)
    }

    fn allocate(&self, length: u64) -> Result<()> {
        count(&self.left);
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        count(&self.left);
        self.file.truncate(length)
    }

    fn sync_data(&self) -> Result<()> {
        count(&self.left);
        self.file.sync_data()
    }

    fn length(&self) -> Result<u64> {
        self.file.length()
    }

    fn protect(&self) -> Result<()> {
        count(&self.left);
        self.file.protect()
    }

    fn map(&self, length: u64) -> Result<Mapping> {
        count(&self.left);
        self.file.map(length)
    }
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Moment {
        Moment { wall: UnixNanos(1_767_225_600_000_000_000), monotonic_ns: 1 }
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, into: &mut [u8]) {
        let bytes = self.0.fetch_add(1, SeqCst).to_le_bytes();
        into.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

fn open<D: Disk>(disk: D, life: u64) -> Opened<D> {
    // Every 200 ms a round, so that the keeper has something to do.
    let options = Options { round_interval_ns: 0, idle_round_interval_ns: 0, ..small_options() };
    piperoll_store::open(disk, options, Arc::new(StandingClock), Arc::new(Counting(AtomicU64::new(life))))
        .expect("opens")
}

/// The child: appends until all is acknowledged, and says so for each message. Elsewhere it has nothing to do.
#[test]
fn the_child_of_the_test_of_panics() {
    let (Ok(directory), Ok(call)) = (std::env::var(DIRECTORY), std::env::var(CALL)) else { return };
    let left = Arc::new(AtomicU64::new(call.parse().expect("a number")));
    let disk = Panicking { disk: OsDisk::open(Path::new(&directory)).expect("opens"), left };
    let Opened { appender, keeper, .. } = open(disk, 0);
    let threads = keeper.spawn(Arc::new(|text| eprintln!("{text}"))).expect("starts");
    for number in 0..MESSAGES {
        let message = Message::new(number, Some((7, 1 + number as u64)), &[number % 2], 600);
        let (told, hears) = mpsc::channel();
        appender.submit(message.batch(), Box::new(move |outcome| drop(told.send(outcome))));
        hears.recv_timeout(PATIENCE).expect("an answer").expect("an acknowledgement");
        println!("acknowledged {number}");
        std::io::stdout().flush().expect("written");
    }
    threads.stop().expect("stops");
    println!("finished");
}

/// What the child said before it ended, and how it ended.
fn child(directory: &Path, call: u64) -> (String, Option<i32>) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "panics::the_child_of_the_test_of_panics", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(CALL, call.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.signal())
}

/// The numbers of the messages that are there.
fn found(directory: &Path) -> BTreeSet<usize> {
    let store = open(OsDisk::open(directory).expect("opens"), 1 << 32);
    assert_eq!(store.report.read_only, []);
    let query = Query {
        tenant: tenant(),
        filter: Filter::all(),
        order: Order::OldestFirst,
        limit: MESSAGES + 1,
        bytes_max: 1 << 20,
        position: None,
    };
    let page = store.reader.query(&query, &Asker::patient()).expect("reads");
    assert!(page.exhausted);
    let number = |bytes: &[u8]| {
        let id = std::str::from_utf8(&bytes[2..2 + usize::from(bytes[1])]).expect("text");
        id.split('.').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let numbers: Vec<usize> = page.records.iter().map(|record| number(&record.event)).collect();
    let set: BTreeSet<usize> = numbers.iter().copied().collect();
    assert_eq!(set.len(), numbers.len(), "stored twice");
    set
}

#[test]
fn a_panic_at_any_call_of_any_thread_ends_the_process_and_loses_nothing() {
    let step = if setting("PIPEROLL_CRASH_STATES", 8) > 8 { 1 } else { 17 };
    let mut aborted = 0;
    for call in (1..).step_by(step) {
        let directory = tempfile::tempdir().expect("made");
        let (said, signal) = child(directory.path(), call);
        let acknowledged: BTreeSet<usize> =
            said.lines().filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).collect();
        let there = found(directory.path());
        assert!(acknowledged.is_subset(&there), "panic at call {call}: {acknowledged:?} of {there:?}");
        if said.contains("finished") {
            break;
        }
        assert_eq!(signal, Some(SIGABRT), "panic at call {call}:\n{said}");
        aborted += 1;
    }
    assert!(aborted > 5, "{aborted} children met their panic");
    println!("{aborted} children met a panic, each at another call");
}
