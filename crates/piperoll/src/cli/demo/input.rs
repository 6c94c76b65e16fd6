//! The demo's input, and what every question about it must answer.

use anyhow::Context;
use piperoll_intake::github;
use piperoll_proto::v1::{Event, Outcome};
use piperoll_samples::{Events, github_payloads};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many of the newest events the demo asks for.
pub(super) const NEWEST: usize = 100;

/// The input, made anew whenever it is needed, and the answers counted from it.
pub(super) struct Expected {
    seed: u64,
    generated: u64,
    /// The webhook events.
    pub(super) webhooks: Vec<Event>,
    /// Different kinds of webhook.
    pub(super) webhook_kinds: usize,
    /// Deployments to production, by actor.
    pub(super) deployed_to_production: BTreeMap<String, u64>,
    /// Failures, by stage; none where the event has no stage.
    pub(super) failed_by_stage: BTreeMap<Option<String>, u64>,
    /// Events of the class that expires.
    pub(super) scratch: u64,
    /// The actor with the most builds.
    pub(super) builder: String,
    /// Ids of that actor's last events in stage build, newest first.
    pub(super) newest_builds: Vec<String>,
    /// Digest of the artifact that most events touched.
    pub(super) artifact: String,
    /// How many did.
    pub(super) artifact_events: u64,
}

/// What makes an event a deployment to production.
pub(super) const DEPLOYED: &str = "environment = production AND stage = deploy*";

impl Expected {
    /// Maps the webhooks, generates the events, and counts.
    pub(super) fn count(seed: u64, generated: u64) -> Result<Self, anyhow::Error> {
        let payloads = github_payloads();
        let webhooks = payloads
            .iter()
            .map(|payload| github(payload.kind, None, payload.body).context(payload.name))
            .collect::<Result<Vec<_>, _>>()?;
        let mut counted = Self {
            seed,
            generated,
            webhook_kinds: payloads.iter().map(|payload| payload.kind).collect::<BTreeSet<_>>().len(),
            webhooks: Vec::new(),
            deployed_to_production: BTreeMap::new(),
            failed_by_stage: BTreeMap::new(),
            scratch: 0,
            builder: String::new(),
            newest_builds: Vec::new(),
            artifact: String::new(),
            artifact_events: 0,
        };
        let mut builds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut digests: BTreeMap<String, u64> = BTreeMap::new();
        for event in webhooks.iter().cloned().chain(counted.generated_events()) {
            counted.add(&event);
            if event.stage() == "build" {
                builds.entry(event.actor().to_owned()).or_default().push(event.id().to_owned());
            }
            for digest in digests_of(&event) {
                *digests.entry(digest).or_default() += 1;
            }
        }
        counted.webhooks = webhooks;
        if let Some((actor, mut ids)) =
            builds.into_iter().max_by_key(|(actor, ids)| (ids.len(), Reverse(actor.clone())))
        {
            ids.reverse();
            ids.truncate(NEWEST);
            (counted.builder, counted.newest_builds) = (actor, ids);
        }
        if let Some((digest, events)) =
            digests.into_iter().max_by_key(|(digest, events)| (*events, Reverse(digest.clone())))
        {
            (counted.artifact, counted.artifact_events) = (digest, events);
        }
        Ok(counted)
    }

    fn add(&mut self, event: &Event) {
        if event.environment() == "production" && event.stage().starts_with("deploy") {
            *self.deployed_to_production.entry(event.actor().to_owned()).or_default() += 1;
        }
        if event.outcome() == Outcome::Failure {
            *self.failed_by_stage.entry(event.stage.clone()).or_default() += 1;
        }
        self.scratch += u64::from(event.stage() == "restore-cache");
    }

    /// The generated events, in the order in which they are sent.
    pub(super) fn generated_events(&self) -> impl Iterator<Item = Event> + use<> {
        let count = usize::try_from(self.generated).unwrap_or(usize::MAX);
        Events::new(self.seed, self.generated, 30.0).take(count)
    }

    /// How many are generated.
    pub(super) fn generated(&self) -> u64 {
        self.generated
    }

    /// Events in all.
    pub(super) fn total(&self) -> u64 {
        self.generated + self.webhooks.len() as u64
    }
}

/// Digests that an event's artifacts have, each once.
fn digests_of(event: &Event) -> BTreeSet<String> {
    let digests = event.artifacts.iter().flat_map(|artifact| &artifact.digests);
    digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect()
}
