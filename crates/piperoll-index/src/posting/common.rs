//! What sets of ordinals have in common, container by container, where they lie.

use super::{BITSET_BYTES, Container, Posting, visit_ascending};
use crate::bits::{Bits, count_ones};
use roaring::RoaringBitmap;

/// Ordinals up to which each is looked for in every set by itself.
const SEARCHED_MAX: usize = 64;

/// How many ordinals below `end` are in all sets, each of which is the union of its postings; those have none in common.
/// `None` where values of one do not ascend.
pub(crate) fn count(sets: &[Vec<Posting<'_>>], end: u32) -> Option<u64> {
    if let [only] = sets {
        return Some(only.iter().map(Posting::cardinality).sum());
    }
    let mut count = 0;
    visit(sets, end, &mut count)?;
    Some(count)
}

/// The ordinals below `end` that are in all sets, as in [`count`].
pub(crate) fn set(sets: &[Vec<Posting<'_>>], end: u32) -> Option<RoaringBitmap> {
    let mut set = RoaringBitmap::new();
    visit(sets, end, &mut set)?;
    Some(set)
}

/// What takes in the ordinals that sets have in common.
trait Take {
    /// Those from `base` on whose lower halves are among these values of one set, where they are in the others too;
    /// `None` where they do not ascend.
    fn values(&mut self, base: u32, values: &[[u8; 2]], is_common: impl Fn(u32) -> bool) -> Option<()>;
    /// Those from `base` on, a bit for each.
    fn bits(&mut self, base: u32, bits: &[u8; BITSET_BYTES]);
}

impl Take for u64 {
    fn values(&mut self, _: u32, values: &[[u8; 2]], is_common: impl Fn(u32) -> bool) -> Option<()> {
        let mut count = 0_u32;
        visit_ascending(values, |value| count = count.wrapping_add(u32::from(is_common(value))))?;
        *self += Self::from(count);
        Some(())
    }

    fn bits(&mut self, _: u32, bits: &[u8; BITSET_BYTES]) {
        *self += Self::from(count_ones(bits.as_chunks().0.iter().map(|word| Self::from_le_bytes(*word))));
    }
}

impl Take for RoaringBitmap {
    fn values(&mut self, base: u32, values: &[[u8; 2]], is_common: impl Fn(u32) -> bool) -> Option<()> {
        visit_ascending(values, |value| {
            if is_common(value) {
                self.insert(base + value);
            }
        })
    }

    fn bits(&mut self, base: u32, bits: &[u8; BITSET_BYTES]) {
        *self |= Self::from_lsb0_bytes(base, bits);
    }
}

fn visit(sets: &[Vec<Posting<'_>>], end: u32, take: &mut impl Take) -> Option<()> {
    for base in (0..end).step_by(1 << 16) {
        let parts: Option<Vec<_>> = sets.iter().map(|set| Part::of(set, base)).collect();
        let mut parts = parts?;
        parts.sort_by_key(Part::size);
        match parts.split_first() {
            Some((Part::Array(least), others)) if least.len() <= SEARCHED_MAX => {
                take.values(base, least, |value| others.iter().all(|other| other.has(value)))?;
            }
            Some((Part::Array(least), others)) => {
                let bits = in_all(others)?;
                take.values(base, least, |value| has(&bits, value))?;
            }
            Some(_) => take.bits(base, &*in_all(&parts)?),
            None => {}
        }
    }
    Some(())
}

/// What one set has below one upper half of ordinals.
enum Part<'a> {
    Array(&'a [[u8; 2]]),
    Bits(&'a [u8; BITSET_BYTES]),
    Union(Box<[u8; BITSET_BYTES]>),
}

impl<'a> Part<'a> {
    fn of(set: &[Posting<'a>], base: u32) -> Option<Self> {
        let mut found = set.iter().filter_map(|posting| posting.container(base));
        let first = found.next().unwrap_or(Container::Array(&[]));
        let Some(second) = found.next() else {
            return match first {
                Container::Array(values) => Some(Self::Array(values)),
                Container::Bitset(bits) => bits.first_chunk().map(Self::Bits),
            };
        };
        let mut bits = Bits::new(1 << 16);
        [first, second].into_iter().chain(found).try_for_each(|container| container.add_to(0, &mut bits))?;
        bits.into_bytes().into_boxed_slice().try_into().ok().map(Self::Union)
    }

    /// Arrays, by their length, before bits.
    fn size(&self) -> usize {
        match self {
            Self::Array(values) => values.len(),
            Self::Bits(_) | Self::Union(_) => usize::MAX,
        }
    }

    /// Whether it has this one. Where its values do not ascend, that may go unseen.
    fn has(&self, value: u32) -> bool {
        match self {
            Self::Array(values) => super::is_in(values, value),
            Self::Bits(bits) => has(bits, value),
            Self::Union(bits) => has(bits, value),
        }
    }
}

/// What all of these parts have.
fn in_all(parts: &[Part<'_>]) -> Option<Box<[u8; BITSET_BYTES]>> {
    let mut common = Box::new([u8::MAX; BITSET_BYTES]);
    for part in parts {
        match part {
            Part::Array(values) => {
                let mut bits = Bits::new(1 << 16);
                visit_ascending(values, |value| bits.set(value))?;
                keep(&mut common, bits.as_bytes());
            }
            Part::Bits(bits) => keep(&mut common, *bits),
            Part::Union(bits) => keep(&mut common, &**bits),
        }
    }
    Some(common)
}

fn keep(common: &mut [u8; BITSET_BYTES], other: &[u8]) {
    common.iter_mut().zip(other).for_each(|(own, byte)| *own &= byte);
}

#[inline]
fn has(bits: &[u8; BITSET_BYTES], value: u32) -> bool {
    bits.get((value >> 3) as usize).is_some_and(|byte| byte >> (value & 7) & 1 == 1)
}
