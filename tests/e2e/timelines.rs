//! Timelines as people ask for them: everything that touched an artifact, a run or a commit, and why.

use crate::daemon::Daemon;
use crate::input::{CLASSES, append_lines, json_lines};
use crate::program::run;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tempfile::tempdir;

const IMAGE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const PROMOTED: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// A push, the build that it caused, an approval of the build, a promotion of the image in a second pipeline, and its
/// deployment in a third; and a build of somebody else's.
fn story() -> String {
    let digest = |text: &str| text.trim_start_matches("sha256:").to_owned();
    let artifact = |text: &str, role: &str| json!({ "name": "shop", "role": role, "digests": { "sha256": digest(text) } });
    let events = [
        json!({ "id": "push", "actor": "alice", "action": "code.pushed", "commit": "c0ffee" }),
        json!({ "id": "start", "actor": "ci", "action": "run.started", "run": "41", "commit": "c0ffee",
            "links": [{ "kind": "caused_by", "source": "forge", "id": "push" }] }),
        json!({ "id": "built", "actor": "ci", "action": "build.finished", "stage": "build", "run": "41",
            "outcome": "success", "artifacts": [artifact(IMAGE, "output")] }),
        json!({ "id": "approved", "actor": "carol", "action": "release.approved",
            "links": [{ "source": "forge", "id": "built" }] }),
        json!({ "id": "promoted", "actor": "bob", "action": "image.promoted", "run": "77",
            "artifacts": [artifact(IMAGE, "input"), artifact(PROMOTED, "output")] }),
        json!({ "id": "deployed", "actor": "bob", "action": "deploy.finished", "stage": "deploy-prod", "run": "99",
            "environment": "production", "artifacts": [artifact(PROMOTED, "input")] }),
        json!({ "id": "other", "actor": "dora", "action": "build.finished", "run": "42", "commit": "beef" }),
    ];
    events.into_iter().fold(String::new(), |mut lines, mut event| {
        event["source"] = json!("forge");
        writeln!(lines, "{event}").unwrap();
        lines
    })
}

fn told(daemon: &Daemon, arguments: &[&str]) -> Vec<(String, Value)> {
    let ended = run(daemon, &[&["timeline", "-o", "jsonl"], arguments].concat());
    if ended.code == Some(1) {
        return Vec::new();
    }
    let lines = json_lines(&ended.with(0));
    lines
        .iter()
        .map(|line| (line["event"]["id"].as_str().unwrap().to_owned(), line["reasons"].clone()))
        .collect()
}

fn ids(daemon: &Daemon, arguments: &[&str]) -> Vec<String> {
    let mut ids: Vec<_> = told(daemon, arguments).into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids
}

#[test]
fn a_timeline_goes_across_pipelines_and_says_why_each_event_is_there() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    for line in story().lines() {
        append_lines(&daemon, line);
    }
    let all = ["approved", "built", "deployed", "promoted", "push", "start"];
    for is_sealed in [false, true] {
        if is_sealed {
            run(&daemon, &["seal"]).with(0);
        }
        let found = told(&daemon, &[IMAGE]);
        let order: Vec<_> = found.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["push", "start", "built", "approved", "promoted", "deployed"]);
        let why = |id: &str| found.iter().find(|(found, _)| found == id).unwrap().1[0].clone();
        assert_eq!(why("built"), json!({ "kind": "artifact", "value": IMAGE, "through": null }));
        assert_eq!(
            why("deployed"),
            json!({ "kind": "artifact", "value": PROMOTED, "through": "default/standard@4" })
        );
        assert_eq!(why("approved")["kind"], json!("effect"));
        assert_eq!(why("push")["kind"], json!("cause"));
        assert_eq!(why("start"), json!({ "kind": "run", "value": "41", "through": "default/standard@2" }));
        assert_eq!(ids(&daemon, &["run:41"]), all);
        assert_eq!(ids(&daemon, &["run:41", "--source", "forge"]), all);
        assert_eq!(ids(&daemon, &["run:41", "--source", "elsewhere"]), [""; 0]);
        assert_eq!(ids(&daemon, &["commit:c0ffee"]), all);
        assert_eq!(ids(&daemon, &["commit:beef"]), ["other"]);
        assert_eq!(ids(&daemon, &["commit:nothing"]), [""; 0]);
    }
    let table = run(&daemon, &["timeline", IMAGE, "--relative"]).with(0);
    assert!(table.contains("WHY") && table.contains("s ago"), "{table}");
    assert!(table.contains("names sha256:222222222222…, through default/standard@4"), "{table}");
    assert!(table.contains("links to default/standard@2"), "{table}");
    assert_eq!(
        table.matches("run 41").count(),
        1,
        "each reason once, and none of an event for itself: {table}"
    );
    assert!(table.contains("default/standard@1 links to it"), "{table}");
    let csv = run(&daemon, &["timeline", IMAGE, "-o", "csv"]).with(0);
    assert!(csv.lines().next().unwrap().ends_with(",why") && csv.lines().count() == 7, "{csv}");
    let document: Value =
        serde_json::from_str(&run(&daemon, &["timeline", IMAGE, "-o", "json"]).with(0)).unwrap();
    assert_eq!(document.as_array().unwrap().len(), 6);
    let cut = run(&daemon, &["timeline", IMAGE, "-n", "2", "-o", "jsonl"]);
    assert!(cut.err.contains("there are more events"), "{}", cut.err);
    assert_eq!(json_lines(&cut.with(0)).len(), 2);
}

#[test]
fn a_timeline_of_what_cannot_be_is_refused() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, &story());
    let check = |arguments: &[&str], words: &[&str]| {
        let ended = run(&daemon, &[&["timeline"], arguments].concat());
        assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
        ended.with(2);
    };
    check(&[], &["SUBJECT"]);
    check(&["alice"], &["expected a digest such as sha256:"]);
    check(&["run:"], &["run:ID"]);
    check(&[IMAGE.strip_suffix('1').unwrap()], &["artifact", "63 digits", "has 64"]);
    check(&[&IMAGE.replace('1', "g")], &["is no digest"]);
    check(&[&format!("{IMAGE}*")], &["is no digest"]);
    check(&[IMAGE, "--source", "forge"], &["source", "no run is asked for"]);
    check(&["run:41", "-n", "10001"], &["limit", "at most 10000"]);
    check(&["run:41", "-n", "0"], &["--limit"]);
    let nothing = run(&daemon, &["timeline", &IMAGE.replace('1', "3")]);
    assert!(nothing.err.contains("nothing found"), "{}", nothing.err);
    nothing.with(1);
}
