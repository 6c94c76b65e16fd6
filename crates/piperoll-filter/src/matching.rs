//! Evaluates a filter on an event: the definition that every index has to agree with.

use crate::{
    expression::{Comparison, Expression, Filter, Test},
    subject::Subject,
    value::Value,
};
use piperoll_format::{
    event::{ArtifactView, AttestationView, EventView, Field, Kind, LinkView},
    units::UnixNanos,
};
use std::cmp::Ordering;

/// What a filter can ask of an event beside its bytes: what the daemon set.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacts<'a> {
    /// When the daemon received it.
    pub received: UnixNanos,
    /// The retention class that it is in.
    pub class: &'a str,
}

/// A value as it is in the event.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Text(&'a str),
    Number(u64),
    Time(UnixNanos),
    Bytes(&'a [u8]),
    Digest(&'a str, &'a str),
}

impl Filter {
    /// Whether the event matches.
    pub fn matches(&self, event: &EventView<'_>, record: &RecordFacts<'_>) -> bool {
        self.0.matches(*event, *record)
    }
}

impl Expression {
    fn matches(&self, event: EventView<'_>, record: RecordFacts<'_>) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(event, record)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(event, record)),
            Self::Not(part) => !part.matches(event, record),
            Self::Compare(comparison) => comparison.matches(event, record),
        }
    }
}

impl Comparison {
    /// Whether the event passes this one test; `false` where it does not have the subject.
    pub fn matches(&self, event: EventView<'_>, record: RecordFacts<'_>) -> bool {
        let test = &self.test;
        match &self.subject {
            Subject::Received => single(Some(Seen::Time(record.received)), test),
            Subject::Class => single(Some(Seen::Text(record.class)), test),
            Subject::Attribute(key) => {
                let attribute = event.attributes().find(|(name, _)| name == key);
                single(attribute.map(|(_, value)| Seen::Text(value)), test)
            }
            Subject::Field(field) => of_field(*field, event, test),
        }
    }
}

fn of_field(field: Field, event: EventView<'_>, test: &Test) -> bool {
    match field.kind() {
        Kind::Text => single(event.text(field).map(Seen::Text), test),
        Kind::Enum | Kind::Number => single(event.number(field).map(Seen::Number), test),
        Kind::Bytes => single(event.blob(field).map(Seen::Bytes), test),
        Kind::Time => single(event.time().map(Seen::Time), test),
        Kind::Texts => {
            repeated(event.runner_labels().next().is_some(), event.runner_labels().map(Seen::Text), test)
        }
        Kind::Links => {
            let ids = event.links().filter_map(LinkView::id).map(Seen::Text);
            repeated(event.links().next().is_some(), ids, test)
        }
        Kind::Artifacts => {
            let digests = event.artifacts().flat_map(ArtifactView::digests);
            repeated(event.artifacts().next().is_some(), digests.map(digest), test)
        }
        Kind::Attestations => {
            let digests = event.attestations().flat_map(AttestationView::digests);
            repeated(event.attestations().next().is_some(), digests.map(digest), test)
        }
        Kind::Map => repeated(event.attributes().next().is_some(), std::iter::empty(), test),
    }
}

fn digest<'a>((algorithm, hex): (&'a str, &'a str)) -> Seen<'a> {
    Seen::Digest(algorithm, hex)
}

fn single(seen: Option<Seen<'_>>, test: &Test) -> bool {
    repeated(seen.is_some(), seen.into_iter(), test)
}

/// `there` is apart from the elements: an artifact without a digest is there and has no element to compare.
fn repeated<'a>(there: bool, mut elements: impl Iterator<Item = Seen<'a>>, test: &Test) -> bool {
    match test {
        Test::Present => there,
        Test::NoneOf(values) => there && !elements.any(|seen| seen.is_in(values)),
        test => elements.any(|seen| seen.passes(test)),
    }
}

impl Seen<'_> {
    fn passes(self, test: &Test) -> bool {
        match test {
            Test::Present => true,
            Test::OneOf(values) => self.is_in(values),
            Test::NoneOf(values) => !self.is_in(values),
            Test::Less(value) => self.order(value) == Some(Ordering::Less),
            Test::AtMost(value) => self.order(value).is_some_and(Ordering::is_le),
            Test::More(value) => self.order(value) == Some(Ordering::Greater),
            Test::AtLeast(value) => self.order(value).is_some_and(Ordering::is_ge),
            Test::Prefix(begin) => matches!(self, Self::Text(text) if text.starts_with(begin.as_str())),
            Test::Contains(needle) => matches!(self, Self::Text(text) if needle.is_in(text.as_bytes())),
        }
    }

    /// The values are sorted, and of the subject's one variant.
    fn is_in(self, values: &[Value]) -> bool {
        values.binary_search_by(|value| self.order(value).map_or(Ordering::Less, Ordering::reverse)).is_ok()
    }

    /// How this compares with a value, in the order that values themselves have.
    fn order(self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Self::Text(seen), Value::Text(value)) => Some(seen.cmp(value)),
            (Self::Number(seen), Value::Number(value)) => Some(seen.cmp(value)),
            (Self::Time(seen), Value::Time(value)) => Some(seen.cmp(value)),
            (Self::Bytes(seen), Value::Bytes(value)) => Some(seen.cmp(value)),
            (Self::Digest(algorithm, hex), Value::Digest { algorithm: other, hex: others }) => {
                Some(algorithm.cmp(other).then_with(|| hex.cmp(others)))
            }
            _ => None,
        }
    }
}
