//! What is asked without looking at single events: which values a field has.

use crate::daemon::Daemon;
use crate::input::{CLASSES, append_lines, json_lines};
use crate::program::run;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tempfile::tempdir;

/// Seven events of four actors; one of them has no stage.
const LINES: &str = r#"{"actor":"alice","action":"a.b","stage":"build","outcome":"success","attributes":{"region":"eu"},"runner_labels":["linux","x64"],"artifacts":[{"digests":{"sha256":"aa11"}}]}
{"actor":"alice","action":"a.b","stage":"build","outcome":"failure","attributes":{"region":"us"},"runner_labels":["linux"]}
{"actor":"alice","action":"a.b","stage":"deploy-prod","outcome":"success"}
{"actor":"albert","action":"a.b","stage":"build","outcome":"success","attributes":{"region":"eu"}}
{"actor":"albert","action":"a.b","stage":"test"}
{"actor":"bob","action":"a.b","stage":"sign"}
{"actor":"ci[bot]","action":"a.b"}
"#;

fn csv_of(daemon: &Daemon, arguments: &[&str]) -> Vec<String> {
    let ended = run(daemon, &[arguments, &["-o", "csv"]].concat());
    if ended.code == Some(1) {
        return Vec::new();
    }
    ended.with(0).lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn values_are_listed_by_how_many_events_have_them() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let check = |arguments: &[&str], expected: &[&str]| {
        assert_eq!(csv_of(&daemon, &[&["values"], arguments].concat()), expected, "{arguments:?}");
    };
    for is_sealed in [false, true] {
        if is_sealed {
            run(&daemon, &["seal"]).with(0);
        }
        check(&["actor"], &["alice,3", "albert,2", "bob,1", "ci[bot],1"]);
        check(&["actor", "--begins", "al", "--since", "-7d"], &["alice,3", "albert,2"]);
        check(&["actor", "--begins", "al", "stage = build"], &["alice,2", "albert,1"]);
        check(&["actor", "--begins", "zoe"], &[]);
        check(&["actor", "stage = nothing"], &[]);
        check(&["stage", "--begins", "s"], &["sign,1"]);
        check(&["outcome"], &["success,3", "failure,1"]);
        check(&["outcome", "--begins", "f"], &["failure,1"]);
        check(&["class"], &["standard,6", "deploys,1"]);
        check(&["class", "--begins", "d"], &["deploys,1"]);
        check(&["attr.region"], &["eu,2", "us,1"]);
        check(&["attr.region", "--begins", "u"], &["us,1"]);
        check(&["label"], &["linux,2", "x64,1"]);
        check(&["artifact"], &["sha256:aa11,1"]);
    }
    let top = run(&daemon, &["values", "actor", "--top", "1"]);
    assert!(top.err.contains("3 less frequent values"), "{}", top.err);
    assert!(top.out.contains("alice") && !top.out.contains("albert"), "{}", top.out);
    let document: Value =
        serde_json::from_str(&run(&daemon, &["values", "stage", "-n", "1", "-o", "json"]).with(0)).unwrap();
    let expected =
        json!({ "field": "stage", "values": [{ "value": "build", "count": 3 }], "values_omitted": 3 });
    assert_eq!(document, expected);
    let lines = json_lines(&run(&daemon, &["values", "stage", "-o", "jsonl"]).with(0));
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], json!({ "value": "build", "count": 3 }));
}

#[test]
fn values_that_nobody_can_list_are_refused_with_what_to_do() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let check = |arguments: &[&str], words: &[&str]| {
        let ended = run(&daemon, &[&["values"], arguments].concat());
        assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
        ended.with(2);
    };
    check(&[], &["FIELD"]);
    check(&["actr"], &["field", "did you mean actor?"]);
    check(&["branch"], &["did you mean ref?"]);
    check(&["received"], &["cannot list the values of received"]);
    check(&["attributes"], &["attr.region"]);
    check(&["original"], &["payloads"]);
    check(&["stage", "--since", "-1h", "--until", "-2h"], &["received"]);
    check(&["stage", "stge = a"], &["did you mean stage?"]);
}

#[test]
fn a_field_with_very_many_values_gets_an_error_or_its_beginning() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let mut lines = String::new();
    for number in 0..100_001 {
        writeln!(lines, r#"{{"actor":"n{number}","action":"a.b"}}"#).unwrap();
    }
    append_lines(&daemon, &lines);
    let ended = run(&daemon, &["values", "actor"]);
    assert!(ended.err.contains("more than 100000 different values to list"), "{}", ended.err);
    assert!(ended.err.contains("FailedPrecondition"), "{}", ended.err);
    ended.with(3);
    let begun = run(&daemon, &["values", "actor", "--begins", "n9999", "-n", "100", "-o", "csv"]).with(0);
    assert_eq!(begun.lines().count(), 12, "{begun}");
}
