//! Little-endian integers, in and out, with every bound checked.

use crate::error::IndexError;
use std::ops::Range;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

/// Appends integers, each as its bytes.
pub(crate) fn put_all<const BYTES: usize>(integers: impl Iterator<Item = [u8; BYTES]>, out: &mut Vec<u8>) {
    out.reserve(BYTES * integers.size_hint().0);
    integers.for_each(|bytes| out.extend_from_slice(&bytes));
}

/// Zeros up to the next multiple of 8.
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// `number` as a u32 of the layout.
pub(crate) fn fit_u32(number: usize, what: &'static str) -> Result<u32, IndexError> {
    let too_large = || IndexError::TooLarge { what, found: number as u64, limit: u64::from(u32::MAX) };
    u32::try_from(number).map_err(|_| too_large())
}

/// The range of `length` bytes from `start`, where it ends at most at `limit`.
pub(crate) fn within(start: usize, length: usize, limit: usize) -> Option<Range<usize>> {
    let end = start.checked_add(length)?;
    (end <= limit).then_some(start..end)
}

/// Bytes that a u32 takes in LEB128 at most.
pub(crate) const LEB128_BYTES_MAX: usize = 5;

/// Appends in shortest-form LEB128.
pub(crate) fn put_leb128(mut number: u32, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7F);
        }
        out.push(low | 0x80);
    }
}

/// Bytes that a length takes in LEB128.
pub(crate) fn leb128_bytes(length: usize) -> u64 {
    u64::from((usize::BITS - length.leading_zeros()).max(1).div_ceil(7))
}

/// Takes one shortest-form LEB128 number from the front.
pub(crate) fn take_leb128(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.split_off_first()?;
        let group = u32::from(byte & 0x7F);
        let shifted = group << shift;
        if shifted >> shift != group || (byte == 0 && shift > 0) {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leb128_is_shortest_and_nothing_else_is_read() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 24, u32::MAX] {
            let mut out = Vec::new();
            put_leb128(number, &mut out);
            assert_eq!(take_leb128(&mut out.as_slice()), Some(number));
        }
        let refused: [&[u8]; 5] = [
            &[],
            &[0x80],
            &[0x80, 0x00],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x10],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x8F, 0],
        ];
        for bytes in refused {
            assert_eq!(take_leb128(&mut { bytes }), None, "{bytes:?}");
        }
    }
}
