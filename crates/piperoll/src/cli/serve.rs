//! `piperoll serve`: the daemon.

use super::{Done, Failure, Outcome, config::ConfigArgs};
use piperoll_server::{StartOptions, init_logging, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Run the daemon
///
/// It keeps everything in one directory and takes no second daemon beside it. SIGTERM and SIGINT end it
/// within five seconds; what it had acknowledged by then, or at any other moment, is on disk.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Listen on an address that other machines reach, although nothing is encrypted and nobody is asked who they are
    #[arg(long)]
    insecure_listen: bool,
    /// Make the data directory if it is missing, or begin one in an empty directory. Not the default, so that a volume
    /// that was not mounted is noticed instead of being filled from the beginning
    #[arg(long)]
    init: bool,
    /// Write the addresses into this file, as JSON, once the daemon is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Runs until a signal ends it.
pub(crate) fn run(args: Args) -> Outcome {
    let loaded = args.config.load()?;
    init_logging(&loaded.config.log).map_err(Failure::running)?;
    raise_open_files_limit()?;
    super::block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let options = StartOptions { insecure_listen: args.insecure_listen, create_directory: args.init };
        let running = start(loaded.config, options).await.map_err(Failure::running)?;
        if let Some(path) = &args.ready_file {
            let ready = json!({
                "grpc": format!("http://{}", running.grpc_address),
                "http": format!("http://{}", running.http_address),
                "pid": std::process::id(),
            });
            write_whole(path, ready.to_string().as_bytes())?;
        }
        let stopper = running.stopper();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stopper.stop();
        });
        running.wait().await.map_err(Failure::running)?;
        Ok(Done::Yes)
    })
}

/// As many open files as the system lets us have: each active log and each connection holds one.
fn raise_open_files_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).map_err(Failure::running)
}

/// Makes the file appear with all its content at once: whoever waits for it never reads half.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    let _: File = file.persist(path).map_err(Failure::running)?;
    Ok(())
}
