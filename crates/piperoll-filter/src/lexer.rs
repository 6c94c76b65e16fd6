//! Cuts a filter's text into words. What a word may hold depends on the place: a field's name ends at an
//! operator, a value does not end at `:` or `-`, so that times, digests and URLs need no quotes.

use crate::{
    error::{ParseError, Wrong, shown},
    subject::Subject,
};

/// Words that join conditions, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    And,
    Or,
    Not,
    In,
}

impl Keyword {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let known = [("and", Self::And), ("or", Self::Or), ("not", Self::Not), ("in", Self::In)];
        known.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, keyword)| keyword)
    }
}

/// Operators of other languages, and what to write instead.
const MISTAKEN: &[(&str, &str)] = &[
    ("==", "write one ="),
    ("=~", "write ~ and a text, which is no pattern"),
    ("!~", "write NOT FIELD ~ and a text"),
    ("<>", "write !="),
    ("=<", "write <="),
    ("=>", "write >="),
    ("contains", "write ~ and a text"),
    ("is", "write FIELD:* where it is there, NOT FIELD:* where it is not"),
    ("like", "write ~ and a text, or = and a beginning with `*`"),
    ("matches", "write ~ and a text, which is no pattern"),
    ("startswith", "write = and a beginning with `*`"),
];

/// A value as written.
#[derive(Debug)]
pub(crate) struct Word {
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    /// Without quotes, escapes and the star.
    pub(crate) text: String,
    /// Whether a star behind it asks for everything that begins so.
    pub(crate) star: bool,
}

/// Ends a bare value. `[`, `]`, `:`, `/`, `@` and their like do not.
pub(crate) fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '=' | '<' | '>')
}

/// Ends a field's name or a bare key.
pub(crate) fn ends_name(c: char) -> bool {
    ends_value(c) || matches!(c, '!' | '~' | ':' | '*' | '\'')
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next word begins, in bytes.
    pub(crate) fn place(&mut self) -> usize {
        self.take(|c| !c.is_whitespace());
        self.at
    }

    /// The next character that is no space.
    pub(crate) fn peek(&mut self) -> Option<char> {
        self.place();
        self.rest().chars().next()
    }

    /// Takes the symbol if it is next.
    pub(crate) fn eat(&mut self, symbol: &str) -> bool {
        self.place();
        let there = self.rest().starts_with(symbol);
        self.at += if there { symbol.len() } else { 0 };
        there
    }

    /// Takes the keyword if it is next.
    pub(crate) fn eat_keyword(&mut self, keyword: Keyword) -> bool {
        let mut ahead = *self;
        ahead.place();
        let there = Keyword::from_word(ahead.take(ends_name)) == Some(keyword);
        if there {
            *self = ahead;
        }
        there
    }

    /// What to write instead, where an operator of another language is next.
    pub(crate) fn mistaken_operator(mut self, subject: &Subject) -> Option<String> {
        self.place();
        let rest = self.rest();
        let word = self.take(ends_name);
        let (_, meant) = MISTAKEN.iter().find(|(other, _)| match word {
            "" => rest.starts_with(other),
            word => word.eq_ignore_ascii_case(other),
        })?;
        Some(meant.replace("FIELD", &subject.to_string()))
    }

    /// Takes the name of a subject.
    pub(crate) fn subject(&mut self) -> Result<Subject, ParseError> {
        let at = self.place();
        let word = self.take(ends_name);
        if Subject::takes_quoted_key(word) && self.rest().starts_with(['"', '\'']) {
            return Ok(Subject::Attribute(self.quoted()?));
        }
        if word.is_empty() || Keyword::from_word(word).is_some() {
            self.at = at;
            return Err(self.error(Wrong::expected("the name of a field")));
        }
        Subject::from_word(word).map_err(|wrong| {
            let wrong = match self.peek() {
                _ if Subject::takes_quoted_key(word) => wrong,
                None | Some(')') => wrong.else_hint(|| "name the field that it is in".to_owned()),
                _ => wrong.else_hint(|| "an attribute is attr.KEY".to_owned()),
            };
            self.error_at(at, shown(word), wrong)
        })
    }

    /// Takes a value; `example` shows one to whom wrote none.
    pub(crate) fn value(&mut self, example: &str) -> Result<Word, ParseError> {
        let at = self.place();
        if self.rest().starts_with(['"', '\'']) {
            let text = self.quoted()?;
            // Only a star that touches the quote belongs to it.
            let star = self.rest().starts_with('*') && self.eat("*");
            return Ok(Word { at, text, star });
        }
        let word = self.take(ends_value);
        let (text, star) = word.strip_suffix('*').map_or((word, false), |text| (text, true));
        if text.contains('*') {
            let wrong = Wrong::expected("a value with `*` at its end only")
                .hint("put quotes around a value that has a real `*`");
            return Err(self.error_at(at, shown(word), wrong));
        }
        if word.is_empty() || Keyword::from_word(word).is_some() {
            self.at = at;
            return Err(self.error(value_missing(word, example)));
        }
        Ok(Word { at, text: text.to_owned(), star })
    }

    /// The error that something else was expected at the next word.
    pub(crate) fn error(mut self, wrong: Wrong) -> ParseError {
        let at = self.place();
        let found = match self.take(ends_value) {
            "" => {
                self.rest().chars().next().map_or("the end".to_owned(), |c| shown(c.encode_utf8(&mut [0; 4])))
            }
            word => shown(word),
        };
        self.error_at(at, found, wrong)
    }

    pub(crate) fn error_at(&self, at: usize, found: String, wrong: Wrong) -> ParseError {
        ParseError::new(self.text, at, found, wrong)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes everything up to the first character that ends it.
    fn take(&mut self, ends: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let (word, _) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.at += word.len();
        word
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        let begin = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map_or('"', |(_, quote)| quote);
        let mut text = String::new();
        while let Some((index, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = begin + index + c.len_utf8();
                    return Ok(text);
                }
                '\\' => match escape(&mut chars) {
                    Some(meant) => text.push(meant),
                    None => return Err(self.error_at(begin + index, shown("\\"), wrong_escape())),
                },
                c => text.push(c),
            }
        }
        let wrong = Wrong::expected(format!("a {quote} that closes the one here"));
        Err(self.error_at(begin, "the end".to_owned(), wrong))
    }
}

fn value_missing(word: &str, example: &str) -> Wrong {
    let wrong = Wrong::expected(format!("a value, such as {example}"));
    if word.is_empty() { wrong } else { wrong.hint("put quotes around it if it is the value") }
}

fn wrong_escape() -> Wrong {
    Wrong::expected(r#"one of \\ \" \' \n \r \t \u{1f600}"#).hint(r"write \\ for a backslash")
}

/// The character that an escape stands for; the backslash is read already.
fn escape(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    match chars.next()?.1 {
        c @ ('\\' | '"' | '\'') => Some(c),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => {
            chars.next().filter(|&(_, c)| c == '{')?;
            let digits = chars.as_str().split_once('}')?.0;
            let code = u32::from_str_radix(digits, 16)
                .ok()
                .filter(|_| digits.len() <= 6 && !digits.starts_with('+'))?;
            chars.nth(digits.len())?;
            char::from_u32(code)
        }
        _ => None,
    }
}
