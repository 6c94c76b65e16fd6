//! Which time is believed (R24, R25): a clock that jumps never gets into bytes that cannot be changed.

use crate::options::{Clock, Moment};
use piperoll_format::units::UnixNanos;

const SECOND_NS: i64 = 1_000_000_000;
/// How far the wall clock may run ahead of the monotonic one before it is not believed: 10 minutes.
const JUMP_NS_MAX: i64 = 600 * SECOND_NS;
/// How far the wall clock may be ahead of the last entry at a start, without anybody vouching for it: 24 hours.
const START_NS_MAX: i64 = 24 * 3_600 * SECOND_NS;

/// The believed time, which never decreases. Shared by all logs behind a mutex.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    value: UnixNanos,
    /// Monotonic reading at which `value` last grew.
    at_ns: u64,
    /// How far ahead the wall clock is while it is not believed.
    ahead_ns: Option<i64>,
    /// True from a start whose clock nobody vouched for until it is believed: appends wait for that.
    is_unconfirmed: bool,
}

/// What the clocks say and what is believed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// What the wall clock says.
    pub wall: UnixNanos,
    /// The time that is believed.
    pub believed: UnixNanos,
    /// How far the wall clock is ahead of what is believed, in nanoseconds; `None` while it is believed.
    pub ahead_ns: Option<i64>,
    /// Whether the kernel reports its clock synchronised.
    pub is_synchronised: bool,
    /// True while appends wait for a clock that is believed.
    pub is_unconfirmed: bool,
}

/// Why a clock was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// There is nothing to accept.
    #[error("the clock is believed; there is nothing to accept")]
    Believed,
    /// The clock does not show any more what the person saw.
    #[error(
        "the clock shows {}, which is not within 10 minutes of {}, the time to be accepted; look again",
        words(*now),
        words(*seen)
    )]
    Changed {
        /// What was to be accepted.
        seen: UnixNanos,
        /// What the clock shows.
        now: UnixNanos,
    },
}

/// A time as people read it.
pub(crate) fn words(time: UnixNanos) -> String {
    match jiff::Timestamp::from_nanosecond(time.0.into()) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{} ns since 1970", time.0),
    }
}

impl Timekeeper {
    /// Begins with a clock that is taken at its word, unless it is far ahead of `last`, the last entry of the
    /// directory, and the kernel does not report it synchronised. Then time goes on from the last entry.
    pub(crate) fn start(clock: &dyn Clock, last: Option<UnixNanos>) -> Self {
        let now = clock.now();
        let at_ns = now.monotonic_ns;
        let ahead = |last: UnixNanos| now.wall.0.saturating_sub(last.0);
        match last.filter(|last| ahead(*last) > START_NS_MAX && !clock.is_synchronised()) {
            Some(value) => Self { value, at_ns, ahead_ns: Some(ahead(value)), is_unconfirmed: true },
            None => Self { value: now.wall, at_ns, ahead_ns: None, is_unconfirmed: false },
        }
    }

    /// The time to believe now.
    pub(crate) fn believe(&mut self, clock: &dyn Clock) -> UnixNanos {
        let now = clock.now();
        let expected = self.expected(now);
        let ahead = now.wall.0.saturating_sub(expected);
        let is_trusted = ahead <= JUMP_NS_MAX || (self.is_unconfirmed && clock.is_synchronised());
        if is_trusted {
            self.trust(now);
        } else {
            self.ahead_ns = Some(ahead);
            self.raise(UnixNanos(expected), now);
        }
        self.value
    }

    /// Where the believed time is by the monotonic clock.
    fn expected(&self, now: Moment) -> i64 {
        let elapsed = i64::try_from(now.monotonic_ns.saturating_sub(self.at_ns)).unwrap_or(i64::MAX);
        self.value.0.saturating_add(elapsed)
    }

    fn trust(&mut self, now: Moment) {
        (self.ahead_ns, self.is_unconfirmed) = (None, false);
        self.raise(now.wall, now);
    }

    /// `at_ns` moves only together with the value: otherwise a clock that went back for a while could never catch
    /// up again.
    fn raise(&mut self, next: UnixNanos, now: Moment) {
        if next > self.value {
            (self.value, self.at_ns) = (next, now.monotonic_ns);
        }
    }

    /// What the clocks say.
    pub(crate) fn read(&mut self, clock: &dyn Clock) -> ClockReading {
        let believed = self.believe(clock);
        ClockReading {
            wall: clock.now().wall,
            believed,
            ahead_ns: self.ahead_ns,
            is_synchronised: clock.is_synchronised(),
            is_unconfirmed: self.is_unconfirmed,
        }
    }

    /// Whether a person who saw the clock show `seen` may accept it.
    pub(crate) fn may_accept(&mut self, clock: &dyn Clock, seen: UnixNanos) -> Result<(), ClockError> {
        let ClockReading { wall: now, ahead_ns, .. } = self.read(clock);
        if ahead_ns.is_none() {
            return Err(ClockError::Believed);
        }
        if now.0.abs_diff(seen.0) > JUMP_NS_MAX.unsigned_abs() {
            return Err(ClockError::Changed { seen, now });
        }
        Ok(())
    }

    /// Believes the clock because a person says so, who saw it show `seen`.
    pub(crate) fn accept(&mut self, clock: &dyn Clock, seen: UnixNanos) -> Result<UnixNanos, ClockError> {
        self.may_accept(clock, seen)?;
        self.trust(clock.now());
        Ok(self.value)
    }

