//! Values in words: times in the user's zone, sizes, durations, and strings that cannot touch the terminal.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use prost_types::Timestamp as Wire;
use std::fmt::Write as _;
use std::time::Duration;

/// A time of the wire as jiff has it; `None` where it lies outside of what jiff can show.
pub(crate) fn instant(time: &Wire) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A time in the user's zone, to the millisecond: `2026-11-23 22:51:34.120`.
pub(crate) fn local_time(time: Option<&Wire>) -> String {
    local(time, "%Y-%m-%d %H:%M:%S%.3f")
}

/// The same to the second.
pub(crate) fn local_second(time: Option<&Wire>) -> String {
    local(time, "%Y-%m-%d %H:%M:%S")
}

fn local(time: Option<&Wire>, format: &str) -> String {
    let zoned = |time: Timestamp| time.to_zoned_datetime(TimeZone::system());
    time.and_then(instant).map_or_else(String::new, |time| zoned(time).strftime(format).to_string())
}

/// A time as programs read it: RFC 3339 in UTC, with all its digits.
pub(crate) fn rfc3339(time: Option<&Wire>) -> String {
    time.and_then(instant).map_or_else(String::new, |time| time.to_string())
}

/// Bytes in words: `64.0 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = "KiB";
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A count with its thousands apart: `200,000`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration in the unit that fits it: `340 µs`, `12.3 ms`, `4.56 s`.
pub(crate) fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// How long ago a time is, in words: `3 min ago`, or `in 3 min`; for people only.
pub(crate) fn ago(time: Option<&Wire>, now: Timestamp) -> String {
    let Some(time) = time.and_then(instant) else { return "never".to_owned() };
    let age = now.duration_since(time);
    let words = match age.unsigned_abs().as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    };
    if age > SignedDuration::from_secs(-1) { format!("{words} ago") } else { format!("in {words}") }
}

/// A word as shells read it: bash, zsh and fish take what stands in single quotes as it is.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A string that is safe on a terminal: control characters and those that turn the writing direction are
/// shown as `\u{…}`, so that no event can move the cursor, ring the bell or swap what stands on screen.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_bidirectional_control(c) {
            // Writing into a String cannot fail.
            write!(out, "\\u{{{:x}}}", u32::from(c)).ok();
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a digest or a commit: enough for people, and marked as no more than that.
pub(crate) fn beginning(digits: &str) -> String {
    const DIGITS: usize = 12;
    match digits.char_indices().nth(DIGITS) {
        Some((end, _)) => format!("{}…", digits.get(..end).unwrap_or(digits)),
        None => digits.to_owned(),
    }
}

/// A field's value in a table; one that is empty is not one that is absent.
pub(crate) fn value(value: Option<&str>) -> String {
    match value {
        None => "(none)".to_owned(),
        Some("") => "\"\"".to_owned(),
        Some(value) => plain(value),
    }
}

fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_never_get_control_characters_raw() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(plain("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(plain("Zoë 漢字"), "Zoë 漢字");
    }

    #[test]
    fn shells_read_words_as_they_are() {
        assert_eq!(shell_word("AQB5_x-"), "AQB5_x-");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word(r#"actor = "$(id)`id`!!""#), r#"'actor = "$(id)`id`!!"'"#);
        assert_eq!(shell_word("o'brien"), r"'o'\''brien'");
    }

    #[test]
    fn times_are_told_by_how_long_ago_they_were() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let ago = |seconds: i64| ago(Some(&Wire { seconds: 1_700_000_000 - seconds, nanos: 0 }), now);
        assert_eq!([0, 59, 60, 3_600].map(ago), ["0 s ago", "59 s ago", "1 min ago", "1 h ago"]);
        assert_eq!([172_799, 172_800, -5, -7_200].map(ago), ["47 h ago", "2 days ago", "in 5 s", "in 2 h"]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1_000, 200_000, 1_234_567].map(count),
            ["0", "999", "1,000", "200,000", "1,234,567"]
        );
        assert_eq!([0, 1023, 1024, 67_108_864].map(bytes), ["0 B", "1023 B", "1.0 KiB", "64.0 MiB"]);
        assert_eq!(duration(Duration::from_micros(340)), "340 µs");
        assert_eq!(duration(Duration::from_millis(4_560)), "4.56 s");
    }
}
