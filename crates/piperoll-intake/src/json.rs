//! The JSON form of an event, one object a line: names as in proto, enums by short name, `time` in RFC 3339,
//! ids of traces in hexadecimal, `original` in base64. Reading and writing are each other's inverse.

mod read;
mod write;

pub use read::{json_event, json_event_lenient};
pub use write::event_json;

use piperoll_proto::v1::Event;

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The line is not JSON, is nested too deep, or repeats a key; the reason says in which column.
    #[error("not JSON: {reason}")]
    Syntax {
        /// Column, from 1, in bytes.
        column: usize,
        /// What the parser found.
        reason: String,
    },
    /// A key that events do not have.
    #[error("{field}: an event has no such field{}", hint(.near.as_deref()))]
    UnknownKey {
        /// The key, with the path to it.
        field: String,
        /// The nearest that there is.
        near: Option<String>,
    },
    /// A value that the field cannot hold.
    #[error("{field}: expected {expected}, found {found}")]
    Value {
        /// The field, with the path to it.
        field: String,
        /// What it holds.
        expected: String,
        /// What was there, cut.
        found: String,
    },
    /// A field that each event must have is absent or empty.
    #[error(
        "{field}: missing, each event says who ({field_actor}) did what ({field_action})",
        field_actor = "actor",
        field_action = "action"
    )]
    Missing {
        /// The field.
        field: &'static str,
    },
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(
        || "; other things go into \"attributes\"".to_owned(),
        |near| format!("; did you mean {near:?}? Other things go into \"attributes\""),
    )
}

/// A text field: its name, and where it is in an event.
type TextField = (&'static str, fn(&Event) -> &Option<String>, fn(&mut Event) -> &mut Option<String>);

macro_rules! text_fields {
    ($($name:literal $member:ident;)*) => {
        &[$(($name, |event| &event.$member, |event| &mut event.$member)),*]
    };
}

const TEXT_FIELDS: &[TextField] = text_fields! {
    "id" id;
    "source" source;
    "actor" actor;
    "action" action;
    "stage" stage;
    "pipeline" pipeline;
    "run" run;
    "job" job;
    "repo" repo;
    "ref" r#ref;
    "commit" commit;
    "actor_name" actor_name;
    "on_behalf_of" on_behalf_of;
    "credential" credential;
    "reason" reason;
    "step" step;
    "trigger" trigger;
    "change" change;
    "environment" environment;
    "address" address;
    "user_agent" user_agent;
    "runner" runner;
    "original_schema" original_schema;
    "original_digest" original_digest;
};

/// Every key of an event, in the order of the field numbers, which is the order of writing.
const KEYS: [&str; 39] = [
    "id",
    "source",
    "time",
    "actor",
    "action",
    "stage",
    "outcome",
    "pipeline",
    "run",
    "job",
    "repo",
    "ref",
    "commit",
    "artifacts",
    "attributes",
    "actor_name",
    "actor_type",
    "on_behalf_of",
    "auth_method",
    "credential",
    "reason",
    "run_attempt",
    "step",
    "trigger",
    "change",
    "environment",
    "address",
    "user_agent",
    "runner",
    "runner_labels",
    "attestations",
    "trace_id",
    "span_id",
    "links",
    "source_epoch",
    "source_sequence",
    "original_schema",
    "original",
    "original_digest",
];
const ARTIFACT_KEYS: [&str; 6] = ["name", "uri", "purl", "digests", "role", "media_type"];
const ATTESTATION_KEYS: [&str; 3] = ["predicate_type", "uri", "digests"];
const LINK_KEYS: [&str; 3] = ["kind", "source", "id"];

/// What the enums' names in proto begin with; the rest, in lower case, is the short name.
const OUTCOME: &str = "OUTCOME_";
const ACTOR_TYPE: &str = "ACTOR_TYPE_";
const AUTH_METHOD: &str = "AUTH_METHOD_";
const ARTIFACT_ROLE: &str = "ARTIFACT_ROLE_";

#[cfg(test)]
mod tests;
