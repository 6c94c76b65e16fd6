//! The check of an event's bytes: every rule of docs/format.md, "The event", in one walk.
//!
//! The rules are data and the walk is one function, so that no field and no level of nesting is forgotten.
//! A good event costs no allocation, but for maps of more than [`KEYS_WITHOUT_ALLOCATION`] entries.

use super::{EventView, Field, Kind, view::timestamp};
use crate::limits::{EVENT_BYTES_MAX, EVENT_DEPTH_MAX};
use crate::wire::{Reader, Value, WireProblem};

/// Why bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(.field))]
pub struct EventError {
    /// Where, such as `artifacts[2].digests[0].value`; empty for the event as a whole.
    pub field: String,
    /// What is wrong there.
    pub reason: EventProblem,
}

fn place(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

/// What can be wrong with a field or with the event as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventProblem {
    /// The event has too many bytes.
    #[error("an event has at most {EVENT_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// The wire form is not strict protobuf.
    #[error("{0}")]
    Wire(#[from] WireProblem),
    /// The field has another wire type than its own.
    #[error("the wire type is not that of this field")]
    WireType,
    /// A singular field is there more than once.
    #[error("the field may be there only once")]
    Twice,
    /// A required field is absent or empty.
    #[error("the field is required and may not be empty")]
    Required,
    /// Text is no UTF-8.
    #[error("text must be UTF-8, this is not from byte {0} on")]
    Utf8(usize),
    /// Text has a control character.
    #[error("text may not contain the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    /// A number does not fit its field.
    #[error("the number {found} is above {max}")]
    Number {
        /// The number found.
        found: u64,
        /// The greatest one allowed.
        max: u64,
    },
    /// A time does not fit 64 bits of nanoseconds.
    #[error("the time does not fit 64 bits of nanoseconds (years 1677 to 2262)")]
    Time,
    /// A map has a key twice.
    #[error("a key of this map is there twice")]
    Key,
}

/// Keys of one map that are compared without memory from the heap.
const KEYS_WITHOUT_ALLOCATION: usize = 32;

/// What a known field's value must be.
#[derive(Clone, Copy)]
enum Shape {
    /// Text in one line.
    Text,
    /// Text that may have line feeds, carriage returns and tabs.
    Lines,
    /// Text in one line that is there and not empty.
    Needed,
    /// A varint up to this.
    Number(u64),
    /// Any bytes.
    Blob,
    /// A `google.protobuf.Timestamp`.
    Time,
    /// A message.
    Message(&'static Rules),
    /// An entry of a map with text keys.
    Entry(&'static Rules),
}

#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    shape: Shape,
    repeated: bool,
}

/// A message's known fields; the rule of number *n* stands at *n* − 1.
struct Rules(&'static [Rule]);

const ENUM: Shape = Shape::Number((1 << 31) - 1);

const fn one(name: &'static str, shape: Shape) -> Rule {
    Rule { name, shape, repeated: false }
}

const fn many(name: &'static str, shape: Shape) -> Rule {
    Rule { name, shape, repeated: true }
}

const TIMESTAMP: Rules =
    Rules(&[one("seconds", Shape::Number(u64::MAX)), one("nanos", Shape::Number(999_999_999))]);
const DIGEST: Rules = Rules(&[one("key", Shape::Text), one("value", Shape::Text)]);
const ATTRIBUTE: Rules = Rules(&[one("key", Shape::Text), one("value", Shape::Lines)]);
const ARTIFACT: Rules = Rules(&[
    one("name", Shape::Text),
    one("uri", Shape::Text),
    one("purl", Shape::Text),
    many("digests", Shape::Entry(&DIGEST)),
    one("role", ENUM),
    one("media_type", Shape::Text),
]);
const ATTESTATION: Rules = Rules(&[
    one("predicate_type", Shape::Text),
    one("uri", Shape::Text),
    many("digests", Shape::Entry(&DIGEST)),
]);
const LINK: Rules = Rules(&[one("kind", Shape::Text), one("source", Shape::Text), one("id", Shape::Text)]);

const EVENT_RULES: [Rule; Field::ALL.len()] = event_rules();
const EVENT: Rules = Rules(&EVENT_RULES);

const _: () = assert!(depth(&EVENT) <= EVENT_DEPTH_MAX);

const fn event_rule(field: Field) -> Rule {
    let name = field.name();
    match field.kind() {
        Kind::Text if matches!(field, Field::Actor | Field::Action) => one(name, Shape::Needed),
        Kind::Text if matches!(field, Field::Reason) => one(name, Shape::Lines),
        Kind::Text => one(name, Shape::Text),
        Kind::Enum => one(name, ENUM),
        Kind::Number if matches!(field, Field::RunAttempt) => one(name, Shape::Number(0xFFFF_FFFF)),
        Kind::Number => one(name, Shape::Number(u64::MAX)),
        Kind::Bytes => one(name, Shape::Blob),
        Kind::Time => one(name, Shape::Time),
        Kind::Texts => many(name, Shape::Text),
        Kind::Artifacts => many(name, Shape::Message(&ARTIFACT)),
        Kind::Attestations => many(name, Shape::Message(&ATTESTATION)),
        Kind::Links => many(name, Shape::Message(&LINK)),
        Kind::Map => many(name, Shape::Entry(&ATTRIBUTE)),
    }
}

// Evaluated by the compiler only: an index out of bounds is an error of the build.
#[expect(clippy::indexing_slicing, reason = "const evaluation has no iterators, and fails in the build")]
const fn event_rules() -> [Rule; Field::ALL.len()] {
    let mut rules = [one("", Shape::Blob); Field::ALL.len()];
    let mut at = 0;
    while at < Field::ALL.len() {
        assert!(Field::ALL[at].number() as usize == at + 1);
        rules[at] = event_rule(Field::ALL[at]);
        at += 1;
    }
    rules
}

#[expect(clippy::indexing_slicing, reason = "const evaluation has no iterators, and fails in the build")]
const fn depth(rules: &Rules) -> usize {
    let (mut deepest, mut at) = (0, 0);
    while at < rules.0.len() {
        let below = match rules.0[at].shape {
            Shape::Message(inner) | Shape::Entry(inner) => depth(inner),
            Shape::Time => depth(&TIMESTAMP),
            _ => 0,
        };
        deepest = if below > deepest { below } else { deepest };
        at += 1;
    }
    deepest + 1
}

/// Checks an event's bytes by every rule (I16), and gives the view of them.
pub fn check_event(bytes: &[u8]) -> Result<EventView<'_>, EventError> {
    check_and_count(bytes).map(|(event, _)| event)
}

/// As [`check_event`]; tells also how many fields have a number that this version does not know, on all levels that it
/// knows.
pub fn check_and_count(bytes: &[u8]) -> Result<(EventView<'_>, usize), EventError> {
    if bytes.len() > EVENT_BYTES_MAX {
        return Err(whole(EventProblem::TooLong(bytes.len())));
    }
    let mut unknown = 0;
    let seen = check_message(bytes, &EVENT, &mut unknown)?;
    for needed in [Field::Actor, Field::Action] {
        if seen & 1 << needed.number() == 0 {
            return Err(EventError { field: needed.name().into(), reason: EventProblem::Required });
        }
    }
    Ok((EventView::of_checked(bytes), unknown))
}

#[inline]
fn rule_of(rules: &Rules, number: u32) -> Option<&'static Rule> {
    rules.0.get(number as usize - 1)
}

/// The bits of the known field numbers that are there; counts the others.
fn check_message(bytes: &[u8], rules: &Rules, unknown: &mut usize) -> Result<u64, EventError> {
    let mut reader = Reader::new(bytes);
    let mut seen = 0u64;
    let mut keys = Keys::default();
    loop {
        let before = bytes.len() - reader.left();
        let (number, value) = match reader.field() {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(problem) => return Err(whole(problem.into())),
        };
        let Some(rule) = rule_of(rules, number) else {
            *unknown += 1;
            continue;
        };
        let bit = 1 << number;
        if seen & bit != 0 && !rule.repeated {
            return Err(inside(bytes, before, rule, number, whole(EventProblem::Twice)));
        }
        seen |= bit;
        check_value(value, rule.shape, &mut keys, unknown)
            .map_err(|error| inside(bytes, before, rule, number, error))?;
    }
    if keys.repeat_in_many() {
        let name =
            rules.0.iter().find(|rule| matches!(rule.shape, Shape::Entry(_))).map_or("", |rule| rule.name);
        return Err(EventError { field: name.into(), reason: EventProblem::Key });
    }
    Ok(seen)
}

#[inline]
fn check_value<'a>(
    value: Value<'a>,
    shape: Shape,
    keys: &mut Keys<'a>,
    unknown: &mut usize,
) -> Result<(), EventError> {
    match (shape, value) {
        (Shape::Needed, Value::Bytes([])) => Err(whole(EventProblem::Required)),
        (Shape::Text | Shape::Needed, Value::Bytes(text)) => check_text(text, false),
        (Shape::Lines, Value::Bytes(text)) => check_text(text, true),
        (Shape::Number(max), Value::Varint(found)) if found > max => {
            Err(whole(EventProblem::Number { found, max }))
        }
        (Shape::Number(_), Value::Varint(_)) | (Shape::Blob, Value::Bytes(_)) => Ok(()),
        (Shape::Message(rules), Value::Bytes(message)) => check_message(message, rules, unknown).map(drop),
        (Shape::Time, Value::Bytes(message)) => {
            check_message(message, &TIMESTAMP, unknown)?;
            timestamp(message).map(drop).ok_or_else(|| whole(EventProblem::Time))
        }
        (Shape::Entry(rules), Value::Bytes(entry)) => {
            check_message(entry, rules, unknown)?;
            let key = crate::wire::find(entry, 1).and_then(Value::bytes).unwrap_or_default();
            if keys.add(key) { Ok(()) } else { Err(whole(EventProblem::Key)) }
        }
        _ => Err(whole(EventProblem::WireType)),
    }
}

