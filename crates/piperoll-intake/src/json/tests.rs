//! The JSON form, read and written.

use super::{JsonError, event_json, json_event, json_event_lenient};
use piperoll_proto::v1::{Artifact, Attestation, Event, Link, Outcome};
use proptest::prelude::*;
use prost_types::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn every_field_of_proto_has_a_key() {
    let source = include_str!("../../../../proto/piperoll/v1/event.proto");
    let message = source.split("message Event {").nth(1).unwrap().split("\n}").next().unwrap();
    let mut fields: Vec<(u32, &str)> = message
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter_map(|line| {
            let (left, number) = line.trim().strip_suffix(';')?.split_once(" = ")?;
            Some((number.parse().ok()?, left.rsplit(' ').next()?))
        })
        .collect();
    fields.sort_unstable();
    assert_eq!(fields.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), super::KEYS);
}

#[test]
fn a_full_line_reads_as_it_says() {
    let line = json!({
        "id": "1", "time": "2026-11-23T22:48:00.5Z", "actor": "ada", "action": "deploy.approved",
        "outcome": "success", "actor_type": "ACTOR_TYPE_HUMAN", "auth_method": "oidc", "run": 77, "run_attempt": 2,
        "artifacts": [{"name": "x", "digests": {"sha256": "ab"}, "role": "output"}],
        "attributes": {"ticket": "CHG-1", "count": 3, "dry": true},
        "runner_labels": ["a", "b"], "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
        "links": [{"kind": "caused_by", "id": "9"}], "source_epoch": "18446744073709551615", "source_sequence": 0,
        "original": "aGk=", "reason": null,
    });
    let event = json_event(&line.to_string()).unwrap();
    assert_eq!(event.time, Some(Timestamp { seconds: 1_795_474_080, nanos: 500_000_000 }));
    assert_eq!((event.outcome, event.actor_type, event.auth_method), (Some(1), Some(1), Some(5)));
    assert_eq!((event.run.as_deref(), event.run_attempt), (Some("77"), Some(2)));
    assert_eq!(event.artifacts[0].role, Some(2));
    assert_eq!(event.attributes.get("dry").unwrap(), "true");
    assert_eq!(event.span_id.as_deref(), Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7].as_slice()));
    assert_eq!((event.source_epoch, event.source_sequence), (Some(u64::MAX), Some(0)));
    assert_eq!((event.original.as_deref(), event.reason), (Some(b"hi".as_slice()), None));
}

#[test]
fn times_are_rfc_3339_or_nanoseconds() {
    for (text, seconds, nanos) in [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2026-11-23T23:48:00+01:00", 1_795_474_080, 0),
        ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
        ("1795474080000000001", 1_795_474_080, 1),
        ("-1", -1, 999_999_999),
    ] {
        let line = json!({"actor": "a", "action": "b", "time": text}).to_string();
        assert_eq!(json_event(&line).unwrap().time, Some(Timestamp { seconds, nanos }), "{text}");
    }
}

#[test]
fn errors_name_the_field_and_what_was_expected() {
    for (line, expected) in [
        ("", "not JSON: EOF"),
        ("{\"actor\":\"a\" \"action\":1}", "column 14"),
        ("{\"actor\":\"a\",\"actor\":\"b\"}", "the key \"actor\" is there twice"),
        ("[1]", "the line: expected a JSON object, found [1]"),
        ("{\"action\":\"x\"}", "actor: missing"),
        ("{\"actor\":\"a\",\"action\":\"\"}", "action: missing"),
        ("{\"aktor\":\"a\"}", "aktor: an event has no such field; did you mean \"actor\"?"),
        ("{\"zzz\":\"a\"}", "zzz: an event has no such field; other things go into \"attributes\""),
        ("{\"Actor\":\"a\"}", "did you mean \"actor\"?"),
        ("{\"actor\":[]}", "actor: expected a string, found []"),
        ("{\"outcome\":\"sucess\"}", "outcome: expected one of unspecified, success, failure, error,"),
        ("{\"outcome\":-1}", "outcome: expected one of"),
        ("{\"time\":\"yesterday\"}", "time: expected a time as 2026-11-23T22:48:00Z"),
        ("{\"time\":\"9999-01-01T00:00:00Z\"}", "from 1677 to 2262, found \"9999"),
        ("{\"run_attempt\":4294967296}", "run_attempt: expected a number below 2^32"),
        ("{\"source_epoch\":-1}", "source_epoch: expected a number from 0"),
        ("{\"trace_id\":\"abcd\"}", "trace_id: expected 16 bytes as 32 hexadecimal digits, found \"abcd\""),
        ("{\"original\":\"%\"}", "original: expected bytes in base64"),
        (
            "{\"artifacts\":[{},{\"digest\":1}]}",
            "artifacts[1].digest: an event has no such field; did you mean \"digests\"?",
        ),
        (
            "{\"artifacts\":[{\"digests\":{\"sha256\":1}}]}",
            "artifacts[0].digests.sha256: expected a string, found 1",
        ),
        ("{\"links\":{}}", "links: expected a list, found {}"),
        ("{\"attributes\":{\"a\":[1]}}", "attributes.a: expected a string, found [1]"),
    ] {
        let error = json_event(line).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let Err(JsonError::Syntax { column, .. }) = json_event("{\"actor\":x}") else { panic!("read") };
    assert_eq!(column, 10);
}

#[test]
fn lenient_reading_keeps_other_keys_as_attributes() {
    let line = r#"{"actor":"a","action":"b","team":"core","n":3,"more":{"x":[1]},"attributes":{"k":"v"}}"#;
    let event = json_event_lenient(line).unwrap();
    let expected = [("k", "v"), ("more", "{\"x\":[1]}"), ("n", "3"), ("team", "core")];
    let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(event.attributes.into_iter().collect::<BTreeMap<_, _>>(), expected);
    let twice = r#"{"actor":"a","action":"b","team":"core","attributes":{"team":"x"}}"#;
    assert!(json_event_lenient(twice).unwrap_err().to_string().starts_with("team: expected one value"));
}

#[test]
fn writing_keeps_the_order_of_the_fields_and_leaves_absent_ones_out() {
    let event = Event {
        actor: Some("a".into()),
        action: Some("b".into()),
        outcome: Some(Outcome::Denied.into()),
        attributes: [("z".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())]
            .into_iter()
            .collect(),
        time: Some(Timestamp { seconds: 0, nanos: 0 }),
        ..Event::default()
    };
    let expected = r#"{"time":"1970-01-01T00:00:00Z","actor":"a","action":"b","outcome":"denied","attributes":{"y":"2","z":"1"}}"#;
    assert_eq!(event_json(&event).to_string(), expected);
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof!["[a-z./-]{0,12}", ".{0,30}"])
}

