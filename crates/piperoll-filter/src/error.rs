//! What is wrong with a filter: where, what was expected, what was found, what was perhaps meant.

use std::fmt::Write as _;

/// Most characters of the found text that an error repeats.
const SHOWN_CHARS_MAX: usize = 40;
/// Characters of the filter that [`ParseError::render`] shows before the place.
const BEFORE_CHARS: usize = 40;
/// Characters of the filter that [`ParseError::render`] shows from the place on.
const AFTER_CHARS: usize = 32;
/// Longest word, in bytes, that is compared with the known ones; a longer one is no typing error.
const HINT_WORD_BYTES_MAX: usize = 32;

/// A filter, a subject or a value that is none. It prints as one line; [`ParseError::render`] adds the
/// place with a caret. Both are safe to print on a terminal whatever the filter holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}, found {found}{}", hint_clause(hint.as_deref()))]
pub struct ParseError {
    /// Where, in characters, from 1.
    pub column: usize,
    /// What would be right there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to write instead, as far as it can be guessed.
    pub hint: Option<String>,
    excerpt: Box<str>,
    caret: usize,
}

fn hint_clause(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

impl ParseError {
    /// The error over several lines, the last two being the filter around the place and a caret under it; one line
    /// where there is no text to show.
    pub fn render(&self) -> String {
        if self.excerpt.is_empty() {
            return self.to_string();
        }
        format!("{self}\n  {}\n  {:caret$}^", self.excerpt, "", caret = self.caret)
    }

    /// The error at byte `at` of `text`.
    pub(crate) fn new(text: &str, at: usize, found: String, wrong: Wrong) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let column = before.chars().count();
        let from = column.saturating_sub(BEFORE_CHARS);
        let mut excerpt: String =
            text.chars().skip(from).take(BEFORE_CHARS + AFTER_CHARS).map(harmless).collect();
        if from > 0 {
            excerpt.insert(0, '…');
        }
        let caret = column - from + usize::from(from > 0);
        let Wrong { expected, hint } = wrong;
        Self { column: column + 1, expected, found, hint, excerpt: excerpt.into(), caret }
    }
}

/// What is wrong with a piece of a filter, before the place is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) expected: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(crate) fn expected(expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds a hint where there is none.
    pub(crate) fn else_hint(self, hint: impl FnOnce() -> String) -> Self {
        let hint = self.hint.or_else(|| Some(hint()));
        Self { hint, ..self }
    }

    /// Adds "did you mean", where one of the candidates is near.
    pub(crate) fn nearest<'c>(self, word: &str, candidates: impl Iterator<Item = &'c str>) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.hint(format!("did you mean {near}?")),
            None => self,
        }
    }
}

/// The candidate that differs least from `word`, where it differs by a third of its length at most.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > HINT_WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// A piece of a filter as an error repeats it: in quotes, short, harmless to a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::from("`");
    out.extend(text.chars().take(SHOWN_CHARS_MAX).map(harmless));
    let left = text.chars().count().saturating_sub(SHOWN_CHARS_MAX);
    if left > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, "… ({left} more characters)");
    }
    out.push('`');
    out
}

fn harmless(c: char) -> char {
    if is_dangerous(c) { '\u{FFFD}' } else { c }
}

/// Whether a terminal might act on the character instead of showing it: controls, and what reorders or
/// hides text.
pub(crate) fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}
