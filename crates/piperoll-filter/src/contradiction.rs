//! Finds conditions that are joined by AND and that no event can meet: they are mistakes, and an empty
//! answer would hide them.

use crate::{
    error::{Wrong, shown},
    expression::{Comparison, Expression, Test},
    subject::Subject,
    value::Value,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the subjects that can have one value only.
#[derive(Default)]
pub(crate) struct Conjunction<'e>(BTreeMap<&'e Subject, Known<'e>>);

#[derive(Default)]
struct Known<'e> {
    /// The values that are left, once any test listed some.
    left: Option<BTreeSet<&'e Value>>,
    /// The highest lower bound, and whether it is itself allowed.
    from: Option<(&'e Value, bool)>,
    /// The lowest upper bound, and whether it is itself allowed.
    to: Option<(&'e Value, bool)>,
}

impl<'e> Conjunction<'e> {
    /// Adds one part of the AND. Fails, with what was found, where no event can meet it and those before it.
    pub(crate) fn add(&mut self, part: &'e Expression) -> Result<(), (String, Wrong)> {
        match part {
            Expression::Compare(comparison) => self.compare(comparison),
            Expression::And(parts) => parts.iter().try_for_each(|part| self.add(part)),
            Expression::All | Expression::Or(_) | Expression::Not(_) => Ok(()),
        }
    }

    fn compare(&mut self, comparison: &'e Comparison) -> Result<(), (String, Wrong)> {
        let Comparison { subject, test } = comparison;
        if subject.is_repeated() && !matches!(subject, Subject::Attribute(_)) {
            return Ok(());
        }
        let known = self.0.entry(subject).or_default();
        known.narrow(test);
        if !known.is_possible() {
            let wrong = Wrong::expected(format!("conditions on {subject} that one event can meet"));
            let wrong = match &known.left {
                Some(left) if left.is_empty() => wrong.hint("write IN (…) for one of several values"),
                None => wrong.hint("the lower bound is not below the upper one"),
                Some(_) => wrong,
            };
            return Err((shown(&comparison.to_string()), wrong));
        }
        Ok(())
    }
}

impl<'e> Known<'e> {
    fn narrow(&mut self, test: &'e Test) {
        match test {
            Test::OneOf(values) => {
                let left = match &self.left {
                    None => values.iter().collect(),
                    Some(left) => values.iter().filter(|value| left.contains(value)).collect(),
                };
                self.left = Some(left);
            }
            Test::More(value) => self.raise(value, false),
            Test::AtLeast(value) => self.raise(value, true),
            Test::Less(value) => self.lower(value, false),
            Test::AtMost(value) => self.lower(value, true),
            Test::NoneOf(_) | Test::Prefix(_) | Test::Contains(_) | Test::Present => {}
        }
    }

    fn raise(&mut self, value: &'e Value, included: bool) {
        // Of two equal bounds the one that leaves the value out is narrower.
        let tighter = self.from.is_none_or(|(from, was)| value > from || (value == from && was));
        self.from = if tighter { Some((value, included)) } else { self.from };
    }

    fn lower(&mut self, value: &'e Value, included: bool) {
        let tighter = self.to.is_none_or(|(to, was)| value < to || (value == to && was));
        self.to = if tighter { Some((value, included)) } else { self.to };
    }

    fn is_possible(&self) -> bool {
        let above = |value: &Value| {
            self.from.is_none_or(|(from, included)| value > from || (included && value == from))
        };
        let below =
            |value: &Value| self.to.is_none_or(|(to, included)| value < to || (included && value == to));
        match &self.left {
            Some(left) => left.iter().any(|value| above(value) && below(value)),
            None => match (self.from, self.to) {
                (Some((from, true)), _) => below(from),
                (Some((from, false)), Some((to, _))) => from < to,
                (None, _) | (_, None) => true,
            },
        }
    }
}
