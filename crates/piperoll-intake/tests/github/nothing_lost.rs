//! Nothing of a payload's who, what and when is dropped.

use super::support::samples;
use piperoll_intake::{Event, event_json};
use serde_json::Value;
use std::collections::HashSet;

#[test]
fn each_login_time_hash_and_id_of_a_payload_is_in_its_event() {
    for sample in samples() {
        let event = sample.event();
        let kept = kept(&event);
        let payload: Value = serde_json::from_slice(&sample.payload).unwrap();
        visit("", &payload, &mut |path, value| {
            if says_who_what_or_when(path, value) {
                assert!(kept.contains(value), "{}: {path} = {value:?} is not in the event", sample.name);
            }
        });
        assert!(!event.attributes.contains_key("piperoll.left_out"), "{} was cut", sample.name);
    }
}

#[test]
fn each_page_of_a_payload_is_in_its_event() {
    for sample in samples() {
        let kept = kept(&sample.event());
        let payload: Value = serde_json::from_slice(&sample.payload).unwrap();
        visit("", &payload, &mut |path, value| {
            let is_page = path.ends_with("html_url") && !value.contains('{') && !path.contains("_links");
            assert!(!is_page || kept.contains(value), "{}: {path} = {value:?} is gone", sample.name);
        });
    }
}

/// Every text of the event, and the numbers as texts.
fn kept(event: &Event) -> HashSet<String> {
    let mut kept = HashSet::new();
    visit("", &event_json(event), &mut |_, value| {
        kept.insert(value.to_owned());
    });
    kept
}

fn visit(path: &str, value: &Value, each: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| visit(&format!("{path}.{key}"), value, each));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(path, item, each)),
        Value::String(text) => each(path, text),
        Value::Number(number) => each(path, &number.to_string()),
        _ => {}
    }
}

/// By the member's name and by the value's looks, and by nothing that the mapping itself knows.
fn says_who_what_or_when(path: &str, value: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let names = [
        "login",
        "email",
        "username",
        "id",
        "number",
        "name",
        "full_name",
        "slug",
        "action",
        "state",
        "status",
    ];
    let is_hash = value.len() == 40 && value.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = value.len() >= 19
        && value.get(4..5) == Some("-")
        && value.get(10..11).is_some_and(|t| t == "T" || t == " ")
        && value.get(13..14) == Some(":");
    // A repository's licence is none of the three.
    !value.is_empty()
        && !path.contains(".license.")
        && (names.contains(&name) || name.ends_with("_at") || is_hash || is_time)
}

#[test]
fn no_secret_enters_an_event() {
    for sample in samples() {
        let event = event_json(&sample.event()).to_string();
        assert!(!event.contains("must-not-enter"), "{}", sample.name);
    }
}
