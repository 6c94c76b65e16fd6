//! Values: what each subject compares with, and how a text becomes one.

use crate::{error::Wrong, subject::Subject, zoned};
use jiff::Timestamp;
use piperoll_format::{
    event::{Field, Kind},
    units::UnixNanos,
};

/// What a subject is compared with. Its variant is that of the subject: `Text` for text, texts, attributes,
/// the class and the id of a link; `Number` for enums and numbers; `Time`, `Bytes`; `Digest` for artifacts and
/// attestations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Text, compared byte for byte.
    Text(String),
    /// A number, or the number of an enum's value.
    Number(u64),
    /// A time.
    Time(UnixNanos),
    /// Bytes, written in hexadecimal.
    Bytes(Vec<u8>),
    /// A digest as the producer sent it.
    Digest {
        /// The algorithm, such as `sha256`.
        algorithm: String,
        /// The digest, hexadecimal.
        hex: String,
    },
}

/// Enum numbers of events are below this.
const ENUM_NUMBERS_END: u64 = 1 << 31;

/// Words that people use for the value of an enum that is called otherwise; they only make hints.
const MEANT: &[(Field, &str, &str)] = &[
    (Field::Outcome, "aborted", "cancelled"),
    (Field::Outcome, "blocked", "denied"),
    (Field::Outcome, "failed", "failure"),
    (Field::Outcome, "forbidden", "denied"),
    (Field::Outcome, "ok", "success"),
    (Field::Outcome, "passed", "success"),
    (Field::Outcome, "refused", "denied"),
    (Field::Outcome, "rejected", "denied"),
    (Field::Outcome, "succeeded", "success"),
    (Field::Outcome, "timed_out", "timeout"),
    (Field::ActorType, "ai", "agent"),
    (Field::ActorType, "person", "human"),
    (Field::ActorType, "user", "human"),
    (Field::AuthMethod, "pat", "personal_token"),
    (Field::AuthMethod, "ssh", "ssh_key"),
    (Field::AuthMethod, "token", "personal_token"),
];

/// A value that a subject of this kind would take, for errors.
pub(crate) fn example(subject: &Subject) -> &'static str {
    match subject.kind() {
        Kind::Text | Kind::Texts | Kind::Map | Kind::Links => r#"alice or "two words""#,
        Kind::Enum => match subject {
            Subject::Field(field) => field.enum_names().get(1).unwrap_or(&"1"),
            _ => "1",
        },
        Kind::Number => "3",
        Kind::Bytes => "4bf92f3577b34da6",
        Kind::Time => "-24h, 2026-11-23 or 2026-11-23T08:00:00Z",
        Kind::Artifacts | Kind::Attestations => "sha256:9f86d081…",
    }
}

/// The value that the text is for this subject; `now` is what relative times count from.
pub(crate) fn typed(subject: &Subject, text: &str, now: UnixNanos) -> Result<Value, Wrong> {
    match subject.kind() {
        Kind::Text | Kind::Texts | Kind::Links | Kind::Map => Ok(Value::Text(text.to_owned())),
        Kind::Enum => match subject {
            Subject::Field(field) => enumerated(*field, text),
            _ => number(text),
        },
        Kind::Number => number(text),
        Kind::Bytes => bytes(text),
        Kind::Time => time(text, now).map(Value::Time),
        Kind::Artifacts | Kind::Attestations => digest(text),
    }
}

/// Whether the text names a whole day, which no single instant equals.
pub(crate) fn is_day(text: &str) -> bool {
    let date = text.split_once('[').map_or(text, |(date, _)| date);
    date.parse::<jiff::civil::Date>().is_ok() && !date.contains(['T', 't', ' '])
}

fn enumerated(field: Field, text: &str) -> Result<Value, Wrong> {
    let names = field.enum_names();
    if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(Value::Number(at as u64));
    }
    let by_number = text.parse().ok().filter(|&number| number < ENUM_NUMBERS_END);
    by_number.map(Value::Number).ok_or_else(|| {
        let wrong = Wrong::expected(format!("one of {}", names.join(", ")));
        match MEANT.iter().find(|&&(of, word, _)| of == field && text.eq_ignore_ascii_case(word)) {
            Some((_, _, meant)) => wrong.hint(format!("did you mean {meant}?")),
            None => wrong.nearest(text, names.iter().copied()),
        }
    })
}

