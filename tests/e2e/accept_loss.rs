//! A damaged log from the operator's side: what is said, what is refused, and the way on (R8, R16, R30).

use crate::daemon::{Daemon, wait_until, write};
use crate::http::get;
use crate::input::{CLASSES, append_lines, at_terminal, ids};
use crate::program::{client_command, run, run_with};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// The first sequence behind a damaged first segment.
const BEHIND: u64 = 1 << 24;

fn event(id: &str) -> String {
    format!(r#"{{"id":"{id}","actor":"alice","action":"build.finished"}}"#)
}

fn document(daemon: &Daemon, arguments: &[&str], code: i32) -> Value {
    serde_json::from_str(&run(daemon, arguments).with(code)).unwrap()
}

/// A daemon with three events, the second of them damaged while it was down; the file, and where the second frame is.
fn damaged_daemon(folder: &Path) -> (Daemon, PathBuf, usize) {
    let mut daemon = Daemon::start(folder, CLASSES, &[]);
    for id in ["e1", "e2", "e3"] {
        append_lines(&daemon, &event(id));
    }
    let file = daemon.data().join("logs/default/standard/00000000000000000000.log");
    daemon.terminate();
    let mut bytes = fs::read(&file).unwrap();
    let second =
        1_024 + usize::try_from(u32::from_le_bytes(bytes[1_024..1_028].try_into().unwrap())).unwrap();
    bytes[second + 80] ^= 1;
    write(&file, &bytes);
    daemon.kill_and_restart();
    (daemon, file, second)
}

/// R8: only the log's name is a yes.
#[test]
fn a_person_at_a_terminal_is_asked_before_a_loss_is_accepted() {
    let folder = tempdir().unwrap();
    let (daemon, ..) = damaged_daemon(folder.path());
    let Some(refused) = at_terminal(&daemon, "accept-loss standard", "yes\n") else { return };
    assert!(refused.out.contains("Type 'default/standard' to confirm"), "{}", refused.out);
    refused.with(1);
    run(&daemon, &["count"]).with(3);
    at_terminal(&daemon, "accept-loss standard", "default/standard\n").unwrap().with(0);
    assert_eq!(run(&daemon, &["count"]).with(0), "2\n");
}

/// R8: damage while the daemon is down; it starts, tells, refuses, shows the loss, accepts it, and goes on through
/// seal and restart.
#[test]
fn a_damaged_log_goes_on_once_its_loss_is_accepted() {
    let folder = tempdir().unwrap();
    let (mut daemon, file, second) = damaged_daemon(folder.path());
    let bytes = fs::read(&file).unwrap();

    let status = document(&daemon, &["status", "-o", "json"], 0);
    let reason = status["logs"][0]["read_only_reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("0.log is damaged at offset") && reason.contains("accept-loss"), "{reason}");
    let (code, ready) = get(&daemon, "/readyz");
    assert!(code == 200 && ready.contains("default/standard"), "{ready}");
    let refused = run_with(client_command(&daemon), &["append"], event("e4").as_bytes());
    assert!(refused.err.contains("read-only"), "{}", refused.err);
    refused.with(3);
    let damaged = run(&daemon, &["query"]);
    assert!(damaged.err.contains("is damaged at offset"), "{}", damaged.err);
    damaged.with(3);

    // It tells, and accepts nothing without a terminal.
    let told = run(&daemon, &["accept-loss", "default/standard", "-o", "json"]);
    assert!(told.err.contains("--yes"), "{}", told.err);
    let told: Value = serde_json::from_str(&told.with(2)).unwrap();
    let loss = &told["losses"][0];
    assert_eq!(told["accepted"], json!(false));
    assert_eq!(loss["file"], json!("logs/default/standard/00000000000000000000.log"));
    assert_eq!((&loss["offset"], &loss["first_sequence"]), (&json!(second), &json!(1)), "{told}");
    assert_eq!((&loss["end_sequence"], &loss["events_behind"]), (&json!(BEHIND), &json!(1)), "{told}");
    assert_eq!(loss["root"], json!(blake3::hash(&fs::read(&file).unwrap()).to_string()));
    run(&daemon, &["count"]).with(3);

    let accept = ["accept-loss", "standard", "--yes", "--reason", "the disk broke", "-o", "json"];
    let accepted = document(&daemon, &accept, 0);
    assert_eq!((&accepted["accepted"], &accepted["losses"]), (&json!(true), &told["losses"]));
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing is overwritten");
    run(&daemon, &["accept-loss", "standard", "--yes"]).with(1);
    let recorded = ["query", "--tenant", "_piperoll", "action = log.loss.accepted", "-o", "jsonl"];
    let recorded = run(&daemon, &recorded).with(0);
    assert_eq!(recorded.lines().count(), 1, "{recorded}");
    for part in ["the disk broke", "default/standard", loss["root"].as_str().unwrap()] {
        assert!(recorded.contains(part), "{part}: {recorded}");
    }
    append_lines(&daemon, &event("e5"));
    let expected = ["e1", "e3", "e5"];
    let query = ["query", "--oldest", "-o", "jsonl"];
    assert_eq!(ids(&run(&daemon, &query).with(0)), expected);
    let address = format!("default/standard@{BEHIND}");
    assert_eq!(ids(&run(&daemon, &["query", "--address", &address, "-o", "jsonl"]).with(0)), ["e5"]);
    let lost = run(&daemon, &["query", "--address", "default/standard@1"]);
    assert!(lost.err.contains("was accepted"), "{}", lost.err);
    lost.with(3);

    run(&daemon, &["seal"]).with(0);
    wait_until("the damaged segment to be sealed", || file.with_extension("seal").exists().then_some(()));
    daemon.kill_and_restart();
    append_lines(&daemon, &event("e6"));
    assert_eq!(ids(&run(&daemon, &query).with(0)), ["e1", "e3", "e5", "e6"]);
    let status = document(&daemon, &["status", "-o", "json"], 0);
    let mut logs = status["logs"].as_array().unwrap().iter();
    let log = logs.find(|log| log["tenant"] == json!("default")).unwrap();
    let kept = &log["accepted_losses"][0];
    assert_eq!(log["read_only_reason"], json!(""));
    assert_eq!((&kept["reason"], &kept["root"]), (&json!("the disk broke"), &loss["root"]), "{status}");
    let words = run(&daemon, &["status"]).with(0);
    assert!(words.contains("LOST OF") && words.contains("the disk broke"), "{words}");
}

/// What there is nothing to accept of, or no name.
#[test]
fn a_loss_is_accepted_of_damaged_logs_only() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, &event("e1"));
    let nothing = run(&daemon, &["accept-loss", "default/standard"]);
    assert!(nothing.err.contains("nothing is lost"), "{}", nothing.err);
    nothing.with(1);
    let unknown = run(&daemon, &["accept-loss", "default/nowhere"]);
    assert!(unknown.err.contains("there is no log default/nowhere"), "{}", unknown.err);
    unknown.with(3);
    run(&daemon, &["accept-loss", "default/../x"]).with(2);
    run(&daemon, &["accept-loss"]).with(2);
}
