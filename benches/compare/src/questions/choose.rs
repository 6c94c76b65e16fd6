//! What the questions are about: chosen from the events, so that each has an answer.

use super::ask::{Ask, PAGE};
use anyhow::Result;
use piperoll_proto::v1::Event;
use std::{cmp::Reverse, collections::HashMap};

/// Each question is asked about so many things in turn: no system answers it from the memory of the last time.
const VARIANTS: usize = 5;
/// An artifact that is asked about has so many events.
const ARTIFACT_EVENTS: u64 = 5;
const DAYS: [i64; VARIANTS] = [4, 9, 14, 19, 24];

/// A question in its variants.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) variants: Vec<Ask>,
}

/// Counts events.
#[derive(Default)]
pub(crate) struct Tally {
    pairs: HashMap<(String, String), u64>,
    digests: HashMap<String, u64>,
    tickets: HashMap<String, u64>,
}

impl Tally {
    /// Counts one.
    pub(crate) fn note(&mut self, event: &Event) {
        if event.stage.is_some() {
            *self.pairs.entry((event.actor().to_owned(), event.stage().to_owned())).or_default() += 1;
        }
        for (algorithm, hex) in event.artifacts.iter().flat_map(|artifact| &artifact.digests) {
            *self.digests.entry(format!("{algorithm}:{hex}")).or_default() += 1;
        }
        if let Some((_, ticket)) = event.reason().rsplit_once(' ') {
            *self.tickets.entry(ticket.to_owned()).or_default() += 1;
        }
    }

    /// The questions.
    pub(crate) fn questions(self) -> Result<Vec<Question>> {
        // The rarest pairs that fill a page: what is newest of them lies deepest.
        let page = PAGE as u64;
        let pairs = first_by(self.pairs, |count| (Reverse(count.min(page)), count));
        let digests = first_by(self.digests, |count| (count < ARTIFACT_EVENTS, count));
        let tickets = first_by(self.tickets, Reverse);
        let newest =
            |(actor, stage): &(String, String)| Ask::Newest { actor: actor.clone(), stage: stage.clone() };
        let count = |(actor, _): &(String, String)| Ask::Count { actor: actor.clone() };
        let questions = vec![
            question("who deployed to production last night", DAYS.map(|day| Ask::Deployed { day })),
            question("newest 100 by actor and stage", pairs.iter().map(newest)),
            question("count by one actor", pairs.iter().map(count)),
            question("count of everything by stage", [Ask::Stages]),
            question(
                "everything about an artifact digest",
                digests.into_iter().map(|digest| Ask::Artifact { digest }),
            ),
            question(
                "newest 100 with a text in the reason",
                tickets.into_iter().map(|text| Ask::Reason { text }),
            ),
        ];
        let empty = questions.iter().find(|question| question.variants.is_empty());
        anyhow::ensure!(
            empty.is_none(),
            "there are too few events for {:?}",
            empty.map(|question| question.name)
        );
        Ok(questions)
    }
}

fn question(name: &'static str, variants: impl IntoIterator<Item = Ask>) -> Question {
    Question { name, variants: variants.into_iter().collect() }
}

/// The first in the order of `rank`, and of the names where that is the same.
fn first_by<N: Ord + Clone, R: Ord>(counts: HashMap<N, u64>, rank: impl Fn(u64) -> R) -> Vec<N> {
    let mut names: Vec<(R, N)> = counts.into_iter().map(|(name, count)| (rank(count), name)).collect();
    names.sort_unstable();
    names.into_iter().take(VARIANTS).map(|(_, name)| name).collect()
}
