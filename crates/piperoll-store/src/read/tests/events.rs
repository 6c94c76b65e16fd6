//! Random events of few values, so that filters hit, and random filters of the same values.

use piperoll_filter::Filter;
use piperoll_format::{event::check_event, units::UnixNanos};
use proptest::prelude::*;

/// What relative times in filters count from; the world's clock starts here too.
pub(super) const START: UnixNanos = UnixNanos(1_700_000_000_000_000_000);
pub(super) const SECOND: i64 = 1_000_000_000;

/// An event's bytes, field by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Event(Vec<u8>);

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

fn message(parts: &[(u64, &[u8])]) -> Vec<u8> {
    parts.iter().fold(Event::default(), |event, &(number, bytes)| event.bytes(number, bytes)).0
}

impl Event {
    /// An event of this actor and action.
    pub(super) fn of(actor: &str, action: &str) -> Self {
        Self::default().bytes(4, actor.as_bytes()).bytes(5, action.as_bytes())
    }

    pub(super) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        varint(field << 3 | 2, &mut self.0);
        varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(mut self, field: u64, number: u64) -> Self {
        varint(field << 3, &mut self.0);
        varint(number, &mut self.0);
        self
    }

    /// The bytes, whatever message they are.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The bytes, which are those of an event.
    pub(super) fn build(self) -> Vec<u8> {
        check_event(&self.0).unwrap();
        self.0
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "abc", "c", ""])
}

fn some_word() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(word())
}

fn seconds() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.7, -20_i64..20)
}

fn texts() -> impl Strategy<Value = [Option<&'static str>; 5]> {
    [some_word(), some_word(), some_word(), some_word(), some_word()]
}

fn timestamp(seconds: i64) -> Vec<u8> {
    let at = START.0 / SECOND + seconds;
    Event::default().number(1, at.cast_unsigned()).0
}

/// Events of every kind of field that an index knows, and one that it does not.
pub(super) fn event() -> impl Strategy<Value = Vec<u8>> {
    let who = prop::sample::select(vec!["a", "b", "ab", "abc"]);
    let numbers = (prop::option::of(0_u64..9), prop::option::of(0_u64..3));
    let lists = (
        prop::collection::vec(word(), 0..3),
        prop::collection::btree_map(word(), word(), 0..3),
        prop::collection::vec(some_word(), 0..3),
        prop::collection::btree_map(prop::sample::select(vec!["k", "l"]), word(), 0..3),
    );
    (who, seconds(), texts(), numbers, lists).prop_map(|(actor, time, texts, (outcome, attempt), lists)| {
        let mut event = Event::of(actor, "x.y");
        if let Some(time) = time {
            event = event.bytes(3, &timestamp(time));
        }
        // stage, run, repo, reason, trace_id
        for (field, text) in [6, 9, 11, 21, 32].into_iter().zip(texts) {
            if let Some(text) = text {
                event = event.bytes(field, text.as_bytes());
            }
        }
        event = outcome.into_iter().fold(event, |event, number| event.number(7, number));
        event = attempt.into_iter().fold(event, |event, number| event.number(22, number));
        let (labels, digests, links, attributes) = lists;
        event = labels.iter().fold(event, |event, label| event.bytes(30, label.as_bytes()));
        for (algorithm, hex) in digests {
            let digest = message(&[(1, algorithm.as_bytes()), (2, hex.as_bytes())]);
            event = event.bytes(14, &message(&[(4, &digest)]));
        }
        for id in links {
            let id = id.map(|id| message(&[(3, id.as_bytes())])).unwrap_or_default();
            event = event.bytes(34, &id);
        }
        for (key, value) in attributes {
            event = event.bytes(15, &message(&[(1, key.as_bytes()), (2, value.as_bytes())]));
        }
        event.build()
    })
}

const TEXTS: [&str; 9] = ["actor", "stage", "run", "repo", "reason", "label", "link", "attr.k", "class"];
const PRESENT: [&str; 11] = [
    "time",
    "stage",
    "outcome",
    "run",
    "run_attempt",
    "artifact",
    "link",
    "label",
    "attr.l",
    "trace_id",
    "reason",
];

fn comparison() -> impl Strategy<Value = String> {
    let quoted = |word: &str| format!("\"{word}\"");
    let equality = || prop::sample::select(vec!["=", "!="]);
    let order = || prop::sample::select(vec!["<", "<=", ">", ">="]);
    let text = || prop::sample::select(TEXTS.to_vec());
    prop_oneof![
        4 => (text(), equality(), word()).prop_map(move |(name, test, word)| format!("{name} {test} {}", quoted(word))),
        2 => (text(), prop::collection::vec(word(), 1..4)).prop_map(move |(name, words)| {
            format!("{name} IN ({})", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
        }),
        1 => (prop::sample::select(vec!["actor", "stage", "repo", "run", "class"]), prop::sample::select(vec!["a", "ab"]))
            .prop_map(|(name, word)| format!("{name} = {word}*")),
        2 => (text(), prop::sample::select(vec!["a", "b", "ab", "é"]))
            .prop_map(|(name, word)| format!("{name} ~ {word}")),
        2 => (prop::sample::select(vec!["time", "received"]), order(), -20_i64..20)
            .prop_map(|(name, test, at)| format!("{name} {test} {at:+}s")),
        1 => (equality(), 0_u64..10).prop_map(|(test, number)| format!("outcome {test} {number}")),
        1 => (order(), 0_u64..4).prop_map(|(test, number)| format!("run_attempt {test} {number}")),
        1 => (word(), word()).prop_map(|(algorithm, hex)| format!("artifact = \"{algorithm}:{hex}\"")),
        1 => equality().prop_map(|test| format!("trace_id {test} 6162")),
        1 => prop::sample::select(PRESENT.to_vec()).prop_map(|name| format!("{name}:*")),
    ]
}

/// Filters of all shapes; a comparison that the language refuses becomes the filter of every event.
pub(super) fn filter() -> impl Strategy<Value = Filter> {
    let leaf = comparison().prop_map(|text| piperoll_filter::parse(&text, START).unwrap_or(Filter::all()));
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            2 => (inner.clone(), inner.clone()).prop_map(|(one, other)| one.and(other)),
            2 => (inner.clone(), inner.clone()).prop_map(|(one, other)| one.or(other)),
            1 => inner.prop_map(Filter::negate),
        ]
    })
}

#[test]
fn nearly_every_comparison_is_one_of_the_language() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut refused = Vec::new();
    for _ in 0..1_000 {
        let text = proptest::strategy::ValueTree::current(&comparison().new_tree(&mut runner).unwrap());
        if let Err(error) = piperoll_filter::parse(&text, START) {
            refused.push(format!("{text}: {error}"));
        }
    }
    assert!(refused.len() < 50, "{refused:#?}");
}
