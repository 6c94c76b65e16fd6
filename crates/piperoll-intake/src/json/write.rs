//! An event as JSON.

use super::{ACTOR_TYPE, ARTIFACT_ROLE, AUTH_METHOD, KEYS, OUTCOME, TEXT_FIELDS};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use piperoll_proto::v1::{ActorType, Artifact, ArtifactRole, Attestation, AuthMethod, Event, Link, Outcome};
use prost_types::Timestamp as ProtoTime;
use serde_json::{Map, Value};

/// The event as one JSON object: what is absent in the event is absent there, and [`super::json_event`] reads
/// the same event back. Keys stand in the order of the field numbers, those of maps in alphabetical order.
pub fn event_json(event: &Event) -> Value {
    let mut object = Map::new();
    for key in KEYS {
        if let Some(value) = field(event, key) {
            object.insert(key.to_owned(), value);
        }
    }
    Value::Object(object)
}

fn field(event: &Event, key: &str) -> Option<Value> {
    if let Some((_, get, _)) = TEXT_FIELDS.iter().find(|(name, ..)| *name == key) {
        return get(event).clone().map(Value::String);
    }
    match key {
        "time" => event.time.as_ref().map(time),
        "outcome" => word(event.outcome, OUTCOME, |n| Some(Outcome::try_from(n).ok()?.as_str_name())),
        "actor_type" => {
            word(event.actor_type, ACTOR_TYPE, |n| Some(ActorType::try_from(n).ok()?.as_str_name()))
        }
        "auth_method" => {
            word(event.auth_method, AUTH_METHOD, |n| Some(AuthMethod::try_from(n).ok()?.as_str_name()))
        }
        "artifacts" => list(&event.artifacts, artifact),
        "attestations" => list(&event.attestations, attestation),
        "links" => list(&event.links, link),
        "runner_labels" => list(&event.runner_labels, |label| Value::String(label.clone())),
        "attributes" => texts(&event.attributes),
        "run_attempt" => event.run_attempt.map(Value::from),
        "source_epoch" => event.source_epoch.map(Value::from),
        "source_sequence" => event.source_sequence.map(Value::from),
        "trace_id" => event.trace_id.as_ref().map(|id| Value::String(hex::encode(id))),
        "span_id" => event.span_id.as_ref().map(|id| Value::String(hex::encode(id))),
        "original" => event.original.as_ref().map(|bytes| Value::String(STANDARD.encode(bytes))),
        _ => None,
    }
}

/// RFC 3339; a time that has no such form is its nanoseconds since 1970.
fn time(time: &ProtoTime) -> Value {
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    match Timestamp::from_nanosecond(nanos) {
        Ok(time) => Value::String(time.to_string()),
        Err(_) => Value::String(nanos.to_string()),
    }
}

/// A number without a name stays a number.
fn word(number: Option<i32>, prefix: &str, name: impl Fn(i32) -> Option<&'static str>) -> Option<Value> {
    let number = number?;
    let short = name(number).and_then(|name| name.strip_prefix(prefix));
    Some(short.map_or_else(|| number.into(), |short| Value::String(short.to_ascii_lowercase())))
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| Value::Array(items.iter().map(one).collect()))
}

fn texts<'m>(map: impl IntoIterator<Item = (&'m String, &'m String)>) -> Option<Value> {
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort();
    let object: Map<String, Value> =
        pairs.into_iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn text(text: Option<&String>) -> Option<Value> {
    text.cloned().map(Value::String)
}

fn artifact(artifact: &Artifact) -> Value {
    let role = |n| Some(ArtifactRole::try_from(n).ok()?.as_str_name());
    object([
        ("name", text(artifact.name.as_ref())),
        ("uri", text(artifact.uri.as_ref())),
        ("purl", text(artifact.purl.as_ref())),
        ("digests", texts(&artifact.digests)),
        ("role", word(artifact.role, ARTIFACT_ROLE, role)),
        ("media_type", text(artifact.media_type.as_ref())),
    ])
}

fn attestation(attestation: &Attestation) -> Value {
    object([
        ("predicate_type", text(attestation.predicate_type.as_ref())),
        ("uri", text(attestation.uri.as_ref())),
        ("digests", texts(&attestation.digests)),
    ])
}

fn link(link: &Link) -> Value {
    object([
        ("kind", text(link.kind.as_ref())),
        ("source", text(link.source.as_ref())),
        ("id", text(link.id.as_ref())),
    ])
}
