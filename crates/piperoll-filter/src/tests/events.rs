//! Which events a filter matches.

use super::NOW;
use crate::{RecordFacts, parse};
use piperoll_format::event::{EventView, Field, check_event};

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn field(field: Field) -> u64 {
    field.number().into()
}

fn text(name: Field, value: &str) -> Vec<u8> {
    bytes(field(name), value.as_bytes())
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    [bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat()
}

/// Two hours before now.
pub(super) fn deployment() -> Vec<u8> {
    let seconds = u64::try_from(NOW.0 / 1_000_000_000 - 7_200).unwrap();
    [
        text(Field::Actor, "alice@example.com"),
        text(Field::Action, "deploy.finished"),
        text(Field::Stage, "deploy"),
        number(field(Field::Outcome), 2),
        text(Field::Reason, ""),
        number(field(Field::RunAttempt), 3),
        bytes(field(Field::Time), &number(1, seconds)),
        bytes(field(Field::TraceId), &[0x4b; 16]),
        text(Field::RunnerLabels, "linux"),
        text(Field::RunnerLabels, "x64"),
        bytes(field(Field::Artifacts), &bytes(1, b"without digest")),
        bytes(field(Field::Artifacts), &bytes(4, &entry("oci", "ab"))),
        bytes(field(Field::Attestations), &bytes(1, b"predicate")),
        bytes(field(Field::Links), &[bytes(1, b"caused_by"), bytes(3, b"run-7")].concat()),
        bytes(field(Field::Attributes), &entry("region", "eu")),
        bytes(field(Field::Attributes), &entry("any key", "")),
        text(Field::UserAgent, "curl/8"),
    ]
    .concat()
}

#[track_caller]
fn check(filter: &str, expected: bool) {
    let bytes = deployment();
    let event: EventView<'_> = check_event(&bytes).unwrap();
    let record = RecordFacts { received: NOW, class: "audit" };
    let matches = |text: &str| {
        parse(text, NOW).unwrap_or_else(|error| panic!("{}", error.render())).matches(&event, &record)
    };
    assert_eq!(matches(filter), expected, "{filter}");
    assert_eq!(matches(&format!("NOT ({filter})")), !expected, "NOT ({filter})");
}

#[test]
fn fields_compare_by_kind() {
    check("*", true);
    check("actor = alice@example.com", true);
    check("actor = Alice@example.com", false);
    check("action = deploy.*", true);
    check("action = *", true);
    check("action IN (a, deploy.finished, z)", true);
    check("outcome = failure", true);
    check("outcome != failure", false);
    check("outcome NOT IN (success, 99)", true);
    check("run_attempt > 2 AND run_attempt >= 3 AND run_attempt < 4 AND run_attempt <= 3", true);
    check("run_attempt > 3 OR run_attempt < 3", false);
    check("time >= -2h AND time <= -2h", true);
    check("time > -2h", false);
    check("received >= now AND received < +1s", true);
    check("class = audit AND class != build", true);
    check("trace_id = 4B4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b", true);
    check("trace_id != 00", true);
    check("user_agent = curl*", true);
}

#[test]
fn parts_of_texts_are_found_anywhere_byte_for_byte() {
    check("user_agent ~ curl/8", true);
    check("user_agent ~ l/", true);
    check("user_agent ~ L/", false);
    check("user_agent ~ curl/80", false);
    check("actor ~ @example", true);
    check("class ~ udi", true);
    check("attr.region ~ u", true);
    check("attr.region ~ x OR attr.zone ~ e", false);
    check("label ~ inu AND label ~ 64", true);
    check("link ~ n-7", true);
    check("actor_name ~ a", false);
    check("reason ~ a", false);
}

#[test]
fn absent_fields_make_every_comparison_false() {
    check("environment = production", false);
    check("environment != production", false);
    check("environment NOT IN (production)", false);
    check("environment:*", false);
    check("environment = *", false);
    check("source_epoch >= 0", false);
    check("attr.zone = eu", false);
    check("attr.zone != eu", false);
    check("span_id != 00", false);
}

#[test]
fn empty_is_not_absent() {
    check("reason:*", true);
    check(r#"reason = """#, true);
    check("reason != x", true);
    check(r#"attr."any key":*"#, true);
    check(r#"attr."any key" = """#, true);
}

#[test]
fn any_element_of_a_repeated_field_is_enough_and_none_may_be_excluded() {
    check("label = linux", true);
    check("label = linux AND label = x64", true);
    check("label = li*", true);
    check("label = arm", false);
    check("label != linux", false);
    check("label != arm", true);
    check("label:*", true);
    check("artifact = oci:ab", true);
    check("artifact = other:ab", false);
    check("artifact IN (oci:00, oci:ab, other:00)", true);
    check("artifact != oci:00", true);
    check("attestation:*", true);
    check("attestation = oci:ab", false);
    check("attestation != oci:ab", true);
    check("link = run-7 AND link = run* AND link != x", true);
    check("attr.region = eu AND attributes:*", true);
}

#[test]
fn conditions_join_as_logic_has_it() {
    check("actor = nobody OR stage = deploy AND outcome = failure", true);
    check("(actor = nobody OR stage = deploy) AND outcome = success", false);
    check("stage = deploy AND NOT outcome = success", true);
    check("NOT environment = production", true);
    check("NOT *", false);
}
