//! Which time is believed (R24, R25): a clock that jumps never gets into bytes that cannot be changed.

use crate::options::Moment;
use piperoll_format::units::UnixNanos;

/// How far the wall clock may run ahead of the monotonic one before it is not believed: 10 minutes.
const JUMP_NS_MAX: i64 = 600 * 1_000_000_000;

/// The believed time, which never decreases. Shared by all logs behind a mutex.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    value: UnixNanos,
    /// Monotonic reading at which `value` last grew.
    at_ns: u64,
    /// How far ahead the wall clock is while it is not believed.
    ahead_ns: Option<i64>,
}

impl Timekeeper {
    /// Begins with a clock that is taken at its word.
    pub(crate) fn new(now: Moment) -> Self {
        Self { value: now.wall, at_ns: now.monotonic_ns, ahead_ns: None }
    }

    /// The time to believe at `now`.
    pub(crate) fn believe(&mut self, now: Moment) -> UnixNanos {
        let elapsed = i64::try_from(now.monotonic_ns.saturating_sub(self.at_ns)).unwrap_or(i64::MAX);
        let expected = self.value.0.saturating_add(elapsed);
        let ahead = now.wall.0.saturating_sub(expected);
        let next = if ahead > JUMP_NS_MAX {
            self.ahead_ns = Some(ahead);
            expected
        } else {
            self.ahead_ns = None;
            now.wall.0
        };
        // `at_ns` moves only together with the value: otherwise a clock that went back for a while could
        // never catch up again.
        if next > self.value.0 {
            self.value = UnixNanos(next);
            self.at_ns = now.monotonic_ns;
        }
        self.value
    }

    /// How far the wall clock is ahead of what is believed, in nanoseconds; `None` while it is believed.
    pub(crate) fn ahead_ns(&self) -> Option<i64> {
        self.ahead_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn at(wall_minutes: i64, monotonic_minutes: u64) -> Moment {
        Moment { wall: UnixNanos(wall_minutes * MINUTE), monotonic_ns: monotonic_minutes * 60_000_000_000 }
    }

    fn check(readings: &[(i64, u64, i64, bool)]) {
        let mut keeper = Timekeeper::new(at(1_000, 0));
        for &(wall, monotonic, believed, trusted) in readings {
            assert_eq!(keeper.believe(at(wall, monotonic)).0, believed * MINUTE, "{wall} at {monotonic}");
            assert_eq!(keeper.ahead_ns().is_none(), trusted, "{wall} at {monotonic}");
        }
    }

    #[test]
    fn time_never_falls_and_a_jump_ahead_is_not_believed() {
        check(&[(1_001, 1, 1_001, true), (1_011, 2, 1_011, true)]);
        check(&[(900, 1, 1_000, true), (1_030, 30, 1_030, true)]);
        check(&[(900, 1, 1_000, true), (960, 61, 1_000, true), (1_062, 62, 1_062, true)]);
        check(&[(9_000_000, 1, 1_001, false), (9_000_001, 2, 1_002, false), (1_003, 3, 1_003, true)]);
    }
}
