//! One run: a well-behaved producer by itself, then beside callers that ask for all that they can.

use super::loads::{Load, Sizes, connect, start};
use super::probe;
use crate::daemon::Daemon;
use crate::memory::MemoryWatch;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long it may take until all callers are there.
const BEGIN_MAX: Duration = Duration::from_mins(5);

/// What one run came to.
pub(crate) struct Outcome {
    /// The most anonymous memory that the daemon held, in bytes.
    pub(crate) anonymous: u64,
    pub(crate) unloaded: probe::Seen,
    pub(crate) loaded: probe::Seen,
}

/// At 1,000 cases: 10,000 idle connections, 1,000 tails, 100,000 distinct values of each field.
pub(crate) fn sizes(cases: usize) -> Sizes {
    Sizes {
        idle: 10 * cases,
        tails: cases,
        queries: cases,
        giants: (cases / 15).max(2),
        tiny: (cases / 60).max(2),
        halves: cases,
        values: 100 * cases,
    }
}

/// Threads whose work gives way to everybody else's, so that what the callers compute is not counted as the daemon's.
fn callers() -> Runtime {
    let give_way = || setpriority_process(None, 19).unwrap();
    Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(give_way).build().unwrap()
}

/// The producer for `time` by itself, then as long beside the loads; then what was acknowledged is looked for.
pub(crate) fn run(loads: &[Load], sizes: Sizes, time: Duration) -> Outcome {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), "", &["--log-level", "warn"]);
    let address: SocketAddr = daemon.grpc().trim_start_matches("http://").parse().unwrap();
    let own = Builder::new_current_thread().enable_all().build().unwrap();
    let callers = callers();
    let channel = own.block_on(connect(address));
    let watch = MemoryWatch::of(daemon.pid());
    let unloaded = own.block_on(probe::run(channel.clone(), "unloaded", time));
    let mut tasks = JoinSet::new();
    let (begun, mut under_way) = mpsc::channel(8);
    {
        let _here = callers.enter();
        for &load in loads {
            start(load, sizes, address, begun.clone(), &mut tasks);
        }
    }
    drop(begun);
    let loaded = own.block_on(async {
        for _ in loads {
            timeout(BEGIN_MAX, under_way.recv()).await.unwrap_or_else(|_| panic!("{loads:?} did not begin"));
        }
        probe::run(channel.clone(), "loaded", time).await
    });
    while let Some(ended) = tasks.try_join_next() {
        ended.unwrap();
    }
    let anonymous = watch.most().unwrap();
    callers.block_on(tasks.shutdown());
    callers.shutdown_background();
    for seen in [&unloaded, &loaded] {
        own.block_on(async { seen.check(connect(address).await).await });
    }
    Outcome { anonymous, unloaded, loaded }
}

/// As many files as may be.
pub(crate) fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
