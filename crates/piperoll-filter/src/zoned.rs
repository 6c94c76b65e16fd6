//! Times in a named time zone: `2026-11-23T09:00[Europe/Paris]`.

use crate::{
    error::{Wrong, shown},
    value::{is_day, not_a_time},
};
use jiff::{
    Timestamp, civil,
    fmt::temporal::DateTimeParser,
    tz::{Disambiguation, OffsetConflict, TimeZone, TimeZoneDatabase},
};

/// Refuses a clock time that a zone has twice or never, and an offset that a zone does not have then.
const STRICT: DateTimeParser =
    DateTimeParser::new().disambiguation(Disambiguation::Reject).offset_conflict(OffsetConflict::Reject);

/// The instant of `text`, which is `local[zone…`; of a whole day its first.
pub(crate) fn instant(text: &str, local: &str, zone: &str) -> Result<Timestamp, Wrong> {
    let zones = TimeZoneDatabase::bundled();
    let name = zone.strip_suffix(']').ok_or_else(|| not_a_time(text))?;
    if is_day(text)
        && let Ok(day) = local.parse::<civil::Date>()
    {
        let first = day.to_zoned_datetime(named(&zones, name)?);
        return first.map(|zoned| zoned.timestamp()).map_err(|_| not_a_time(text));
    }
    STRICT.parse_zoned_datetime_with(&zones, text).map(|zoned| zoned.timestamp()).or_else(|_| {
        named(&zones, name)?;
        Err(if local.parse::<Timestamp>().is_ok() {
            Wrong::expected(format!("the offset that {} has at that time", shown(name)))
                .hint("leave the offset or the zone out")
        } else if local.parse::<civil::DateTime>().is_ok() {
            Wrong::expected(format!("a time that the clocks of {} show once", shown(name)))
                .hint("they are set forward or back then: write the offset, such as +01:00, and no zone")
        } else {
            not_a_time(text)
        })
    })
}

fn named(zones: &TimeZoneDatabase, name: &str) -> Result<TimeZone, Wrong> {
    zones.get(name).map_err(|_| {
        let wrong = Wrong::expected("a time zone of the IANA database, such as [Europe/Paris]");
        let known: Vec<_> = zones.available().map(|name| name.to_string()).collect();
        wrong.nearest(name, known.iter().map(String::as_str))
    })
}
