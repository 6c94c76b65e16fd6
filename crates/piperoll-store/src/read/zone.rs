//! What a filter says about a whole segment, from what is known of it without opening it.

use piperoll_filter::{Comparison, Expression, Filter, Subject, Test, Value};
use piperoll_format::{names::Name, units::UnixNanos};
use piperoll_index::{Share, TermSet};

/// What is known of all events of a segment.
pub(super) struct Zone<'a> {
    pub(super) class: &'a Name,
    /// When the first and the last of them were received.
    pub(super) received: Option<(UnixNanos, UnixNanos)>,
    /// Which terms they have; `None` where nobody knows.
    pub(super) terms: Option<&'a TermSet>,
}

/// How many events of a zone can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    None,
    Perhaps,
    All,
}

impl Verdict {
    fn of(all: bool, none: bool) -> Self {
        match (all, none) {
            (true, _) => Self::All,
            (false, true) => Self::None,
            (false, false) => Self::Perhaps,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::Perhaps => Self::Perhaps,
            Self::All => Self::None,
        }
    }
}

impl Zone<'_> {
    /// Whether events of this zone can match.
    pub(super) fn judge(&self, expression: &Expression) -> Verdict {
        let each = |parts: &[Expression], wanted| parts.iter().any(|part| self.judge(part) == wanted);
        let every = |parts: &[Expression], wanted| parts.iter().all(|part| self.judge(part) == wanted);
        match expression {
            Expression::All => Verdict::All,
            Expression::And(parts) => Verdict::of(every(parts, Verdict::All), each(parts, Verdict::None)),
            Expression::Or(parts) => Verdict::of(each(parts, Verdict::All), every(parts, Verdict::None)),
            Expression::Not(part) => self.judge(part).not(),
            Expression::Compare(Comparison { subject: Subject::Class, test }) => self.judge_class(test),
            Expression::Compare(Comparison { subject: Subject::Received, test }) => self.judge_received(test),
            Expression::Compare(Comparison { subject: Subject::Field(field), test }) => {
                match self.terms.map_or(Share::Some, |terms| terms.share(*field, test)) {
                    Share::None => Verdict::None,
                    Share::Some => Verdict::Perhaps,
                    Share::All => Verdict::All,
                }
            }
            Expression::Compare(_) => Verdict::Perhaps,
        }
    }

    fn judge_class(&self, test: &Test) -> Verdict {
        let is_in = |values: &[Value]| {
            values.iter().any(|value| matches!(value, Value::Text(text) if text == self.class.as_str()))
        };
        let matches = match test {
            Test::OneOf(values) => is_in(values),
            Test::NoneOf(values) => !is_in(values),
            Test::Prefix(begin) => self.class.as_str().starts_with(begin.as_str()),
            Test::Contains(needle) => needle.is_in(self.class.as_str().as_bytes()),
            Test::Present => true,
            Test::Less(_) | Test::AtMost(_) | Test::More(_) | Test::AtLeast(_) => return Verdict::Perhaps,
        };
        Verdict::of(matches, !matches)
    }

    fn judge_received(&self, test: &Test) -> Verdict {
        let Some((earliest, latest)) = self.received else { return Verdict::Perhaps };
        let at = |value: &Value| if let Value::Time(time) = value { Some(*time) } else { None };
        let outside = |values: &[Value]| values.iter().filter_map(at).all(|t| t < earliest || latest < t);
        match test {
            Test::OneOf(values) => Verdict::of(false, outside(values)),
            Test::NoneOf(values) => Verdict::of(outside(values), false),
            Test::Present => Verdict::All,
            Test::Less(value) => {
                at(value).map_or(Verdict::Perhaps, |t| Verdict::of(latest < t, t <= earliest))
            }
            Test::AtMost(value) => {
                at(value).map_or(Verdict::Perhaps, |t| Verdict::of(latest <= t, t < earliest))
            }
            Test::More(value) => {
                at(value).map_or(Verdict::Perhaps, |t| Verdict::of(t < earliest, latest <= t))
            }
            Test::AtLeast(value) => {
                at(value).map_or(Verdict::Perhaps, |t| Verdict::of(t <= earliest, latest < t))
            }
            Test::Prefix(_) | Test::Contains(_) => Verdict::Perhaps,
        }
    }
}

/// A number that names a filter in positions. Times are left out of it: `time >= -24h` means another instant
/// on every page, and is still the same question.
pub(super) fn filter_print(filter: &Filter) -> u64 {
    let mut hasher = blake3::Hasher::new();
    print(filter.expression(), &mut hasher);
    hasher.finalize().as_bytes().first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
}

fn print(expression: &Expression, hasher: &mut blake3::Hasher) {
    let mut parts_of = |tag: &[u8], parts: &[Expression]| {
        hasher.update(tag);
        hasher.update(&(parts.len() as u64).to_le_bytes());
        for part in parts {
            print(part, hasher);
        }
    };
    match expression {
        Expression::All => parts_of(b"all", &[]),
        Expression::And(parts) => parts_of(b"and", parts),
        Expression::Or(parts) => parts_of(b"or", parts),
        Expression::Not(part) => parts_of(b"not", std::slice::from_ref(part)),
        Expression::Compare(Comparison { subject, test }) => {
            text(b"compare", &subject.name(), hasher);
            print_test(test, hasher);
        }
    }
}

fn print_test(test: &Test, hasher: &mut blake3::Hasher) {
    let (tag, values): (&[u8], &[Value]) = match test {
        Test::OneOf(values) => (b"one", values),
        Test::NoneOf(values) => (b"none", values),
        Test::Less(value) => (b"less", std::slice::from_ref(value)),
        Test::AtMost(value) => (b"at most", std::slice::from_ref(value)),
        Test::More(value) => (b"more", std::slice::from_ref(value)),
        Test::AtLeast(value) => (b"at least", std::slice::from_ref(value)),
        Test::Present => (b"present", &[]),
        Test::Prefix(begin) => return text(b"prefix", begin, hasher),
        Test::Contains(needle) => return text(b"contains", needle.as_str(), hasher),
    };
    hasher.update(tag);
    hasher.update(&(values.len() as u64).to_le_bytes());
    for value in values {
        match value {
            Value::Text(value) => text(b"text", value, hasher),
            Value::Number(number) => text(b"number", &number.to_string(), hasher),
            Value::Time(_) => text(b"time", "", hasher),
            Value::Bytes(bytes) => update(b"bytes", bytes, hasher),
            Value::Digest { algorithm, hex } => text(b"digest", &format!("{algorithm}:{hex}"), hasher),
        }
    }
}

fn text(tag: &[u8], text: &str, hasher: &mut blake3::Hasher) {
    update(tag, text.as_bytes(), hasher);
}

fn update(tag: &[u8], bytes: &[u8], hasher: &mut blake3::Hasher) {
    hasher.update(tag);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests;
