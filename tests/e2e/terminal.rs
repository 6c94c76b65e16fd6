//! What a terminal and a pipe get.

use crate::daemon::{Daemon, PROGRAM, wait_until};
use crate::input::{CLASSES, LINES, append_lines, at_terminal};
use crate::program::{client_command, ended, run, run_with};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use tempfile::tempdir;

#[test]
fn pipes_get_no_escape_codes() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for arguments in [
        &["query"][..],
        &["query", "--relative"],
        &["count", "--by", "stage"],
        &["histogram", "--by", "outcome"],
        &["values", "stage"],
        &["timeline", "run:1"],
        &["status"],
        &["query", "x ="],
        &["seal"],
        &["--help"],
    ] {
        for colour in [None, Some("1")] {
            let mut command = client_command(&daemon);
            command.envs(colour.map(|value| ("NO_COLOR", value)));
            let ended = run_with(command, arguments, b"");
            assert!(
                !ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'),
                "{arguments:?}: {ended:?}"
            );
        }
    }
}

#[test]
fn terminals_get_colours_unless_somebody_does_not_want_them() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for command in ["query", "histogram --every 1d", "histogram --every 1d --by stage"] {
        let Some(coloured) = at_terminal(&daemon, command, "") else { return };
        assert!(coloured.with(0).contains("\u{1b}["), "{command}");
        let plain = Command::new("script")
            .args(["-qec", &format!("NO_COLOR=1 {PROGRAM} {command}"), "/dev/null"])
            .env("PIPEROLL_ENDPOINT", daemon.grpc())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let plain = ended(plain.unwrap()).with(0);
        assert!(!plain.contains("\u{1b}["), "{command}: {plain}");
    }
}

#[test]
fn a_person_who_finds_nothing_is_told_of_values_that_no_event_has() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for command in ["query", "count"] {
        let filter = "'actor IN (alise, bob) AND stage = x AND outcome = error'";
        let Some(told) = at_terminal(&daemon, &format!("{command} {filter}"), "") else { return };
        let told = told.with(1);
        assert!(told.contains("no event has actor alise; did you mean alice?"), "{told}");
        assert!(told.contains("no event has stage x") && !told.contains("actor bob"), "{told}");
    }
    let piped = run(&daemon, &["query", "actor = alise"]);
    assert_eq!(piped.err, "nothing found\n");
}

#[test]
fn times_and_addresses_stay_whole_in_narrow_terminals() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for columns in [60, 80, 125] {
        let script = format!("stty cols {columns}; NO_COLOR=1 {PROGRAM} query 'id = e3'");
        let shown = Command::new("script")
            .args(["-qec", &script, "/dev/null"])
            .envs([("PIPEROLL_ENDPOINT", daemon.grpc()), ("TZ", "UTC")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(shown) = shown else { return };
        let shown = ended(shown).with(0);
        let is_time = |word: &str| word.len() == 8 && word.matches(':').count() == 2;
        let has_time = |line: &&str| line.split_whitespace().any(is_time);
        let row = shown.lines().find(has_time).unwrap_or_else(|| panic!("{shown}"));
        assert!(row.contains("success") && shown.contains(" deploys@0"), "{shown}");
    }
}

#[test]
fn control_characters_of_events_never_reach_the_terminal() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    // Turning the writing direction is no control character, so the daemon stores it.
    append_lines(&daemon, "{\"actor\":\"user\u{202e}nimda\",\"action\":\"a.b\"}");
    let table = run(&daemon, &["query"]).with(0);
    assert!(table.contains("\\u{202e}") && !table.contains('\u{202e}'), "{table}");
    let groups = run(&daemon, &["count", "--by", "actor"]).with(0);
    assert!(!groups.contains('\u{202e}'), "{groups}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let mut lines = String::new();
    for number in 0..5_000 {
        writeln!(lines, r#"{{"id":"n{number}","actor":"a","action":"b.c","reason":"{}"}}"#, "x".repeat(100))
            .unwrap();
    }
    append_lines(&daemon, &lines);
    for arguments in
        [&["query", "-n", "5000", "-o", "jsonl"][..], &["query", "-n", "5000"], &["tail", "--from", "-1h"]]
    {
        let mut child = client_command(&daemon)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        // Read one line and close the pipe, as `head -1` does.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let status = wait_until("the command to end", || child.try_wait().unwrap());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(status.success(), "{arguments:?}: {status} {err}");
        assert_eq!(err, "", "{arguments:?}");
    }
}
