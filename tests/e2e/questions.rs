//! Questions as people ask them: filters, and flags that build one.

use crate::daemon::Daemon;
use crate::input::{CLASSES, append_lines, ids};
use crate::program::run;
use tempfile::tempdir;

/// Five events of one deployment; the last has hardly any field.
const LINES: &str = r#"{"id":"q1","actor":"alice","action":"build.finished","stage":"build","outcome":"success","pipeline":"main","run":"41","repo":"acme/shop","ref":"refs/heads/main","commit":"c0ffee","attributes":{"region":"eu"},"time":"2026-11-23T08:30:00Z"}
{"id":"q2","actor":"ci[bot]","action":"build.failed","stage":"build","outcome":"failure","pipeline":"main","run":"42","repo":"acme/shop","reason":"step 3 timed out: 100% of *all* tests","attributes":{"region":"us","any key":"x"},"time":"2026-11-23T09:30:00Z"}
{"id":"q3","actor":"bob","action":"deploy.finished","stage":"deploy-prod","outcome":"success","environment":"production","repo":"acme/site","artifacts":[{"name":"shop","digests":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}],"attributes":{"region":"eu-west"}}
{"id":"q4","actor":"bob","action":"deploy.denied","stage":"deploy-test","outcome":"denied","environment":"test","reason":"timed out waiting for carol"}
{"id":"q5","actor":"dependabot[bot]","action":"scan.finished"}
"#;

fn found(daemon: &Daemon, arguments: &[&str]) -> Vec<String> {
    let ended = run(daemon, &[&["query", "--oldest", "-o", "jsonl"], arguments].concat());
    if ended.code == Some(1) {
        return Vec::new();
    }
    let mut ids = ids(&ended.with(0));
    ids.sort();
    ids
}

