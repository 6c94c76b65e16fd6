//! The real daemon as a child process: on a folder of its own and free ports, waited for and never slept for.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_piperoll");
/// How long anything may take before a test gives up: much longer than it ever takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Looks until there is something, or fails the test after [`PATIENCE`].
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(LOOK_EVERY);
    }
}

/// Writes a test's own file.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    File::create(path).unwrap().write_all(content.as_ref()).unwrap();
}

/// A command that sees nothing of the environment that the tests run in.
pub(crate) fn command(folder: &Path) -> Command {
    command_of(PROGRAM, folder)
}

fn command_of(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIPEROLL_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("TZ", "UTC").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

#[derive(Deserialize)]
struct Ready {
    grpc: String,
    http: String,
    pid: u32,
}

/// A running daemon; dropping it kills the process.
pub(crate) struct Daemon {
    folder: PathBuf,
    /// A program that runs it, with its own arguments; none as a rule.
    wrapper: Vec<String>,
    arguments: Vec<String>,
    ready: Ready,
    /// The daemon, or the program that runs it.
    child: Child,
}

impl Daemon {
    /// Starts it on `folder`, with this `piperoll.toml` and more arguments, and waits until it is ready.
    pub(crate) fn start(folder: &Path, config: &str, arguments: &[&str]) -> Self {
        Self::start_under(&[], folder, config, arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, run by a program that takes its command line; or what it said when it ended at once.
    pub(crate) fn start_under(
        wrapper: &[&str],
        folder: &Path,
        config: &str,
        arguments: &[&str],
    ) -> Result<Self, String> {
        write(&folder.join("piperoll.toml"), config);
        let owned = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        let (wrapper, arguments) = (owned(wrapper), owned(arguments));
        let (child, ready) = spawn(&wrapper, folder, "127.0.0.1:0", "127.0.0.1:0", &arguments)?;
        Ok(Self { folder: folder.to_owned(), wrapper, arguments, ready, child })
    }

    /// URL of its gRPC port.
    pub(crate) fn grpc(&self) -> &str {
        &self.ready.grpc
    }

    /// Address of its HTTP port.
    pub(crate) fn http(&self) -> &str {
        self.ready.http.trim_start_matches("http://")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it said on stderr since the last start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("daemon.log")).unwrap()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// Kills it with SIGKILL and starts it again on the same ports.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Sends it a signal; it may have ended already.
    pub(crate) fn signal(&self, signal: Signal) {
        match kill_process(self.process(), signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => panic!("the daemon gets no signal: {error}"),
        }
    }

    /// Starts it again on the same ports after its end, by itself; or what it said when it ended at once.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        self.wrapper.clear();
        let listen = |url: &str| url.trim_start_matches("http://").to_owned();
        let (grpc, http) = (listen(&self.ready.grpc), listen(&self.ready.http));
        (self.child, self.ready) = spawn(&self.wrapper, &self.folder, &grpc, &http, &self.arguments)?;
        Ok(())
    }

    /// Waits until it ends by itself, and tells how.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_until("the daemon to end", || self.child.try_wait().unwrap())
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap()
    }

    /// Asks it to end with SIGTERM; how it ended, and after which time.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        (self.ended(), begun.elapsed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

fn spawn(
    wrapper: &[String],
    folder: &Path,
    grpc: &str,
    http: &str,
    arguments: &[String],
) -> Result<(Child, Ready), String> {
    // A folder of its own for each start, so that the file of the start before is never taken for this one's.
    let ready_folder = tempfile::tempdir_in(folder).unwrap();
    let ready_file = ready_folder.path().join("ready.json");
    let mut command = match wrapper {
        [] => command(folder),
        [program, own @ ..] => {
            let mut command = command_of(program, folder);
            command.args(own).arg(PROGRAM);
            command
        }
    };
    let mut child = command
        .args(["serve", "--init", "--config", "piperoll.toml", "--directory", "data"])
        .args(["--grpc-listen", grpc, "--http-listen", http, "--ready-file"])
        .arg(&ready_file)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("daemon.log")).unwrap())
        .spawn()
        .map_err(|error| format!("{}: {error}", wrapper.first().map_or(PROGRAM, String::as_str)))?;
    let ready = wait_until("the daemon to be ready", || {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(folder.join("daemon.log")).unwrap();
            return Some(Err(format!("the daemon ended with {status} before it was ready:\n{log}")));
        }
        fs::read_to_string(&ready_file).ok().map(Ok)
    })?;
    Ok((child, serde_json::from_str(&ready).unwrap()))
}