fn digests() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z0-9]{0,6}", "[0-9a-f]{0,20}", 0..3)
}

fn artifact() -> impl Strategy<Value = Artifact> {
    (text(), text(), text(), digests(), prop::option::of(0..5_i32), text()).prop_map(
        |(name, uri, purl, digests, role, media_type)| Artifact {
            name,
            uri,
            purl,
            digests: digests.into_iter().collect(),
            role,
            media_type,
        },
    )
}

fn attestation() -> impl Strategy<Value = Attestation> {
    (text(), text(), digests()).prop_map(|(predicate_type, uri, digests)| Attestation {
        predicate_type,
        uri,
        digests: digests.into_iter().collect(),
    })
}

fn link() -> impl Strategy<Value = Link> {
    (text(), text(), text()).prop_map(|(kind, source, id)| Link { kind, source, id })
}

prop_compose! {
    fn numbers()(
        outcome in prop::option::of(0..99_i32),
        actor_type in prop::option::of(0..9_i32),
        auth_method in prop::option::of(0..12_i32),
        run_attempt in prop::option::of(any::<u32>()),
        source_epoch in prop::option::of(any::<u64>()),
        source_sequence in prop::option::of(any::<u64>()),
        nanos in prop::option::of(any::<i64>()),
    ) -> Event {
        let time = nanos.map(|nanos| Timestamp {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
        });
        Event { outcome, actor_type, auth_method, run_attempt, source_epoch, source_sequence, time, ..Event::default() }
    }
}

prop_compose! {
    fn lists()(
        artifacts in prop::collection::vec(artifact(), 0..3),
        attestations in prop::collection::vec(attestation(), 0..3),
        links in prop::collection::vec(link(), 0..3),
        runner_labels in prop::collection::vec(".{0,9}", 0..3),
        attributes in prop::collection::btree_map(".{0,9}", ".{0,30}", 0..5),
        trace_id in prop::option::of(prop::collection::vec(any::<u8>(), 16)),
        span_id in prop::option::of(prop::collection::vec(any::<u8>(), 8)),
        original in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) -> Event {
        let attributes = attributes.into_iter().collect();
        Event { artifacts, attestations, links, runner_labels, attributes, trace_id, span_id, original, ..Event::default() }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let texts = prop::collection::vec(text(), super::TEXT_FIELDS.len());
    (numbers(), lists(), texts, ".{1,9}", ".{1,9}").prop_map(|(numbers, lists, texts, actor, action)| {
        let mut event = Event {
            outcome: numbers.outcome,
            actor_type: numbers.actor_type,
            auth_method: numbers.auth_method,
            run_attempt: numbers.run_attempt,
            source_epoch: numbers.source_epoch,
            source_sequence: numbers.source_sequence,
            time: numbers.time,
            ..lists
        };
        for ((_, _, place), text) in super::TEXT_FIELDS.iter().zip(texts) {
            *place(&mut event) = text;
        }
        event.actor = Some(actor);
        event.action = Some(action);
        event
    })
}

fn cases() -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_as_the_same_event(event in event()) {
        let line = event_json(&event).to_string();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(json_event(&line).unwrap(), event);
    }

    #[test]
    fn no_line_is_a_panic(line in ".{0,200}") {
        let _refused = json_event(&line).is_err();
        let _refused = json_event_lenient(&format!("{{\"actor\":{line:?}}}")).is_err();
    }
}
