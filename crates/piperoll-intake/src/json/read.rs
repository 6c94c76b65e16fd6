//! JSON as an event, each error with the field that it is about.

use super::{
    ACTOR_TYPE, ARTIFACT_KEYS, ARTIFACT_ROLE, ATTESTATION_KEYS, AUTH_METHOD, JsonError, KEYS, LINK_KEYS,
    OUTCOME, TEXT_FIELDS,
};
use crate::{text, tree};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use piperoll_proto::v1::{ActorType, Artifact, ArtifactRole, Attestation, AuthMethod, Event, Link, Outcome};
use prost_types::Timestamp as ProtoTime;
use serde_json::{Map, Value};

/// Longest part of a value that an error repeats, in bytes.
const FOUND_BYTES_MAX: usize = 80;

/// The event that one line of JSON says. A key that events do not have is an error which names the nearest.
///
/// The daemon's own rules (lengths, control characters, times) are left to the daemon, but for what JSON can
/// say and an event cannot.
pub fn json_event(line: &str) -> Result<Event, JsonError> {
    read(line, false)
}

/// As [`json_event`], but keys that events do not have become attributes: texts, numbers and switches as they
/// are, lists and objects as JSON.
pub fn json_event_lenient(line: &str) -> Result<Event, JsonError> {
    read(line, true)
}

fn read(line: &str, lenient: bool) -> Result<Event, JsonError> {
    let root = tree::parse(line.as_bytes())
        .map_err(|error| JsonError::Syntax { column: error.column(), reason: error.to_string() })?;
    let root = root.as_object().ok_or_else(|| wrong("the line", "a JSON object", &root))?;
    let mut event = Event::default();
    let mut unknown = Vec::new();
    for (key, value) in root {
        if KEYS.contains(&key.as_str()) {
            // A null says absent.
            if !value.is_null() {
                set(&mut event, key, value)?;
            }
        } else if lenient {
            unknown.push((key, value));
        } else {
            return Err(unknown_key(key, key, &KEYS));
        }
    }
    for (key, value) in unknown {
        let text = scalar(value).unwrap_or_else(|| value.to_string());
        if event.attributes.insert(key.clone(), text).is_some() {
            let expected = "one value: \"attributes\" has that key too".to_owned();
            return Err(JsonError::Value { field: key.clone(), expected, found: found(value) });
        }
    }
    for (field, value) in [("actor", &event.actor), ("action", &event.action)] {
        if value.as_deref().unwrap_or_default().is_empty() {
            return Err(JsonError::Missing { field });
        }
    }
    Ok(event)
}

fn set(event: &mut Event, key: &str, value: &Value) -> Result<(), JsonError> {
    if let Some((_, _, place)) = TEXT_FIELDS.iter().find(|(name, ..)| *name == key) {
        *place(event) = Some(text_of(key, value)?);
        return Ok(());
    }
    match key {
        "time" => event.time = Some(time(key, value)?),
        "outcome" => {
            event.outcome = Some(word(key, value, OUTCOME, |s| Some(Outcome::from_str_name(s)?.into()))?);
        }
        "actor_type" => {
            event.actor_type =
                Some(word(key, value, ACTOR_TYPE, |s| Some(ActorType::from_str_name(s)?.into()))?);
        }
        "auth_method" => {
            event.auth_method =
                Some(word(key, value, AUTH_METHOD, |s| Some(AuthMethod::from_str_name(s)?.into()))?);
        }
        "artifacts" => event.artifacts = list(key, value, artifact)?,
        "attestations" => event.attestations = list(key, value, attestation)?,
        "links" => event.links = list(key, value, link)?,
        "runner_labels" => event.runner_labels = list(key, value, text_of)?,
        "attributes" => event.attributes = texts(key, value, scalar)?.into_iter().collect(),
        "run_attempt" => {
            let attempt = u32::try_from(number(key, value)?).ok();
            event.run_attempt = Some(attempt.ok_or_else(|| wrong(key, "a number below 2^32", value))?);
        }
        "source_epoch" => event.source_epoch = Some(number(key, value)?),
        "source_sequence" => event.source_sequence = Some(number(key, value)?),
        "trace_id" => event.trace_id = Some(hex_of(key, value, 16)?),
        "span_id" => event.span_id = Some(hex_of(key, value, 8)?),
        "original" => {
            let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            event.original = Some(bytes.ok_or_else(|| wrong(key, "bytes in base64", value))?);
        }
        _ => return Err(unknown_key(key, key, &KEYS)),
    }
    Ok(())
}

