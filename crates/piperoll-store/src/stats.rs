//! What the engine counts, for metrics and status.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper borders of the buckets of [`StoreCounts::sync_buckets`], in nanoseconds; the last bucket has none.
pub const SYNC_BUCKET_BORDERS_NS: [u64; 12] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    2_000_000_000,
];
const BUCKETS: usize = SYNC_BUCKET_BORDERS_NS.len() + 1;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start, as they are at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct StoreCounts {
            $($(#[$doc])* pub $name: u64,)*
            /// Syncs by duration: not longer than the border of the bucket, and than no border before it.
            pub sync_buckets: [u64; BUCKETS],
        }

        /// The counters; shared, each only ever added to.
        #[derive(Debug, Default)]
        pub(crate) struct StoreStats {
            $(pub(crate) $name: AtomicU64,)*
            sync_buckets: [AtomicU64; BUCKETS],
        }

        impl StoreStats {
            /// The counters as they are now.
            pub(crate) fn counts(&self) -> StoreCounts {
                StoreCounts {
                    $($name: self.$name.load(Relaxed),)*
                    sync_buckets: self.sync_buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
                }
            }
        }
    };
}

counters! {
    /// Batches, or parts of batches, that were stored.
    appends,
    /// Events that were stored.
    events,
    /// Bytes of frames that were stored.
    bytes,
    /// Frames that were stored.
    frames,
    /// Groups: syncs of active segments for appends.
    syncs,
    /// Nanoseconds spent in those syncs.
    sync_ns,
    /// Batches whose address was known from an earlier request.
    repeated,
    /// Segments that became full.
    rolls,
    /// Segments that were sealed.
    seals,
    /// Seals that failed and are tried again.
    seal_failures,
    /// Times that a writer waited for the sealer.
    seal_waits,
    /// Rounds of marks.
    rounds,
    /// Rounds of marks that failed and are tried again.
    round_failures,
    /// Segments that were dropped.
    drops,
    /// Bytes that drops freed.
    dropped_bytes,
    /// Indexes made again from their logs.
    reindexes,
    /// Appends that a full disk refused.
    no_space,
}

impl StoreStats {
    /// Notes a sync that took `ns` nanoseconds.
    pub(crate) fn sync(&self, ns: u64) {
        add(&self.syncs, 1);
        add(&self.sync_ns, ns);
        let bucket = SYNC_BUCKET_BORDERS_NS.iter().position(|&border| ns <= border);
        if let Some(bucket) = self.sync_buckets.get(bucket.unwrap_or(BUCKETS - 1)) {
            add(bucket, 1);
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
