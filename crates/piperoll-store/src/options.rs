//! What the engine is told from outside: its settings, the clock and the source of randomness.

use piperoll_format::limits;
use piperoll_format::units::UnixNanos;

const MIB: u64 = 1024 * 1024;
const SECOND_NS: u64 = 1_000_000_000;

/// Settings of the engine. The defaults are right for a daemon; tests make everything smaller.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment is full when the next frame would pass this length, in bytes. A frame that fits no such
    /// segment gets one of its own.
    pub segment_bytes_max: u64,
    /// A segment is full when it would hold more events than this.
    pub segment_events_max: u64,
    /// A segment is full this long after its first frame, in nanoseconds.
    pub segment_age_max_ns: u64,
    /// Most bytes of requests under one sync.
    pub group_bytes_max: u64,
    /// Most bytes of requests that wait for one log's writer.
    pub queue_bytes_max: u64,
    /// Memory for the columns of all unsealed segments, in bytes; over it the largest is sealed early.
    pub columns_bytes_max: u64,
    /// Full segments of a log that may wait for the sealer before its writer waits too.
    pub unsealed_segments_max: usize,
    /// Most logs, over all tenants: each one costs files and a thread.
    pub logs_max: usize,
    /// Time between two rounds of marks while any log grows, in nanoseconds.
    pub round_interval_ns: u64,
    /// Time between two rounds of marks while none does, in nanoseconds.
    pub idle_round_interval_ns: u64,
    /// First step in which an active segment is preallocated, in bytes; it doubles up to `allocate_bytes_max`.
    pub allocate_bytes_min: u64,
    /// Largest step in which an active segment is preallocated, in bytes.
    pub allocate_bytes_max: u64,
    /// How long a producer's retry finds its first answer, in nanoseconds.
    pub producer_window_ns: u64,
    /// Room kept back on the disk to finish seals and drops when it is full, in bytes; 0 for none.
    pub ballast_bytes: u64,
    /// Sealed segments that stay open for the next question; each has two of the 65,530 maps that a process may have.
    pub open_segments_max: usize,
    /// Threads that help those who ask, of all questions together; whoever asks works too.
    pub read_helpers_max: usize,
    /// Threads that help to open segments for the first time: they wait for the disk most of the time.
    pub open_helpers_max: usize,
    /// Most bytes of a torn tail that are kept aside.
    pub torn_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 * MIB,
            segment_events_max: limits::SEGMENT_EVENTS_MAX,
            segment_age_max_ns: 24 * 3_600 * SECOND_NS,
            group_bytes_max: 8 * MIB,
            queue_bytes_max: 32 * MIB,
            columns_bytes_max: 128 * MIB,
            unsealed_segments_max: 2,
            logs_max: 4_096,
            round_interval_ns: 2 * SECOND_NS,
            idle_round_interval_ns: 60 * SECOND_NS,
            allocate_bytes_min: 4 * MIB,
            allocate_bytes_max: 64 * MIB,
            producer_window_ns: 24 * 3_600 * SECOND_NS,
            ballast_bytes: 16 * MIB,
            open_segments_max: 2_048,
            read_helpers_max: 1,
            open_helpers_max: 15,
            torn_bytes_max: MIB,
        }
    }
}

impl Options {
    /// The same within the limits of the format.
    pub(crate) fn bounded(self) -> Self {
        Self {
            segment_bytes_max: self.segment_bytes_max.min(limits::SEGMENT_BYTES_MAX),
            segment_events_max: self.segment_events_max.min(limits::SEGMENT_EVENTS_MAX),
            allocate_bytes_max: self.allocate_bytes_max.max(self.allocate_bytes_min),
            ..self
        }
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the wall clock says; it may jump.
    pub wall: UnixNanos,
    /// Nanoseconds since some fixed point; never decreases.
    pub monotonic_ns: u64,
}

/// The clock. The engine never reads one by itself, so that tests can make time do anything.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Moment;

    /// Whether the kernel reports its clock synchronised with others: then a start believes it however long ago
    /// the last entry was (R25). Asked at a start, and while that start's clock is not believed.
    fn is_synchronised(&self) -> bool;
}

/// The source of randomness: log ids, frame salts, nonces. A seeded one makes a test repeatable.
pub trait Entropy: Send + Sync {
    /// Fills `into` with random bytes.
    fn fill(&self, into: &mut [u8]);
}
