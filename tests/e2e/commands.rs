//! The commands that ask: query, count, tail, status, config; in every format and with every exit code.

use crate::daemon::{Daemon, PROGRAM, wait_until, write};
use crate::http::get;
use crate::input::{CLASSES, LINES, append_lines, ids, json_lines};
use crate::program::{client_command, ended, run, run_alone, run_with};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use tempfile::tempdir;

#[test]
fn what_was_appended_is_found_in_every_format() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);

    let newest = run(&daemon, &["query", "-o", "jsonl"]).with(0);
    assert_eq!(ids(&newest).len(), 6);
    assert_eq!(
        ids(&run(&daemon, &["query", "--actor", "bob", "--stage", "build", "-o", "jsonl"]).with(0)),
        ["e2"]
    );
    let standard = run(&daemon, &["query", "class = standard", "-o", "jsonl"]).with(0);
    assert_eq!(ids(&standard), ["e6", "e4", "e2", "e1"]);
    let oldest = run(&daemon, &["query", "stage = build", "--oldest", "-o", "json"]).with(0);
    let document: Value = serde_json::from_str(&oldest).unwrap();
    assert_eq!(document[0]["event"]["id"], json!("e1"));
    assert_eq!(document[0]["address"], json!("default/standard@0"));
    assert_eq!(document[0]["event"]["time"], json!("2026-11-23T08:00:00Z"));
    assert_eq!(document[0]["sender"]["principal"], json!("anonymous"));
    assert_eq!(document[0]["sender"]["intake"], json!("grpc"));
    assert_eq!(document[1]["event"]["reason"], json!("a, \"quoted\" one"));

    let table = run(&daemon, &["query", "stage = deploy*"]).with(0);
    assert!(table.starts_with("TIME") || table.trim_start().starts_with("TIME"), "{table}");
    assert!(table.contains("bob (for carol)") && table.contains("deploys@1"), "{table}");
    let csv = run(&daemon, &["query", "id = e2", "-o", "csv"]).with(0);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let at = reader.headers().unwrap().iter().position(|name| name == "reason").unwrap();
    assert_eq!(&reader.records().next().unwrap().unwrap()[at], "a, \"quoted\" one");

    let one = run(&daemon, &["query", "--address", "default/deploys@0", "-o", "jsonl"]).with(0);
    assert_eq!(ids(&one), ["e3"]);
    run(&daemon, &["query", "--address", "default/deploys@99"]).with(1);
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for order in ["newest", "oldest"] {
        let ask = |limit: &str, position: Option<&str>| {
            let mut arguments = vec!["query", "-n", limit, "-o", "jsonl", "NOT actor = late"];
            arguments.extend((order == "oldest").then_some("--oldest"));
            arguments.extend(position.into_iter().flat_map(|position| ["--position", position]));
            run(&daemon, &arguments)
        };
        let all = ids(&ask("100", None).with(0));
        let mut pages = Vec::new();
        let mut position: Option<String> = None;
        loop {
            let page = ask("2", position.as_deref());
            position = page.err.split("--position ").nth(1).map(|rest| rest.trim().to_owned());
            if page.code == Some(1) {
                break;
            }
            pages.extend(ids(&page.with(0)));
            if position.is_none() {
                break;
            }
            append_lines(&daemon, r#"{"id":"late","actor":"late","action":"came.late"}"#);
        }
        assert_eq!(pages, all, "{order}");
    }
}

#[test]
fn counts_are_right_in_every_format() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    assert_eq!(run(&daemon, &["count"]).with(0), "6\n");
    assert_eq!(
        run(&daemon, &["count", "actor = alice OR on_behalf_of = carol", "-o", "csv"]).with(0),
        "count\n3\n"
    );
    assert_eq!(
        run(&daemon, &["count", "--by", "stage", "-o", "csv"]).with(0).lines().next(),
        Some("stage,count"),
    );
    let document: Value =
        serde_json::from_str(&run(&daemon, &["count", "--by", "stage,outcome", "-o", "json"]).with(0))
            .unwrap();
    assert_eq!(document["total"], json!(6));
    let groups = document["groups"].as_array().unwrap();
    assert!(
        groups.contains(&json!({ "by": { "stage": "build", "outcome": "failure" }, "count": 1 })),
        "{groups:?}"
    );
    assert!(groups.contains(&json!({ "by": { "stage": null, "outcome": null }, "count": 1 })), "{groups:?}");
    let table = run(&daemon, &["count", "--by", "class"]).with(0);
    assert!(table.contains("standard") && table.contains("total"), "{table}");
    assert_eq!(run(&daemon, &["count", "actor = nobody"]).with(1), "0\n");
}

