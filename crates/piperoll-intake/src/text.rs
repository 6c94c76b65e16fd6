//! Text from outside, made fit for an event: no control characters, bounded.

use std::fmt::Write as _;

/// Longest text of one field made by intake, in bytes; what is cut stays in the attribute.
pub(crate) const FIELD_TEXT_BYTES_MAX: usize = 1_024;
/// Longest `reason`, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 4_096;
/// Longest value of one attribute, in bytes.
pub(crate) const ATTRIBUTE_VALUE_BYTES_MAX: usize = 4_096;
/// Longest key of one attribute, in bytes.
pub(crate) const ATTRIBUTE_KEY_BYTES_MAX: usize = 256;

/// A field's text on one line: every control character is written as `\u{..}`.
pub(crate) fn line(text: &str, bytes_max: usize) -> String {
    cut(escape(text, |_| false), bytes_max)
}

/// Text that may have lines: line feed, carriage return and tab stay as they are.
pub(crate) fn lines(text: &str, bytes_max: usize) -> String {
    cut(escape(text, |c| matches!(c, '\n' | '\r' | '\t')), bytes_max)
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !keep(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Cuts at a character's border and says so, with the length that there was.
fn cut(mut text: String, bytes_max: usize) -> String {
    let whole = text.len();
    if whole <= bytes_max {
        return text;
    }
    let note = format!("… (cut, {whole} bytes)");
    let mut end = bytes_max.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push_str(&note);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_lines_kept_where_they_may_be() {
        for (input, one, many) in [
            ("plain", "plain", "plain"),
            ("a\nb\tc\r", "a\\u{a}b\\u{9}c\\u{d}", "a\nb\tc\r"),
            ("\u{1b}[31m", "\\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{0}\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}", "\\u{0}\\u{7f}\\u{85}"),
        ] {
            assert_eq!(line(input, 100), one);
            assert_eq!(lines(input, 100), many);
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_says_so() {
        let cut = line(&"ä".repeat(1_000), 101);
        assert!(cut.len() <= 101);
        assert!(cut.ends_with("… (cut, 2000 bytes)"), "{cut}");
        assert!(cut.starts_with("ää"));
    }
}
