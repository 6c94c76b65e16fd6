//! Anonymous memory of a process, from the kernel.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is read.
const EVERY: Duration = Duration::from_millis(5);

/// The most that a process held since this began to look.
pub(crate) struct Peak {
    bytes: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    pub(crate) fn of(pid: u32) -> Self {
        let (bytes, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, end) = (Arc::clone(&bytes), Arc::clone(&enough));
        let thread = thread::spawn(move || {
            while let Some(now) = anonymous_bytes(pid).filter(|_| !end.load(Relaxed)) {
                most.fetch_max(now, Relaxed);
                thread::sleep(EVERY);
            }
        });
        Self { bytes, enough, thread: Some(thread) }
    }

    /// In bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.enough.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the thread that looks has ended");
    }
}

/// `RssAnon` of `/proc/PID/status`; none where the process has ended.
fn anonymous_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"))?;
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}
