//! From generated CI events to piperoll events. The mapping is this file and nothing else:
//!
//! | generated | event |
//! |---|---|
//! | `time`, `id`, `actor`, `action`, `stage`, `pipeline`, `repo`, `ref`, `commit`, `outcome`, `user_agent` | the field of that name |
//! | `run_id`, `job_id` | `run`, `job` |
//! | `source_ip` | `address` |
//! | `auth` | `auth_method`: oidc, session, pat, ssh-key, app-token become oidc, session, personal_token, ssh_key, app |
//! | `actor_type` `user`, `bot` | human, bot |
//! | `artifacts[].digest` `sha256:…` | `digests`; the role is input where the action consumes |
//! | attributes `trigger`, `step`, `change`, `trace_id` | the field of that name |
//! | `retention` and the other attributes | `attributes` |
//! | – | `environment` of the deploy stages |
//! | – | `source` of the tenant, `source_epoch`, and `source_sequence` with a gap now and then |
//! | – | `on_behalf_of` of bots: the person who set the run off |

use crate::generator::{RawArtifact, RawEvent, RawGenerator, actor_name};
use crate::words::USERS;
use piperoll_proto::v1::{ActorType, Artifact, ArtifactRole, AuthMethod, Event, Outcome};
use prost_types::Timestamp;
use std::collections::BTreeMap;

/// One in this many of a source's numbers is left out, so that gaps can be found.
const SOURCE_GAP_EVERY: u64 = 10_007;
/// 2026-01-01T00:00:00Z.
const START_SECONDS: u64 = 1_767_225_600;

/// An endless, deterministic run of events.
pub struct Events {
    raw: RawGenerator,
    next_of_source: BTreeMap<String, u64>,
    tenant: String,
}

impl Events {
    /// Events of this seed. `events` only sets the gaps between them: that many fill `days`.
    pub fn new(seed: u64, events: u64, days: f64) -> Self {
        let raw = RawGenerator::new(seed, START_SECONDS, events, days);
        Self { raw, next_of_source: BTreeMap::new(), tenant: String::new() }
    }

    /// The tenant of the event that came last, such as `tenant-08`; empty before the first.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let raw = self.raw.next_event();
        let mut event = event(raw);
        self.tenant.clone_from(&raw.tenant);
        event.source = Some(format!("https://ci.example/{}", self.tenant));
        let number = self.next_of_source.entry(self.tenant.clone()).or_insert(1);
        if number.is_multiple_of(SOURCE_GAP_EVERY) {
            *number += 1;
        }
        event.source_epoch = Some(1);
        event.source_sequence = Some(*number);
        *number += 1;
        Some(event)
    }
}

fn event(raw: &RawEvent) -> Event {
    let mut event = Event {
        id: text(&raw.id),
        time: timestamp(raw.time_ns),
        actor: text(&raw.actor),
        action: text(raw.action),
        stage: text(raw.stage),
        outcome: Some(outcome(raw.outcome).into()),
        pipeline: text(raw.pipeline),
        run: text(&raw.run_id),
        job: text(&raw.job_id),
        repo: text(&raw.repo),
        r#ref: text(&raw.git_ref),
        commit: text(&raw.commit),
        artifacts: raw.artifacts.iter().map(|found| artifact(raw.action, found)).collect(),
        actor_type: Some(actor_type(raw.actor_type).into()),
        on_behalf_of: on_behalf_of(raw),
        auth_method: Some(auth_method(raw.auth).into()),
        environment: environment(raw.stage),
        address: text(&raw.source_ip),
        user_agent: text(raw.user_agent),
        ..Event::default()
    };
    for (key, value) in &raw.attributes {
        attribute(&mut event, key, value);
    }
    event.attributes.insert("retention".to_owned(), raw.retention.to_owned());
    event
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn timestamp(nanos: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(nanos / 1_000_000_000).ok()?;
    let nanos = i32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Timestamp { seconds, nanos })
}

fn attribute(event: &mut Event, key: &str, value: &str) {
    match key {
        "trigger" => event.trigger = text(value),
        "step" => event.step = text(value),
        "change" => event.change = text(value),
        "trace_id" => event.trace_id = u128::from_str_radix(value, 16).ok().map(trace_bytes),
        _ => {
            event.attributes.insert(key.to_owned(), value.to_owned());
        }
    }
}

#[expect(clippy::big_endian_bytes, reason = "W3C trace ids are written with their highest byte first")]
fn trace_bytes(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

fn artifact(action: &str, raw: &RawArtifact) -> Artifact {
    let role = if action == "artifact.downloaded" { ArtifactRole::Input } else { ArtifactRole::Output };
    let digests = raw.digest.split_once(':').map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned()));
    Artifact {
        uri: text(&raw.uri),
        digests: digests.into_iter().collect(),
        role: Some(role.into()),
        ..Artifact::default()
    }
}

fn outcome(raw: &str) -> Outcome {
    match raw {
        "success" => Outcome::Success,
        "failure" => Outcome::Failure,
        "cancelled" => Outcome::Cancelled,
        "denied" => Outcome::Denied,
        "skipped" => Outcome::Skipped,
        _ => Outcome::Unspecified,
    }
}

fn actor_type(raw: &str) -> ActorType {
    if raw == "bot" { ActorType::Bot } else { ActorType::Human }
}

fn auth_method(raw: &str) -> AuthMethod {
    match raw {
        "oidc" => AuthMethod::Oidc,
        "session" => AuthMethod::Session,
        "pat" => AuthMethod::PersonalToken,
        "ssh-key" => AuthMethod::SshKey,
        "app-token" => AuthMethod::App,
        _ => AuthMethod::Unspecified,
    }
}

fn environment(stage: &str) -> Option<String> {
    let name = match stage {
        "deploy-dev" => "development",
        "deploy-staging" => "staging",
        "deploy-prod" | "post-deploy-verify" => "production",
        _ => return None,
    };
    Some(name.to_owned())
}

/// The person behind a bot's run: always the same one for a run, and none for a bot outside any run.
fn on_behalf_of(raw: &RawEvent) -> Option<String> {
    let run: usize = raw.run_id.strip_prefix("run-")?.parse().ok()?;
    (raw.actor_type == "bot").then(|| actor_name(run.wrapping_mul(7_919) % USERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let take = |seed| Events::new(seed, 1_000, 1.0).take(1_000).collect::<Vec<_>>();
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn fields_that_questions_need_are_there() {
        let events: Vec<_> = Events::new(42, 20_000, 30.0).take(20_000).collect();
        let any = |test: fn(&Event) -> bool| assert!(events.iter().any(test));
        any(|e| e.environment.as_deref() == Some("production") && e.stage.as_deref() == Some("deploy-prod"));
        any(|e| e.on_behalf_of.is_some() && e.actor_type() == ActorType::Bot);
        any(|e| e.trace_id.as_ref().is_some_and(|id| id.len() == 16));
        any(|e| e.artifacts.iter().any(|a| a.digests.contains_key("sha256")));
        any(|e| e.trigger.as_deref() == Some("schedule"));
        any(|e| e.stage.is_none());
    }

    #[test]
    fn sources_number_their_events_and_leave_gaps() {
        let mut last = BTreeMap::new();
        let mut gaps = 0;
        for event in Events::new(1, 300_000, 30.0).take(300_000) {
            let number = event.source_sequence();
            let before = last.insert(event.source().to_owned(), number).unwrap_or(0);
            assert!(number > before);
            gaps += number - before - 1;
        }
        assert!(gaps > 0);
    }
}
