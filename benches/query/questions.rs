//! The questions, and what must come back: counted from the events while they are sent.

use piperoll_proto::v1::Event;
use std::collections::HashMap;

/// Events that a first page has.
pub(crate) const PAGE_EVENTS: usize = 100;

/// What was sent, as far as the questions go.
#[derive(Default)]
pub(crate) struct Sent {
    events: u64,
    pairs: HashMap<(String, String), u64>,
    actors: HashMap<String, u64>,
    staged: HashMap<String, u64>,
    digest: Option<String>,
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
            });
            questions.push(Question {
                name: "count by one actor",
                filter: format!("actor = \"{actor}\""),
                ask: Ask::Count(&[]),
                expected: self.actors.get(actor).copied().unwrap_or_default(),
            });
        }
        questions.push(Question {
            name: "count of everything by stage",
            filter: String::new(),
            ask: Ask::Count(&["stage"]),
            expected: self.events,
        });
        if let Some(digest) = &self.digest {
            questions.push(Question {
                name: "look-up by digest",
                filter: format!("artifact = \"{digest}\""),
                ask: Ask::Newest(1),
                expected: 1,
            });
        }
        questions
    }
}
