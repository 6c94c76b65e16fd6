//! Bars in the terminal: eighths of blocks where it can show them, plain ASCII elsewhere.

use super::{colour, columns, paint};
use std::io::{self, IsTerminal};

/// Colours of the parts of a bar, in order; where there are none, or more parts, the glyphs tell them apart.
const COLOURS: [u8; 8] = [34, 33, 32, 35, 36, 31, 94, 93];
const BLOCKS: [char; 8] = ['█', '▓', '▒', '░', '▚', '▞', '◼', '▤'];
const ASCII: [char; 8] = ['#', '=', '+', '-', '*', 'o', '%', '.'];
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// How bars are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bars {
    /// With characters beyond ASCII.
    pub(crate) blocks: bool,
    /// In colours.
    pub(crate) colours: bool,
    /// Columns of the longest bar.
    pub(crate) width: usize,
}

impl Bars {
    /// As stdout can show them; `beside` columns of a line are taken.
    pub(crate) fn of_stdout(beside: usize) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let columns = columns().map_or(80, usize::from);
        let width = columns.saturating_sub(beside).clamp(10, 200);
        Self { blocks: is_terminal && is_utf8(), colours: colour(), width }
    }

    /// Most parts of a bar that can be told apart.
    pub(crate) const PARTS_MAX: usize = BLOCKS.len();

    /// One bar: as long as `count` is of `most`, and never nothing where something is.
    pub(crate) fn whole(&self, count: u64, most: u64) -> String {
        if !self.blocks {
            return ASCII[0].to_string().repeat(scaled(count, most, self.width));
        }
        let eighths = scaled(count, most, 8 * self.width);
        let mut bar = BLOCKS[0].to_string().repeat(eighths / 8);
        bar.extend(EIGHTHS.get(eighths % 8).filter(|_| !eighths.is_multiple_of(8)));
        paint(self.colours, COLOURS[0], &bar)
    }

    /// One bar of several parts.
    pub(crate) fn parts(&self, counts: &[u64], most: u64) -> String {
        let mut sum = 0_u64;
        let mut drawn = 0;
        let mut bar = String::new();
        for (place, count) in counts.iter().enumerate() {
            sum = sum.saturating_add(*count);
            // By the sum, so that rounding does not add up; but a part that is there shows.
            let end = scaled(sum, most, self.width).max(drawn + usize::from(*count > 0));
            bar.push_str(&self.part(place, end - drawn));
            drawn = end;
        }
        bar
    }

    /// What the part of this number is drawn with.
    pub(crate) fn sample(&self, place: usize) -> String {
        self.part(place, 1)
    }

    fn part(&self, place: usize, length: usize) -> String {
        let glyphs = if self.blocks { BLOCKS } else { ASCII };
        let place = place % Self::PARTS_MAX;
        // In colours one glyph is enough.
        let glyph = glyphs.get(if self.colours { 0 } else { place }).unwrap_or(&'#');
        let code = COLOURS.get(place).unwrap_or(&COLOURS[0]);
        paint(self.colours && length > 0, *code, &glyph.to_string().repeat(length))
    }
}

/// `count` of `most` in columns, at least one where something is.
fn scaled(count: u64, most: u64, columns: usize) -> usize {
    let product = u128::from(count) * columns as u128;
    let length = usize::try_from(product / u128::from(most.max(1))).unwrap_or(columns);
    length.min(columns).max(usize::from(count > 0))
}

/// What the locale says of the terminal's character set.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"];
    let value = set.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    value.is_some_and(|value| {
        let value = value.to_ascii_uppercase();
        value.contains("UTF-8") || value.contains("UTF8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(blocks: bool) -> Bars {
        Bars { blocks, colours: false, width: 10 }
    }

    #[test]
    fn bars_are_as_long_as_their_counts() {
        let whole = |blocks, count| bars(blocks).whole(count, 80);
        assert_eq!([0, 1, 40, 80].map(|count| whole(false, count)), ["", "#", "#####", "##########"]);
        assert_eq!(
            [0, 1, 40, 43, 80].map(|count| whole(true, count)),
            ["", "▏", "█████", "█████▍", "██████████"]
        );
        assert_eq!(bars(true).whole(u64::MAX, u64::MAX), "██████████");
    }

    #[test]
    fn parts_of_a_bar_show_and_do_not_add_up_to_more() {
        assert_eq!(bars(false).parts(&[40, 20, 20], 80), "#####==+++");
        assert_eq!(bars(false).parts(&[3, 3, 3], 9), "###===++++");
        assert_eq!(bars(true).parts(&[1, 0, 1], 1_000), "█▒");
        assert_eq!(
            Bars { colours: true, ..bars(true) }.parts(&[1, 1], 2),
            "\u{1b}[34m█████\u{1b}[0m\u{1b}[33m█████\u{1b}[0m"
        );
    }
}
