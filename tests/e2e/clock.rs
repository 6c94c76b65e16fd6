//! A daemon that starts with a clock far ahead of its last entry, and the commands that say so and end it.

use crate::daemon::{Daemon, PATIENCE};
use crate::http;
use crate::input::{CLASSES, at_terminal, event};
use crate::past::{engine, store};
use crate::program::{client_command, run, run_with};
use piperoll_client::{Client, ClientError, ClientOptions, ProducerOptions};
use piperoll_proto::v1::{AppendRequest, Event};
use piperoll_store::kernel_clock;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::tempdir;
use tonic::Code;

/// 2020-01-01T00:00:00Z.
const LONG_AGO_NS: i64 = 1_577_836_800_000_000_000;

/// A data directory whose last entry is of long ago.
fn old_directory(data: &Path) {
    let engine = engine(data, LONG_AGO_NS);
    let event = Event { actor: Some("alice".into()), action: Some("old.event".into()), ..Event::default() };
    store(&engine, "standard", &AppendRequest { events: vec![event], ..AppendRequest::default() });
    engine.keeper.round().unwrap();
}

fn old_daemon(folder: &Path) -> Option<Daemon> {
    if kernel_clock::is_synchronised() {
        eprintln!(
            "skipped, because the kernel reports its clock synchronised, so that every start believes it"
        );
        return None;
    }
    old_directory(&folder.join("data"));
    Some(Daemon::start(folder, CLASSES, &[]))
}

fn append(daemon: &Daemon) -> crate::program::Ended {
    let line = br#"{"actor":"bob","action":"new.event"}"#;
    run_with(client_command(daemon), &["append", "-"], line)
}

fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&run(daemon, &["clock", "status", "-o", "json"]).with(0)).unwrap()
}

/// R25, end to end: refused with what to type, read all the same, accepted, recorded in the daemon's own log.
#[test]
fn a_clock_that_is_not_believed_is_accepted_by_a_person_and_recorded() {
    let folder = tempdir().unwrap();
    let Some(daemon) = old_daemon(folder.path()) else { return };
    let refused = append(&daemon);
    assert!(refused.err.contains("piperoll clock accept"), "{}", refused.err);
    refused.with(3);
    assert_eq!(run(&daemon, &["count"]).with(0), "1\n", "reads go on");
    assert!(run(&daemon, &["sweep"]).err.contains("nothing is dropped"));
    let (code, ready) = http::get(&daemon, "/readyz");
    assert!(code == 200 && ready.contains("no log takes appends"), "{code} {ready}");

    let before = status(&daemon);
    assert_eq!(before["appends_refused"], json!(true));
    assert!(before["ahead_seconds"].as_f64().unwrap() > 86_400.0, "{before}");
    assert!(before["believed"].as_str().unwrap().starts_with("2020-01-01T00:0"), "{before}");
    let words = run(&daemon, &["clock", "status"]).with(0);
    assert!(words.contains("refused until the clock is believed"), "{words}");

    let unasked = run(&daemon, &["clock", "accept"]);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    unasked.with(2);
    assert_eq!(status(&daemon)["appends_refused"], json!(true), "nobody confirmed");

    let accepted = run(&daemon, &["clock", "accept", "--yes", "-o", "json"]).with(0);
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    assert_eq!(accepted["address"], json!("_piperoll/_audit@0"));
    append(&daemon).with(0);
    assert_eq!(run(&daemon, &["count"]).with(0), "2\n");
    assert_eq!(status(&daemon)["ahead_seconds"], json!(0.0));
    run(&daemon, &["clock", "accept", "--yes"]).with(1);

    let own = ["query", "--tenant", "_piperoll", "action = clock.accepted", "-o", "jsonl"];
    let record: Value = serde_json::from_str(&run(&daemon, &own).with(0)).unwrap();
    let text = record.to_string();
    for part in ["\"piperoll\"", "\"daemon\"", "anonymous", "2020-01-01T00:0", "_piperoll/_audit@0"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(run(&daemon, &["count", "--tenant", "_piperoll"]).with(0), "1\n");
    let foreign = run_with(
        client_command(&daemon),
        &["append", "--tenant", "_piperoll", "-"],
        br#"{"actor":"mallory","action":"clock.accepted"}"#,
    );
    assert!(foreign.err.contains("the daemon's own"), "{}", foreign.err);
    foreign.with(2);
}

/// R25: `clock_not_believed` does not pass by itself, so a producer is told at once; the same batch may be sent again
/// once a person has accepted the clock, and is stored once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_does_not_wait_for_a_clock_that_is_not_believed() {
    let folder = tempdir().unwrap();
    let Some(daemon) = old_daemon(folder.path()) else { return };
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let send = async || {
        let options =
            ProducerOptions { producer_id: Some(7), retry_for: PATIENCE, ..ProducerOptions::default() };
        let mut producer = client.producer(options).unwrap();
        let pushed = producer.push(&event("e1")).await;
        match pushed {
            Ok(()) => producer.finish().await.map(|_| ()),
            Err(error) => Err(error),
        }
    };
    let error = send().await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused(_)), "tried again: {error:?}");
    assert_eq!(error.code(), Some(Code::FailedPrecondition));
    assert!(error.to_string().contains("piperoll clock accept"), "{error}");
    assert_eq!(run(&daemon, &["count"]).with(0), "1\n", "nothing was stored");
    run(&daemon, &["clock", "accept", "--yes"]).with(0);
    for _ in 0..2 {
        send().await.unwrap();
        assert_eq!(run(&daemon, &["count"]).with(0), "2\n", "the same batch is stored once");
    }
}

/// R25: a person at a terminal is asked, and only the word is a yes.
#[test]
fn a_person_at_a_terminal_is_asked_before_the_clock_is_accepted() {
    let folder = tempdir().unwrap();
    let Some(daemon) = old_daemon(folder.path()) else { return };
    let Some(refused) = at_terminal(&daemon, "clock accept", "yes\n") else { return };
    assert!(refused.out.contains("Type 'accept' to confirm"), "{}", refused.out);
    refused.with(1);
    assert_eq!(status(&daemon)["appends_refused"], json!(true));
    let accepted = at_terminal(&daemon, "clock accept", "accept\n").unwrap().with(0);
    assert!(accepted.contains("_piperoll/_audit@0"), "{accepted}");
    append(&daemon).with(0);
}
