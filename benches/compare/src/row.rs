//! An event as a table has it: a column for whatever is asked for, and JSON for the rest.

use anyhow::{Context as _, Result};
use piperoll_proto::v1::{Artifact, Event};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The columns, in the order in which every system has them.
pub(crate) const COLUMNS: &str =
    "id, time, actor, action, stage, outcome, environment, reason, digests, body";
const NANOS: i64 = 1_000_000_000;

/// A row.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) stage: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) reason: Option<String>,
    /// `algorithm:hex` of each artifact.
    pub(crate) digests: Vec<String>,
    /// Everything else, as a JSON object.
    pub(crate) body: String,
}

impl Row {
    /// The event's.
    pub(crate) fn of(event: &Event) -> Result<Self> {
        let time = event.time.as_ref().context("samples have times")?;
        let digests = event.artifacts.iter().flat_map(|artifact| &artifact.digests);
        Ok(Self {
            id: event.id().to_owned(),
            time: time.seconds * NANOS + i64::from(time.nanos),
            actor: event.actor().to_owned(),
            action: event.action().to_owned(),
            stage: event.stage.clone(),
            outcome: event.outcome.map(|_| word(event.outcome().as_str_name(), "OUTCOME_")),
            environment: event.environment.clone(),
            reason: event.reason.clone(),
            digests: digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect(),
            body: Value::Object(body(event)).to_string(),
        })
    }

    /// Bytes of its texts, for people who wonder what a row is.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.stage, &self.outcome, &self.environment, &self.reason];
        let own = [&self.id, &self.actor, &self.action, &self.body].map(String::len).iter().sum::<usize>();
        own + size_of::<i64>()
            + texts.into_iter().flatten().chain(&self.digests).map(String::len).sum::<usize>()
    }
}

/// Whatever has no column.
fn body(event: &Event) -> Map<String, Value> {
    let mut body = Map::new();
    let texts = [
        ("source", &event.source),
        ("pipeline", &event.pipeline),
        ("run", &event.run),
        ("job", &event.job),
        ("step", &event.step),
        ("trigger", &event.trigger),
        ("repo", &event.repo),
        ("ref", &event.r#ref),
        ("commit", &event.commit),
        ("change", &event.change),
        ("on_behalf_of", &event.on_behalf_of),
        ("address", &event.address),
        ("user_agent", &event.user_agent),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body.insert(name.to_owned(), json!(text));
        }
    }
    for (name, number) in [("source_epoch", event.source_epoch), ("source_sequence", event.source_sequence)] {
        if let Some(number) = number {
            body.insert(name.to_owned(), json!(number));
        }
    }
    body.insert("actor_type".to_owned(), json!(word(event.actor_type().as_str_name(), "ACTOR_TYPE_")));
    body.insert("auth_method".to_owned(), json!(word(event.auth_method().as_str_name(), "AUTH_METHOD_")));
    if let Some(id) = &event.trace_id {
        body.insert("trace_id".to_owned(), json!(hex::encode(id)));
    }
    if !event.artifacts.is_empty() {
        body.insert("artifacts".to_owned(), event.artifacts.iter().map(artifact).collect());
    }
    body.insert("attributes".to_owned(), json!(event.attributes));
    body
}

fn artifact(artifact: &Artifact) -> Value {
    json!({ "uri": artifact.uri, "role": word(artifact.role().as_str_name(), "ARTIFACT_ROLE_") })
}

/// The word of an enum's name.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}