#[inline]
fn check_text(bytes: &[u8], lines: bool) -> Result<(), EventError> {
    if is_printable_ascii(bytes) { Ok(()) } else { check_any_text(bytes, lines).map(drop).map_err(whole) }
}

/// Text as events and envelopes have it: UTF-8 without control characters, but for LF, CR and TAB where
/// `lines` says so.
pub(crate) fn check_any_text(bytes: &[u8], lines: bool) -> Result<&str, EventProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| EventProblem::Utf8(error.valid_up_to()))?;
    let refused = |c: &char| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'));
    text.chars().find(refused).map_or(Ok(text), |c| Err(EventProblem::Control(c)))
}

/// Whether all bytes are U+0020 to U+007E, eight at a time.
#[inline]
fn is_printable_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut wrong = 0;
    for word in words {
        wrong |= not_printable(u64::from_le_bytes(*word));
    }
    wrong & 0x8080_8080_8080_8080 == 0 && rest.iter().all(|byte| (0x20..0x7F).contains(byte))
}

/// Sets the top bit of at least one byte if any byte is below 0x20 or above 0x7E; else of none.
#[inline]
const fn not_printable(word: u64) -> u64 {
    // The lowest byte below 0x20 borrows and has its own top bit clear; a carry comes out of 0xFF only,
    // whose top bit is set already.
    (word.wrapping_sub(0x2020_2020_2020_2020) & !word) | word | word.wrapping_add(0x0101_0101_0101_0101)
}

