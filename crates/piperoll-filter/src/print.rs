//! Prints a filter as canonical text: the parser reads the same tree from it.

use crate::{
    error::is_dangerous,
    expression::{Comparison, Expression, Filter, Test},
    lexer::Keyword,
    subject::Subject,
    value::Value,
};
use jiff::Timestamp;
use piperoll_format::{event::Field, units::UnixNanos};
use std::fmt::{self, Display, Formatter, Write as _};

/// How tightly an expression binds, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
}

impl Expression {
    fn level(&self) -> Level {
        match self {
            Self::Or(_) => Level::Or,
            Self::And(_) => Level::And,
            Self::All | Self::Not(_) | Self::Compare(_) => Level::Not,
        }
    }

    /// The brackets and NOTs around the innermost part of the canonical text.
    pub(crate) fn nesting(&self) -> usize {
        let of = |part: &Self| part.nesting() + usize::from(part.level() < self.level());
        match self {
            Self::All | Self::Compare(_) => 0,
            Self::And(parts) | Self::Or(parts) => parts.iter().map(of).max().unwrap_or(0),
            Self::Not(part) => 1 + of(part),
        }
    }

    fn print(&self, around: Level, f: &mut Formatter<'_>) -> fmt::Result {
        let brackets = self.level() < around;
        f.write_str(if brackets { "(" } else { "" })?;
        match self {
            Self::All => f.write_char('*')?,
            Self::And(parts) => list(parts, " AND ", f, |part, f| part.print(Level::And, f))?,
            Self::Or(parts) => list(parts, " OR ", f, |part, f| part.print(Level::Or, f))?,
            Self::Not(part) => {
                f.write_str("NOT ")?;
                part.print(Level::Not, f)?;
            }
            Self::Compare(comparison) => comparison.fmt(f)?,
        }
        f.write_str(if brackets { ")" } else { "" })
    }
}

fn list<T>(
    items: &[T],
    between: &str,
    f: &mut Formatter<'_>,
    print: impl Fn(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { between })?;
        print(item, f)?;
    }
    Ok(())
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(Level::Or, f)
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { subject, test } = self;
        let write = |value: &Value, f: &mut Formatter<'_>| value.print(subject, f);
        subject.fmt(f)?;
        let (operator, value) = match test {
            Test::OneOf(values) | Test::NoneOf(values) => {
                let is = matches!(test, Test::OneOf(_));
                if let [value] = values.as_slice() {
                    f.write_str(if is { " = " } else { " != " })?;
                    return write(value, f);
                }
                f.write_str(if is { " IN (" } else { " NOT IN (" })?;
                list(values, ", ", f, write)?;
                return f.write_char(')');
            }
            Test::Prefix(text) => {
                f.write_str(" = ")?;
                word(text, Place::Value, f)?;
                return f.write_char('*');
            }
            Test::Contains(needle) => {
                f.write_str(" ~ ")?;
                return word(needle.as_str(), Place::Value, f);
            }
            Test::Present => return f.write_str(":*"),
            Test::Less(value) => (" < ", value),
            Test::AtMost(value) => (" <= ", value),
            Test::More(value) => (" > ", value),
            Test::AtLeast(value) => (" >= ", value),
        };
        f.write_str(operator)?;
        write(value, f)
    }
}

impl Value {
    fn print(&self, subject: &Subject, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => word(text, Place::Value, f),
            Self::Number(number) => match enum_name(subject, *number) {
                Some(name) => f.write_str(name),
                None => number.fmt(f),
            },
            Self::Time(time) => instant(*time, f),
            Self::Bytes(bytes) if bytes.is_empty() => f.write_str(r#""""#),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Digest { algorithm, hex } => word(&format!("{algorithm}:{hex}"), Place::Value, f),
        }
    }
}

fn enum_name(subject: &Subject, number: u64) -> Option<&'static str> {
    let names = match subject {
        Subject::Field(field) => Field::enum_names(*field),
        _ => &[],
    };
    names.get(usize::try_from(number).ok()?).copied()
}

fn instant(time: UnixNanos, f: &mut Formatter<'_>) -> fmt::Result {
    match Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(stamp) => stamp.fmt(f),
        // 64 bits of nanoseconds are well within what jiff's timestamps hold.
        Err(_) => Err(fmt::Error),
    }
}

/// Where a word stands: what it may hold without quotes depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Key,
    Value,
}

/// Writes a word, in quotes where the parser or a terminal needs them.
pub(crate) fn word(text: &str, place: Place, f: &mut Formatter<'_>) -> fmt::Result {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | '@' | '+')
            || (c == ':' && place == Place::Value)
    };
    let keyword = place == Place::Value && Keyword::from_word(text).is_some();
    if !text.is_empty() && !keyword && text.chars().all(plain) {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if is_dangerous(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
