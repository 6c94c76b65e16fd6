//! GitHub webhook payloads: `table` says what each kind's fields are, `special` has the few that need more than
//! a path, `attributes` keeps the rest, and this file puts the event together.

mod attributes;
mod payload;
mod special;
mod table;
mod words;

use crate::{
    EVENT_BYTES_MAX,
    text::{self, FIELD_TEXT_BYTES_MAX},
    tree,
};
use payload::Payload;
use piperoll_proto::v1::{ActorType, Event};
use prost::Message as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use table::Kind;

/// Longest payload, in bytes: GitHub sends none above.
pub const PAYLOAD_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Longest name of a kind, in bytes.
const KIND_BYTES_MAX: usize = 64;
/// Most bytes of an event that lists (artifacts, links, labels) may take together with the fields.
const LISTS_BYTES_MAX: usize = EVENT_BYTES_MAX / 2;
/// Who acted where GitHub names nobody: GitHub itself.
const NOBODY: &str = "github";

/// Why a payload is no event.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The kind, as `X-GitHub-Event` names it, cannot be one.
    #[error(
        "the kind {found:?} is none: expected 1 to 64 of a-z, 0-9 and _, as the header X-GitHub-Event has it"
    )]
    Kind {
        /// What was given, cut.
        found: String,
    },
    /// The payload is longer than GitHub sends.
    #[error("the payload has {bytes} bytes: expected at most {PAYLOAD_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The payload is not JSON, is nested too deep, or repeats a key.
    #[error("the payload cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The payload is JSON, but no object.
    #[error("the payload is {found}: expected a JSON object")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
}

/// The event of one webhook delivery: `kind` is its `X-GitHub-Event`, `delivery` its `X-GitHub-Delivery`.
///
/// The same arguments give the same event. Without a `delivery` the event's id is the payload's digest.
/// A kind that is not known gives an event all the same; its payload is in the attributes.
pub fn github(kind: &str, delivery: Option<&str>, payload: &[u8]) -> Result<Event, IntakeError> {
    if !is_kind(kind) {
        return Err(IntakeError::Kind { found: text::line(kind, KIND_BYTES_MAX) });
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(IntakeError::TooLong { bytes: payload.len() });
    }
    let root = tree::parse(payload)?;
    if !root.is_object() {
        return Err(IntakeError::NotAnObject { found: type_name(&root) });
    }
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(payload)));
    let mut event = assemble(kind, &mut Payload::new(&root));
    let delivery = delivery.map(|id| text::line(id, FIELD_TEXT_BYTES_MAX)).filter(|id| !id.is_empty());
    event.id = Some(delivery.unwrap_or_else(|| digest.clone()));
    event.original_schema = Some(format!("github/webhook/{kind}"));
    event.original_digest = Some(digest);
    Ok(event)
}

fn is_kind(kind: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&kind.len())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn assemble(name: &str, payload: &mut Payload<'_>) -> Event {
    let kind = table::kind(name);
    let mut event = Event::default();
    who(kind, payload, &mut event);
    what(name, kind, payload, &mut event);
    place(kind, payload, &mut event);
    let verb = payload.peek("/action").unwrap_or_default();
    event.time = words::by_verb(kind.time, verb).find_map(|path| payload.time(path));
    (kind.also)(payload, &mut event);
    if kind.name.is_empty() {
        special::unknown(name, payload, &mut event);
    }
    let cut = bound_lists(&mut event);
    attributes::fill(payload, cut, &mut event);
    event
}

fn who(kind: &Kind, payload: &mut Payload<'_>, event: &mut Event) {
    let account =
        ["/sender"].iter().chain(kind.actor).find(|path| payload.peek(&format!("{path}/login")).is_some());
    let at = |member: &str| account.map(|path| format!("{path}/{member}")).unwrap_or_default();
    let actor = payload.take(&at("login")).unwrap_or_else(|| NOBODY.to_owned());
    let actor_type = match payload.peek(&at("type")) {
        // GitHub names itself as an organisation that acts, or names nobody.
        _ if actor == NOBODY => Some(ActorType::System),
        Some("User") => Some(ActorType::Human),
        Some("Bot") => Some(ActorType::Bot),
        _ => None,
    };
    event.actor_type = actor_type.map(i32::from);
    event.actor_name = payload.take(&at("name"));
    if actor_type == Some(ActorType::Bot) {
        event.on_behalf_of = kind.people.iter().find_map(|path| special::person(payload, path));
    }
    event.actor = Some(actor);
}

fn what(name: &str, kind: &Kind, payload: &mut Payload<'_>, event: &mut Event) {
    let verb = kind.verb.iter().find_map(|path| payload.peek(path)).map(words::verb);
    event.action = Some(match verb {
        Some(verb) if !verb.is_empty() => format!("{name}.{verb}"),
        _ => name.to_owned(),
    });
    let verb = payload.peek("/action").unwrap_or_default();
    event.outcome = words::by_verb(kind.outcome, verb)
        .find_map(|path| words::outcome(payload.literal_or_text(path)?))
        .map(i32::from);
    event.stage = payload.first(kind.stage);
    event.reason = kind.reason.iter().find_map(|path| payload.take_lines(path));
    event.trigger = kind.trigger.iter().find_map(|path| payload.literal_or_text(path)).map(words::trigger);
}

fn place(kind: &Kind, payload: &mut Payload<'_>, event: &mut Event) {
    event.source = Some(payload.source());
    event.repo = payload.first(&["/repository/full_name"]);
    event.pipeline = payload.first(kind.pipeline);
    event.run = payload.first(kind.run);
    event.run_attempt = kind
        .attempt
        .iter()
        .find_map(|path| payload.at(path)?.as_u64())
        .and_then(|attempt| u32::try_from(attempt).ok());
    event.job = payload.first(kind.job);
    event.r#ref = kind.reference.iter().find_map(|path| payload.reference(path));
    event.commit = kind.commit.iter().find_map(|path| payload.commit(path));
    event.change = payload.first(kind.change);
    event.environment = payload.first(kind.environment);
    event.runner = payload.first(kind.runner);
    event.runner_labels = kind.labels.iter().flat_map(|path| payload.texts(path)).collect();
}

/// Cuts the lists from their ends until the event has room for attributes; how many entries that took.
fn bound_lists(event: &mut Event) -> usize {
    let mut cut = 0;
    while event.encoded_len() > LISTS_BYTES_MAX {
        let longest = [event.artifacts.len(), event.links.len(), event.runner_labels.len()];
        if longest == [0, 0, 0] {
            break;
        }
        // Halving keeps this from measuring a long event once for each entry.
        cut += halve(&mut event.artifacts) + halve(&mut event.links) + halve(&mut event.runner_labels);
    }
    cut
}

fn halve<T>(list: &mut Vec<T>) -> usize {
    let keep = list.len() / 2;
    let cut = list.len() - keep;
    list.truncate(keep);
    cut
}
