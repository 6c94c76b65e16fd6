//! Numbers of any width, packed from the lowest bit of each byte on, and gaps as Rice codes.
//!
//! The Rice code of a number with `low` low bits: as many zeros as the number's upper bits say, a one, the low bits.
//! It always has a one, so zeros that fill the last byte are never taken for a code.

/// Widest number that is written in one piece.
const PUT_BITS_MAX: u32 = 32;
/// Bits that a window has at least, whatever bit of a byte it begins at.
pub(crate) const WINDOW_BITS: u32 = 57;

fn lowest(number: u64, bits: u32) -> u64 {
    number & ((1 << bits) - 1)
}

/// The lowest bits of a number, at most 32 of them.
pub(crate) fn lowest_u32(number: u64, bits: u32) -> u32 {
    let [a, b, c, d, ..] = lowest(number, bits).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Appends packed numbers.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Not yet appended.
    word: u64,
    /// Bits of it: fewer than 32.
    bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Begins at the next byte of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, word: 0, bits: 0 }
    }

    /// Appends a number of `width` bits, at most 32.
    pub(crate) fn put(&mut self, number: u32, width: u32) {
        debug_assert!(width <= PUT_BITS_MAX && u64::from(number) >> width == 0);
        self.word |= u64::from(number) << self.bits;
        self.bits += width;
        if self.bits >= PUT_BITS_MAX {
            let [a, b, c, d, ..] = self.word.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.word >>= PUT_BITS_MAX;
            self.bits -= PUT_BITS_MAX;
        }
    }

    /// Appends the Rice code of a number.
    pub(crate) fn put_rice(&mut self, number: u32, low_bits: u32) {
        let mut zeros = number >> low_bits;
        while zeros >= PUT_BITS_MAX {
            self.put(0, PUT_BITS_MAX);
            zeros -= PUT_BITS_MAX;
        }
        let low = number & ((1 << low_bits) - 1);
        if zeros + 1 + low_bits <= PUT_BITS_MAX {
            self.put((low << 1 | 1) << zeros, zeros + 1 + low_bits);
        } else {
            self.put(1 << zeros, zeros + 1);
            self.put(low, low_bits);
        }
    }

    /// Zeros up to a whole byte.
    pub(crate) fn finish(self) {
        let bytes = self.word.to_le_bytes();
        self.out.extend(bytes.iter().take(self.bits.div_ceil(8) as usize));
    }
}

/// Takes packed numbers from the front.
#[derive(Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn left(&self) -> usize {
        (8 * self.bytes.len()).saturating_sub(self.at)
    }

    /// The next bits, at least 57 of them, the first one lowest; zeros behind the last byte.
    #[inline]
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            word
        });
        u64::from_le_bytes(word) >> (self.at % 8)
    }

    /// Takes a number of `width` bits, at most 57.
    #[inline]
    pub(crate) fn take(&mut self, width: u32) -> Option<u64> {
        if self.left() < width as usize {
            return None;
        }
        let number = lowest(self.window(), width);
        self.at += width as usize;
        Some(number)
    }

    /// Takes the number of a Rice code with at most 24 low bits.
    pub(crate) fn take_rice(&mut self, low_bits: u32) -> Option<u64> {
        let mut zeros = 0_u64;
        let mut window = self.window();
        while window == 0 {
            if self.left() <= WINDOW_BITS as usize {
                return None;
            }
            self.at += WINDOW_BITS as usize;
            zeros += u64::from(WINDOW_BITS);
            window = self.window();
        }
        let short = window.trailing_zeros();
        self.at += short as usize + 1;
        let upper = zeros.checked_add(short.into())?.checked_mul(1 << low_bits)?;
        if short + 1 + low_bits > WINDOW_BITS || self.left() < low_bits as usize {
            return Some(upper | self.take(low_bits)?);
        }
        self.at += low_bits as usize;
        Some(upper | lowest(window >> 1 >> short, low_bits))
    }

    /// Whether nothing is left but zeros that fill the last byte.
    pub(crate) fn is_at_end(&self) -> bool {
        self.left() < 8 && self.window() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::cases;
    use proptest::prelude::*;

    fn packed(put: impl FnOnce(&mut BitWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        put(&mut writer);
        writer.finish();
        out
    }

    #[test]
    fn the_first_bit_is_the_lowest_of_the_first_byte() {
        assert_eq!(packed(|_| {}), [0; 0]);
        assert_eq!(packed(|out| out.put(0x5, 3)), [0x5]);
        let several =
            packed(|out| [(1, 1), (0x1FF, 9), (0, 0), (2, 2)].iter().for_each(|(n, w)| out.put(*n, *w)));
        assert_eq!(several, [0xFF, 0x0B]);
        assert_eq!(packed(|out| out.put(u32::MAX, 32)), [0xFF; 4]);
        // 13 with 2 low bits: three zeros, a one, 01.
        assert_eq!(packed(|out| out.put_rice(13, 2)), [0b01_1000]);
        assert_eq!(packed(|out| out.put_rice(0, 0)), [1]);
    }

    #[test]
    fn what_is_cut_or_has_no_one_is_no_code() {
        let cut = packed(|out| out.put_rice(100, 0));
        for bytes in 0..cut.len() {
            assert_eq!(BitReader::new(&cut[..bytes]).take_rice(0), None, "{bytes} bytes");
        }
        assert_eq!(BitReader::new(&[0x80]).take_rice(1), None, "the low bit is missing");
        assert_eq!(BitReader::new(&[0x80]).take(9), None);
        for (bytes, at_end) in [(&[][..], true), (&[0], false), (&[0; 9], false), (&[1], false)] {
            assert_eq!(BitReader::new(bytes).is_at_end(), at_end, "{bytes:?}");
        }
        let mut reader = BitReader::new(&[0b0000_0101]);
        assert_eq!((reader.take(1), reader.is_at_end()), (Some(1), false));
        assert_eq!((reader.take_rice(0), reader.is_at_end()), (Some(1), true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(256)))]

        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<u32>(), 0..=32_u32), 0..40)) {
            let numbers: Vec<_> =
                numbers.into_iter().map(|(n, width)| (lowest_u32(n.into(), width), width)).collect();
            let bytes = packed(|out| numbers.iter().for_each(|(number, width)| out.put(*number, *width)));
            let mut reader = BitReader::new(&bytes);
            for (number, width) in numbers {
                prop_assert_eq!(reader.take(width), Some(number.into()));
            }
            prop_assert!(reader.is_at_end());
        }

        #[test]
        fn rice_codes_come_back(numbers in prop::collection::vec(0..5_000_u32, 0..40), low_bits in 0..=24_u32) {
            let numbers: Vec<_> = numbers.into_iter().map(|n| n << low_bits.saturating_sub(6)).collect();
            let bytes = packed(|out| numbers.iter().for_each(|number| out.put_rice(*number, low_bits)));
            let mut reader = BitReader::new(&bytes);
            for number in numbers {
                prop_assert_eq!(reader.take_rice(low_bits), Some(number.into()));
            }
            prop_assert!(reader.is_at_end());
        }
    }
}