/// The keys of one map that were met.
#[derive(Default)]
struct Keys<'a> {
    few: Option<Few<'a>>,
    many: Vec<&'a [u8]>,
}

struct Few<'a> {
    keys: [&'a [u8]; KEYS_WITHOUT_ALLOCATION],
    count: usize,
}

impl<'a> Keys<'a> {
    /// False if the key is among the first ones already; later ones are compared once, at the end, because
    /// comparing each with each would let 64 KiB cost a hundred million comparisons.
    fn add(&mut self, key: &'a [u8]) -> bool {
        let few = self.few.get_or_insert(Few { keys: [&[]; KEYS_WITHOUT_ALLOCATION], count: 0 });
        if few.keys.iter().take(few.count).any(|known| *known == key) {
            return false;
        }
        match few.keys.get_mut(few.count) {
            Some(free) => {
                *free = key;
                few.count += 1;
            }
            None => self.many.push(key),
        }
        true
    }

    fn repeat_in_many(&mut self) -> bool {
        self.many.sort_unstable();
        self.many.array_windows().any(|[a, b]| a == b)
    }
}

#[cold]
fn whole(reason: EventProblem) -> EventError {
    EventError { field: String::new(), reason }
}

/// Puts the name of a field, with its index where it is repeated, before an error found in it.
#[cold]
fn inside(message: &[u8], before: usize, rule: &Rule, number: u32, error: EventError) -> EventError {
    let EventError { field: below, reason } = error;
    let dot = if below.is_empty() { "" } else { "." };
    let name = rule.name;
    let field = if rule.repeated {
        let earlier = message.get(..before).unwrap_or_default();
        let index = crate::wire::Elements::new(earlier, number).count();
        format!("{name}[{index}]{dot}{below}")
    } else {
        format!("{name}{dot}{below}")
    };
    EventError { field, reason }
}

#[cfg(test)]
mod tests;
