//! Pages that cannot be read (R12), and the end on request (R38).

use crate::daemon::Daemon;
use crate::kill::CONFIG;
use crate::program::{client_command, run};
use crate::senders::{Promises, start_senders};
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;

const SIGBUS: i32 = 7;
/// What a stop may take (R38).
const STOP_MAX: Duration = Duration::from_secs(5);

/// Starts a daemon, and lets it store some batches under load.
async fn loaded(folder: &std::path::Path, batches: u64) -> (Daemon, Arc<Promises>) {
    let daemon = Daemon::start(folder, CONFIG, &["--log-level", "warn"]);
    let promises = Arc::new(Promises::default());
    let mut senders = start_senders(daemon.grpc(), &promises).await;
    tokio::task::block_in_place(|| promises.wait_for_more(batches));
    senders.shutdown().await;
    (daemon, promises)
}

/// R12: somebody cuts a sealed file while it is mapped. One line names file and offset, the daemon ends by SIGBUS,
/// and the next one serves all other segments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_file_that_is_cut_under_the_daemon_ends_it_with_file_and_offset() {
    let folder = tempdir().unwrap();
    let (mut daemon, _) = loaded(folder.path(), 100).await;
    tokio::task::block_in_place(|| {
        run(&daemon, &["seal"]).with(0);
        // It is mapped from here on.
        run(&daemon, &["query", "--address", "standard@0", "-o", "jsonl"]).with(0);
        let name = "logs/default/standard/00000000000000000000.log";
        let file = daemon.data().join(name);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        OpenOptions::new().write(true).open(&file).unwrap().set_len(4_096).unwrap();
        let mut question = client_command(&daemon);
        question.args(["query", "--oldest", "--limit", "1000", "-o", "jsonl"]);
        // The answer is cut off by the daemon's end; what the client says of that is not the point here.
        crate::program::run_with(question, &[] as &[&str], b"");
        let status = daemon.ended();
        let log = daemon.log();
        assert_eq!(status.signal(), Some(SIGBUS), "{log}");
        let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("piperoll: cannot read")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        let offset = lines[0].strip_prefix(&format!("piperoll: cannot read {name} at offset "));
        let offset: Option<u64> =
            offset.and_then(|rest| rest.split(':').next()).and_then(|it| it.parse().ok());
        assert!(offset.is_some_and(|offset| offset >= 4_096), "{log}");

        daemon.start_again().unwrap();
        let asked = run(&daemon, &["query", "--address", "standard@0", "-o", "jsonl"]);
        assert_ne!(asked.code, Some(0), "a cut file is no answer");
        assert!(asked.err.contains("00000000000000000000.log"), "{}", asked.err);
        run(&daemon, &["query", "--address", "deploys@0", "-o", "jsonl"]).with(0);
    });
}

/// R38: groups in flight are finished and acknowledged; it ends within 5 s, and everything it acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_asked_to_stop_under_load_keeps_what_it_acknowledged() {
    let folder = tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), CONFIG, &["--log-level", "warn"]);
    let promises = Arc::new(Promises::default());
    let endpoint = daemon.grpc().to_owned();
    let senders = start_senders(&endpoint, &promises).await;
    tokio::task::block_in_place(|| {
        for _ in 0..3 {
            promises.wait_for_more(50);
            let (status, time) = daemon.terminate();
            assert!(status.success(), "{}", daemon.log());
            assert!(time < STOP_MAX, "it took {time:?}");
            let halves = fs::read_dir(daemon.data().join("logs/default/standard")).unwrap();
            let halves =
                halves.filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().ends_with(".tmp"));
            assert_eq!(halves.count(), 0, "nothing half sealed is left");
            daemon.start_again().unwrap();
        }
    });
    promises.end(senders).await;
    let options = piperoll_client::ClientOptions::new(endpoint.clone());
    let client = piperoll_client::Client::connect(options).await.unwrap();
    crate::check::check_everything(&client, &promises).await;
    crate::check::check_retries(&endpoint, &promises).await;
}
