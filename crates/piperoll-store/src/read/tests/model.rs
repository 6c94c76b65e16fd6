//! What the store should hold, as a plain list, and the answers that scanning it gives.

use super::events::START;
use crate::read::{Count, Counted, Group, Order, Record};
use piperoll_filter::{Filter, RecordFacts, Subject};
use piperoll_format::{
    event::{EventView, Field},
    units::{Sequence, UnixNanos},
};
use std::collections::{BTreeMap, BTreeSet};

/// An event as it should be served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) received: UnixNanos,
    pub(super) class: String,
    pub(super) sequence: Sequence,
    pub(super) event: Vec<u8>,
}

impl Entry {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            received: record.received,
            class: record.class.as_str().to_owned(),
            sequence: record.sequence,
            event: record.event.to_vec(),
        }
    }

    pub(super) fn matches(&self, filter: &Filter) -> bool {
        let facts = RecordFacts { received: self.received, class: &self.class };
        filter.matches(&EventView::stored(&self.event).unwrap(), &facts)
    }
}

/// Everything that is held, and what the logs' ends are.
#[derive(Default)]
pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    /// By class: first sequence still held, and the next one to be given.
    pub(super) logs: BTreeMap<String, (Sequence, Sequence)>,
}

impl Model {
    pub(super) fn append(&mut self, class: &str, first: Sequence, received: UnixNanos, events: &[Vec<u8>]) {
        let (_, end) = self.logs.entry(class.to_owned()).or_default();
        assert_eq!(*end, first, "sequences are dense");
        assert!(received >= START);
        *end = first.plus(events.len() as u64);
        let sequences = (first.0..).map(Sequence);
        self.entries.extend(events.iter().zip(sequences).map(|(event, sequence)| Entry {
            received,
            class: class.to_owned(),
            sequence,
            event: event.clone(),
        }));
    }

    /// Forgets a class's events below `first`.
    pub(super) fn drop_below(&mut self, class: &str, first: Sequence) {
        self.entries.retain(|entry| entry.class != class || entry.sequence >= first);
        if let Some(log) = self.logs.get_mut(class) {
            log.0 = first;
        }
    }

    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.logs.get(&entry.class).is_some_and(|(first, _)| *first <= entry.sequence)
    }

    /// What matches, in order.
    pub(super) fn scan(&self, filter: &Filter, order: Order) -> Vec<Entry> {
        let mut found: Vec<_> = self.entries.iter().filter(|entry| entry.matches(filter)).cloned().collect();
        found.sort();
        if order == Order::NewestFirst {
            found.reverse();
        }
        found
    }

    pub(super) fn count(&self, count: &Count) -> Counted {
        let mut total = 0;
        let mut groups = BTreeMap::<Vec<Option<String>>, u64>::new();
        for entry in self.scan(&count.filter, Order::OldestFirst) {
            total += 1;
            let combinations = match count.group_by.as_slice() {
                [] => continue,
                [one] => values(one, &entry).into_iter().map(|value| vec![value]).collect(),
                [one, other, ..] => {
                    let others = values(other, &entry);
                    let with = |value: Option<String>| {
                        others.iter().map(move |other| vec![value.clone(), other.clone()])
                    };
                    values(one, &entry).into_iter().flat_map(with).collect::<Vec<_>>()
                }
            };
            for values in combinations {
                *groups.entry(values).or_default() += 1;
            }
        }
        let mut groups: Vec<_> = groups.into_iter().map(|(values, count)| Group { values, count }).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        let groups_omitted = groups.len().saturating_sub(count.limit) as u64;
        groups.truncate(count.limit);
        Counted { total, groups, groups_omitted }
    }
}

/// The subjects that counts are tested by: of each kind of index one.
pub(super) const SUBJECTS: [&str; 10] =
    ["stage", "outcome", "actor", "class", "run", "run_attempt", "label", "artifact", "attr.k", "reason"];

/// The values of a subject that an entry has; `None` alone where it has none.
pub(super) fn values(subject: &Subject, entry: &Entry) -> BTreeSet<Option<String>> {
    let event = EventView::stored(&entry.event).unwrap();
    let found: BTreeSet<Option<String>> = match subject {
        Subject::Class => BTreeSet::from([Some(entry.class.clone())]),
        Subject::Attribute(key) => event
            .attributes()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| Some(value.to_owned()))
            .collect(),
        Subject::Field(Field::Outcome) => {
            event.number(Field::Outcome).map(outcome).into_iter().map(Some).collect()
        }
        Subject::Field(Field::RunAttempt) => {
            event.number(Field::RunAttempt).map(|number| Some(number.to_string())).into_iter().collect()
        }
        Subject::Field(Field::RunnerLabels) => {
            event.runner_labels().map(|label| Some(label.to_owned())).collect()
        }
        Subject::Field(Field::Artifacts) => {
            let digests = event.artifacts().flat_map(piperoll_format::event::ArtifactView::digests);
            digests.map(|(algorithm, hex)| Some(format!("{algorithm}:{hex}"))).collect()
        }
        Subject::Field(field) => event.text(*field).map(|text| Some(text.to_owned())).into_iter().collect(),
        Subject::Received => panic!("nothing is counted by the time it was received"),
    };
    if found.is_empty() { BTreeSet::from([None]) } else { found }
}

fn outcome(number: u64) -> String {
    let names = ["unspecified", "success", "failure", "error", "timeout", "cancelled", "skipped", "denied"];
    usize::try_from(number)
        .ok()
        .and_then(|number| names.get(number))
        .map_or(number.to_string(), |name| (*name).to_owned())
}
