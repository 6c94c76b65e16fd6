//! The questions, and what must come back: counted from the events while they are sent.

use piperoll_proto::v1::{Event, Outcome};
use piperoll_samples::Events;
use std::collections::HashMap;

/// Events that a first page has.
pub(crate) const PAGE_EVENTS: usize = 100;
const SEED: u64 = 5;
const DAYS: f64 = 30.0;
/// So many that no ticket fills a page: whoever searches one looks at every event.
const TICKETS: u64 = 100_000;
const COMMON: &str = "timed out";
const UNWRITTEN: &str = "out of memory";

/// `count` events, oldest first. The generator gives no reasons, so those that did not succeed get one here.
pub(crate) fn events(count: usize) -> impl Iterator<Item = Event> + Send {
    Events::new(SEED, count as u64, DAYS).zip(0_u64..).take(count).map(|(mut event, number)| {
        if event.outcome.is_some() && event.outcome() != Outcome::Success {
            let what = event.step.as_deref().unwrap_or(event.action());
            // Neighbours get unlike tickets: the multiplier is prime to their number.
            let ticket = number.wrapping_mul(7_919) % TICKETS;
            event.reason = Some(format!("{what} {COMMON} after 30 minutes, see OPS-{ticket:06}"));
        }
        event
    })
}

/// What was sent, as far as the questions go.
#[derive(Default)]
pub(crate) struct Sent {
    events: u64,
    pairs: HashMap<(String, String), u64>,
    actors: HashMap<String, u64>,
    staged: HashMap<String, u64>,
    digest: Option<String>,
    reasons: u64,
    tickets: HashMap<String, u64>,
}

/// What is asked.
pub(crate) enum Ask {
    /// The newest events, and how many of them.
    Newest(usize),
    /// How many, by these fields.
    Count(&'static [&'static str]),
}

/// A question and its answer.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) filter: String,
    pub(crate) ask: Ask,
    /// Events found, or counted.
    pub(crate) expected: u64,
    /// Where every event is read for it: a text that the matches have as JSON, and no others.
    pub(crate) text: Option<String>,
}

impl Sent {
    /// Counts an event.
    pub(crate) fn note(&mut self, event: &Event) {
        self.events += 1;
        *self.actors.entry(event.actor().to_owned()).or_default() += 1;
        if event.stage.is_some() {
            *self.staged.entry(event.stage().to_owned()).or_default() += 1;
            *self.pairs.entry((event.actor().to_owned(), event.stage().to_owned())).or_default() += 1;
        }
        if let Some(reason) = &event.reason {
            self.reasons += 1;
            let ticket = reason.rsplit(' ').next().unwrap_or_default();
            *self.tickets.entry(ticket.to_owned()).or_default() += 1;
        }
        // The first digest lies deepest: in the oldest segment.
        if self.digest.is_none() {
            let digests = event.artifacts.iter().flat_map(|artifact| &artifact.digests);
            self.digest = digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).next();
        }
    }

    /// The questions. Actor and stage are the rarest pair that fills a page, so that the most segments are read.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let page = PAGE_EVENTS as u64;
        let mut pairs: Vec<_> =
            self.pairs.iter().map(|(pair, count)| (count.min(&page), count, pair)).collect();
        pairs.sort_by_key(|(filled, count, pair)| (std::cmp::Reverse(**filled), **count, *pair));
        let mut questions = Vec::new();
        if let Some((filled, _, (actor, stage))) = pairs.first() {
            questions.push(Question {
                name: "newest 100 by actor and stage",
                filter: format!("actor = \"{actor}\" AND stage = \"{stage}\""),
                ask: Ask::Newest(PAGE_EVENTS),
                expected: **filled,
                text: None,
            });
            questions.push(Question {
                name: "count by one actor",
                filter: format!("actor = \"{actor}\""),
                ask: Ask::Count(&[]),
                expected: self.actors.get(actor).copied().unwrap_or_default(),
                text: None,
            });
        }
        questions.push(Question {
            name: "count of everything by stage",
            filter: String::new(),
            ask: Ask::Count(&["stage"]),
            expected: self.events,
            text: None,
        });
        if let Some(digest) = &self.digest {
            questions.push(Question {
                name: "look-up by digest",
                filter: format!("artifact = \"{digest}\""),
                ask: Ask::Newest(1),
                expected: 1,
                text: None,
            });
        }
        questions.push(Question {
            name: "newest 100 with a common text in the reason",
            filter: format!("reason ~ \"{COMMON}\""),
            ask: Ask::Newest(PAGE_EVENTS),
            expected: self.reasons.min(page),
            text: None,
        });
        questions.extend(self.searches());
        questions
    }

    /// Questions that look at the text of every event.
    fn searches(&self) -> Vec<Question> {
        let mut tickets: Vec<_> = self.tickets.iter().collect();
        tickets.sort_by_key(|(ticket, count)| (std::cmp::Reverse(**count), *ticket));
        let rare = tickets.first().map(|(ticket, count)| Question {
            name: "newest 100 with a rare text in the reason",
            filter: format!("reason ~ \"{ticket}\""),
            ask: Ask::Newest(PAGE_EVENTS),
            expected: **count,
            text: Some((*ticket).clone()),
        });
        let any = Question {
            name: "count with any reason",
            filter: "reason:*".to_owned(),
            ask: Ask::Count(&[]),
            expected: self.reasons,
            text: Some("\"reason\":".to_owned()),
        };
        let unwritten = Question {
            name: "count with a text that nobody wrote",
            filter: format!("reason ~ \"{UNWRITTEN}\""),
            ask: Ask::Count(&[]),
            expected: 0,
            text: Some(UNWRITTEN.to_owned()),
        };
        rare.into_iter().chain([unwritten, any]).collect()
    }
}
