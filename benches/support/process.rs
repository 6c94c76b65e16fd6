//! The real program as a child process.

use crate::{clock::now, memory::MemoryWatch};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often the ready file is looked for: well below the times that are measured.
const READY_LOOK: Duration = Duration::from_micros(200);
const START_MAX: Duration = Duration::from_mins(1);
/// Longer than the store's threads wait before they look for work again.
const QUIET: Duration = Duration::from_millis(300);
const QUIET_TICKS: u64 = 1;
const QUIET_MAX: Duration = Duration::from_mins(5);

/// A running daemon; dropping it kills it.
pub(crate) struct Process {
    child: Child,
    /// Where it serves gRPC.
    pub(crate) address: SocketAddr,
    /// Just before it was started.
    pub(crate) begun: Instant,
    /// From then until it said that it serves.
    pub(crate) ready: Duration,
}

#[derive(Deserialize)]
struct Ready {
    grpc: String,
}

impl Process {
    /// Starts it with its defaults on `folder`/data, and waits until it serves.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        // A place of its own for each start, so that the file of the start before is never taken for this one's.
        let own = tempfile::tempdir_in(folder)?;
        let (ready_file, log) = (own.path().join("ready.json"), folder.join("daemon.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_piperoll"));
        command
            .current_dir(folder)
            .args(["serve", "--init", "--directory", "data"])
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let begun = now();
        let mut child = command.spawn()?;
        let text = loop {
            if let Ok(text) = fs::read_to_string(&ready_file) {
                break text;
            }
            if child.try_wait()?.is_some() || begun.elapsed() > START_MAX {
                anyhow::bail!("the daemon does not start:\n{}", fs::read_to_string(&log)?);
            }
            thread::sleep(READY_LOOK);
        };
        let ready = begun.elapsed();
        let Ready { grpc } = serde_json::from_str(&text)?;
        let address = grpc.trim_start_matches("http://").parse()?;
        Ok(Self { child, address, begun, ready })
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("the child has an id")?;
        kill_process(id, Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it does nothing more: its followers and its sealer have caught up.
    pub(crate) fn wait_until_quiet(&self) -> Result<()> {
        let begun = now();
        let mut before = self.processor_ticks()?;
        loop {
            thread::sleep(QUIET);
            let after = self.processor_ticks()?;
            if after - before <= QUIET_TICKS {
                return Ok(());
            }
            before = after;
            anyhow::ensure!(begun.elapsed() < QUIET_MAX, "the daemon does not come to rest");
        }
    }

    /// Hundredths of a processor second that it has taken.
    fn processor_ticks(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // User and system time, counted from behind the name, which may have blanks.
        let (_, fields) = text.rsplit_once(") ").context("stat has a name")?;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(times.sum::<Result<u64, _>>()?)
    }

    /// Watches its anonymous memory from now on.
    pub(crate) fn watch_memory(&self) -> MemoryWatch {
        MemoryWatch::of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
