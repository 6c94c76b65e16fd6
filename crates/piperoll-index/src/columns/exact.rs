//! Exact keys of an active segment: pairs of key and ordinal as they came, in buckets by the key's upper bits.
//!
//! Keys are hashes, so buckets fill evenly, and a look-up scans one of them. At the seal each bucket is
//! sorted by itself, and the buckets stand in order already.

use piperoll_format::limits::SEGMENT_EVENTS_MAX;
use roaring::RoaringBitmap;

const BUCKET_BITS: u32 = 8;
/// The bits of a key that its bucket does not tell.
const REST_BITS: u32 = u32::BITS - BUCKET_BITS;
const ORDINAL_BITS: u32 = 24;
/// Bits that one pass of the sort looks at, and the places that it sorts into.
const PASS_BITS: u32 = REST_BITS / 2;
const PASS_PLACES: usize = 1 << PASS_BITS;
/// Fewer pairs than this are compared: to go over all places would cost more.
const COUNTED_MIN: usize = 512;

const _: () = assert!(SEGMENT_EVENTS_MAX <= 1 << ORDINAL_BITS);
const _: () = assert!(8 * size_of::<Packed>() == (REST_BITS + ORDINAL_BITS) as usize);
const _: () = assert!(REST_BITS.is_multiple_of(PASS_BITS));

/// Pairs of key and ordinal.
#[derive(Default)]
pub(crate) struct ExactKeys {
    /// None before the first pair, so that a thousand idle logs cost little.
    buckets: Vec<Vec<Packed>>,
}

/// The lower bits of a key over an ordinal, little-endian: they are many, and eight bytes each would be more than needed.
type Packed = [u8; 6];

fn pack(key: u32, ordinal: u32) -> Packed {
    let rest = key & ((1 << REST_BITS) - 1);
    let word = (u64::from(rest) << ORDINAL_BITS | u64::from(ordinal)).to_le_bytes();
    word.first_chunk().copied().unwrap_or_default()
}

fn unpack([low @ .., next, last]: Packed) -> u64 {
    u64::from(u16::from_le_bytes([next, last])) << u32::BITS | u64::from(u32::from_le_bytes(low))
}

/// A key over an ordinal, which compare as one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyOrdinal(u64);

impl KeyOrdinal {
    pub(crate) fn key(self) -> u32 {
        u32::try_from(self.0 >> ORDINAL_BITS).unwrap_or(u32::MAX)
    }

    pub(crate) fn ordinal(self) -> u32 {
        let [a, b, c, ..] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, 0])
    }
}

fn bucket_of(key: u32) -> usize {
    (key >> REST_BITS) as usize
}

impl ExactKeys {
    pub(crate) fn push(&mut self, key: u32, ordinal: u32) {
        if self.buckets.is_empty() {
            self.buckets.resize(1 << BUCKET_BITS, Vec::new());
        }
        if let Some(bucket) = self.buckets.get_mut(bucket_of(key)) {
            bucket.push(pack(key, ordinal));
        }
    }

    pub(crate) fn find(&self, key: u32) -> RoaringBitmap {
        let Some(bucket) = self.buckets.get(bucket_of(key)) else { return RoaringBitmap::new() };
        let wanted = unpack(pack(key, 0)) >> ORDINAL_BITS;
        let pairs = bucket.iter().map(|pair| unpack(*pair));
        pairs.filter(|pair| pair >> ORDINAL_BITS == wanted).map(|pair| KeyOrdinal(pair).ordinal()).collect()
    }

    /// Visits each key once, in ascending order, with its ordinals, which ascend too: a pair for each, and never none.
    pub(crate) fn for_each_key(&self, mut visit: impl FnMut(&[KeyOrdinal])) {
        let (mut pairs, mut between) = (Vec::new(), Vec::new());
        for (bucket, packed) in (0_u64..).zip(&self.buckets) {
            let upper = bucket << (REST_BITS + ORDINAL_BITS);
            sort(packed, upper, &mut pairs, &mut between);
            pairs.chunk_by(|a, b| a.key() == b.key()).for_each(&mut visit);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let bucket =
            |bucket: &Vec<Packed>| size_of::<Vec<Packed>>() + size_of::<Packed>() * bucket.capacity();
        self.buckets.iter().map(bucket).sum()
    }
}

/// The pairs of a bucket, ascending, each once; `upper` is what the bucket says of their keys.
fn sort(bucket: &[Packed], upper: u64, pairs: &mut Vec<KeyOrdinal>, between: &mut Vec<KeyOrdinal>) {
    let unpacked = bucket.iter().map(|pair| KeyOrdinal(upper | unpack(*pair)));
    pairs.clear();
    if bucket.len() < COUNTED_MIN {
        pairs.extend(unpacked);
    } else {
        pairs.resize(bucket.len(), KeyOrdinal::default());
        between.clear();
        between.resize(bucket.len(), KeyOrdinal::default());
        spread(unpacked, ORDINAL_BITS, between);
        spread(between.iter().copied(), ORDINAL_BITS + PASS_BITS, pairs);
    }
    // Ordinals mostly came in order, and once: a message's key comes before those of the events of its frame.
    if !pairs.is_sorted_by(|a, b| a < b) {
        pairs.sort_unstable();
        pairs.dedup();
    }
}

/// Sorts by some bits of the pairs, from `shift` on, through counting; what is equal in them stays in order.
fn spread(from: impl Iterator<Item = KeyOrdinal> + Clone, shift: u32, to: &mut [KeyOrdinal]) {
    let place = |pair: KeyOrdinal| usize::try_from(pair.0 >> shift).unwrap_or(0) % PASS_PLACES;
    let mut starts = [0_u32; PASS_PLACES];
    for pair in from.clone() {
        if let Some(count) = starts.get_mut(place(pair)) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    for pair in from {
        let Some(next) = starts.get_mut(place(pair)) else { continue };
        if let Some(slot) = to.get_mut(*next as usize) {
            *slot = pair;
        }
        *next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::cases;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Keys that share buckets, places and all their bits, in any order.
    fn key() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), 0..4_u32, (0..4_u32).prop_map(|n| n << 24 | 7), Just(u32::MAX)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(64)))]

        #[test]
        fn each_key_comes_once_with_its_ordinals_in_order(
            pairs in prop::collection::vec((key(), prop_oneof![0..16_u32, Just((1 << 24) - 1)]), 0..3_000),
        ) {
            let mut exact = ExactKeys::default();
            let mut expected = BTreeMap::<u32, BTreeSet<u32>>::new();
            for (key, ordinal) in pairs {
                exact.push(key, ordinal);
                expected.entry(key).or_default().insert(ordinal);
            }
            let mut found = Vec::new();
            exact.for_each_key(|pairs| found.push((pairs[0].key(), pairs.to_vec())));
            prop_assert_eq!(found.len(), expected.len());
            for ((key, pairs), (expected_key, ordinals)) in found.iter().zip(&expected) {
                prop_assert_eq!(key, expected_key);
                prop_assert!(pairs.iter().all(|pair| pair.key() == *key));
                prop_assert!(pairs.iter().map(|pair| pair.ordinal()).eq(ordinals.iter().copied()));
                prop_assert!(exact.find(*key).iter().eq(ordinals.iter().copied()));
            }
        }
    }
}
