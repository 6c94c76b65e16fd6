//! Where the buckets of a histogram begin and end.
//!
//! Whole days, and widths that divide a day, follow the days of a time zone; where its clocks are set, the last
//! bucket of the day, or the day itself, is longer or shorter. All other widths count from 1970-01-01 in UTC.

use jiff::{Timestamp, ToSpan as _, ZonedDateTime, civil, civil::Date, tz::TimeZone};
use piperoll_format::units::UnixNanos;
use std::ops::Range;

/// Most buckets of a histogram.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// Most buckets where nobody says how wide they are.
const AUTOMATIC_BUCKETS_MAX: i128 = 60;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Round widths, ascending.
const WIDTHS: [i64; 24] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
    91 * DAY,
    364 * DAY,
    3_640 * DAY,
];

/// More than [`BUCKETS_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// A round width that makes about sixty buckets of a range, or fewer, in nanoseconds.
pub(crate) fn width_of(range: &Range<UnixNanos>) -> i64 {
    let span = i128::from(range.end.0) - i128::from(range.start.0);
    let wide = |width: &&i64| span <= AUTOMATIC_BUCKETS_MAX * i128::from(**width);
    WIDTHS.iter().find(wide).copied().unwrap_or(3_640 * DAY)
}

/// Where buckets of this width, in nanoseconds, that cover the range begin, and where the last one ends. None for
/// an empty range.
pub(crate) fn borders(
    range: &Range<UnixNanos>,
    every: i64,
    zone: &TimeZone,
) -> Result<Vec<UnixNanos>, TooMany> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let span = i128::from(range.end.0) - i128::from(range.start.0);
    let least = span / i128::from(every.max(1));
    // Days are up to a quarter longer than others where clocks are set, so the exact number is found by counting.
    if least > 2 * BUCKETS_MAX as i128 {
        return Err(TooMany);
    }
    let steps = Steps { every: every.max(1), zone };
    let mut at = steps.first(range.start);
    let mut borders = vec![at];
    while at < range.end {
        // What lies beyond the times that there are ends the last bucket.
        at = steps.next(at).filter(|next| *next > at).unwrap_or(range.end);
        borders.push(at);
        if borders.len() > BUCKETS_MAX + 1 {
            return Err(TooMany);
        }
    }
    Ok(borders)
}

struct Steps<'a> {
    every: i64,
    zone: &'a TimeZone,
}

