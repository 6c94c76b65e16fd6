//! Sealing and sweeping by hand, and what they leave on the disk.

use crate::daemon::{Daemon, wait_until};
use crate::input::{CLASSES, LINES, append_lines, json_lines};
use crate::program::{run, run_alone};
use serde_json::{Value, json};
use std::fs;
use tempfile::tempdir;

const EXPIRING: &str = r#"
[retention]
default_class = "standard"
classes = [{ name = "standard", keep = "400d" }, { name = "scratch", keep = "1s" }]
routes = [{ class = "scratch", stage = "build" }]
"#;

#[test]
fn sealing_tells_the_root_that_the_file_hashes_to() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    run(&daemon, &["seal"]).with(1);
    append_lines(&daemon, LINES);
    let table = run(&daemon, &["seal", "--class", "deploys"]).with(0);
    assert!(table.contains("default/deploys") && !table.contains("default/standard"), "{table}");
    let document: Value = serde_json::from_str(&run(&daemon, &["seal", "-o", "json"]).with(0)).unwrap();
    let segments = document["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 1, "{document}");
    let path = daemon.data().join(segments[0]["file"].as_str().unwrap());
    let content = fs::read(&path).unwrap();
    assert_eq!(segments[0]["bytes"], json!(content.len()));
    assert_eq!(segments[0]["root"], json!(blake3::hash(&content).to_string()));
    assert!(fs::metadata(&path).unwrap().permissions().readonly(), "sealed bytes never change");
    run(&daemon, &["seal"]).with(1);
    // The log goes on behind the seal, and the answers do not care.
    append_lines(&daemon, LINES);
    assert_eq!(run(&daemon, &["count"]).with(0), "12\n");
    assert_eq!(run(&daemon, &["count", "actor = alice"]).with(0), "4\n");
}

#[test]
fn a_sweep_drops_what_has_expired_and_leaves_a_receipt() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), EXPIRING, &[]);
    run(&daemon, &["sweep"]).with(1);
    append_lines(&daemon, LINES);
    let sealed = run(&daemon, &["seal", "-o", "csv"]).with(0);
    assert_eq!(sealed.lines().count(), 3, "{sealed}");
    let plan = wait_until("the class to expire", || {
        let ended = run(&daemon, &["sweep", "--dry-run", "-o", "json"]);
        (ended.code == Some(0)).then(|| serde_json::from_str::<Value>(&ended.out).unwrap())
    });
    assert_eq!((&plan["dry_run"], plan["segments"].as_array().unwrap().len()), (&json!(true), 1), "{plan}");
    assert_eq!(plan["segments"][0]["events"], json!(2));
    assert_eq!(run(&daemon, &["count"]).with(0), "6\n", "a plan changes nothing");

    let swept = run(&daemon, &["sweep"]);
    assert!(swept.err.contains("dropped"), "{}", swept.err);
    let table = swept.with(0);
    assert!(table.contains("default/scratch"), "{table}");
    assert_eq!(run(&daemon, &["count"]).with(0), "4\n");
    run(&daemon, &["query", "class = scratch"]).with(1);
    run(&daemon, &["sweep"]).with(1);

    let scratch = daemon.data().join("logs/default/scratch");
    let stem = "00000000000000000000";
    assert!(!scratch.join(format!("{stem}.log")).exists());
    assert!(scratch.join(format!("{stem}.seal")).exists(), "the seal stays");
    let receipt = scratch.join(format!("{stem}.drop"));
    let shown = run_alone(folder.path(), &["inspect", receipt.to_str().unwrap(), "-o", "jsonl"]).with(0);
    let receipt = &json_lines(&shown)[0];
    assert_eq!((&receipt["class"], &receipt["end_sequence"]), (&json!("scratch"), &json!(2)), "{receipt}");
    assert_eq!(receipt["keep_seconds"], json!(1), "{receipt}");
    // The next event of the class goes on behind what was dropped.
    append_lines(&daemon, r#"{"id":"later","actor":"a","action":"b.c","stage":"build"}"#);
    let found = run(&daemon, &["query", "id = later", "-o", "jsonl"]).with(0);
    assert_eq!(json_lines(&found)[0]["address"], json!("default/scratch@2"));
}
