//! GitHub's words in piperoll's.

use piperoll_proto::v1::Outcome;

/// A path that holds for one `action`, or for each when that is empty; an empty path ends the search.
pub(crate) type ByVerb = &'static [(&'static str, &'static str)];

/// The paths to look at for an `action`, in order.
pub(crate) fn by_verb(table: ByVerb, verb: &str) -> impl Iterator<Item = &'static str> {
    table
        .iter()
        .filter(move |(only, _)| only.is_empty() || *only == verb)
        .map(|(_, path)| *path)
        .take_while(|path| !path.is_empty())
}

/// How it ended, from a conclusion, state or status; none while it has not ended.
pub(crate) fn outcome(word: &str) -> Option<Outcome> {
    Some(match word {
        // GitHub lets a neutral check pass.
        "success" | "neutral" | "built" | "approved" | "complete" => Outcome::Success,
        "failure" | "failed" => Outcome::Failure,
        "error" | "errored" | "startup_failure" => Outcome::Error,
        // Stale is what GitHub calls a check that it gave up waiting for.
        "timed_out" | "stale" => Outcome::Timeout,
        "cancelled" | "canceled" => Outcome::Cancelled,
        "skipped" => Outcome::Skipped,
        "action_required" | "changes_requested" | "rejected" => Outcome::Denied,
        _ => return None,
    })
}

/// What set a run off, from the name of the event that did.
pub(crate) fn trigger(event: &str) -> String {
    match event {
        "workflow_dispatch" => "manual".to_owned(),
        "repository_dispatch" => "api".to_owned(),
        "workflow_run" | "workflow_call" => "upstream".to_owned(),
        "pull_request_target" => "pull_request".to_owned(),
        other => crate::text::line(other, 64),
    }
}

/// An `action` as the last part of a dotted verb.
pub(crate) fn verb(word: &str) -> String {
    let word: String = word.chars().take(64).collect();
    let verb: String =
        word.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    verb.trim_matches('_').to_owned()
}
