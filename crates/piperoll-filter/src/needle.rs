//! A text that is searched for in other texts.

use crate::{
    expression::{Comparison, Expression, Filter, Test},
    subject::Subject,
    value::Value,
};
use memchr::memmem::Finder;
use piperoll_format::event::{Indexed, Kind};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A text to search for, prepared once for all the texts that it is searched in. Equal to another with the
/// same text; as cheap to clone as a pointer.
#[derive(Clone, Debug)]
pub struct Needle(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    text: String,
    finder: Finder<'static>,
}

impl Needle {
    /// Prepares the search for this text.
    pub(crate) fn new(text: String) -> Self {
        let finder = Finder::new(text.as_bytes()).into_owned();
        Self(Arc::new(Prepared { text, finder }))
    }

    /// What is searched for; never empty in a filter.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether these bytes, UTF-8 as the needle is, have it somewhere. Takes time in proportion to them,
    /// whatever they and the needle are.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.finder.find(bytes).is_some()
    }
}

/// Texts of which every match of a filter has one somewhere in its bytes.
#[derive(Clone, Debug)]
pub struct Needles(pub(crate) Vec<Needle>);

/// Above this, to search for each costs as much as to take the event apart.
const NEEDLES_MAX: usize = 8;

impl Needles {
    /// Whether these bytes have one of them.
    pub fn any_is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| needle.is_in(bytes))
    }
}

impl Filter {
    /// What an event cannot match without, where it shows in its bytes: an event that has none of these texts needs no
    /// closer look. `None` where there is nothing of that kind, or bitmaps decide it: what they leave has it.
    pub fn needles(&self) -> Option<Needles> {
        let needed = needed(&self.0).filter(|needed| !needed.is_known)?;
        Some(Needles(needed.texts.into_iter().map(|text| Needle::new(text.to_owned())).collect()))
    }
}

/// Texts of which an event must have one.
struct Needed<'f> {
    texts: Vec<&'f str>,
    /// Bitmaps know which events have one.
    is_known: bool,
}

fn needed(expression: &Expression) -> Option<Needed<'_>> {
    match expression {
        Expression::All | Expression::Not(_) => None,
        // Of the part that leaves the fewest events, by a rule of thumb: its shortest text is the longest.
        Expression::And(parts) => parts
            .iter()
            .filter_map(needed)
            .max_by_key(|part| (!part.is_known, part.texts.iter().map(|text| text.len()).min())),
        Expression::Or(parts) => {
            let parts: Vec<_> = parts.iter().map(needed).collect::<Option<_>>()?;
            let is_known = parts.iter().all(|part| part.is_known);
            let texts: Vec<_> = parts.into_iter().flat_map(|part| part.texts).collect();
            (texts.len() <= NEEDLES_MAX).then_some(Needed { texts, is_known })
        }
        Expression::Compare(comparison) => of_comparison(comparison),
    }
}

fn of_comparison(Comparison { subject, test }: &Comparison) -> Option<Needed<'_>> {
    // These stand in the event's bytes as they are. The class does not, nor does what is no text.
    let is_known = match subject {
        Subject::Field(field) if matches!(field.kind(), Kind::Text | Kind::Texts | Kind::Links) => {
            field.indexed() == Indexed::Bitmap
        }
        Subject::Attribute(_) => false,
        Subject::Field(_) | Subject::Received | Subject::Class => return None,
    };
    let texts: Vec<_> = match test {
        Test::Contains(needle) => vec![needle.as_str()],
        Test::Prefix(begin) => vec![begin],
        Test::OneOf(values) => values.iter().map(text_of).collect::<Option<_>>()?,
        _ => return None,
    };
    let is_found = texts.len() <= NEEDLES_MAX && texts.iter().all(|text| !text.is_empty());
    is_found.then_some(Needed { texts, is_known })
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Needle {}

impl Hash for Needle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
