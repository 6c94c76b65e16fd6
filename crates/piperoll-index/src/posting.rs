//! Posting lists: portable Roaring bitmaps without runs, written from sorted ordinals and read in place.
//!
//! ```text
//! cookie u32 = 12346 | containers u32
//! for each container: key u16 (upper half of its ordinals), cardinality − 1 u16
//! for each container: offset u32 from the start of the bitmap
//! the containers: up to 4,096 values u16 each, ascending; above, 1,024 words u64
//! ```
//! One set has one form: index roots are made of these bytes, so they are written here and not by a library
//! that may choose another container tomorrow.

pub(crate) mod common;

use crate::{
    bits::Bits,
    wire::{put_all, u16_at, u32_at, within},
};
use roaring::RoaringBitmap;

const COOKIE: u32 = 12_346;
const HEADER_BYTES: usize = 8;
/// Key, cardinality and offset of a container.
const DESCRIPTION_BYTES: usize = 8;
const ARRAY_VALUES_MAX: usize = 4_096;
const BITSET_BYTES: usize = 8_192;
/// As many as there are keys.
const CONTAINERS_MAX: usize = 1 << 16;

/// The upper and the lower half of an ordinal, as bytes.
fn halves(ordinal: u32) -> ([u8; 2], [u8; 2]) {
    let [a, b, c, d] = ordinal.to_le_bytes();
    ([c, d], [a, b])
}

fn container_bytes(cardinality: usize) -> usize {
    if cardinality <= ARRAY_VALUES_MAX { 2 * cardinality } else { BITSET_BYTES }
}

/// Appends the bitmap of these ordinals, which ascend, each once.
pub(crate) fn write(ordinals: &[u32], out: &mut Vec<u8>) {
    let containers = || ordinals.chunk_by(|a, b| halves(*a).0 == halves(*b).0);
    let count: u32 = containers().map(|_| 1).sum();
    out.extend(COOKIE.to_le_bytes());
    out.extend(count.to_le_bytes());
    for container in containers() {
        let last = u16::try_from(container.len() - 1).unwrap_or(u16::MAX);
        out.extend(container.first().map_or([0; 2], |&first| halves(first).0));
        out.extend(last.to_le_bytes());
    }
    let mut offset = HEADER_BYTES + DESCRIPTION_BYTES * count as usize;
    for container in containers() {
        out.extend(u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
        offset += container_bytes(container.len());
    }
    for container in containers() {
        if container.len() <= ARRAY_VALUES_MAX {
            put_all(container.iter().map(|&ordinal| halves(ordinal).1), out);
        } else {
            let mut bits = Bits::new(1 << 16);
            for ordinal in container {
                bits.set(ordinal & 0xFFFF);
            }
            out.extend(bits.as_bytes());
        }
    }
}

/// A posting list whose bounds were checked, in place.
#[derive(Clone, Copy)]
pub(crate) struct Posting<'a> {
    bytes: &'a [u8],
    containers: usize,
}

fn ordinal(base: u32, low: [u8; 2]) -> u32 {
    base + u32::from(u16::from_le_bytes(low))
}

/// Visits each value, in one pass with the look at whether they ascend; `None` where they do not.
#[inline]
fn visit_ascending(values: &[[u8; 2]], mut visit: impl FnMut(u32)) -> Option<()> {
    let (mut least, mut ascend) = (0_u32, true);
    for value in values {
        let value = u32::from(u16::from_le_bytes(*value));
        ascend &= value >= least;
        least = value + 1;
        visit(value);
    }
    ascend.then_some(())
}

/// Whether a value is among these, which ascend.
fn is_in(values: &[[u8; 2]], value: u32) -> bool {
    values.binary_search_by_key(&value, |value| u32::from(u16::from_le_bytes(*value))).is_ok()
}

enum Container<'a> {
    Array(&'a [[u8; 2]]),
    Bitset(&'a [u8]),
}

impl Container<'_> {
    /// Adds its ordinals, which begin at `base`, to `bits`; `None` where they do not ascend.
    fn add_to(&self, base: u32, bits: &mut Bits) -> Option<()> {
        match self {
            Self::Array(values) => visit_ascending(values, |value| bits.set(base + value))?,
            Self::Bitset(bytes) => bits.add_bytes(base, bytes),
        }
        Some(())
    }
}

