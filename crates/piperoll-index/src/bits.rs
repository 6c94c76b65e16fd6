//! A dense set of ordinals: what scans of columns and unions of many postings write into.

use roaring::RoaringBitmap;

/// A bit for each ordinal, lowest bit first.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Bits(Vec<u8>);

impl Bits {
    /// The empty set of ordinals below `end`; others are ignored.
    pub(crate) fn new(end: u32) -> Self {
        Self(vec![0; bytes_of(end)])
    }

    /// The same set, of ordinals below `end`.
    pub(crate) fn from_bitmap(bitmap: &RoaringBitmap, end: u32) -> Self {
        let mut bits = Self::new(end);
        bitmap.iter().for_each(|ordinal| bits.set(ordinal));
        bits
    }

    /// The set for which bit *n* says whether `accepts` the *n*-th item.
    pub(crate) fn scan<T: Copy>(items: &[T], accepts: impl Fn(T) -> bool) -> Self {
        let byte =
            |items: &[T]| items.iter().rev().fold(0, |byte, &item| byte << 1 | u8::from(accepts(item)));
        let (eights, rest) = items.as_chunks::<8>();
        let mut bytes: Vec<u8> = eights.iter().map(|eight| byte(eight)).collect();
        bytes.push(byte(rest));
        Self(bytes)
    }

    #[inline]
    pub(crate) fn set(&mut self, ordinal: u32) {
        let (at, bit) = place(ordinal);
        if let Some(byte) = self.0.get_mut(at) {
            *byte |= bit;
        }
    }

    #[inline]
    pub(crate) fn has(&self, ordinal: u32) -> bool {
        let (at, bit) = place(ordinal);
        self.0.get(at).is_some_and(|byte| byte & bit != 0)
    }

    /// Adds the set that `bytes` are, beginning at the ordinal `base`, a multiple of 8.
    pub(crate) fn add_bytes(&mut self, base: u32, bytes: &[u8]) {
        let own = self.0.get_mut(place(base).0..).unwrap_or_default();
        own.iter_mut().zip(bytes).for_each(|(own, byte)| *own |= byte);
    }

    /// Counts what this set has in common with the set that `bytes` are, beginning at `base`.
    pub(crate) fn common(&self, base: u32, bytes: &[u8]) -> u64 {
        let own = self.0.get(place(base).0..).unwrap_or_default();
        let ((own, own_rest), (words, rest)) = (own.as_chunks::<8>(), bytes.as_chunks::<8>());
        let both =
            own.iter().zip(words).map(|(own, word)| u64::from_le_bytes(*own) & u64::from_le_bytes(*word));
        let common = u64::from(count_ones(both));
        // Where one is shorter, what is left of it stands beside a word of the other.
        let done = own.len().min(words.len());
        let tail = |words: &[[u8; 8]], rest: &[u8]| -> u64 {
            let left = words.get(done..).unwrap_or_default().as_flattened().iter().chain(rest);
            left.zip((0_u32..64).step_by(8)).fold(0, |word, (byte, shift)| word | u64::from(*byte) << shift)
        };
        common + u64::from((tail(own, own_rest) & tail(words, rest)).count_ones())
    }

    /// The highest ordinal of the set that `bytes` are.
    pub(crate) fn highest(bytes: &[u8]) -> Option<u32> {
        // Eight bytes at a time: the end is mostly zeros.
        let (rest, words) = bytes.as_rchunks::<8>();
        if let Some(at) = words.iter().rposition(|word| *word != [0; 8]) {
            let bit = u64::from_le_bytes(*words.get(at)?).checked_ilog2()?;
            return Some(8 * u32::try_from(rest.len() + 8 * at).ok()? + bit);
        }
        let at = rest.iter().rposition(|&byte| byte != 0)?;
        Some(8 * u32::try_from(at).ok()? + rest.get(at)?.checked_ilog2()?)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        RoaringBitmap::from_lsb0_bytes(0, &self.0)
    }
}

/// How many bits are set in these words, of which there are less than 2²⁶: without a look at each sum, which would keep
/// the compiler from adding several at a time.
pub(crate) fn count_ones(words: impl Iterator<Item = u64>) -> u32 {
    words.fold(0, |sum, word| sum.wrapping_add(word.count_ones()))
}

/// Bytes for ordinals below `end`.
pub(crate) fn bytes_of(end: u32) -> usize {
    end.div_ceil(8) as usize
}

#[inline]
fn place(ordinal: u32) -> (usize, u8) {
    ((ordinal >> 3) as usize, 1 << (ordinal & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_set_that_was_put_in() {
        for end in [0_u32, 1, 7, 8, 9, 65_535, 65_536, 65_537, 200_001] {
            let items: Vec<u32> = (0..end).collect();
            let expected: RoaringBitmap = items.iter().copied().filter(|n| n % 3 == 0).collect();
            let scanned = Bits::scan(&items, |n| n % 3 == 0);
            assert_eq!(scanned.to_bitmap(), expected, "{end}");
            let mut copied = Bits::from_bitmap(&expected, end);
            assert_eq!(copied.to_bitmap(), expected, "{end}");
            assert_eq!(copied.common(0, scanned.as_bytes()), expected.len());
            assert_eq!(Bits::highest(scanned.as_bytes()), expected.max(), "{end}");
            copied.add_bytes(8, &[0xFF]);
            assert_eq!(copied.has(9), end > 8);
        }
    }
}
