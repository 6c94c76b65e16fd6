//! What is asked without looking at single events: which values a field has, and how many events there were when.

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

/// Six events on two days around midnight in Paris, and one that claims no time.
const TIMED: &str = r#"{"actor":"a","action":"a.b","stage":"build","outcome":"success","time":"2026-11-23T08:10:00Z"}
{"actor":"a","action":"a.b","stage":"build","outcome":"failure","time":"2026-11-23T08:50:00Z"}
{"actor":"a","action":"a.b","stage":"test","outcome":"success","time":"2026-11-23T10:00:00Z"}
{"actor":"a","action":"a.b","stage":"test","time":"2026-11-23T22:30:00Z"}
{"actor":"b","action":"a.b","stage":"sign","outcome":"success","time":"2026-11-23T23:30:00Z"}
{"actor":"b","action":"a.b","stage":"deploy-prod","outcome":"denied","time":"2026-11-24T10:59:59.999999999Z"}
{"actor":"b","action":"a.b"}
"#;

#[test]
fn histograms_count_over_time() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, TIMED);
    let check = |arguments: &[&str], expected: &[&str]| {
        let claimed = &["histogram", "--field", "time"][..];
        assert_eq!(csv_of(&daemon, &[claimed, arguments].concat()), expected, "{arguments:?}");
    };
    for is_sealed in [false, true] {
        if is_sealed {
            run(&daemon, &["seal"]).with(0);
        }
        check(&["--every", "1d"], &["2026-11-23T00:00:00Z,5", "2026-11-24T00:00:00Z,1"]);
        check(
            &["--every", "1d", "--zone", "Europe/Paris"],
            &["2026-11-22T23:00:00Z,4", "2026-11-23T23:00:00Z,2"],
        );
        // Empty buckets are there, and the filter's bounds are those of the histogram.
        check(
            &["--every", "1h", "time >= 2026-11-23T07:30Z AND time < 2026-11-23T11:00Z"],
            &[
                "2026-11-23T07:00:00Z,0",
                "2026-11-23T08:00:00Z,2",
                "2026-11-23T09:00:00Z,0",
                "2026-11-23T10:00:00Z,1",
            ],
        );
        check(
            &["--every", "12h", "--by", "outcome", "--top", "2"],
            &[
                "2026-11-23T00:00:00Z,success,2",
                "2026-11-23T00:00:00Z,,0",
                "2026-11-23T00:00:00Z,(others),1",
                "2026-11-23T12:00:00Z,success,1",
                "2026-11-23T12:00:00Z,,1",
                "2026-11-23T12:00:00Z,(others),0",
                "2026-11-24T00:00:00Z,success,0",
                "2026-11-24T00:00:00Z,,0",
                "2026-11-24T00:00:00Z,(others),1",
            ],
        );
        check(&["actor = nobody", "--every", "1d"], &[]);
    }
    let received = run(&daemon, &["histogram", "--every", "1d", "--since", "-1h", "-o", "json"]).with(0);
    let document: Value = serde_json::from_str(&received).unwrap();
    assert_eq!((&document["total"], &document["untimed"]), (&json!(7), &json!(0)), "{document}");
    let claimed = run(&daemon, &["histogram", "--field", "time", "-o", "json", "--by", "actor"]).with(0);
    let document: Value = serde_json::from_str(&claimed).unwrap();
    assert_eq!((&document["total"], &document["untimed"]), (&json!(6), &json!(1)), "{document}");
    assert_eq!(document["every_seconds"], json!(1_800.0));
    assert_eq!(document["buckets"][0]["split"][0], json!({ "value": "a", "count": 1 }));
}

#[test]
fn bars_are_drawn_in_the_zone_and_in_ascii_without_a_terminal() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, TIMED);
    let day = "time < 2026-11-24[Europe/Paris]";
    let drawn =
        run(&daemon, &["histogram", "--field", "time", "--every", "6h", "--zone", "Europe/Paris", day]);
    let lines: Vec<_> = drawn.out.lines().collect();
    let expected = ["2026-11-23 06:00  3  #", "2026-11-23 12:00  0", "2026-11-23 18:00  1  #"];
    assert_eq!(lines.len(), expected.len(), "{}", drawn.out);
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{}", drawn.out);
    }
    assert_eq!(lines[0].matches('#').count() / 3, lines[2].matches('#').count(), "{}", drawn.out);
    drawn.with(0);
    let split =
        run(&daemon, &["histogram", "--field", "time", "--every", "1w", "--by", "stage", "-n", "2"]).with(0);
    assert!(split.starts_with("# build   = test   + (2 others)\n2026-11-23  6  ####"), "{split}");
    let nothing = run(&daemon, &["histogram", "actor = nobody", "--every", "1h"]);
    assert!(nothing.err.contains("nothing found"), "{}", nothing.err);
    nothing.with(1);
}

#[test]
fn histograms_that_cannot_be_are_refused_with_what_to_do() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, TIMED);
    let check = |arguments: &[&str], words: &[&str]| {
        let ended = run(&daemon, &[&["histogram"], arguments].concat());
        assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
        ended.with(2);
    };
    check(&["--field", "tiem"], &["field", "did you mean time?"]);
    check(&["--field", "stage"], &["`stage` is no time"]);
    check(&["--every", "1y"], &["units w d h m s"]);
    check(&["--every", "0s"], &["units w d h m s"]);
    check(&["--zone", "Europe/Pari"], &["--zone", "Europe/Paris"]);
    check(&["--by", "stge"], &["split_by", "did you mean stage?"]);
    check(&["--by", "received"], &["split_by", "cannot count by received"]);
    check(&["--by", "stage", "--top", "101"], &["split_limit", "at most 100"]);
    check(&["--every", "1s", "--since", "-7d"], &["every", "more than 10000 buckets", "wider"]);
    check(&["--every", "1m", "--since", "-5d", "--by", "stage", "--top", "100"], &["200000 counts"]);
    check(&["--since", "-1h", "--until", "-2h"], &["received", "one event can meet"]);
}
