//! The one place that reads a clock, and the one that asks the system for randomness.

use piperoll_format::units::UnixNanos;
use piperoll_store::{Clock, Entropy, Moment, kernel_clock};
use prost_types::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// The monotonic clock counts from here.
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl SystemClock {
    /// Nanoseconds since the clock was made.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    fn now(&self) -> Moment {
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Moment { wall: UnixNanos(wall), monotonic_ns: self.monotonic_ns() }
    }

    fn is_synchronised(&self) -> bool {
        kernel_clock::is_synchronised()
    }
}

/// The system's randomness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, into: &mut [u8]) {
        // Salts and log ids that are not random would void what is built on them, so there is no going on.
        // It fails only before the system's generator is ready, and then it waits instead.
        if let Err(error) = getrandom::fill(into) {
            tracing::error!(%error, "the system gives no randomness");
            std::process::abort();
        }
    }
}

/// A time as answers have it.
pub(crate) fn timestamp(time: UnixNanos) -> Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or_default();
    Timestamp { seconds: time.0.div_euclid(NANOS_PER_SECOND), nanos }
}

/// A time as people and events have it.
pub(crate) fn rfc3339(time: UnixNanos) -> String {
    let text = jiff::Timestamp::from_nanosecond(time.0.into()).map(|time| format!("{time:.3}"));
    text.unwrap_or_else(|_| time.0.to_string())
}

/// A time that a request has; `None` where it is none or does not fit 64 bits of nanoseconds.
pub(crate) fn from_timestamp(time: &Timestamp) -> Option<UnixNanos> {
    let nanos = i64::from(time.nanos);
    let valid = (0..NANOS_PER_SECOND).contains(&nanos);
    let total = time.seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)?;
    valid.then_some(UnixNanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_into_answers_and_back() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789, -NANOS_PER_SECOND, i64::MAX] {
            assert_eq!(from_timestamp(&timestamp(UnixNanos(nanos))), Some(UnixNanos(nanos)));
        }
        assert_eq!(from_timestamp(&Timestamp { seconds: i64::MAX, nanos: 0 }), None);
        assert_eq!(from_timestamp(&Timestamp { seconds: 0, nanos: -1 }), None);
        assert_eq!(from_timestamp(&Timestamp { seconds: 0, nanos: 1_000_000_000 }), None);
    }
}
