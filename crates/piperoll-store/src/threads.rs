//! The threads that carry inputs to the engine: a writer for each log, one that keeps, one that seals.
//!
//! They decide nothing: all they do is call the keeper, which tests call without them.

use crate::catalog::{Log, Trouble};
use crate::core::Core;
use crate::disk::Disk;
use crate::keeper::Keeper;
use crate::stats::add;
use crate::write::writer::Obstacle;
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How often a writer without work looks whether it should end.
const WRITER_WAIT: Duration = Duration::from_mins(1);
/// How often the keeper looks what there is to do.
const KEEPER_WAIT: Duration = Duration::from_millis(200);
/// How long the sealer waits for a ring; it looks then in any case, so that what failed is tried again.
const SEALER_WAIT: Duration = Duration::from_secs(10);
/// How long a writer that waits for the sealer waits for one ring: another log's writer may have taken it.
const SEALER_RING_WAIT: Duration = Duration::from_millis(10);
/// For so many rings it waits after each segment that it has filled, a second at most: a delay and no stop, so that a log
/// that cannot be sealed still takes appends.
const SEALER_RINGS_MAX: usize = 100;
/// By how much keeper and sealer are nicer than the threads that somebody waits for.
const NICENESS: i32 = 10;
/// Writers need little: 4,096 of them may be there.
const WRITER_STACK_BYTES: usize = 512 * 1024;

/// Hears of what the threads could not do, and of damage that was mended; one line each.
pub type Complain = Arc<dyn Fn(String) + Send + Sync>;

/// The engine's threads. Dropping this does not end them; [`Self::stop`] does.
pub struct Threads<D: Disk> {
    keeper: Arc<Keeper<D>>,
    stopping: Arc<AtomicBool>,
    helpers: Vec<JoinHandle<()>>,
    writers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl<D: Disk> Keeper<D> {
    /// Starts the threads. A log's writer starts with its first append.
    pub fn spawn(self, complain: Complain) -> io::Result<Threads<D>> {
        let keeper = Arc::new(self);
        let stopping = Arc::new(AtomicBool::new(false));
        let writers = Arc::new(Mutex::new(Vec::new()));
        let helpers = vec![
            Builder::new().name("piperoll-keeper".to_owned()).spawn({
                let (keeper, stopping, complain) =
                    (Arc::clone(&keeper), Arc::clone(&stopping), Arc::clone(&complain));
                move || guarded(|| nicely(&complain, || keep(&keeper, &stopping, &complain)))
            })?,
            Builder::new().name("piperoll-sealer".to_owned()).spawn({
                let (keeper, stopping) = (Arc::clone(&keeper), Arc::clone(&stopping));
                move || guarded(|| nicely(&complain, || seal(&keeper, &stopping, &complain)))
            })?,
        ];
        let start = start_writer(Arc::downgrade(&keeper), Arc::clone(&writers));
        // Set once: a keeper is spawned once, since spawning takes it.
        let _ = keeper.core.start_writer.set(Box::new(start));
        Ok(Threads { keeper, stopping, helpers, writers })
    }
}

impl<D: Disk> Threads<D> {
    /// The keeper, for whoever asks for a seal or the counts.
    pub fn keeper(&self) -> &Arc<Keeper<D>> {
        &self.keeper
    }

    /// Takes no more batches, finishes those in flight and acknowledges them, writes a last round, ends the
    /// threads (R38).
    pub fn stop(self) -> Result<(), crate::RoundWriteError> {
        self.keeper.close();
        self.stopping.store(true, SeqCst);
        self.keeper.core.behind.ring();
        self.keeper.core.work.ring();
        let writers = std::mem::take(&mut *self.writers.lock());
        for thread in writers.into_iter().chain(self.helpers) {
            // A thread that panicked has ended the process: panics abort.
            let _ = thread.join();
        }
        // Parts that came to a log whose writer had no thread any more.
        self.keeper.commit_all();
        self.keeper.round()
    }
}

fn start_writer<D: Disk>(
    keeper: Weak<Keeper<D>>,
    writers: Arc<Mutex<Vec<JoinHandle<()>>>>,
) -> impl Fn(&Arc<Log<D>>) + Send + Sync {
    move |log| {
        let Some(keeper) = keeper.upgrade() else { return };
        let name = format!("{}/{}", log.tenant(), log.class());
        let own = Arc::clone(log);
        let work = Arc::clone(&keeper);
        let builder = Builder::new().name(name).stack_size(WRITER_STACK_BYTES);
        let thread = builder.spawn(move || guarded(|| write(&work, &own)));
        match thread {
            Ok(thread) => writers.lock().push(thread),
            Err(error) => {
                let trouble = Trouble::Stopped(format!("its writer cannot be started: {error}"));
                keeper.core.obstruct(log, log.inbox.take_all(), &Obstacle::Log(trouble));
            }
        }
    }
}

/// Does the work of a thread. A panic in it ends the process (R40), however the program was built: without its
/// writer a log would take batches in and never answer.
fn guarded(work: impl FnOnce()) {
    struct EndsTheProcess;
    impl Drop for EndsTheProcess {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    let _guard = EndsTheProcess;
    work();
}

/// Does work that nobody waits for: whoever has somebody waiting goes first.
fn nicely(complain: &Complain, work: impl FnOnce()) {
    if let Err(error) = rustix::process::nice(NICENESS) {
        complain(format!("a thread in the background cannot be made nicer: {error}"));
    }
    work();
}

fn write<D: Disk>(keeper: &Keeper<D>, log: &Log<D>) {
    let mut waited_at = None;
    while !log.inbox.is_done() {
        if log.inbox.wait(WRITER_WAIT) {
            while keeper.core.commit(log) {
                if !keeper.core.has_unsealed_max(log) {
                    continue;
                }
                let filling = log.active().map(|active| active.first());
                if waited_at != filling {
                    waited_at = filling;
                    await_seal(&keeper.core, log);
                }
            }
        }
    }
}

/// Lets the sealer come nearer: appends are no faster than what has to be done behind them.
fn await_seal<D: Disk>(core: &Core<D>, log: &Log<D>) {
    add(&core.stats.seal_waits, 1);
    for _ in 0..SEALER_RINGS_MAX {
        if !core.has_unsealed_max(log) || core.closing.load(SeqCst) {
            break;
        }
        core.sealed.wait(SEALER_RING_WAIT);
    }
}

fn keep<D: Disk>(keeper: &Keeper<D>, stopping: &AtomicBool, complain: &Complain) {
    while !stopping.load(SeqCst) {
        keeper.core.behind.wait(KEEPER_WAIT);
        keeper.follow();
        keeper.roll_old();
        if let Err(error) = keeper.take_ballast_again() {
            complain(format!("the ballast cannot be taken again: {error}"));
        }
        if let Err(error) = keeper.round_if_due() {
            complain(error.to_string());
        }
    }
}

fn seal<D: Disk>(keeper: &Keeper<D>, stopping: &AtomicBool, complain: &Complain) {
    keeper.check_history();
    while !stopping.load(SeqCst) {
        for error in keeper.seal_ready().into_iter().filter_map(Result::err) {
            complain(error.to_string());
        }
        keeper.take_notes().into_iter().for_each(|note| complain(note));
        keeper.check_indexes_again();
        keeper.core.work.wait(SEALER_WAIT);
    }
}