#[test]
fn a_tail_shows_what_was_there_and_what_comes() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let child = client_command(&daemon)
        .args(["tail", "--from", "-1h", "-n", "3", "-o", "jsonl", "actor IN (alice, dora)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let live = client_command(&daemon)
        .args(["tail", "-n", "1", "-o", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("both tails to be connected", || {
        let status: Value = serde_json::from_str(&run(&daemon, &["status", "-o", "json"]).with(0)).unwrap();
        (status["tails"] == json!(2)).then_some(())
    });
    append_lines(&daemon, r#"{"id":"live","actor":"dora","action":"deploy.approved","stage":"deploy-prod"}"#);
    // The two logs of one batch have times of their own: which of their events comes first is not promised.
    let mut seen = ids(&ended(child).with(0));
    assert_eq!(seen.pop().as_deref(), Some("live"));
    seen.sort();
    assert_eq!(seen, ["e1", "e3"]);
    assert_eq!(ids(&ended(live).with(0)), ["live"]);
}

#[test]
fn wrong_questions_are_refused_where_they_are_wrong() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let check = |arguments: &[&str], code: i32, words: &str| {
        let ended = run(&daemon, arguments);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
        ended.with(code);
    };
    check(&["query", "actr = alice"], 2, "actor");
    check(&["query", "actor = "], 2, "^");
    check(&["count", "--by", "nothing"], 2, "nothing");
    check(&["query", "--position", "garbage"], 2, "position");
    check(&["query", "--address", "garbage"], 2, "address");
    check(&["query", "--tenant", "../x"], 2, "name");
    check(&["count", "--tenant", "_a_b"], 2, "_");
    check(&["tail", "--from", "yesteryear"], 2, "yesteryear");
    check(&["query", "--nonsense"], 2, "nonsense");
    check(&["frobnicate"], 2, "frobnicate");
    check(&["query", "actor = nobody"], 1, "nothing found");
}

#[test]
fn without_a_daemon_a_command_says_whom_it_did_not_reach() {
    let folder = tempdir().unwrap();
    // A port that was free a moment ago, and that nobody listens on now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = run_alone(folder.path(), &["status", "--endpoint", &format!("http://{address}")]);
    assert!(ended.err.contains(&address.to_string()), "{}", ended.err);
    ended.with(3);
}

#[test]
fn an_endpoint_that_cannot_be_spoken_to_is_refused_with_the_right_one() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let check = |endpoint: &str, words: &str, code: i32| {
        let ended = run(&daemon, &["count", "--endpoint", endpoint]);
        assert!(ended.err.contains(words), "{endpoint}: {}", ended.err);
        ended.with(code);
    };
    let host = daemon.grpc().trim_start_matches("http://");
    // It was taken for http once: nothing was encrypted, and nobody was told.
    check(&format!("https://{host}"), &format!("TLS is not there yet; write http://{host}"), 2);
    check(host, &format!("write http://{host}"), 2);
    check(&format!("http://{}", daemon.http()), "is it the daemon's HTTP port?", 3);
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    for arguments in
        [&["query"][..], &["count", "--by", "stage"], &["values", "stage"], &["histogram"], &["tail"]]
    {
        let ended = run(&daemon, &[arguments, &["-n", "0"]].concat());
        assert!(ended.err.contains("--limit"), "{arguments:?}: {}", ended.err);
        ended.with(2);
    }
}

#[test]
fn tables_of_csv_have_a_header_also_without_a_row() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for (found, none) in [
        (["query", "id = e1"], ["query", "id = e9"]),
        (["timeline", "commit:c0ffee"], ["timeline", "commit:0"]),
    ] {
        append_lines(&daemon, r#"{"actor":"a","action":"b.c","commit":"c0ffee"}"#);
        let header = run(&daemon, &[&found[..], &["-o", "csv"]].concat()).with(0);
        let empty = run(&daemon, &[&none[..], &["-o", "csv"]].concat()).with(1);
        assert_eq!(Some(empty.trim_end()), header.lines().next(), "{none:?}");
    }
}

#[test]
fn empty_values_are_told_from_absent_ones() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, r#"{"actor":"a","action":"b.c","reason":""}"#);
    append_lines(&daemon, r#"{"actor":"a","action":"b.c"}"#);
    let counted = run(&daemon, &["count", "--by", "reason"]).with(0);
    assert!(counted.contains("\n \"\"") && counted.contains("\n (none)"), "{counted}");
    let listed = run(&daemon, &["values", "reason"]).with(0);
    assert!(listed.contains("\n \"\""), "{listed}");
}

#[test]
fn what_is_said_to_go_on_with_can_be_pasted_into_a_shell() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let lines = r#"{"id":"p1","actor":"o'brien $(touch pwned) `touch pwned` \"x\" \\","action":"a.b"}"#;
    for _ in 0..3 {
        let arguments = ["append", "--tenant", "acme"];
        run_with(client_command(&daemon), &arguments, lines.as_bytes()).with(0);
    }
    // A time that is settled when it is asked, a tenant that is said, and all that a shell would read otherwise.
    let filter = r#"actor = "o'brien $(touch pwned) `touch pwned` \"x\" \\" AND received >= -1h"#;
    let ended = run(&daemon, &["query", filter, "--tenant", "acme", "-n", "1", "-o", "jsonl"]);
    let said = ended.err.split("piperoll ").nth(1).unwrap().trim().to_owned();
    ended.with(0);
    let mut shell = Command::new("sh");
    shell.env("PIPEROLL_ENDPOINT", daemon.grpc()).env_remove("PIPEROLL_TENANT").current_dir(folder.path());
    let script = format!("{PROGRAM} {said} -o jsonl");
    let pasted = run_with(shell, &["-c", &script], b"");
    assert!(pasted.err.contains("there may be more"), "{said}: {}", pasted.err);
    assert_eq!(ids(&pasted.with(0)), ["p1"], "{said}");
    assert!(!folder.path().join("pwned").exists());
}

#[test]
fn status_tells_of_each_log_in_every_format() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let words = run(&daemon, &["status"]).with(0);
    assert!(words.contains("no logs yet"), "{words}");
    append_lines(&daemon, LINES);
    let document: Value = serde_json::from_str(&run(&daemon, &["status", "-o", "json"]).with(0)).unwrap();
    let logs = document["logs"].as_array().unwrap();
    let ends: Vec<_> = logs
        .iter()
        .map(|log| (log["class"].as_str().unwrap(), log["end_sequence"].as_u64().unwrap()))
        .collect();
    assert_eq!(ends, [("deploys", 2), ("standard", 4)]);
    assert!(document["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!(json_lines(&run(&daemon, &["status", "-o", "jsonl"]).with(0)).len(), 1);
    let csv = run(&daemon, &["status", "-o", "csv"]).with(0);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let words = run(&daemon, &["status"]).with(0);
    assert!(words.contains("default/deploys") && words.contains("yes"), "{words}");
    let (status, metrics) = get(&daemon, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("piperoll_build_info"), "{metrics}");
}

#[test]
fn tenants_do_not_see_each_other() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let mut other = client_command(&daemon);
    other.env("PIPEROLL_TENANT", "other");
    let line = r#"{"id":"theirs","actor":"eve","action":"build.finished"}"#;
    crate::program::run_with(other, &["append"], line.as_bytes()).with(0);
    assert_eq!(run(&daemon, &["count"]).with(0), "6\n");
    assert_eq!(run(&daemon, &["count", "--tenant", "other"]).with(0), "1\n");
    run(&daemon, &["query", "--tenant", "third"]).with(1);
    run(&daemon, &["query", "--address", "other/standard@0"]).with(2);
}

#[test]
fn the_configuration_is_checked_and_shown_with_origins() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("piperoll.toml");
    write(&file, "[storage]\nsegment_bytes_max = \"8MiB\"\n");
    run_alone(folder.path(), &["config", "check"]).with(0);
    let shown =
        run_alone(folder.path(), &["config", "show", "--origin", "-o", "json", "--set", "log.level=warn"])
            .with(0);
    let document: Value = serde_json::from_str(&shown).unwrap();
    let origin = |key: &str| document[key]["origin"].as_str().unwrap().to_owned();
    assert!(origin("storage.segment_bytes_max").contains("piperoll.toml"), "{shown}");
    assert!(origin("log.level").contains("--set"), "{shown}");
    assert_eq!(origin("server.grpc_listen"), "default");
    let table = run_alone(folder.path(), &["config", "show", "--origin"]).with(0);
    assert!(table.contains("8MiB"), "{table}");

    write(&file, "[storage]\nsegment_bytes_maxx = \"8MiB\"\n");
    for command in [&["config", "check"][..], &["serve"]] {
        let ended = run_alone(folder.path(), command);
        assert!(
            ended.err.contains("segment_bytes_maxx") && ended.err.contains("segment_bytes_max`?"),
            "{}",
            ended.err
        );
        ended.with(2);
    }
    write(&file, "[storage\n");
    let ended = run_alone(folder.path(), &["config", "check"]);
    assert!(ended.err.contains("line 1"), "{}", ended.err);
    ended.with(2);
    run_alone(folder.path(), &["config", "check", "--config", "missing.toml"]).with(2);
}
