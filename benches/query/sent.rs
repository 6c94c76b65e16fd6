//! What is sent, and what of it the questions are about: counted event by event, so that no event is held.

use piperoll_proto::v1::{Event, Outcome};
use piperoll_samples::Events;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

const SEED: u64 = 5;
const DAYS: f64 = 30.0;
/// So many that no ticket fills a page of a million events: whoever searches one looks at every event.
const TICKETS: u64 = 100_000;
/// What every reason has.
pub(crate) const COMMON: &str = "timed out";

/// `count` events, oldest first. The generator gives no reasons, so those that did not succeed get one here.
pub(crate) fn events(count: u64) -> impl Iterator<Item = Event> + Send {
    Events::new(SEED, count, DAYS).zip(0..count).map(|(mut event, number)| {
        if event.outcome.is_some() && event.outcome() != Outcome::Success {
            let what = event.step.as_deref().unwrap_or(event.action());
            // Neighbours get unlike tickets: the multiplier is prime to their number.
            let ticket = number.wrapping_mul(7_919) % TICKETS;
            event.reason = Some(format!("{what} {COMMON} after 30 minutes, see OPS-{ticket:06}"));
        }
        event
    })
}

/// The hours of a night, from the first day's midnight.
pub(crate) const NIGHT: Range<i64> = 10 * 24 + 18..11 * 24 + 6;
/// Action, stage and environment of a deployment to production.
pub(crate) const DEPLOYED: (&str, &str, &str) = ("job.finished", "deploy-prod", "production");

/// Seconds of an hour and of a day.
pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Events by outcome; numbers of outcomes are small.
pub(crate) type Outcomes = [u64; Outcome::Denied as usize + 1];

/// Counts of what was sent. They grow with the different actors, stages, hours and tickets,
/// and not with the events.
#[derive(Default)]
pub(crate) struct Sent {
    /// All of them.
    pub(crate) events: u64,
    /// By actor, and stage where there is one.
    pub(crate) actors: HashMap<String, HashMap<String, Outcomes>>,
    /// Without a stage, by actor.
    pub(crate) unstaged: HashMap<String, u64>,
    /// By day, stage and outcome; events without a stage stand under an empty one.
    pub(crate) days: Vec<HashMap<String, Outcomes>>,
    /// By hour.
    pub(crate) hours: Vec<u64>,
    /// Deployed to production in the hours of [`NIGHT`], by actor.
    pub(crate) deployed: BTreeMap<String, u64>,
    /// Where the first day begins, in seconds since 1970.
    pub(crate) begin: Option<i64>,
    /// The first digest of all: it lies deepest, in the oldest segment.
    pub(crate) digest: Option<String>,
    /// The first run of all, and its events.
    pub(crate) run: Option<(String, u64)>,
    /// Events with a reason.
    pub(crate) reasons: u64,
    /// By the ticket in the reason.
    pub(crate) tickets: HashMap<String, u64>,
}

impl Sent {
    /// Counts an event.
    pub(crate) fn note(&mut self, event: &Event) {
        self.events += 1;
        let outcome = usize::try_from(event.outcome.unwrap_or_default()).unwrap_or_default();
        self.note_actor(event, outcome);
        self.note_time(event, outcome);
        if let Some(reason) = &event.reason {
            self.reasons += 1;
            under(&mut self.tickets, reason.rsplit(' ').next().unwrap_or_default(), |count| *count += 1);
        }
        if self.digest.is_none() {
            let digests = event.artifacts.iter().flat_map(|artifact| &artifact.digests);
            self.digest = digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).next();
        }
        match (&mut self.run, &event.run) {
            (None, Some(run)) => self.run = Some((run.clone(), 1)),
            (Some((first, count)), Some(run)) if first == run => *count += 1,
            _ => {}
        }
    }

    fn note_actor(&mut self, event: &Event, outcome: usize) {
        match &event.stage {
            Some(stage) => under(&mut self.actors, event.actor(), |stages| {
                under(stages, stage, |outcomes| add(outcomes, outcome));
            }),
            None => under(&mut self.unstaged, event.actor(), |count| *count += 1),
        }
    }

    /// By what the event claims; samples always claim a time, and times only rise.
    fn note_time(&mut self, event: &Event, outcome: usize) {
        let seconds = event.time.as_ref().map_or(0, |time| time.seconds);
        let begin = *self.begin.get_or_insert(seconds - seconds.rem_euclid(DAY));
        let place = |width: i64| usize::try_from((seconds - begin) / width).unwrap_or_default();
        let (day, hour) = (place(DAY), place(HOUR));
        self.days.resize_with(self.days.len().max(day + 1), HashMap::new);
        self.hours.resize(self.hours.len().max(hour + 1), 0);
        if let Some(stages) = self.days.get_mut(day) {
            under(stages, event.stage(), |outcomes| add(outcomes, outcome));
        }
        if let Some(count) = self.hours.get_mut(hour) {
            *count += 1;
        }
        if NIGHT.contains(&((seconds - begin) / HOUR))
            && (event.action(), event.stage(), event.environment()) == DEPLOYED
        {
            *self.deployed.entry(event.actor().to_owned()).or_default() += 1;
        }
    }
}

fn add(outcomes: &mut Outcomes, outcome: usize) {
    if let Some(count) = outcomes.get_mut(outcome) {
        *count += 1;
    }
}

/// Counts under a key, which is copied only the first time.
fn under<V: Default>(map: &mut HashMap<String, V>, key: &str, count: impl FnOnce(&mut V)) {
    match map.get_mut(key) {
        Some(value) => count(value),
        None => count(map.entry(key.to_owned()).or_default()),
    }
}
