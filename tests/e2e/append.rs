//! `append`: payloads, interruptions, and input that is wrong.

use crate::daemon::{Daemon, wait_until, write};
use crate::input::{CLASSES, LINES, append_lines, ids};
use crate::program::{client_command, run, run_with};
use piperoll_samples::github_payloads;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use tempfile::tempdir;

#[test]
fn every_shipped_github_payload_is_stored() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let payloads = github_payloads();
    let mut arguments = vec!["append".to_owned(), "--format".to_owned(), "github".to_owned()];
    for payload in &payloads {
        let path = folder.path().join(payload.name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, payload.body);
        arguments.push(payload.name.to_owned());
    }
    run_with(client_command(&daemon), &arguments, b"").with(0);
    assert_eq!(run(&daemon, &["count"]).with(0), format!("{}\n", payloads.len()));
    let pushes = payloads.iter().filter(|payload| payload.kind == "push").count();
    let found = run(&daemon, &["count", "action = push*"]).with(0);
    assert!(found.trim().parse::<usize>().unwrap() >= pushes, "{found}");
}

#[test]
fn one_payload_comes_over_stdin_with_its_headers() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let payload = github_payloads().into_iter().find(|payload| payload.kind == "push").unwrap();
    let arguments = ["append", "--format", "github", "--kind", "push", "--delivery", "72d3162e"];
    run_with(client_command(&daemon), &arguments, payload.body).with(0);
    let found = run(&daemon, &["query", "-o", "jsonl"]).with(0);
    assert_eq!(ids(&found), ["72d3162e"]);
    // Without --kind nothing says what a payload on stdin is.
    run_with(client_command(&daemon), &arguments[..3], payload.body).with(2);
}

#[test]
fn an_interrupted_run_goes_on_and_stores_nothing_twice() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let arguments = ["append", "--state", "progress.json", "--batch", "50"];
    let mut child =
        client_command(&daemon).args(arguments).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = String::new();
    let mut count = 0;
    let state = || -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(folder.path().join("progress.json")).ok()?).ok()
    };
    wait_until("progress to be saved", || {
        let begin = lines.len();
        for _ in 0..60 {
            writeln!(lines, r#"{{"id":"n{count}","actor":"a","action":"b.c"}}"#).unwrap();
            count += 1;
        }
        stdin.write_all(&lines.as_bytes()[begin..]).unwrap();
        state().filter(|state| state["events"].as_u64() > Some(0))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..500 {
        writeln!(lines, r#"{{"id":"n{count}","actor":"a","action":"b.c"}}"#).unwrap();
        count += 1;
    }
    let ended = run_with(client_command(&daemon), &arguments, lines.as_bytes());
    assert!(ended.err.contains("going on after"), "{}", ended.err);
    ended.with(0);
    assert!(state().is_none(), "the state file goes when all is stored");
    let limit = (count + 1_000).to_string();
    let found = ids(&run(&daemon, &["query", "--oldest", "-n", &limit, "-o", "jsonl"]).with(0));
    let wanted: Vec<_> = (0..count).map(|number| format!("n{number}")).collect();
    assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "nothing twice");
    assert_eq!(found, wanted);
}

#[test]
fn a_state_of_another_input_is_refused() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let arguments = ["append", "--state", "progress.json", "--batch", "50"];
    let check = |state: &str, words: &str| {
        write(&folder.path().join("progress.json"), state);
        let ended = run_with(client_command(&daemon), &arguments, LINES.as_bytes());
        assert!(ended.err.contains(words), "{}", ended.err);
        ended.with(2);
    };
    check("{}", "no state");
    check(r#"{"producer_id":7,"next_sequence":3,"events":100,"batch":60}"#, "--batch 60");
    check(r#"{"producer_id":7,"next_sequence":3,"events":100,"batch":50}"#, "same input");
}

#[test]
fn wrong_input_is_named_by_line_and_column() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let good = r#"{"id":"good","actor":"a","action":"b.c"}"#;
    let check = |wrong: &str, words: &[&str]| {
        write(&folder.path().join("input.jsonl"), format!("{good}\n{good}\n{wrong}\n{good}\n"));
        let ended = run(&daemon, &["append", "input.jsonl"]);
        for word in words {
            assert!(ended.err.contains(word), "{wrong}: {}", ended.err);
        }
        assert!(ended.err.contains("input.jsonl, line 3"), "{}", ended.err);
        ended.with(2);
    };
    check(r#"{"actor":"a" "action":"b"}"#, &["column 14"]);
    check(r#"{"actor":"a","actoin":"b"}"#, &["actoin", "action"]);
    check(r#"{"actor":"a"}"#, &["action"]);
    check(r#"{"actor":"a","action":"b","outcome":"maybe"}"#, &["outcome", "success"]);
    check(r#"{"actor":"a","action":"b","time":"yesterday"}"#, &["time"]);
    check(r#"{"actor":"a","action":"b","artifacts":[{"digest":"x"}]}"#, &["artifacts[0].digest"]);
    check("[]", &["object"]);
    // What stood before the wrong line was stored, each time.
    assert_eq!(run(&daemon, &["count"]).with(0), "14\n");
}

#[test]
fn what_the_daemon_refuses_is_wrong_input_too() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let line = r#"{"actor":"a\u0007","action":"b.c"}"#;
    let ended = run_with(client_command(&daemon), &["append"], line.as_bytes());
    assert!(ended.err.contains("events[0].actor"), "{}", ended.err);
    ended.with(2);
    let long = format!(r#"{{"actor":"a","action":"b.c","reason":"{}"}}"#, "x".repeat(65_536));
    run_with(client_command(&daemon), &["append"], long.as_bytes()).with(2);
    run(&daemon, &["count"]).with(1);
}

#[test]
fn nothing_to_send_is_said_by_the_exit_code() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    run_with(client_command(&daemon), &["append"], b"\n\n").with(1);
    run(&daemon, &["append", "missing.jsonl"]).with(2);
    run(&daemon, &["append", "."]).with(2);
    run(&daemon, &["append", "--kind", "push"]).with(2);
    append_lines(&daemon, LINES);
    let lenient = r#"{"actor":"a","action":"b.c","tool_version":3}"#;
    run_with(client_command(&daemon), &["append", "--lenient"], lenient.as_bytes()).with(0);
    let found = run(&daemon, &["query", "attr.tool_version = \"3\"", "-o", "jsonl"]).with(0);
    assert_eq!(found.lines().count(), 1);
}
