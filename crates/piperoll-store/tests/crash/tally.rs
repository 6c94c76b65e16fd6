//! Work on all cores, and what it counted.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use crate::world::World;

/// Does `work` for each number below `count`, on all cores; the first error ends it.
pub(crate) fn on_all_cores(
    count: u64,
    work: impl Fn(u64) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, SeqCst);
                    if at >= count {
                        return;
                    }
                    if let Err(text) = work(at) {
                        next.store(count, SeqCst);
                        failed.lock().expect("no panic before").get_or_insert(text);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no panic before").map_or(Ok(()), Err)
}

/// What a driver has tried.
pub(crate) struct Tally {
    name: &'static str,
    began: Instant,
    /// Calls before which the machine stopped.
    pub(crate) calls: AtomicU64,
    /// States of the disk that a crash left.
    tried: AtomicU64,
    /// Second crashes, inside the recovery from the first.
    pub(crate) inside: AtomicU64,
    /// Recovered stores that then sealed and swept, and were asked in several ways.
    pub(crate) worked_on: AtomicU64,
    /// Disks that were recovered, with what had been promised on them.
    seen: Mutex<HashSet<([u8; 16], u64)>>,
}

impl Tally {
    #[expect(clippy::disallowed_methods, reason = "how long a driver takes is printed, never asserted")]
    pub(crate) fn new(name: &'static str) -> Self {
        let zero = || AtomicU64::new(0);
        let (calls, tried, inside, worked_on) = (zero(), zero(), zero(), zero());
        Self { name, began: Instant::now(), calls, tried, inside, worked_on, seen: Mutex::default() }
    }

    /// Counts a state; true when it has to be recovered: no disk byte for byte like this one was, with the same
    /// promises.
    pub(crate) fn is_new(&self, fingerprint: [u8; 16], promises: u64) -> bool {
        self.tried.fetch_add(1, SeqCst);
        self.seen.lock().expect("no panic before").insert((fingerprint, promises))
    }

    /// States that were recovered.
    pub(crate) fn distinct(&self) -> usize {
        self.seen.lock().expect("no panic before").len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} calls, {} states tried, {} distinct and recovered ({} of them sealed and swept after it), {} \
             second crashes inside recovery, {:.1} s",
            self.name,
            self.calls.load(SeqCst),
            self.tried.load(SeqCst),
            self.distinct(),
            self.worked_on.load(SeqCst),
            self.inside.load(SeqCst),
            self.began.elapsed().as_secs_f64()
        )
    }
}

/// What was promised and what is on its way, in a number.
pub(crate) fn promises(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.oracle.hash(&mut hasher);
    hasher.finish()
}
