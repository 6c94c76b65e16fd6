//! Names of tenants and retention classes.

use crate::limits::NAME_BYTES_MAX;
use std::{fmt, sync::Arc};

/// A tenant's or a retention class's name: `[a-z0-9_][a-z0-9-]*`, 1 to 63 bytes.
///
/// Names become directories, so nothing else is ever one. A leading `_` is the daemon's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no or too many bytes.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    /// It has a character that names do not have.
    #[error("a name is made of a-z, 0-9 and, after the first character, '-'; found {found:?} at byte {at}")]
    Character {
        /// The character.
        found: char,
        /// Where, in bytes.
        at: usize,
    },
    /// It begins with `_`.
    #[error("names that begin with '_' are the daemon's own")]
    Reserved,
}

impl Name {
    /// Checks a name that comes from outside.
    pub fn from_outside(text: &str) -> Result<Self, NameError> {
        if text.starts_with('_') {
            return Err(NameError::Reserved);
        }
        Self::from_disk(text)
    }

    /// Checks a name that the daemon itself wrote, where a leading `_` is allowed.
    pub fn from_disk(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(NameError::Length(text.len()));
        }
        let wrong = text.char_indices().find(|&(at, c)| {
            let always = c.is_ascii_lowercase() || c.is_ascii_digit();
            !(always || if at == 0 { c == '_' } else { c == '-' })
        });
        match wrong {
            Some((at, found)) => Err(NameError::Character { found, at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &Result<(), NameError>) {
        assert_eq!(&Name::from_outside(text).map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn names_from_outside_are_harmless_as_directories() {
        check("default", &Ok(()));
        check("0-a", &Ok(()));
        check(&"a".repeat(63), &Ok(()));
        check(&"a".repeat(64), &Err(NameError::Length(64)));
        check("", &Err(NameError::Length(0)));
        check("..", &Err(NameError::Character { found: '.', at: 0 }));
        check("../x", &Err(NameError::Character { found: '.', at: 0 }));
        check("a/b", &Err(NameError::Character { found: '/', at: 1 }));
        check("-a", &Err(NameError::Character { found: '-', at: 0 }));
        check("Ab", &Err(NameError::Character { found: 'A', at: 0 }));
        check("a\0", &Err(NameError::Character { found: '\0', at: 1 }));
        check("_piperoll", &Err(NameError::Reserved));
        assert!(Name::from_disk("_piperoll").is_ok());
        assert!(Name::from_disk("a_b").is_err(), "'_' leads or is not there");
    }
}
