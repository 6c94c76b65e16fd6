//! `query --follow`: what is there, and then what comes.

use crate::daemon::{Daemon, wait_until};
use crate::input::{CLASSES, LINES, append_lines, ids};
use crate::program::{client_command, ended, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use tempfile::tempdir;

fn following(daemon: &Daemon, arguments: &[&str]) -> Child {
    let mut command = client_command(daemon);
    command.args(["query", "--follow", "-o", "jsonl"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads so many events, then presses Ctrl-C; the ids and what was said at the end.
fn read_and_end(mut child: Child, events: usize) -> (Vec<String>, String) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..events {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended after {text}");
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let ended = ended(child);
    let err = ended.err.clone();
    ended.with(0);
    // Nothing comes after what was waited for.
    assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
    (ids(&text), err)
}

fn tails(daemon: &Daemon) -> u64 {
    let status: Value = serde_json::from_str(&run(daemon, &["status", "-o", "json"]).with(0)).unwrap();
    status["tails"].as_u64().unwrap()
}

#[test]
fn the_newest_come_first_then_what_is_stored_and_the_position_goes_on() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let child = following(&daemon, &["class = standard", "-n", "2"]);
    wait_until("it to follow", || (tails(&daemon) == 1).then_some(()));
    append_lines(&daemon, r#"{"id":"live","actor":"dora","action":"a.b"}"#);
    let (seen, said) = read_and_end(child, 3);
    assert_eq!(seen, ["e4", "e6", "live"]);
    append_lines(&daemon, r#"{"id":"later","actor":"dora","action":"a.b"}"#);
    let position = said.split("--position ").nth(1).unwrap().trim();
    let (seen, _) = read_and_end(following(&daemon, &["class = standard", "--position", position]), 1);
    assert_eq!(seen, ["later"]);

    let (all, _) = read_and_end(following(&daemon, &["class = standard", "--oldest"]), 6);
    assert_eq!(all, ["e1", "e2", "e4", "e6", "live", "later"]);
}

/// A follower whose daemon was begun anew would have passed over what came before the old position.
#[test]
fn a_position_of_another_data_directory_is_refused() {
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let daemons = folders.each_ref().map(|folder| Daemon::start(folder.path(), CLASSES, &[]));
    let [position, _] = daemons.each_ref().map(|daemon| {
        append_lines(daemon, LINES);
        let ended = run(daemon, &["query", "--oldest", "-n", "2"]);
        ended.err.split("--position ").nth(1).unwrap().trim().to_owned()
    });
    let again = |daemon, command: &[&str]| run(daemon, &[command, &["--position", &position]].concat());
    for command in [&["query", "--oldest"][..], &["tail", "-n", "1"]] {
        again(&daemons[0], command).with(0);
        let ended = again(&daemons[1], command);
        assert!(ended.err.contains("belongs to another data directory"), "{}", ended.err);
        ended.with(2);
    }
}

/// Each event came below an empty line once, and in columns of its own.
#[test]
fn what_comes_later_stands_below_what_came_before() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let mut command = client_command(&daemon);
    command.args(["query", "--follow", "-n", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut read = || {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
        line.find("ADDRESS").or_else(|| line.find("default/")).unwrap_or_else(|| panic!("{line:?} is no row"))
    };
    assert_eq!(read(), read());
    append_lines(&daemon, r#"{"actor":"somebody with a long name","action":"a.b"}"#);
    let wide = read();
    append_lines(&daemon, r#"{"actor":"a","action":"a.b"}"#);
    assert_eq!(read(), wide);
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    ended(child).with(0);
}

/// Events that are sent while somebody begins to follow.
const EVENTS: usize = 3_000;

#[test]
fn nothing_falls_between_what_is_there_and_what_comes() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, r#"{"id":"n0","actor":"a","action":"b.c"}"#);
    let mut lines = String::new();
    for number in 1..EVENTS {
        writeln!(lines, r#"{{"id":"n{number}","actor":"a","action":"b.c"}}"#).unwrap();
    }
    // It begins somewhere in the middle of what is sent.
    let children: Vec<_> = thread::scope(|scope| {
        let sending = scope.spawn(|| append_lines(&daemon, &lines));
        let mut children = Vec::new();
        while children.len() < 3 {
            children.push(following(&daemon, &["-n", "10000"]));
        }
        sending.join().unwrap();
        children
    });
    let expected: Vec<_> = (0..EVENTS).map(|number| format!("n{number}")).collect();
    for child in children {
        let (seen, _) = read_and_end(child, EVENTS);
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_daemon_that_is_killed_and_comes_back_is_followed_on_without_gap_or_repetition() {
    let folder = tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let mut child = following(&daemon, &["class = standard", "-n", "2"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut read = |text: &mut String, events: usize| {
        for _ in 0..events {
            assert!(out.read_line(text).unwrap() > 0, "it ended after {text}");
        }
    };
    read(&mut text, 2);
    for round in 0..2 {
        append_lines(&daemon, &format!(r#"{{"id":"before{round}","actor":"a","action":"b.c"}}"#));
        read(&mut text, 1);
        daemon.kill_and_restart();
        append_lines(&daemon, &format!(r#"{{"id":"after{round}","actor":"a","action":"b.c"}}"#));
        read(&mut text, 1);
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    ended(child).with(0);
    assert_eq!(ids(&text), ["e4", "e6", "before0", "after0", "before1", "after1"]);
}

#[test]
fn following_with_too_much_before_it_is_refused() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let check = |arguments: &[&str], words: &str| {
        let ended = run(&daemon, &[&["query", "--follow"], arguments].concat());
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
        ended.with(2);
    };
    check(&["-n", "10001"], "at most 10000");
    check(&["-n", "5", "--oldest"], "--oldest and --position show all");
    check(&["--position", "garbage"], "position");
    check(&["--address", "a@1"], "cannot be used with");
}

#[test]
fn a_document_is_one_array_that_is_written_as_it_comes() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let document: Value = serde_json::from_str(&run(&daemon, &["query", "-o", "json"]).with(0)).unwrap();
    assert_eq!(document.as_array().unwrap().len(), 6);
    let none: Value =
        serde_json::from_str(&run(&daemon, &["query", "actor = x", "-o", "json"]).with(1)).unwrap();
    assert_eq!(none, json!([]));
    // A tail's document begins before the tail ends.
    let mut child = client_command(&daemon)
        .args(["tail", "--from", "-1h", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("\"address\": \"default/").count() < 6 {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended after {text}");
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    while out.read_line(&mut text).unwrap() > 0 {}
    ended(child).with(0);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document.as_array().unwrap().len(), 6);
}
