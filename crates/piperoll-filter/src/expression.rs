//! The filter as a tree, and how larger ones are made of smaller ones.

use crate::{
    error::{ParseError, shown},
    needle::Needle,
    parser,
    subject::Subject,
    value::Value,
};
use piperoll_format::units::UnixNanos;

/// A question about events: every event either matches it or does not.
///
/// It comes from [`crate::parse`] or from the builders here, and is always folded: no `And` directly in an
/// `And`, no `Or` directly in an `Or`, none of either with fewer than two parts, no `Not` of a `Not`, and
/// values sorted without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(pub(crate) Expression);

/// A filter's tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression {
    /// Every event.
    All,
    /// Events that match every part.
    And(Vec<Expression>),
    /// Events that match at least one part.
    Or(Vec<Expression>),
    /// Events that do not match.
    Not(Box<Expression>),
    /// Events that pass a test.
    Compare(Comparison),
}

/// A test of one subject. False where the event does not have the subject at all, whatever the test.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    /// What is looked at.
    pub subject: Subject,
    /// What it must be.
    pub test: Test,
}

/// What a subject must be. Of a repeated subject some element must be so, but for `NoneOf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// `=` and `IN`: one of these, sorted, none twice, at least one.
    OneOf(Vec<Value>),
    /// `!=` and `NOT IN`: there, and (every element of it) none of these; sorted, none twice, at least one.
    NoneOf(Vec<Value>),
    /// `<`, on times and numbers.
    Less(Value),
    /// `<=`, on times and numbers.
    AtMost(Value),
    /// `>`, on times and numbers.
    More(Value),
    /// `>=`, on times and numbers.
    AtLeast(Value),
    /// `= text*`: text that begins so; never empty.
    Prefix(String),
    /// `~ text`: text that has it somewhere; never empty.
    Contains(Needle),
    /// `:*`: there, even if empty.
    Present,
}

/// How a builder compares; `=` and its like in the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Test {
    /// One of these values.
    pub(crate) fn one_of(values: Vec<Value>) -> Self {
        Self::OneOf(set(values))
    }

    /// None of these values.
    pub(crate) fn none_of(values: Vec<Value>) -> Self {
        Self::NoneOf(set(values))
    }
}

fn set(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_unstable();
    values.dedup();
    values
}

impl Expression {
    /// Every part, folded.
    pub(crate) fn and(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut folded = Vec::new();
        for part in parts {
            match part {
                Self::All => {}
                Self::And(inner) => folded.extend(inner),
                other => folded.push(other),
            }
        }
        if folded.len() > 1 { Self::And(folded) } else { folded.pop().unwrap_or(Self::All) }
    }

    /// One of at least one part, folded.
    pub(crate) fn or(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut folded = Vec::new();
        for part in parts {
            match part {
                Self::All => return Self::All,
                Self::Or(inner) => folded.extend(inner),
                other => folded.push(other),
            }
        }
        if folded.len() > 1 { Self::Or(folded) } else { folded.pop().unwrap_or(Self::All) }
    }

    /// What the part is not, folded.
    pub(crate) fn negate(part: Self) -> Self {
        match part {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

impl Filter {
    /// Every event.
    pub const fn all() -> Self {
        Self(Expression::All)
    }

    /// The tree.
    pub const fn expression(&self) -> &Expression {
        &self.0
    }

    /// The conditions that all must hold: the parts of an AND, or the filter itself.
    pub fn conditions(&self) -> Vec<Self> {
        match &self.0 {
            Expression::All => Vec::new(),
            Expression::And(parts) => parts.iter().cloned().map(Self).collect(),
            one => vec![Self(one.clone())],
        }
    }

    /// Events of which the subject equals the value, which is written as in a filter but without quotes
    /// and escapes: what a flag such as `--actor` makes of its argument. A star in it is a star. `now` is
    /// what relative times count from. Fails where the value is none for the subject.
    pub fn equals(subject: Subject, value: &str, now: UnixNanos) -> Result<Self, ParseError> {
        Self::compare(subject, Operator::Equal, value, now)
    }

    /// Events of which the subject compares so with the value; values as in [`Filter::equals`]. Fails where
    /// the value is none for the subject, or the subject has no such comparison.
    pub fn compare(
        subject: Subject,
        operator: Operator,
        value: &str,
        now: UnixNanos,
    ) -> Result<Self, ParseError> {
        parser::test(&subject, operator, value, now)
            .map(|test| Self(Expression::Compare(Comparison { subject, test })))
            .map_err(|wrong| ParseError::new(value, 0, shown(value), wrong))
    }

    /// Events of which the subject is one of the values, as a flag that is given once for each of them asks:
    /// values as in [`Filter::equals`], but a star at the end of one asks for all that begin so. Without a
    /// value it is every event.
    pub fn any_of(subject: &Subject, values: &[String], now: UnixNanos) -> Result<Self, ParseError> {
        let mut whole = Vec::new();
        let mut tests = Vec::new();
        for text in values {
            let test = match text.strip_suffix('*') {
                Some(begin) => parser::prefix_test(subject, begin),
                None => parser::test(subject, Operator::Equal, text, now),
            };
            match test.map_err(|wrong| ParseError::new(text, 0, shown(text), wrong))? {
                Test::OneOf(values) => whole.extend(values),
                test => tests.push(test),
            }
        }
        if !whole.is_empty() {
            tests.push(Test::one_of(whole));
        }
        let compare = |test| Expression::Compare(Comparison { subject: subject.clone(), test });
        let any = tests.into_iter().map(compare).reduce(|one, other| Expression::or([one, other]));
        Ok(Self(any.unwrap_or(Expression::All)))
    }

    /// Events of which the subject has this text somewhere in it. Fails where the text is empty or the
    /// subject is no text.
    pub fn contains(subject: Subject, text: &str) -> Result<Self, ParseError> {
        parser::substring_test(&subject, text)
            .map(|test| Self(Expression::Compare(Comparison { subject, test })))
            .map_err(|wrong| ParseError::new(text, 0, shown(text), wrong))
    }

    /// Events of which the subject is one of these values, which are of its kind. They are taken as they are, so that
    /// what events hold is found though nobody may type it, such as a digest that is cut short: the text of such a
    /// filter is none. Nothing matches where there is no value.
    pub fn one_of(subject: Subject, values: Vec<Value>) -> Self {
        Self(Expression::Compare(Comparison { subject, test: Test::one_of(values) }))
    }

    /// Events that match both. No check for contradictions: only [`crate::parse`] makes it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Expression::and([self.0, other.0]))
    }

    /// Events that match one or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Expression::or([self.0, other.0]))
    }

    /// Events that do not match.
    #[must_use]
    pub fn negate(self) -> Self {
        Self(Expression::negate(self.0))
    }
}
