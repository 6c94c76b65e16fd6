//! The daemon's life: where it listens, whom it refuses, how it ends.

use crate::daemon::{Daemon, PATIENCE, PROGRAM, command, wait_until};
use crate::http::get;
use crate::input::{CLASSES, LINES, append_lines, event};
use crate::program::{ended, run, run_alone};
use piperoll_client::{Client, ClientOptions, ProducerOptions};
use piperoll_proto::v1::{Order, QueryRequest};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::tempdir;
use tokio::time::Instant;

#[test]
fn addresses_that_others_reach_need_a_word() {
    let folder = tempdir().unwrap();
    for listen in ["--grpc-listen", "--http-listen"] {
        let ended = run_alone(folder.path(), &["serve", "--directory", "data", listen, "0.0.0.0:0"]);
        assert!(ended.err.contains("--insecure-listen"), "{}", ended.err);
        assert!(matches!(ended.code, Some(2 | 3)), "{ended:?}");
    }
    assert!(!folder.path().join("data/logs").exists(), "a refused daemon leaves nothing");
    let daemon = Daemon::start(folder.path(), CLASSES, &["--insecure-listen"]);
    run(&daemon, &["status"]).with(0);
}

#[test]
fn a_second_daemon_on_a_directory_is_refused_at_once() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let begun = Instant::now();
    let second = command(folder.path())
        .args([
            "serve",
            "--directory",
            "data",
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = ended(second);
    // Promised is one second; the rest is for a machine that runs all tests at once.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(ended.err.contains(&format!("in use by pid {}", daemon.pid())), "{}", ended.err);
    ended.with(3);
    append_lines(&daemon, LINES);
}

#[test]
fn health_and_metrics_are_served_over_http() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    assert_eq!(get(&daemon, "/healthz").0, 200);
    assert_eq!(get(&daemon, "/readyz").0, 200);
    assert_eq!(get(&daemon, "/nothing").0, 404);
    let (status, metrics) = get(&daemon, "/metrics");
    assert_eq!(status, 200);
    for name in [
        "build_info",
        "appends_total",
        "acks_total",
        "sync_duration_seconds_count",
        "unsealed_segments",
        "tails",
    ] {
        assert!(metrics.contains(&format!("piperoll_{name}")), "{name} is not in\n{metrics}");
    }
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("piperoll_{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("sync_duration_seconds_count") >= 1.0);
    assert!(metrics.lines().all(|line| !line.contains("alice")), "no names of people in labels");
}

#[test]
fn what_speaks_no_protocol_is_let_go() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let grpc = daemon.grpc().trim_start_matches("http://");
    let long = [b"GET /".to_vec(), vec![b'x'; 1 << 20]].concat();
    let noise: [&[u8]; 4] =
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n", &[0; 4_096], &long];
    for address in [grpc, daemon.http()] {
        for bytes in noise {
            let mut stream = TcpStream::connect(address).unwrap();
            // It may be closed before all of it is written: that is the answer that it should get.
            stream.write_all(bytes).ok();
            stream.shutdown(Shutdown::Write).ok();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let ended = stream.read_to_end(&mut Vec::new());
            let waits =
                ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
            assert!(!waits, "the connection to {address} stays open");
        }
    }
    append_lines(&daemon, LINES);
    assert_eq!(get(&daemon, "/readyz").0, 200);
}

#[test]
fn logs_are_json_where_asked() {
    let folder = tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), CLASSES, &["--log-format", "json", "--log-level", "debug"]);
    append_lines(&daemon, LINES);
    daemon.terminate();
    let log = daemon.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn a_data_directory_that_cannot_be_is_refused_with_its_name() {
    let folder = tempdir().unwrap();
    crate::daemon::write(&folder.path().join("taken"), "a file");
    let ended = run_alone(
        folder.path(),
        &["serve", "--directory", "taken", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"],
    );
    assert!(ended.err.contains("taken"), "{}", ended.err);
    assert!(matches!(ended.code, Some(2 | 3)), "{ended:?}");
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let folder = tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let before = run(&daemon, &["query", "-o", "json"]).with(0);
    daemon.kill_and_restart();
    assert_eq!(run(&daemon, &["query", "-o", "json"]).with(0), before);
    let (status, took) = daemon.terminate();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    drop(daemon);
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    assert_eq!(run(&daemon, &["query", "-o", "json"]).with(0), before);
}

/// R38: stops accepting, finishes the groups in flight, acknowledges them, ends within five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_keeps_everything_that_was_acknowledged() {
    let folder = tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), CLASSES, &["--set", "storage.segment_bytes_max=1MiB"]);
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let (counter, sink) = (Arc::clone(&acknowledged), Arc::clone(&ranges));
    let options = ProducerOptions {
        batch_events_max: 100,
        retry_for: Duration::from_secs(1),
        on_ack: Some(Box::new(move |ack| {
            counter.fetch_add(ack.events as u64, Ordering::SeqCst);
            sink.lock().unwrap().extend(ack.response.ranges.clone());
        })),
        ..ProducerOptions::default()
    };
    let mut producer = client.producer(options).unwrap();
    let sending = tokio::spawn(async move {
        let mut number = 0_u64;
        // Ends when the daemon is gone and the producer gives up.
        while producer.push(&event(&format!("n{number}"))).await.is_ok() {
            number += 1;
        }
    });
    let counter = Arc::clone(&acknowledged);
    let (daemon, status, took) = tokio::task::spawn_blocking(move || {
        wait_until("events to be acknowledged", || (counter.load(Ordering::SeqCst) > 5_000).then_some(()));
        let (status, took) = daemon.terminate();
        (daemon, status, took)
    })
    .await
    .unwrap();
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    sending.await.unwrap();
    drop(daemon);

    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    let limit = u32::try_from(acknowledged + 100_000).unwrap();
    let request = QueryRequest { order: Order::OldestFirst.into(), limit, ..QueryRequest::default() };
    let mut answer = client.query(request).await.unwrap();
    let mut found = Vec::new();
    while let Some(record) = answer.next().await.unwrap() {
        assert_eq!(record.event.as_ref(), Some(&event(record.event.as_ref().unwrap().id())));
        found.push(record.event.unwrap().id().to_owned());
    }
    assert!(found.len() as u64 >= acknowledged, "{} of {acknowledged}", found.len());
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "nothing twice");
    for range in ranges.lock().unwrap().iter() {
        assert!(range.end_sequence <= found.len() as u64);
    }
    for (number, id) in found.iter().enumerate() {
        assert_eq!(*id, format!("n{number}"), "one producer, one class: in the order sent");
    }
}

#[test]
fn help_shows_every_command_and_exit_code() {
    let out = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(out.stdout).unwrap();
    for word in
        ["serve", "append", "query", "count", "tail", "status", "seal", "sweep", "inspect", "config", "demo"]
    {
        assert!(help.contains(&format!("\n  {word} ")), "{word} is not in\n{help}");
    }
    assert!(help.contains("Exit codes"), "{help}");
}