    /// How far the wall clock is ahead of what is believed, in nanoseconds; `None` while it is believed.
    pub(crate) fn ahead_ns(&self) -> Option<i64> {
        self.ahead_ns
    }

    /// True while appends wait for a clock that is believed.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * SECOND_NS;
    const DAY: i64 = 24 * 60;
    const YEARS: i64 = 10 * 365 * DAY;

    struct At(Moment, bool);

    impl At {
        fn new(wall_minutes: i64, monotonic_minutes: u64, is_synchronised: bool) -> Self {
            let wall = UnixNanos(wall_minutes * MINUTE);
            let moment = Moment { wall, monotonic_ns: monotonic_minutes * 60_000_000_000 };
            Self(moment, is_synchronised)
        }
    }

    impl Clock for At {
        fn now(&self) -> Moment {
            self.0
        }

        fn is_synchronised(&self) -> bool {
            self.1
        }
    }

    /// Wall and monotonic clock in minutes, what is believed then, whether the clock is.
    fn check(readings: &[(i64, u64, i64, bool)]) {
        for is_synchronised in [false, true] {
            let mut keeper = Timekeeper::start(&At::new(1_000, 0, true), None);
            for &(wall, monotonic, believed, trusted) in readings {
                let at = At::new(wall, monotonic, is_synchronised);
                assert_eq!(keeper.believe(&at).0, believed * MINUTE, "{wall} at {monotonic}");
                assert_eq!(keeper.ahead_ns().is_none(), trusted, "{wall} at {monotonic}");
                assert!(!keeper.is_unconfirmed(), "a clock that jumps while it runs stops no appends");
            }
        }
    }

    /// R24, R25.
    #[test]
    fn time_never_falls_and_a_jump_ahead_is_not_believed() {
        check(&[(1_001, 1, 1_001, true), (1_011, 2, 1_011, true)]);
        check(&[(900, 1, 1_000, true), (1_030, 30, 1_030, true)]);
        check(&[(900, 1, 1_000, true), (960, 61, 1_000, true), (1_062, 62, 1_062, true)]);
        check(&[(9_000_000, 1, 1_001, false), (9_000_001, 2, 1_002, false), (1_003, 3, 1_003, true)]);
        check(&[(1_000 + YEARS, 1, 1_001, false), (1_002 - YEARS, 2, 1_001, true), (1_003, 3, 1_003, true)]);
        check(&[(1_000 - YEARS, 1, 1_000, true), (1_000 + YEARS, 2, 1_002, false), (1_012, 3, 1_012, true)]);
    }

    /// R25: what a start believes, by the last entry and by what the kernel says.
    #[test]
    fn a_start_believes_a_clock_far_ahead_of_the_last_entry_only_if_the_kernel_vouches_for_it() {
        let check = |wall: i64, last: Option<i64>, is_synchronised: bool, believed: i64, confirmed: bool| {
            let at = At::new(wall, 5, is_synchronised);
            let last = last.map(|minutes| UnixNanos(minutes * MINUTE));
            let mut keeper = Timekeeper::start(&at, last);
            let told = format!("{wall} after {last:?}, synchronised: {is_synchronised}");
            assert_eq!(keeper.is_unconfirmed(), !confirmed, "{told}");
            assert_eq!(keeper.ahead_ns().is_none(), confirmed, "{told}");
            assert_eq!(keeper.believe(&at).0, believed * MINUTE, "{told}");
        };
        check(YEARS, None, false, YEARS, true);
        check(1_000 + DAY, Some(1_000), false, 1_000 + DAY, true);
        check(1_001 + DAY, Some(1_000), false, 1_000, false);
        check(1_001 + DAY, Some(1_000), true, 1_001 + DAY, true);
        check(1_000 + YEARS, Some(1_000), false, 1_000, false);
        check(1_000, Some(1_000 + YEARS), false, 1_000, true);
    }

    /// R25: a clock that nobody vouched for is believed when it agrees, when the kernel synchronises it, or when a
    /// person accepts what it shows.
    #[test]
    fn an_unconfirmed_clock_is_believed_when_it_agrees_or_somebody_vouches_for_it() {
        let wrong = 1_000 + YEARS;
        let unconfirmed = || Timekeeper::start(&At::new(wrong, 0, false), Some(UnixNanos(1_000 * MINUTE)));
        let mut keeper = unconfirmed();
        assert_eq!(keeper.believe(&At::new(wrong + 3, 3, false)).0, 1_003 * MINUTE);
        assert!(keeper.is_unconfirmed());
        assert_eq!(keeper.believe(&At::new(1_010, 5, false)).0, 1_010 * MINUTE);
        assert!(!keeper.is_unconfirmed());

        let mut keeper = unconfirmed();
        assert_eq!(keeper.believe(&At::new(wrong + 3, 3, true)).0, (wrong + 3) * MINUTE);
        assert!(!keeper.is_unconfirmed());

        let mut keeper = unconfirmed();
        let at = At::new(wrong + 3, 3, false);
        let changed = keeper.accept(&at, UnixNanos((wrong - 8) * MINUTE));
        assert!(matches!(changed, Err(ClockError::Changed { .. })), "{changed:?}");
        assert!(keeper.is_unconfirmed(), "what was not shown is not accepted");
        assert_eq!(keeper.accept(&at, UnixNanos(wrong * MINUTE)).unwrap().0, (wrong + 3) * MINUTE);
        assert!(!keeper.is_unconfirmed() && keeper.ahead_ns().is_none());
        assert_eq!(keeper.accept(&at, UnixNanos(wrong * MINUTE)), Err(ClockError::Believed));
    }
}
