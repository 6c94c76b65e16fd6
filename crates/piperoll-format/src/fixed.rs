//! Fixed-width little-endian fields, read one after the other.

/// What is left of the bytes of a struct.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed<'a>(pub(crate) &'a [u8]);

impl<'a> Fixed<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*value)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Looks at all bytes without stopping early: so it takes many at a time, and gigabytes of zeros are what a
/// recovery mostly sees.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let all = words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    all == 0 && rest.iter().all(|byte| *byte == 0)
}

/// The crc32 of all bytes, behind them: how the small files end.
pub(crate) fn put_crc(out: &mut Vec<u8>) {
    let crc = crc32fast::hash(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The bytes before the crc32 at the end, if it is right.
pub(crate) fn without_crc(bytes: &[u8]) -> Option<&[u8]> {
    let (before, crc) = bytes.split_last_chunk()?;
    (crc32fast::hash(before) == u32::from_le_bytes(*crc)).then_some(before)
}
