//! A daemon that starts with a clock far ahead of its last entry, and the commands that say so and end it.

use crate::daemon::{Daemon, command};
use crate::http;
use crate::input::CLASSES;
use crate::past::{engine, store};
use crate::program::{client_command, run, run_with};
use piperoll_proto::v1::{AppendRequest, Event};
use piperoll_store::kernel_clock;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;

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

/// R25: a person at a terminal is asked, and only the word is a yes.
#[test]
fn a_person_at_a_terminal_is_asked_before_the_clock_is_accepted() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped, because there is no `script` to make a terminal with");
        return;
    }
    let folder = tempdir().unwrap();
    let Some(daemon) = old_daemon(folder.path()) else { return };
    let answer = |word: &[u8]| {
        let mut script = Command::new("script");
        script.env("PIPEROLL_ENDPOINT", daemon.grpc()).current_dir(folder.path());
        let program = format!("{} clock accept", command(folder.path()).get_program().display());
        run_with(script, &["-qec", &program, "/dev/null"], word)
    };
    let refused = answer(b"yes\n");
    assert!(refused.out.contains("Type 'accept' to confirm"), "{}", refused.out);
    refused.with(1);
    assert_eq!(status(&daemon)["appends_refused"], json!(true));
    let accepted = answer(b"accept\n").with(0);
    assert!(accepted.contains("_piperoll/_audit@0"), "{accepted}");
    append(&daemon).with(0);
}
