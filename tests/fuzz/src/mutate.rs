//! Changes to bytes that repeat themselves, and the checksums of changed bytes.

/// Random numbers from a seed.
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`, 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let number = usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or_default();
        number.checked_rem(end).unwrap_or_default()
    }
}

/// Values that borders tend to lie at.
const BYTES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF, b'"', b'\\'];

/// Changes the bytes in a few places.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, BYTES[random.below(BYTES.len())]),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => {
                let end = at + random.below(bytes.len() - at);
                bytes.extend_from_within(at..end);
            }
            4 if !bytes.is_empty() => bytes[at] = BYTES[random.below(BYTES.len())],
            _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.push(0),
        }
    }
}

/// Overwrites the last four bytes with the CRC-32 of those before.
pub(crate) fn fix_crc_at_end(bytes: &mut [u8]) {
    if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(content).to_le_bytes();
    }
}

/// Writes the checksum of a frame that begins the bytes and has the length that it says, where it fits; answers
/// that length.
pub(crate) fn fix_frame_crc(bytes: &mut [u8], salt: &[u8; 16], offset: u64) -> Option<usize> {
    let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let frame = bytes.get_mut(..length).filter(|frame| frame.len() >= 72)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(salt);
    crc.update(&offset.to_le_bytes());
    crc.update(&frame[..4]);
    crc.update(&frame[8..]);
    frame[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    Some(length)
}
