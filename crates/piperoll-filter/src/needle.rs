//! A text that is searched for in other texts.

use memchr::memmem::Finder;
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
