//! The kill loop.

use crate::check::{check_everything, check_retries};
use crate::daemon::Daemon;
use crate::http::get;
use crate::program::{client_command, run, run_alone, run_with};
use crate::senders::{Promises, start_senders};
use piperoll_client::{Client, ClientOptions};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::tempdir;
use tokio::time::Instant;

pub(crate) const CONFIG: &str = r#"
[storage]
segment_bytes_max = "192KiB"

[retention]
default_class = "standard"
classes = [{ name = "standard", keep = "400d" }, { name = "deploys", keep = "7y" }]
routes = [{ class = "deploys", stage = "deploy*" }]
"#;

/// Kills, unless `PIPEROLL_TEST_CASES` says otherwise.
fn cycles() -> u64 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Acknowledged batches between two kills: few as a rule and now and then many, by the number of the cycle.
fn batches_until_kill(cycle: u64) -> u64 {
    1 + cycle.wrapping_mul(7_919) % if cycle.is_multiple_of(10) { 400 } else { 50 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_changed_by_kills() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CONFIG, &["--log-level", "warn"]);
    let promises = Arc::new(Promises::default());
    let endpoint = daemon.grpc().to_owned();
    let senders = start_senders(&endpoint, &promises).await;

    let begun = Instant::now();
    let watched = Arc::clone(&promises);
    let daemon = tokio::task::spawn_blocking(move || kill_again_and_again(daemon, &watched)).await.unwrap();
    let took = begun.elapsed();
    promises.end(senders).await;
    let client = Client::connect(ClientOptions::new(endpoint.clone())).await.unwrap();
    let events = check_everything(&client, &promises).await;
    println!(
        "{} kills in {} s, {} batches kept, {events} events there",
        cycles(),
        took.as_secs(),
        promises.batches.lock().unwrap().len()
    );
    check_retries(&endpoint, &promises).await;
    // Sealing and another start change nothing of it.
    let daemon = tokio::task::spawn_blocking(move || {
        let mut daemon = daemon;
        run(&daemon, &["seal"]).with(0);
        daemon.kill_and_restart();
        daemon
    })
    .await
    .unwrap();
    let client = Client::connect(ClientOptions::new(endpoint)).await.unwrap();
    check_everything(&client, &promises).await;
    tokio::task::spawn_blocking(move || check_files(daemon)).await.unwrap();
}

fn kill_again_and_again(mut daemon: Daemon, promises: &Promises) -> Daemon {
    for cycle in 0..cycles() {
        promises.wait_for_more(batches_until_kill(cycle));
        daemon.kill_and_restart();
        assert_eq!(get(&daemon, "/readyz").0, 200, "ready is what the ready file promised");
        // One event of the newest acknowledgement is there as soon as the daemon is.
        let address = {
            let batches = promises.batches.lock().unwrap();
            let newest = batches
                .values()
                .flatten()
                .max_by(|a, b| (&a.class, a.end_sequence).cmp(&(&b.class, b.end_sequence)))
                .unwrap();
            format!("{}@{}", newest.class, newest.end_sequence - 1)
        };
        run_with(client_command(&daemon), &["query", "--address", &address, "-o", "jsonl"], b"").with(0);
    }
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    daemon
}

/// Every file that the kills left behind checks, or is a torn tail that was kept aside.
fn check_files(mut daemon: Daemon) {
    assert!(daemon.terminate().0.success());
    let mut files = Vec::new();
    files_below(&daemon.data().join("logs"), &mut files);
    let segments = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "log")).count();
    assert!(segments >= 2, "{files:?}");
    for path in
        files.iter().filter(|path| path.extension().is_some_and(|ending| ending != "torn" && ending != "tmp"))
    {
        run_alone(path.parent().unwrap(), &["inspect", path.to_str().unwrap(), "--frames", "0"]).with(0);
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}
