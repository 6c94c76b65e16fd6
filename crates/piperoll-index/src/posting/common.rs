//! What sets of ordinals have in common, container by container, where they lie.

use super::{BITSET_BYTES, Container, Posting};
use crate::bits::{Bits, count_ones};
use roaring::RoaringBitmap;
use std::cell::Cell;

/// Where an array has so many times as many values as there are others, each of these is looked for by itself.
const MUCH_LONGER: usize = 16;

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
    /// Those from `base` on with these lower halves; `None` where they do not ascend.
    fn values(&mut self, base: u32, values: &[u16]) -> Option<()>;
    /// Those from `base` on, a bit for each.
    fn bits(&mut self, base: u32, words: impl Iterator<Item = u64>);
}

impl Take for u64 {
    fn values(&mut self, _: u32, values: &[u16]) -> Option<()> {
        *self += values.len() as Self;
        Some(())
    }

    fn bits(&mut self, _: u32, words: impl Iterator<Item = u64>) {
        *self += Self::from(count_ones(words));
    }
}

impl Take for RoaringBitmap {
    fn values(&mut self, base: u32, values: &[u16]) -> Option<()> {
        self.append(values.iter().map(|value| base + u32::from(*value))).ok().map(|_| ())
    }

    fn bits(&mut self, base: u32, words: impl Iterator<Item = u64>) {
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        *self |= Self::from_lsb0_bytes(base, &bytes);
    }
}

fn visit(sets: &[Vec<Posting<'_>>], end: u32, take: &mut impl Take) -> Option<()> {
    for base in (0..end).step_by(1 << 16) {
        let parts: Option<Vec<_>> = sets.iter().map(|set| Part::of(set, base)).collect();
        let mut parts = parts?;
        parts.sort_by_key(Part::size);
        match parts.split_first() {
            Some((Part::Array([]), _)) => {}
            Some((Part::Array(least), others)) => {
                let mut common = numbers(least)?;
                others.iter().try_for_each(|other| other.keep(&mut common))?;
                take.values(base, &common)?;
            }
            _ => take_bits(base, &parts, take),
        }
    }
    Some(())
}

/// Takes in what these parts have in common, none of which is an array.
fn take_bits(base: u32, parts: &[Part<'_>], take: &mut impl Take) {
    let words: Vec<_> = parts.iter().filter_map(Part::words).collect();
    match words.as_slice() {
        [] => {}
        [one] => take.bits(base, one.iter().map(|one| and([one]))),
        [one, two] => take.bits(base, one.iter().zip(*two).map(|(one, two)| and([one, two]))),
        [one, two, three] => {
            let all = one.iter().zip(*two).zip(*three);
            take.bits(base, all.map(|((one, two), three)| and([one, two, three])));
        }
        [first, others @ ..] => {
            let mut common: Vec<u64> = first.iter().map(|word| and([word])).collect();
            for other in others {
                common.iter_mut().zip(*other).for_each(|(own, word)| *own &= and([word]));
            }
            take.bits(base, common.into_iter());
        }
    }
}

fn and<const N: usize>(words: [&[u8; 8]; N]) -> u64 {
    words.into_iter().fold(u64::MAX, |all, word| all & u64::from_le_bytes(*word))
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

    /// Its bits, where it is no array.
    fn words(&self) -> Option<&[[u8; 8]]> {
        match self {
            Self::Array(_) => None,
            Self::Bits(bits) => Some(bits.as_chunks().0),
            Self::Union(bits) => Some(bits.as_chunks().0),
        }
    }

    /// Keeps those of the values, which ascend, that it has; `None` where its own do not ascend.
    fn keep(&self, values: &mut Vec<u16>) -> Option<()> {
        match self {
            Self::Array(others) if values.len() <= others.len() / MUCH_LONGER => {
                values.retain(|value| super::is_in(others, u32::from(*value)));
            }
            Self::Array(others) => {
                let bits = bits_of(&numbers(others)?);
                keep(values, |value| has(&bits, value));
            }
            Self::Bits(bits) => keep(values, |value| has(bits, value)),
            Self::Union(bits) => keep(values, |value| has(bits, value)),
        }
        Some(())
    }
}

/// The values of an array; `None` where they do not ascend.
fn numbers(values: &[[u8; 2]]) -> Option<Vec<u16>> {
    let numbers: Vec<u16> = values.iter().map(|value| u16::from_le_bytes(*value)).collect();
    let mut ascend = true;
    for (one, next) in numbers.iter().zip(numbers.get(1..).unwrap_or_default()) {
        ascend &= one < next;
    }
    ascend.then_some(numbers)
}

/// Keeps some of the values: without a branch, as the processor would often guess wrong.
fn keep(values: &mut Vec<u16>, is_kept: impl Fn(u16) -> bool) {
    let mut kept = 0_usize;
    let cells = Cell::from_mut(values.as_mut_slice()).as_slice_of_cells();
    for value in cells.iter().map(Cell::get) {
        if let Some(place) = cells.get(kept) {
            place.set(value);
        }
        kept = kept.wrapping_add(is_kept(value).into());
    }
    values.truncate(kept);
}

/// A bit for each of the values.
fn bits_of(values: &[u16]) -> [u8; BITSET_BYTES] {
    let mut bits = [0; BITSET_BYTES];
    for value in values {
        if let Some(byte) = bits.get_mut(usize::from(value >> 3)) {
            *byte |= 1 << (value & 7);
        }
    }
    bits
}

#[inline]
fn has(bits: &[u8; BITSET_BYTES], value: u16) -> bool {
    let word = bits.as_chunks().0.get(usize::from(value >> 6));
    word.is_some_and(|word| u64::from_le_bytes(*word) >> (value & 63) & 1 == 1)
}