#[test]
fn parts_of_texts_and_zoned_times_are_found() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let check = |filter: &str, expected: &[&str]| assert_eq!(found(&daemon, &[filter]), expected, "{filter}");
    for is_sealed in [false, true] {
        if is_sealed {
            run(&daemon, &["seal"]).with(0);
        }
        check(r#"reason ~ "timed out""#, &["q2", "q4"]);
        check(r#"reason ~ "*all*""#, &["q2"]);
        check("reason ~ Timed", &[]);
        check("NOT reason ~ timed", &["q1", "q3", "q5"]);
        check("attr.region ~ eu", &["q1", "q3"]);
        check(r#"attr."any key" ~ x"#, &["q2"]);
        check(r#"actor ~ "[bot]" AND outcome:*"#, &["q2"]);
        check(r#"actor ~ "bot[bot]" OR stage ~ "-prod""#, &["q3", "q5"]);
        check("time < 2026-11-23T10:00[Europe/Paris]", &["q1"]);
        check("time >= 2026-11-23T10:00[Europe/Paris]", &["q2"]);
        check("time >= 2026-11-23[America/New_York]", &["q1", "q2"]);
    }
}

#[test]
fn a_plan_tells_what_was_ruled_out_asked_and_read() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    run(&daemon, &["seal"]).with(0);
    let plan = |command: &str, filter: &str| -> serde_json::Value {
        let ended = run(&daemon, &[command, filter, "--explain", "-o", "json"]);
        serde_json::from_str(&ended.out).unwrap()
    };
    let plan_of = plan("query", "actor = bob AND reason ~ zzz AND stage:*");
    assert_eq!(plan_of["found"], 0, "{plan_of}");
    // One for each class, of which one may turn out to have nothing of bob's.
    let number = |name: &str| plan_of[name].as_u64().unwrap();
    assert_eq!(number("segments"), 2, "{plan_of}");
    assert_eq!(number("indexes") + number("ruled_out_by_terms"), 2, "{plan_of}");
    assert!(number("indexes") >= 1, "{plan_of}");
    let conditions = plan_of["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 3, "{plan_of}");
    assert_eq!(
        (&conditions[0]["condition"], &conditions[0]["matches"]),
        (&"actor = bob".into(), &2.into()),
        "{plan_of}"
    );
    // Only bob's events are read for their reason, and of these only the one that has a reason.
    assert_eq!(plan_of["events_read"], 1, "{plan_of}");
    let plan_of = plan("count", "actor = nobody");
    assert_eq!((&plan_of["ruled_out_by_terms"], &plan_of["indexes"]), (&2.into(), &0.into()), "{plan_of}");
    let plan_of = plan("count", "received < 2001-01-01");
    assert_eq!((&plan_of["ruled_out_by_time"], &plan_of["events_read"]), (&2.into(), &0.into()), "{plan_of}");
    let told = run(&daemon, &["query", "actor = alice", "--explain"]).with(0);
    assert!(told.contains("ruled out by their terms") && told.contains("CONDITION"), "{told}");
}

#[test]
fn flags_ask_what_the_same_filter_asks() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let check = |flags: &[&str], filter: &str, expected: &[&str]| {
        assert_eq!(found(&daemon, flags), expected, "{flags:?}");
        assert_eq!(found(&daemon, &[filter]), expected, "{filter}");
        let counted = run(&daemon, &[&["count"], flags].concat());
        assert_eq!(counted.out, format!("{}\n", expected.len()), "{flags:?}");
    };
    check(&["--actor", "alice", "--actor", "ci[bot]"], "actor IN (alice, ci[bot])", &["q1", "q2"]);
    check(
        &["--stage", "deploy-*", "--stage", "build", "--run", "41"],
        "stage IN (deploy-*, build) AND run = 41",
        &["q1"],
    );
    check(
        &["--since", "-1h", "--until", "+1h", "--outcome", "Failure"],
        "received >= -1h AND outcome = failure",
        &["q2"],
    );
    check(&["--until", "-1h"], "received < -1h", &[]);
    check(
        &["--repo", "acme/*", "--pipeline", "main", "--action", "build.*"],
        "repo = acme/* AND pipeline = main AND action = build.*",
        &["q1", "q2"],
    );
    check(
        &["--ref", "refs/heads/main", "--commit", "c0ffee"],
        "ref = refs/heads/main AND commit = c0ffee",
        &["q1"],
    );
    check(
        &[
            "--artifact",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "--environment",
            "production",
        ],
        "artifact = sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 AND environment = production",
        &["q3"],
    );
    check(&["--attr", "region=eu", "--attr", "region=us"], "attr.region IN (eu, us)", &["q1", "q2"]);
    check(
        &["--attr", "region=eu*", "--environment", "production"],
        "attr.region = eu* AND environment:*",
        &["q3"],
    );
    check(&["--reason", "timed", "--reason", "carol"], "reason ~ timed AND reason ~ carol", &["q4"]);
    check(
        &["outcome:* AND NOT stage = build", "--actor", "bob", "--environment", "test"],
        "environment = test",
        &["q4"],
    );
    check(&["--actor", "x\" OR actor = \"bob"], r#"actor = "x\" OR actor = \"bob""#, &[]);
}

#[test]
fn wrong_flags_are_named_and_answered_with_what_is_near() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let check = |arguments: &[&str], words: &[&str]| {
        let ended = run(&daemon, &[&["query"], arguments].concat());
        assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
        ended.with(2);
    };
    check(&["--outcome", "failed"], &["--outcome:", "did you mean failure?"]);
    check(&["--artifact", "9f86d081"], &["--artifact:", "sha256:"]);
    check(&["--attr", "region"], &["KEY=VALUE"]);
    check(&["--reason", ""], &["--reason:", "some text"]);
    check(&["--since", "2026-11-23T09:00"], &["--since:", "2026-11-23T09:00Z", "[Europe/Paris]"]);
    check(&["--since", "-1h", "--until", "-2h"], &["received", "one event can meet"]);
    check(&["stage = build", "--stage", "sign"], &["stage", "IN"]);
    check(&["stge ~ build"], &["did you mean stage?", "^"]);
    check(&["reason =~ x"], &["write ~"]);
    check(&[&"NOT reason ~ a AND ".repeat(300), "actor:*"], &["at most 256"]);
    check(&[&"(".repeat(60_000)], &["at most 64"]);
}