fn text_of(field: &str, value: &Value) -> Result<String, JsonError> {
    match value {
        // Runs, jobs and changes are numbers at many sources.
        Value::String(_) | Value::Number(_) => scalar(value),
        _ => None,
    }
    .ok_or_else(|| wrong(field, "a string", value))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        _ => None,
    }
}

fn number(field: &str, value: &Value) -> Result<u64, JsonError> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| wrong(field, "a number from 0 to 2^64 - 1", value))
}

/// RFC 3339, or a string of nanoseconds since 1970.
fn time(field: &str, value: &Value) -> Result<ProtoTime, JsonError> {
    let expected = "a time as 2026-11-23T22:48:00Z, or nanoseconds since 1970 as a string, from 1677 to 2262";
    let text = value.as_str().ok_or_else(|| wrong(field, expected, value))?;
    let nanos = text.parse::<i64>().ok().map(i128::from);
    let nanos = nanos.or_else(|| Some(text.parse::<Timestamp>().ok()?.as_nanosecond()));
    let nanos =
        nanos.and_then(|nanos| i64::try_from(nanos).ok()).ok_or_else(|| wrong(field, expected, value))?;
    let second = 1_000_000_000;
    let below = i32::try_from(nanos.rem_euclid(second)).map_err(|_| wrong(field, expected, value))?;
    Ok(ProtoTime { seconds: nanos.div_euclid(second), nanos: below })
}

/// A short name, a name as in proto, or the number of a name that is not known here.
fn word(
    field: &str,
    value: &Value,
    prefix: &str,
    number: impl Fn(&str) -> Option<i32>,
) -> Result<i32, JsonError> {
    let plain = value.as_i64().and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0);
    let named = || {
        let upper = value.as_str()?.to_ascii_uppercase();
        number(&upper).or_else(|| number(&format!("{prefix}{upper}")))
    };
    plain.or_else(named).ok_or_else(|| {
        // Enum numbers are dense, so the names can be asked for in order.
        let expected = format!("one of {}", names(prefix).join(", "));
        wrong(field, &expected, value)
    })
}

/// The short names of an enum.
fn names(prefix: &str) -> Vec<String> {
    let name = |number: i32| {
        Some(match prefix {
            OUTCOME => Outcome::try_from(number).ok()?.as_str_name(),
            ACTOR_TYPE => ActorType::try_from(number).ok()?.as_str_name(),
            AUTH_METHOD => AuthMethod::try_from(number).ok()?.as_str_name(),
            _ => ArtifactRole::try_from(number).ok()?.as_str_name(),
        })
    };
    (0..).map_while(name).map(|name| name.trim_start_matches(prefix).to_ascii_lowercase()).collect()
}

fn hex_of(field: &str, value: &Value, bytes: usize) -> Result<Vec<u8>, JsonError> {
    let decoded = value.as_str().and_then(|text| hex::decode(text).ok());
    let expected = format!("{bytes} bytes as {} hexadecimal digits", bytes * 2);
    decoded.filter(|decoded| decoded.len() == bytes).ok_or_else(|| wrong(field, &expected, value))
}

