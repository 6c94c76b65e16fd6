//! Sizes and times as people write them: `64MiB`, `24h`, `7y`, `forever`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// A number of bytes; written `1048576`, `1MiB`, `1 MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time; written `90s`, `24h`, `1h30m`, `400d`. A day has 24 hours, a week 7 days, a year 365.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// How long a class keeps its events; `None` is `forever`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Span>);

/// How many; written as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u32);

/// Units of time and their milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Units of size and their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Span {
    /// In nanoseconds; as many as there are numbers for where it is longer.
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// So many milliseconds.
    pub(crate) const fn of_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.parse::<bytesize::ByteSize>();
        size.map(|size| Self(size.as_u64()))
            .map_err(|_| format!("`{text}` is no size; write it like `64MiB`"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no length of time; write it like `90s`, `24h` or `400d`");
        let (mut rest, mut total) = (text.trim(), 0_u64);
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
            let (unit, after) =
                after.split_at(after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len()));
            let ms = TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| ms).ok_or_else(wrong)?;
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*ms));
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        if text.trim().is_empty() { Err(wrong()) } else { Ok(Self::of_ms(total)) }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(None));
        }
        let span = text.parse::<Span>();
        span.map(|span| Self(Some(span))).map_err(|error| format!("{error}, or `forever`"))
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is no number from 0 to {}", u32::MAX))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // Weeks and years would not be wrong, but days are what everybody compares.
        let units = TIME_UNITS.iter().skip(2);
        match units.clone().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", ms / unit),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => span.fmt(f),
            None => f.write_str("forever"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number or a text in a file; always a text from a flag or the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl Written {
    fn parse<T: FromStr<Err = String>>(self) -> Result<T, String> {
        match self {
            Self::Number(number) => number.to_string().parse(),
            Self::Text(text) => text.parse(),
        }
    }
}

macro_rules! written_as_text {
    ($($name:ident)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Written::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

written_as_text!(Size Span Keep Amount);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = String> + fmt::Display>(text: &str, expected: &str) {
        match text.parse::<T>() {
            Ok(value) => assert_eq!(value.to_string(), expected, "{text:?}"),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{text:?}: {error}"),
        }
    }

    #[test]
    fn sizes_are_read_and_printed_exactly() {
        check::<Size>("64MiB", "64MiB");
        check::<Size>("65536KiB", "64MiB");
        check::<Size>("1 MB", "1000000");
        check::<Size>("4096", "4KiB");
        check::<Size>("0", "0");
        check::<Size>("much", "no size");
        check::<Size>("-1", "no size");
    }

    #[test]
    fn times_are_read_and_printed_exactly() {
        check::<Span>("24h", "1d");
        check::<Span>("1h30m", "90m");
        check::<Span>("1h 30m", "90m");
        check::<Span>("7y", "2555d");
        check::<Span>("2w", "14d");
        check::<Span>("1500ms", "1500ms");
        check::<Span>("0s", "0ms");
        check::<Span>("", "no length");
        check::<Span>("24", "no length");
        check::<Span>("h", "no length");
        check::<Span>("99999999999999999999y", "no length");
        check::<Span>("9999999999999y", "no length");
        check::<Keep>("forever", "forever");
        check::<Keep>("1d", "1d");
        check::<Keep>("never", "or `forever`");
        check::<Amount>("12", "12");
        check::<Amount>("-1", "no number");
    }
}
