//! Anonymous memory of a process, from the kernel.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is read.
const EVERY: Duration = Duration::from_millis(5);

/// A thread that watches a process's memory.
pub(crate) struct MemoryWatch {
    enough: Arc<AtomicBool>,
    watching: JoinHandle<io::Result<u64>>,
}

impl MemoryWatch {
    /// Begins to watch; it ends when it is asked for the most, or with the process.
    pub(crate) fn of(process: u32) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&enough);
        let watching = thread::spawn(move || {
            let mut most = 0;
            loop {
                most = anonymous_bytes(process)?.max(most);
                if ends.load(Relaxed) {
                    return Ok(most);
                }
                thread::sleep(EVERY);
            }
        });
        Self { enough, watching }
    }

    /// The most that the process has held, in bytes. An error where it has ended meanwhile.
    pub(crate) fn most(self) -> io::Result<u64> {
        self.enough.store(true, Relaxed);
        self.watching.join().map_err(|_| io::Error::other("the thread that watches panicked"))?
    }
}

/// `RssAnon` of `/proc/PID/status`.
fn anonymous_bytes(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it has no RssAnon"))
}
