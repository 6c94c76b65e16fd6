//! The kill loop.

use crate::daemon::{Daemon, wait_until};
use crate::http::get;
use crate::program::{client_command, run, run_alone, run_with};
use crate::senders::{Promises, acknowledged, events_of, streaming, unary};
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{Event, EventRecord, Order, QueryRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tempfile::tempdir;
use tonic::transport::Endpoint;

const CONFIG: &str = r#"
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

/// Acknowledged batches between two kills: few and many, by the number of the cycle.
fn batches_until_kill(cycle: u64) -> u64 {
    1 + cycle.wrapping_mul(7_919) % 400
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_changed_by_kills() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CONFIG, &["--log-level", "warn"]);
    let promises = Arc::new(Promises::default());
    let endpoint = daemon.grpc().to_owned();
    let mut senders = tokio::task::JoinSet::new();
    for producer in [11, 12] {
        let channel = Endpoint::from_shared(endpoint.clone()).unwrap().connect_lazy();
        senders.spawn(unary(channel, producer, Arc::clone(&promises)));
    }
    let client = Client::connect(ClientOptions::new(endpoint.clone())).await.unwrap();
    senders.spawn(streaming(client, 21, Arc::clone(&promises)));

    let watched = Arc::clone(&promises);
    let daemon = tokio::task::spawn_blocking(move || kill_again_and_again(daemon, &watched)).await.unwrap();
    promises.enough.store(true, Ordering::SeqCst);
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    let client = Client::connect(ClientOptions::new(endpoint.clone())).await.unwrap();
    check_everything(&client, &promises).await;
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
        let wanted = promises.count.load(Ordering::SeqCst) + batches_until_kill(cycle);
        wait_until("batches to be acknowledged", || {
            (promises.count.load(Ordering::SeqCst) >= wanted).then_some(())
        });
        daemon.kill_and_restart();
        assert_eq!(get(&daemon, "/readyz").0, 200, "ready is what the ready file promised");
        // One event of the newest acknowledgement is there as soon as the daemon is.
        let address = {
            let batches = promises.batches.lock().unwrap();
            let newest = batches
                .values()
                .flatten()
                .max_by_key(|range| (range.class.clone(), range.end_sequence))
                .unwrap();
            format!("{}@{}", newest.class, newest.end_sequence - 1)
        };
        run_with(client_command(&daemon), &["query", "--address", &address, "-o", "jsonl"], b"").with(0);
    }
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    daemon
}

/// Compares everything that is there with everything that was promised.
async fn check_everything(client: &Client, promises: &Promises) {
    let found = all_records(client).await;
    let mut ids = BTreeSet::new();
    let mut received = BTreeMap::new();
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for record in found.values() {
        let event = record.event.as_ref().unwrap();
        assert_eq!(*event, as_sent(event.id()), "an event changed");
        assert!(ids.insert(event.id().to_owned()), "{} is there twice", event.id());
        let expected = next.entry(record.class.clone()).or_default();
        assert_eq!(record.sequence, *expected, "{} has a gap", record.class);
        *expected += 1;
        let time = record.received.as_ref().map(|time| (time.seconds, time.nanos));
        let last = received.insert(record.class.clone(), time).flatten();
        assert!(time >= last, "received falls at {}", record.address);
    }
    let batches = promises.batches.lock().unwrap().clone();
    for ((producer, sequence), ranges) in &batches {
        let events = events_of(*producer, *sequence);
        let mut covered = 0;
        for range in ranges {
            for (at, address) in (range.first_sequence..range.end_sequence).enumerate() {
                let position = range.positions.get(at).map_or(at, |position| *position as usize);
                let record = found.get(&(range.class.clone(), address));
                let record = record
                    .unwrap_or_else(|| panic!("{}@{address} was acknowledged and is lost", range.class));
                assert_eq!(record.event.as_ref(), events.get(position), "{}@{address}", range.class);
                assert_eq!(record.received, range.received);
                covered += 1;
            }
        }
        assert_eq!(covered, events.len(), "{producer}#{sequence}: every event has an address");
    }
    assert!(ids.len() >= batches.len() * events_of(1, 1).len());
}

fn as_sent(id: &str) -> Event {
    let numbers: Vec<u64> = id.split('-').map(|part| part.parse().unwrap()).collect();
    events_of(numbers[0], numbers[1]).swap_remove(usize::try_from(numbers[2]).unwrap())
}

async fn all_records(client: &Client) -> BTreeMap<(String, u64), EventRecord> {
    let mut found = BTreeMap::new();
    let mut position = String::new();
    loop {
        let request = QueryRequest {
            order: Order::OldestFirst.into(),
            limit: 10_000,
            position,
            ..QueryRequest::default()
        };
        let mut answer = client.query(request).await.unwrap();
        while let Some(record) = answer.next().await.unwrap() {
            let before = found.insert((record.class.clone(), record.sequence), record);
            assert_eq!(before.map(|record| record.address), None, "pages overlap");
        }
        if answer.exhausted() {
            return found;
        }
        position = answer.position().to_owned();
    }
}

/// A retry of the newest batches of each producer gets the addresses of the first time, and stores nothing.
async fn check_retries(endpoint: &str, promises: &Promises) {
    let mut client = EventServiceClient::connect(endpoint.to_owned()).await.unwrap();
    let batches = promises.batches.lock().unwrap().clone();
    for producer in [11, 12, 21] {
        let own: Vec<_> = batches.iter().filter(|((id, _), _)| *id == producer).collect();
        // The oldest and the newest ones.
        for ((id, sequence), first) in own.iter().take(10).chain(own.iter().rev().take(30)) {
            assert_eq!(acknowledged(&mut client, *id, *sequence).await, **first, "{id}#{sequence}");
        }
    }
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