fn number(text: &str) -> Result<Value, Wrong> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| digits);
    parsed.map(Value::Number).ok_or_else(|| Wrong::expected("a number from 0 to 18446744073709551615"))
}

fn bytes(text: &str) -> Result<Value, Wrong> {
    let nibble = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let decoded =
        pairs.iter().map(|[high, low]| Some(nibble(high)? << 4 | nibble(low)?)).collect::<Option<_>>();
    decoded
        .filter(|_| rest.is_empty())
        .map(Value::Bytes)
        .ok_or_else(|| Wrong::expected("bytes in hexadecimal, two digits each"))
}

/// How many digits the digests of well-known algorithms have.
const DIGITS: [(&str, usize); 7] = [
    ("md5", 32),
    ("sha1", 40),
    ("gitCommit", 40),
    ("sha256", 64),
    ("blake3", 64),
    ("sha384", 96),
    ("sha512", 128),
];

/// How many hexadecimal digits a whole digest by this algorithm has; `None` for one that is not well known.
pub fn digest_digits(algorithm: &str) -> Option<usize> {
    DIGITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(algorithm)).map(|&(_, digits)| digits)
}

/// A digest that can be one: part of one, or one with a slip, would find nothing and look like an answer.
fn digest(text: &str) -> Result<Value, Wrong> {
    let wrong = || {
        let wrong = Wrong::expected("a digest as algorithm:hexadecimal, such as sha256:9f86d081…");
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { wrong.hint("write the algorithm before it, sha256: perhaps") } else { wrong }
    };
    let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
    if let Some(digits) = digest_digits(algorithm).filter(|&digits| digits != hex.chars().count()) {
        return Err(Wrong::expected(format!("a whole digest, which by {algorithm} has {digits} digits")));
    }
    Ok(Value::Digest { algorithm: algorithm.to_owned(), hex: hex.to_owned() })
}

fn time(text: &str, now: UnixNanos) -> Result<UnixNanos, Wrong> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if text.starts_with(['-', '+']) {
        return relative(text, now);
    }
    let stamp = match text.split_once('[') {
        Some((local, zone)) => zoned::instant(text, local, zone)?,
        None if is_day(text) => format!("{text}T00:00:00Z").parse().map_err(|_| not_a_time(text))?,
        None => text.parse::<Timestamp>().map_err(|_| not_a_time(text))?,
    };
    let nanos = i64::try_from(stamp.as_nanosecond()).map_err(|_| Wrong::expected(TIME_RANGE))?;
    Ok(UnixNanos(nanos))
}

const TIME_RANGE: &str = "a time between the years 1678 and 2261";

pub(crate) fn not_a_time(text: &str) -> Wrong {
    let wrong = Wrong::expected("a time: -24h, now, 2026-11-23 or 2026-11-23T08:00:00Z");
    let begins_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    if text.parse::<jiff::civil::DateTime>().is_ok() {
        wrong.hint(format!("add the zone: {text}Z, {text}+01:00 or {text}[Europe/Paris]"))
    } else if begins_with_digit && amount(text).is_some() {
        wrong.hint(format!("write -{text} for that long ago"))
    } else {
        wrong
    }
}

/// `-24h`, `+1h30m`: a sign, then numbers with units.
fn relative(text: &str, now: UnixNanos) -> Result<UnixNanos, Wrong> {
    let wrong = || Wrong::expected("a time from now with the units w d h m s, such as -24h or -1h30m");
    let (sign, rest) = text.split_at_checked(1).ok_or_else(wrong)?;
    let nanos = amount(rest).ok_or_else(wrong)?;
    let moved = i128::from(now.0).saturating_add(if sign == "-" { -nanos } else { nanos });
    i64::try_from(moved).map(UnixNanos).map_err(|_| Wrong::expected(TIME_RANGE))
}

/// Nanoseconds of `1h30m`; saturates far outside the times that there are.
fn amount(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let mut total = 0_i128;
    let mut rest = text;
    loop {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let mut chars = behind.chars();
        let unit = match chars.next()? {
            's' => SECOND,
            'm' => 60 * SECOND,
            'h' => 3_600 * SECOND,
            'd' => 86_400 * SECOND,
            'w' => 7 * 86_400 * SECOND,
            _ => return None,
        };
        total = total.saturating_add(digits.parse::<i128>().ok()?.saturating_mul(unit));
        rest = chars.as_str();
        if rest.is_empty() {
            return Some(total);
        }
    }
}
