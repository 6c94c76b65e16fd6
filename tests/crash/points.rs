//! The system calls of the daemon on files of its data directory, as `strace` counts them, and what is done to one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The calls of the engine on its files.
const CALLS: [&str; 14] = [
    "fallocate",
    "fchmod",
    "fdatasync",
    "flock",
    "fstat",
    "fsync",
    "ftruncate",
    "mkdirat",
    "mmap",
    "openat2",
    "pread64",
    "pwritev",
    "renameat",
    "unlinkat",
];
/// Those to which `ENOSPC` is an answer that a disk gives.
const CALLS_THAT_TAKE_ROOM: [&str; 8] =
    ["fallocate", "fdatasync", "fsync", "ftruncate", "mkdirat", "openat2", "pwritev", "renameat"];

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed instead of the call.
    Kill,
    /// The call fails with this error, once.
    Once(&'static str),
    /// The call fails with this error, and so do all later ones of its kind on that file.
    ForEver(&'static str),
}

/// The *n*-th call of a kind on one file, or in one directory, by any thread.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    call: String,
    /// Below the data directory; empty for the directory itself.
    path: String,
    number: usize,
    pub(crate) fault: Fault,
}

impl Point {
    /// The command line that runs a program with this fault.
    pub(crate) fn wrapper(&self, data: &Path, trace: &Path) -> Vec<String> {
        let path = data.join(&self.path);
        let (call, number) = (&self.call, self.number);
        let inject = match self.fault {
            Fault::Kill => format!("inject={call}:signal=KILL:when={number}"),
            Fault::Once(error) => format!("inject={call}:error={error}:when={number}"),
            Fault::ForEver(error) => format!("inject={call}:error={error}:when={number}+"),
        };
        let mut wrapper = strace(trace);
        let path = path.to_str().unwrap().trim_end_matches('/').to_owned();
        wrapper.extend(["-P".to_owned(), path, "-e".to_owned(), format!("trace={call}")]);
        wrapper.extend(["-e".to_owned(), inject]);
        wrapper
    }
}

/// The command line that runs a program and writes down all these calls.
pub(crate) fn tracer(trace: &Path) -> Vec<String> {
    let mut wrapper = strace(trace);
    wrapper.extend(["-e".to_owned(), format!("trace={}", CALLS.join(","))]);
    wrapper
}

fn strace(trace: &Path) -> Vec<String> {
    let words = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-o", trace.to_str().unwrap()];
    words.map(str::to_owned).to_vec()
}

/// All points of a trace, in the order in which they were met.
pub(crate) fn points(trace: &str, data: &Path) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    let mut met = BTreeSet::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((thread, call, path)) = parse(line, data) else { continue };
        // strace counts the calls of each thread by itself.
        let number = counts.entry((thread, call, path.clone())).or_default();
        *number += 1;
        if met.insert((call, path.clone(), *number)) {
            let point = |fault| Point { call: call.to_owned(), path: path.clone(), number: *number, fault };
            points.extend(faults(call).map(point));
        }
    }
    points
}

fn faults(call: &str) -> impl Iterator<Item = Fault> + use<> {
    let full = CALLS_THAT_TAKE_ROOM.contains(&call);
    let full = [Fault::Once("ENOSPC"), Fault::ForEver("ENOSPC")].into_iter().filter(move |_| full);
    [Fault::Kill, Fault::Once("EIO"), Fault::ForEver("EIO")].into_iter().chain(full)
}

/// Thread, call and file of a line such as `7 fdatasync(12</tmp/data/tree/round.1>) = 0`.
fn parse<'a>(line: &'a str, data: &Path) -> Option<(&'a str, &'a str, String)> {
    let (thread, rest) = line.split_once(' ')?;
    let (call, arguments) = rest.trim_start().split_once('(')?;
    let (_, path) = arguments.split_once("</")?;
    let (path, _) = path.split_once('>')?;
    let below = Path::new("/").join(path).strip_prefix(data).ok()?.to_str()?.to_owned();
    Some((thread, call, below))
}
