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

impl Filter {
    /// The longest text that every matching event has somewhere in its bytes, by the conditions that all must hold:
    /// events without it need no closer look. `None` where there is no such text. What bitmaps decide is left out,
    /// for what they leave has it.
    pub fn needle(&self) -> Option<Needle> {
        let parts = match &self.0 {
            Expression::And(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let longest = parts.iter().filter_map(needed).max_by_key(|text| text.len())?;
        Some(Needle::new(longest.to_owned()))
    }
}

/// The text that an event cannot match this condition without.
fn needed(condition: &Expression) -> Option<&str> {
    let Expression::Compare(Comparison { subject, test }) = condition else { return None };
    // These stand in the event's bytes as they are. The class does not, nor does what is no text.
    let stands_there = match subject {
        Subject::Field(field) => {
            matches!(field.kind(), Kind::Text | Kind::Texts | Kind::Links)
                && field.indexed() != Indexed::Bitmap
        }
        Subject::Attribute(_) => true,
        Subject::Received | Subject::Class => false,
    };
    let text = match test {
        Test::Contains(needle) => needle.as_str(),
        Test::Prefix(begin) => begin,
        Test::OneOf(values) => match values.as_slice() {
            [Value::Text(text)] => text,
            _ => return None,
        },
        _ => return None,
    };
    (stands_there && !text.is_empty()).then_some(text)
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