fn list<T>(
    field: &str,
    value: &Value,
    one: impl Fn(&str, &Value) -> Result<T, JsonError>,
) -> Result<Vec<T>, JsonError> {
    let items = value.as_array().ok_or_else(|| wrong(field, "a list", value))?;
    items.iter().enumerate().map(|(index, item)| one(&format!("{field}[{index}]"), item)).collect()
}

fn texts(
    field: &str,
    value: &Value,
    one: impl Fn(&Value) -> Option<String>,
) -> Result<Vec<(String, String)>, JsonError> {
    members(field, value)?
        .iter()
        .map(|(key, value)| {
            let text = one(value).ok_or_else(|| wrong(&format!("{field}.{key}"), "a string", value))?;
            Ok((key.clone(), text))
        })
        .collect()
}

fn members<'v>(field: &str, value: &'v Value) -> Result<&'v Map<String, Value>, JsonError> {
    value.as_object().ok_or_else(|| wrong(field, "an object", value))
}

/// The members of an object whose keys are known, without nulls.
fn known<'v>(
    field: &str,
    value: &'v Value,
    keys: &[&str],
) -> Result<impl Iterator<Item = (&'v str, &'v Value)>, JsonError> {
    let members = members(field, value)?;
    if let Some(key) = members.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(unknown_key(&format!("{field}.{key}"), key, keys));
    }
    Ok(members.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.as_str(), value)))
}

fn artifact(field: &str, value: &Value) -> Result<Artifact, JsonError> {
    let mut artifact = Artifact::default();
    for (key, value) in known(field, value, &ARTIFACT_KEYS)? {
        let path = format!("{field}.{key}");
        match key {
            "name" => artifact.name = Some(text_of(&path, value)?),
            "uri" => artifact.uri = Some(text_of(&path, value)?),
            "purl" => artifact.purl = Some(text_of(&path, value)?),
            "digests" => artifact.digests = digests(&path, value)?.into_iter().collect(),
            "role" => {
                let role = |s: &str| Some(ArtifactRole::from_str_name(s)?.into());
                artifact.role = Some(word(&path, value, ARTIFACT_ROLE, role)?);
            }
            _ => artifact.media_type = Some(text_of(&path, value)?),
        }
    }
    Ok(artifact)
}

fn attestation(field: &str, value: &Value) -> Result<Attestation, JsonError> {
    let mut attestation = Attestation::default();
    for (key, value) in known(field, value, &ATTESTATION_KEYS)? {
        let path = format!("{field}.{key}");
        match key {
            "predicate_type" => attestation.predicate_type = Some(text_of(&path, value)?),
            "uri" => attestation.uri = Some(text_of(&path, value)?),
            _ => attestation.digests = digests(&path, value)?.into_iter().collect(),
        }
    }
    Ok(attestation)
}

fn link(field: &str, value: &Value) -> Result<Link, JsonError> {
    let mut link = Link::default();
    for (key, value) in known(field, value, &LINK_KEYS)? {
        let text = Some(text_of(&format!("{field}.{key}"), value)?);
        match key {
            "kind" => link.kind = text,
            "source" => link.source = text,
            _ => link.id = text,
        }
    }
    Ok(link)
}

fn digests(field: &str, value: &Value) -> Result<Vec<(String, String)>, JsonError> {
    texts(field, value, |digest| digest.as_str().map(str::to_owned))
}

fn unknown_key(field: &str, key: &str, keys: &[&str]) -> JsonError {
    let key = key.to_ascii_lowercase();
    let near = keys.iter().map(|known| (strsim::jaro_winkler(known, &key), *known));
    let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
    JsonError::UnknownKey { field: text::line(field, 256), near: near.map(|(_, known)| known.to_owned()) }
}

fn wrong(field: &str, expected: &str, value: &Value) -> JsonError {
    JsonError::Value { field: text::line(field, 256), expected: expected.to_owned(), found: found(value) }
}

fn found(value: &Value) -> String {
    text::line(&value.to_string(), FOUND_BYTES_MAX)
}