impl<'a> Posting<'a> {
    /// Checks the shape: cookie, ascending keys, offsets, that the containers fill the bytes, and that none can
    /// have more ordinals than there are below `end`, nor its last one beyond.
    pub(crate) fn parse(bytes: &'a [u8], end: u32) -> Option<Self> {
        let containers = usize::try_from(u32_at(bytes, 4)?).ok()?;
        if u32_at(bytes, 0)? != COOKIE || containers > CONTAINERS_MAX {
            return None;
        }
        let posting = Self { bytes, containers };
        let mut at = HEADER_BYTES + DESCRIPTION_BYTES * containers;
        let mut key_min = 0_u32;
        for index in 0..containers {
            let (key, cardinality, offset) = posting.describe(index)?;
            let room = end.checked_sub(key << 16)? as usize;
            if key < key_min || offset != at || cardinality > room {
                return None;
            }
            key_min = key + 1;
            at += container_bytes(cardinality);
        }
        let last_fits = posting.containers().last().is_none_or(|(base, container)| match container {
            Container::Array(values) => values.last().is_none_or(|value| ordinal(base, *value) < end),
            Container::Bitset(bytes) => Bits::highest(bytes).is_none_or(|highest| base + highest < end),
        });
        (at == bytes.len() && last_fits).then_some(posting)
    }

    /// Key, cardinality and offset of a container.
    fn describe(&self, index: usize) -> Option<(u32, usize, usize)> {
        let description = HEADER_BYTES + 4 * index;
        let key = u16_at(self.bytes, description)?;
        let last = u16_at(self.bytes, description + 2)?;
        let offset = u32_at(self.bytes, HEADER_BYTES + 4 * (self.containers + index))?;
        Some((u32::from(key), usize::from(last) + 1, usize::try_from(offset).ok()?))
    }

    /// The containers, each with its first possible ordinal.
    fn containers(&self) -> impl Iterator<Item = (u32, Container<'a>)> {
        (0..self.containers).filter_map(|index| {
            let (key, cardinality, offset) = self.describe(index)?;
            let bytes = self.bytes.get(within(offset, container_bytes(cardinality), self.bytes.len())?)?;
            let is_array = cardinality <= ARRAY_VALUES_MAX;
            Some((
                key << 16,
                if is_array { Container::Array(bytes.as_chunks().0) } else { Container::Bitset(bytes) },
            ))
        })
    }

    /// The container that begins with this ordinal.
    fn container(&self, first: u32) -> Option<Container<'a>> {
        self.containers().find_map(|(base, container)| (base == first).then_some(container))
    }

    /// How many ordinals it has.
    pub(crate) fn cardinality(&self) -> u64 {
        (0..self.containers)
            .filter_map(|index| self.describe(index))
            .map(|(_, cardinality, _)| cardinality as u64)
            .sum()
    }

    /// How many of its ordinals are in `bits`; `None` where they do not ascend.
    pub(crate) fn count_in(&self, bits: &Bits) -> Option<u64> {
        let mut count = 0;
        for (base, container) in self.containers() {
            match container {
                Container::Array(values) => {
                    let mut found = 0_u32;
                    visit_ascending(values, |value| {
                        found = found.wrapping_add(bits.has(base | value).into());
                    })?;
                    count += u64::from(found);
                }
                Container::Bitset(bytes) => count += bits.common(base, bytes),
            }
        }
        Some(count)
    }

    /// Whether an ordinal is in it. Where its values do not ascend, that may go unseen.
    pub(crate) fn has(&self, ordinal: u32) -> bool {
        let low = ordinal & 0xFFFF;
        self.container(ordinal - low).is_some_and(|container| match container {
            Container::Array(values) => is_in(values, low),
            Container::Bitset(bytes) => {
                bytes.get(low as usize / 8).is_some_and(|byte| byte >> (low % 8) & 1 == 1)
            }
        })
    }

    /// Adds its ordinals to `bits`; `None` where they do not ascend.
    pub(crate) fn add_to(&self, bits: &mut Bits) -> Option<()> {
        self.containers().try_for_each(|(base, container)| container.add_to(base, bits))
    }

    /// Each of its ordinals; `None` where they do not ascend.
    pub(crate) fn for_each(&self, mut each: impl FnMut(u32)) -> Option<()> {
        for (base, container) in self.containers() {
            match container {
                Container::Array(values) => visit_ascending(values, |value| each(base + value))?,
                Container::Bitset(bytes) => {
                    for (word, bits) in (0_u32..).step_by(64).zip(bytes.as_chunks().0) {
                        let mut bits = u64::from_le_bytes(*bits);
                        while bits != 0 {
                            each(base + word + bits.trailing_zeros());
                            bits &= bits - 1;
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// The set in memory; `None` where values do not ascend or a cardinality is wrong.
    pub(crate) fn to_bitmap(self) -> Option<RoaringBitmap> {
        RoaringBitmap::deserialize_from(self.bytes).ok()
    }
}

#[cfg(test)]
mod tests;
