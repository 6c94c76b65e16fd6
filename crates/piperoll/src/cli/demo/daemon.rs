//! The demo's daemon: this program's own `serve`, as a child process on a fresh directory.

use crate::cli::Failure;
use anyhow::{Context, anyhow};
use piperoll_client::{Client, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long a daemon may take to get ready before the demo gives up.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM: the promised five seconds, and one for a loaded machine.
const ENDED_WITHIN: Duration = Duration::from_secs(6);
/// How often the ready file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Small segments, so that a short run rolls and seals many; and a class that expires while we watch.
const CONFIGURATION: &str = r#"[storage]
segment_bytes_max = "8MiB"

[retention]
default_class = "standard"

[[retention.classes]]
name = "standard"
keep = "400d"

[[retention.classes]]
name = "deploys"
keep = "7y"

[[retention.classes]]
name = "scratch"
keep = "2s"

[[retention.routes]]
class = "deploys"
stage = "deploy*"

[[retention.routes]]
class = "scratch"
stage = "restore-cache"
"#;

#[derive(Deserialize)]
struct Ready {
    grpc: String,
    http: String,
}

/// A running daemon; dropping it kills the process.
pub(super) struct Daemon {
    folder: PathBuf,
    data: PathBuf,
    ready: Ready,
    child: Child,
}

impl Daemon {
    /// Starts it on free ports, with everything below `folder`.
    pub(super) async fn start(folder: &Path) -> Result<Self, Failure> {
        let mut configuration = tempfile::NamedTempFile::new_in(folder)?;
        configuration.write_all(CONFIGURATION.as_bytes())?;
        configuration.persist(folder.join("piperoll.toml")).map_err(Failure::running)?;
        let data = folder.join("data");
        let (child, ready) = spawn(folder, &data, "127.0.0.1:0").await?;
        Ok(Self { folder: folder.to_owned(), data, ready, child })
    }

    /// URL of its gRPC port.
    pub(super) fn endpoint(&self) -> &str {
        &self.ready.grpc
    }

    /// URL of its HTTP port.
    pub(super) fn http(&self) -> &str {
        &self.ready.http
    }

    /// Its data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// A client of its own connection.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(ClientOptions::new(self.endpoint())).await?)
    }

    /// Kills it with SIGKILL, starts it again on the same port, and tells how long the start took.
    pub(super) async fn kill_and_restart(&mut self) -> Result<Duration, Failure> {
        self.child.kill().await?;
        let begun = Instant::now();
        let listen = self.ready.grpc.trim_start_matches("http://").to_owned();
        (self.child, self.ready) = spawn(&self.folder, &self.data, &listen).await?;
        Ok(begun.elapsed())
    }

    /// Asks it to end, and waits until it did.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.pid().ok_or_else(|| Failure::Running(anyhow!("the daemon has ended by itself")))?;
        kill_process(pid, Signal::TERM).map_err(Failure::running)?;
        let ended = tokio::time::timeout(ENDED_WITHIN, self.child.wait()).await;
        let status =
            ended.map_err(|_| Failure::Running(anyhow!("SIGTERM did not end the daemon within 5 s")))??;
        if !status.success() {
            return Err(Failure::Running(anyhow!("the daemon ended with {status}")));
        }
        Ok(())
    }

    /// Lets it run on after the demo, and tells its process id.
    pub(super) fn leave_running(&self) -> u32 {
        // The child was not spawned with kill_on_drop, so dropping it only forgets it.
        self.child.id().unwrap_or_default()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }
}

async fn spawn(folder: &Path, data: &Path, listen: &str) -> Result<(Child, Ready), Failure> {
    // A folder of its own for each start, so that the file of the start before is never taken for this one's.
    let ready_folder = tempfile::tempdir_in(folder)?;
    let ready_file = ready_folder.path().join("ready.json");
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .arg("serve")
        .arg("--config")
        .arg(folder.join("piperoll.toml"))
        .arg("--directory")
        .arg(data)
        .args([
            "--grpc-listen",
            listen,
            "--http-listen",
            "127.0.0.1:0",
            "--log-level",
            "warn",
            "--init",
            "--ready-file",
        ])
        .arg(&ready_file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < READY_WITHIN {
        if let Ok(text) = std::fs::read_to_string(&ready_file) {
            let ready = serde_json::from_str(&text).context("the ready file").map_err(Failure::Running)?;
            return Ok((child, ready));
        }
        if let Some(status) = child.try_wait()? {
            return Err(Failure::Running(anyhow!("the daemon ended with {status} before it was ready")));
        }
        sleep(LOOK_EVERY).await;
    }
    child.kill().await?;
    Err(Failure::Running(anyhow!("the daemon was not ready within {} s", READY_WITHIN.as_secs())))
}