impl Steps<'_> {
    /// The border at or before a time.
    fn first(&self, time: UnixNanos) -> UnixNanos {
        let even = UnixNanos(time.0.saturating_sub(time.0.rem_euclid(self.every)));
        let zoned = if self.every % DAY == 0 {
            self.day_of(time).and_then(|day| self.start_of(day))
        } else if DAY % self.every == 0 {
            let midnight = self.zoned(time).and_then(|zoned| self.start_of(zoned.date()));
            midnight.map(|midnight| UnixNanos(time.0 - (time.0 - midnight.0).rem_euclid(self.every)))
        } else {
            None
        };
        zoned.unwrap_or(even)
    }

    /// The border after one.
    fn next(&self, border: UnixNanos) -> Option<UnixNanos> {
        let even = border.0.checked_add(self.every).map(UnixNanos);
        if self.every % DAY == 0 {
            let day = self.zoned(border)?.date();
            return self.start_of(day.checked_add((self.every / DAY).days()).ok()?);
        }
        if DAY % self.every != 0 {
            return even;
        }
        let tomorrow = self.start_of(self.zoned(border)?.date().tomorrow().ok()?);
        even.into_iter().chain(tomorrow).min()
    }

    /// The first day of the bucket of days that a time is in: weeks begin on Monday.
    fn day_of(&self, time: UnixNanos) -> Option<Date> {
        let day = self.zoned(time)?.date();
        let days = self.every / DAY;
        let begin = if days % 7 == 0 { civil::date(1970, 1, 5) } else { civil::date(1970, 1, 1) };
        let since = day.duration_since(begin).as_hours() / 24;
        day.checked_sub(since.rem_euclid(days).days()).ok()
    }

    fn zoned(&self, time: UnixNanos) -> Option<ZonedDateTime> {
        Some(Timestamp::from_nanosecond(time.0.into()).ok()?.to_zoned_datetime(self.zone.clone()))
    }

    /// The first instant of a day.
    fn start_of(&self, day: Date) -> Option<UnixNanos> {
        let first = day.to_zoned_datetime(self.zone.clone()).ok()?;
        i64::try_from(first.timestamp().as_nanosecond()).ok().map(UnixNanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    fn time(text: &str) -> UnixNanos {
        UnixNanos(i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap())
    }

    fn check(zone: &str, [from, until]: [&str; 2], every: i64, expected: &[&str]) {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let found = borders(&(time(from)..time(until)), every, &zone).unwrap();
        let found: Vec<_> = found
            .into_iter()
            .map(|border| Timestamp::from_nanosecond(border.0.into()).unwrap().to_string())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn buckets_are_round_and_cover_the_range() {
        check(
            "UTC",
            ["2026-11-23T08:31:00Z", "2026-11-23T10:00:00.000000001Z"],
            HOUR,
            &["2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"],
        );
        check(
            "UTC",
            ["2026-11-25T08:00:00Z", "2026-11-25T08:00:01Z"],
            7 * DAY,
            &["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"],
        );
        check(
            "UTC",
            ["1970-01-01T08:00:00Z", "1970-01-01T17:00:00Z"],
            7 * HOUR,
            &["1970-01-01T07:00:00Z", "1970-01-01T14:00:00Z", "1970-01-01T21:00:00Z"],
        );
        check("UTC", ["2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z"], HOUR, &[]);
    }

    #[test]
    fn days_and_hours_are_those_of_the_zone() {
        check(
            "Asia/Kolkata",
            ["2026-11-23T08:31:00Z", "2026-11-23T10:00:00Z"],
            HOUR,
            &["2026-11-23T08:30:00Z", "2026-11-23T09:30:00Z", "2026-11-23T10:30:00Z"],
        );
        // Two days around the one on which the clocks are set back: it has 25 hours.
        check(
            "Europe/Paris",
            ["2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"],
            DAY,
            &["2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"],
        );
        // And the one on which they are set forward, in quarters: the last quarter is an hour shorter.
        check(
            "Europe/Paris",
            ["2026-03-29T10:00:00Z", "2026-03-29T23:00:00Z"],
            6 * HOUR,
            &[
                "2026-03-29T05:00:00Z",
                "2026-03-29T11:00:00Z",
                "2026-03-29T17:00:00Z",
                "2026-03-29T22:00:00Z",
                "2026-03-30T04:00:00Z",
            ],
        );
    }

    #[test]
    fn there_are_never_too_many_and_the_ends_of_time_are_ends() {
        let all = UnixNanos(i64::MIN)..UnixNanos(i64::MAX);
        assert_eq!(borders(&all, 1, &TimeZone::UTC), Err(TooMany));
        assert_eq!(borders(&(UnixNanos(0)..UnixNanos(10_001)), 1, &TimeZone::UTC), Err(TooMany));
        assert_eq!(borders(&(UnixNanos(0)..UnixNanos(10_000)), 1, &TimeZone::UTC).unwrap().len(), 10_001);
        for every in [3_640 * DAY, 3_640 * DAY + 1, i64::MAX] {
            let found = borders(&all, every, &TimeZone::UTC).unwrap();
            assert!(found.is_sorted_by(|a, b| a < b), "{every}: {found:?}");
            assert_eq!(found.last(), Some(&UnixNanos(i64::MAX)), "{every}");
        }
    }

    #[test]
    fn a_width_that_nobody_gave_is_round_and_makes_few_buckets() {
        for (seconds, expected) in
            [(1, SECOND), (60, SECOND), (61, 2 * SECOND), (86_400, 30 * MINUTE), (7 * 86_400, 3 * HOUR)]
        {
            assert_eq!(width_of(&(UnixNanos(0)..UnixNanos(seconds * SECOND))), expected, "{seconds} s");
        }
        assert_eq!(width_of(&(UnixNanos(i64::MIN)..UnixNanos(i64::MAX))), 3_640 * DAY);
    }
}
