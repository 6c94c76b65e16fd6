//! Exact keys of an active segment: pairs of key and ordinal, in buckets by the key's upper bits.
//!
//! Keys are hashes, so buckets fill evenly, and a look-up scans one of them. At the seal each bucket is
//! sorted by itself, and the buckets stand in order already.

use roaring::RoaringBitmap;

const BUCKET_BITS: u32 = 6;
/// Pairs that a place of the counting sort gets on average, few enough that sorting them costs little.
const PAIRS_PER_PLACE: usize = 8;

/// Pairs of key and ordinal.
#[derive(Default)]
pub(crate) struct ExactKeys {
    /// None before the first pair, so that a thousand idle logs cost little.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Default)]
struct Bucket {
    keys: Vec<u64>,
    /// Of each key, the ordinal.
    ordinals: Vec<u32>,
}

/// The upper `bits` bits of a key behind its first `skip` ones.
fn upper(key: u64, skip: u32, bits: u32) -> usize {
    let kept = key << skip >> (u64::BITS - bits);
    usize::try_from(kept).unwrap_or(0)
}

impl ExactKeys {
    pub(crate) fn push(&mut self, key: u64, ordinal: u32) {
        if self.buckets.is_empty() {
            self.buckets.resize(1 << BUCKET_BITS, Bucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(upper(key, 0, BUCKET_BITS)) {
            bucket.keys.push(key);
            bucket.ordinals.push(ordinal);
        }
    }

    pub(crate) fn find(&self, key: u64) -> RoaringBitmap {
        let Some(bucket) = self.buckets.get(upper(key, 0, BUCKET_BITS)) else { return RoaringBitmap::new() };
        let pairs = bucket.keys.iter().zip(&bucket.ordinals);
        pairs.filter(|(other, _)| **other == key).map(|(_, ordinal)| *ordinal).collect()
    }

    /// Visits each pair once, in ascending order.
    pub(crate) fn for_each_sorted(&self, mut visit: impl FnMut(u64, u32)) {
        for bucket in &self.buckets {
            let mut pairs = bucket.sorted();
            pairs.dedup();
            for (key, ordinal) in pairs {
                visit(key, ordinal);
            }
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let bucket = |bucket: &Bucket| {
            size_of::<Bucket>()
                + size_of::<u64>() * bucket.keys.capacity()
                + size_of::<u32>() * bucket.ordinals.capacity()
        };
        self.buckets.iter().map(bucket).sum()
    }
}

impl Bucket {
    /// The pairs, ascending: spread by the next bits of their keys, then each place sorted by itself.
    fn sorted(&self) -> Vec<(u64, u32)> {
        let bits = (self.keys.len() / PAIRS_PER_PLACE).max(2).ilog2();
        let place = |key: u64| upper(key, BUCKET_BITS, bits);
        let mut ends = vec![0_usize; (1 << bits) + 1];
        for &key in &self.keys {
            if let Some(end) = ends.get_mut(place(key) + 1) {
                *end += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut pairs = vec![(0, 0); self.keys.len()];
        for (&key, &ordinal) in self.keys.iter().zip(&self.ordinals) {
            let Some(next) = ends.get_mut(place(key)) else { continue };
            if let Some(pair) = pairs.get_mut(*next) {
                *pair = (key, ordinal);
            }
            *next += 1;
        }
        pairs.chunk_by_mut(|a, b| place(a.0) == place(b.0)).for_each(<[_]>::sort_unstable);
        pairs
    }
}
