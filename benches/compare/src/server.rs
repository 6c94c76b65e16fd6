//! A server as a child process, and the processor time that it takes with its own children.

use crate::clock::now;
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const READY_LOOK: Duration = Duration::from_millis(5);
const START_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_mins(2);
/// Longer than servers sleep between two pieces of work.
const QUIET: Duration = Duration::from_millis(400);
const QUIET_TICKS: u64 = 1;
const QUIET_MAX: Duration = Duration::from_mins(10);

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    stop: Signal,
}

impl Server {
    /// Starts it, with everything it says going to `folder`/server.log, and waits until `is_ready` gives something.
    pub(crate) fn start<T>(
        mut command: Command,
        folder: &Path,
        stop: Signal,
        mut is_ready: impl FnMut() -> Option<T>,
    ) -> Result<(Self, T)> {
        let log = folder.join("server.log");
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let program = command.get_program().display().to_string();
        let child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
        let mut server = Self { child, log, stop };
        let begun = now();
        loop {
            if let Some(ready) = is_ready() {
                return Ok((server, ready));
            }
            if server.child.try_wait()?.is_some() || begun.elapsed() > START_MAX {
                anyhow::bail!("{program} does not start:\n{}", fs::read_to_string(&server.log)?);
            }
            thread::sleep(READY_LOOK);
        }
    }

    /// Processor seconds of it and its children so far, of those that have ended too.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        Ok(self.ticks()? as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Waits until it does nothing more: what it does behind its acknowledgements is its work too.
    pub(crate) fn wait_until_quiet(&self) -> Result<()> {
        let begun = now();
        let mut before = self.ticks()?;
        loop {
            thread::sleep(QUIET);
            let after = self.ticks()?;
            if after.saturating_sub(before) <= QUIET_TICKS {
                return Ok(());
            }
            before = after;
            anyhow::ensure!(begun.elapsed() < QUIET_MAX, "the server does not come to rest");
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal(self.stop)?;
        let begun = now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                begun.elapsed() < STOP_MAX,
                "the server does not stop:\n{}",
                fs::read_to_string(&self.log)?
            );
            thread::sleep(READY_LOOK);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("the child has an id")?;
        Ok(kill_process(id, signal)?)
    }

    fn ticks(&self) -> Result<u64> {
        let own = self.child.id();
        let mut sum = 0;
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(id) = name.and_then(|name| name.parse::<u32>().ok()) else { continue };
            // One that has ended meanwhile is counted with its parent.
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            let stat = Stat::parse(&stat)?;
            if id == own || stat.parent == own {
                sum += stat.ticks;
            }
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // SIGQUIT takes PostgreSQL's children down with it, as SIGKILL would not.
        self.signal(Signal::QUIT).ok();
        let begun = now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < START_MAX {
            thread::sleep(READY_LOOK);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Processor seconds of this process so far.
pub(crate) fn own_processor_seconds() -> Result<f64> {
    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat")?)?;
    Ok(stat.own_ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// With those of children that have ended and were waited for.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Result<Self> {
        // Counted from behind the name, which may have blanks.
        let (_, fields) = text.rsplit_once(") ").context("stat has a name")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |index: usize| anyhow::Ok(fields.get(index).context("stat is cut")?.parse::<u64>()?);
        let own_ticks = number(11)? + number(12)?;
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own_ticks,
            ticks: own_ticks + number(13)? + number(14)?,
        })
    }
}
