//! What bad, hostile and large payloads get.

use super::support::{Sample, samples};
use piperoll_format::{event::check_event, limits};
use piperoll_intake::{EVENT_BYTES_MAX, Event, IntakeError, PAYLOAD_BYTES_MAX, github};
use proptest::{prelude::*, sample::Index};
use prost::Message as _;
use serde_json::{Value, json};
use std::{env, sync::LazyLock};

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);

fn cases() -> u32 {
    env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

/// The daemon takes the event, whatever it was made from.
fn check(name: &str, event: &Event) {
    let bytes = event.encode_to_vec();
    assert!(bytes.len() <= EVENT_BYTES_MAX, "{name}: {} bytes", bytes.len());
    if let Err(error) = check_event(&bytes) {
        panic!("{name}: {error}");
    }
}

#[test]
fn the_limit_is_the_daemons() {
    assert_eq!(EVENT_BYTES_MAX, limits::EVENT_BYTES_MAX);
}

#[test]
fn every_mapped_event_is_one_that_the_daemon_takes() {
    for sample in SAMPLES.iter() {
        let event = sample.event();
        check(&sample.name, &event);
        // A retry must send the same bytes.
        assert_eq!(event.encode_to_vec(), sample.event().encode_to_vec(), "{}", sample.name);
    }
}

#[test]
fn the_id_is_the_deliverys_or_else_the_payloads_digest() {
    let event = github("ping", Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"), b"{}").unwrap();
    assert_eq!(event.id.as_deref(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(event.original_digest.as_deref(), Some(digest));
    assert_eq!(event.original_schema.as_deref(), Some("github/webhook/ping"));
    assert_eq!(github("ping", None, b"{}").unwrap().id.as_deref(), Some(digest));
    assert_eq!(github("ping", Some(""), b"{}").unwrap().id.as_deref(), Some(digest));
}

#[test]
fn an_empty_payload_of_any_kind_is_still_an_event() {
    for sample in SAMPLES.iter() {
        let event = github(&sample.kind, None, b"{}").unwrap();
        check(&sample.kind, &event);
        assert_eq!(event.actor.as_deref(), Some("github"));
    }
}

#[test]
fn bad_payloads_get_errors_that_say_what_and_where() {
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    for (kind, payload, expected) in [
        ("push", "", "cannot be read: EOF"),
        ("push", "{\"ref\":", "cannot be read: EOF"),
        ("push", "[]", "the payload is an array: expected a JSON object"),
        ("push", "7", "the payload is a number"),
        ("push", "{} x", "trailing characters at line 1 column 4"),
        ("push", "{\"a\":1,\"a\":2}", "the key \"a\" is there twice"),
        ("push", &deep, "nested deeper than 32"),
        ("", "{}", "the kind \"\" is none"),
        ("Push", "{}", "the kind \"Push\" is none"),
        ("../x", "{}", "the kind \"../x\" is none"),
    ] {
        let error = github(kind, None, payload.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{kind} {payload:.20}: {error}");
    }
    let error = github("push", None, b"{\"a\":\"\xff\"}").unwrap_err().to_string();
    assert!(error.contains("unicode"), "{error}");
    let long = vec![b' '; PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(github("push", None, &long), Err(IntakeError::TooLong { .. })));
}

#[test]
fn control_characters_are_spelled_out_and_keys_never_hide_each_other() {
    let payload = json!({
        "action": "Re-Opened\n", "sender": {"login": "eve\u{1b}[2J\u{0}", "type": "User"},
        "a": {"b": "one"}, "a.b": "two", "\u{7}": "bell\u{7}", "text": "two\nlines",
    });
    let event = github("odd", None, payload.to_string().as_bytes()).unwrap();
    check("odd", &event);
    assert_eq!(event.actor.as_deref(), Some("eve\\u{1b}[2J\\u{0}"));
    assert_eq!(event.action.as_deref(), Some("odd.re_opened"));
    assert_eq!(event.attributes.get("text").unwrap(), "two\nlines");
    assert_eq!(event.attributes.get("\\u{7}").unwrap(), "bell\\u{7}");
    let mut both: Vec<_> = event.attributes.values().filter(|v| *v == "one" || *v == "two").collect();
    both.sort();
    assert_eq!(both, ["one", "two"]);
}

#[test]
fn an_event_too_large_keeps_names_and_times_before_prose_and_says_what_it_left_out() {
    let commits: Vec<Value> = (0..2_048)
        .map(|n| json!({"id": format!("{n:040x}"), "message": "m".repeat(5_000), "timestamp": "2026-03-04T10:10:58Z",
            "author": {"name": format!("Author {n}"), "email": format!("{n}@example.org")}}))
        .collect();
    let payload = json!({"ref": "refs/heads/main", "after": format!("{:040x}", 2047), "commits": commits,
        "sender": {"login": "ada", "id": 1, "type": "User"}});
    let event = github("push", None, payload.to_string().as_bytes()).unwrap();
    check("push", &event);
    assert!(event.encoded_len() > EVENT_BYTES_MAX / 2, "the room is used: {}", event.encoded_len());
    assert!(event.attributes.contains_key("commits.0.id"));
    assert!(event.attributes.contains_key("sender.id"));
    assert!(!event.attributes.contains_key("commits.2047.message"));
    let left_out: usize = event.attributes.get("piperoll.left_out").unwrap().parse().unwrap();
    // Each commit has five scalars; what the payload has besides: the full reference, the sender's id and type.
    assert_eq!(left_out + event.attributes.len() - 1, 2_048 * 5 + 3);
    assert_eq!(github("push", None, payload.to_string().as_bytes()).unwrap(), event);
}

#[test]
fn lists_without_end_are_cut() {
    let asset = json!({"name": "n".repeat(2_000), "browser_download_url": "u".repeat(2_000)});
    let labels: Vec<String> = (0..10_000).map(|n| format!("label-{n}-{}", "x".repeat(900))).collect();
    for (kind, payload) in [
        ("release", json!({"action": "published", "release": {"assets": vec![asset; 1_000]}})),
        ("workflow_job", json!({"action": "queued", "workflow_job": {"labels": labels}})),
        ("check_suite", json!({"check_suite": {"pull_requests": vec![json!({"number": 7}); 20_000]}})),
        (
            "odd",
            json!({"k".repeat(400): (0..5_000).map(|n| json!({"x".repeat(n % 7): n})).collect::<Vec<_>>()}),
        ),
        ("odd", json!({"list": vec![1; 100_000]})),
        ("odd", json!({"k".repeat(1_000_000): {"x".repeat(1_000_000): vec![1; 100_000]}})),
    ] {
        let event = github(kind, None, payload.to_string().as_bytes()).unwrap();
        check(kind, &event);
        assert!(event.attributes.contains_key("piperoll.left_out"), "{kind}");
    }
}

/// Puts another value where the payload has one, or takes it away.
fn mutate(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| mutate(value, at, with)),
        Value::Array(items) => items.iter_mut().for_each(|item| mutate(item, at, with)),
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\PC\u{0}-\u{1f}]{0,2000}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([{"number": "x"}, 3, null, [[]]])),
        Just(json!({"login": 7, "id": {}, "type": []})),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("0000000000000000000000000000000000000000")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_payload_with_values_changed_is_an_event_that_the_daemon_takes(
        sample in any::<Index>(),
        changes in prop::collection::vec((0_usize..120, odd_value()), 1..8),
        delivery in prop::option::of(".{0,80}"),
    ) {
        let sample = sample.get(&SAMPLES);
        let mut payload: Value = serde_json::from_slice(&sample.payload).unwrap();
        for (at, with) in changes {
            mutate(&mut payload, &mut (at + 1), &with);
        }
        let event = github(&sample.kind, delivery.as_deref(), payload.to_string().as_bytes()).unwrap();
        check(&sample.name, &event);
    }

    #[test]
    fn a_payload_with_bytes_changed_is_refused_or_an_event_and_never_a_panic(
        sample in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<Index>()),
    ) {
        let sample = sample.get(&SAMPLES);
        let mut payload = sample.payload.clone();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        if let Ok(event) = github(&sample.kind, None, &payload) {
            check(&sample.name, &event);
        }
    }
}
