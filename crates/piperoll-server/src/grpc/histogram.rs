//! `Histogram`: counts over time.

use super::records::{filter, subject};
use crate::{
    buckets::{BUCKETS_MAX, borders, width_of},
    clock,
    daemon::Daemon,
    refusal::Refusal,
};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use piperoll_filter::{Filter, Subject};
use piperoll_format::{event::Field, names::Name, units::UnixNanos};
use piperoll_proto::v1;
use piperoll_store::{Asker, Bars, Histogram, ReadError, Reader, Split, Time, os::OsDisk};
use prost_types::Duration;
use std::ops::Range;

/// Values of a request that sets no limit.
const SPLIT_LIMIT: usize = 5;
/// Most values that buckets are split by.
const SPLIT_MAX: usize = 100;
/// Most counts of an answer, one for each bucket and value: with the longest numbers less than 2 MiB.
const COUNTS_MAX: usize = 200_000;
/// Most bytes of values of an answer; what goes beyond is counted together with the rest.
const VALUES_BYTES_MAX: usize = 512 << 10;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What is asked.
struct Asked {
    tenant: Name,
    filter: Filter,
    time: Time,
    /// Nanoseconds; a round width where nobody says.
    every: Option<i64>,
    zone: TimeZone,
    split_by: Option<Subject>,
    split_limit: usize,
    now: UnixNanos,
}

/// Counts.
pub(super) async fn answer(
    daemon: &Daemon,
    tenant: Name,
    request: v1::HistogramRequest,
) -> Result<v1::HistogramResponse, Refusal> {
    let asked = parse(daemon.now(), tenant, &request)?;
    daemon.read(move |reader, asker| count(reader, asked, asker)).await?
}

fn parse(now: UnixNanos, tenant: Name, request: &v1::HistogramRequest) -> Result<Asked, Refusal> {
    let time = match request.field.as_str() {
        "" => Time::Received,
        name => match subject("field", name)? {
            Subject::Received => Time::Received,
            Subject::Field(Field::Time) => Time::Claimed,
            _ => return Err(Refusal::field("field", format!("`{name}` is no time; write received or time"))),
        },
    };
    let split_by = Some(request.split_by.as_str()).filter(|name| !name.is_empty());
    let split_limit = if request.split_limit == 0 { SPLIT_LIMIT } else { request.split_limit as usize };
    if split_limit > SPLIT_MAX {
        return Err(Refusal::field("split_limit", format!("it is {split_limit}, at most {SPLIT_MAX}")));
    }
    Ok(Asked {
        tenant,
        filter: filter(&request.filter, now)?,
        time,
        every: request.every.as_ref().map(width).transpose()?,
        zone: zone(&request.zone)?,
        split_by: split_by.map(|name| subject("split_by", name)).transpose()?,
        split_limit,
        now,
    })
}

fn width(every: &Duration) -> Result<i64, Refusal> {
    let nanos =
        every.seconds.checked_mul(NANOS_PER_SECOND).and_then(|all| all.checked_add(every.nanos.into()));
    nanos
        .filter(|nanos| *nanos > 0)
        .ok_or_else(|| Refusal::field("every", "a bucket is longer than nothing and shorter than 292 years"))
}

fn zone(name: &str) -> Result<TimeZone, Refusal> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let problem =
            format!("`{}` is no time zone; write an IANA name such as Europe/Paris", name.escape_debug());
        Refusal::field("zone", problem)
    })
}

/// A refusal is an answer to the reader, which knows only its own errors.
type Answer = Result<v1::HistogramResponse, Refusal>;

fn count(reader: &Reader<OsDisk>, asked: Asked, asker: &Asker<'_>) -> Result<Answer, ReadError> {
    let range = range(reader, &asked, asker)?;
    let every = asked.every.unwrap_or_else(|| width_of(&range));
    let Ok(borders) = borders(&range, every, &asked.zone) else {
        return Ok(Err(too_many(&range, every)));
    };
    let buckets = borders.len().saturating_sub(1);
    if asked.split_by.is_some() && buckets.saturating_mul(asked.split_limit) > COUNTS_MAX {
        let limit = asked.split_limit;
        let problem = format!("{buckets} buckets of {limit} values each are more than {COUNTS_MAX} counts");
        return Ok(Err(Refusal::field("split_limit", format!("{problem}; take fewer, or wider buckets"))));
    }
    let Asked { tenant, filter, time, split_by, split_limit, .. } = asked;
    let histogram = Histogram { tenant, filter, time, borders, split_by, split_limit };
    match reader.histogram(&histogram, asker) {
        Ok(bars) => Ok(Ok(response(&histogram.borders, every, bars))),
        Err(error @ ReadError::NotCountedBy(..)) => Ok(Err(Refusal::field("split_by", error.to_string()))),
        Err(error) => Err(error),
    }
}

/// What the buckets cover.
fn range(reader: &Reader<OsDisk>, asked: &Asked, asker: &Asker<'_>) -> Result<Range<UnixNanos>, ReadError> {
    let Asked { tenant, filter, time, now, .. } = asked;
    let (from, until) = time.bounds(filter);
    if let (Some(from), Some(until)) = (from, until) {
        return Ok(from..until);
    }
    let extent = reader.extent(tenant, filter, *time, asker)?;
    let (first, end) = extent.map_or((None, None), |extent| (Some(extent.start), Some(extent.end)));
    // Nothing was received since the last event: that is told too.
    let until = until.or_else(|| match time {
        Time::Received => end.max(Some(*now)),
        Time::Claimed => end,
    });
    match (from.or(first), until) {
        (Some(from), Some(until)) => Ok(from..until),
        _ => Ok(*now..*now),
    }
}

fn too_many(range: &Range<UnixNanos>, every: i64) -> Refusal {
    let seconds = every as f64 / 1e9;
    let (from, until) = (clock::rfc3339(range.start), clock::rfc3339(range.end));
    let problem = format!(
        "between {from} and {until} there are more than {BUCKETS_MAX} buckets of {seconds} s; take wider ones, or bound \
        the time in the filter"
    );
    Refusal::field("every", problem)
}

fn response(borders: &[UnixNanos], every: i64, bars: Bars) -> v1::HistogramResponse {
    let split = bars.split.map(fitting).unwrap_or_default();
    let at = |counts: &[u64], bucket: usize| counts.get(bucket).copied().unwrap_or(0);
    let bucket = |(bucket, (start, count)): (usize, (&UnixNanos, &u64))| v1::HistogramBucket {
        start: Some(clock::timestamp(*start)),
        count: *count,
        split_counts: split.series.iter().map(|series| at(&series.counts, bucket)).collect(),
        split_rest: at(&split.rest, bucket),
    };
    v1::HistogramResponse {
        total: bars.counts.iter().sum(),
        untimed: bars.untimed,
        every: Some(Duration {
            seconds: every / NANOS_PER_SECOND,
            nanos: i32::try_from(every % NANOS_PER_SECOND).unwrap_or_default(),
        }),
        buckets: borders.iter().zip(&bars.counts).enumerate().map(bucket).collect(),
        end: borders.last().map(|end| clock::timestamp(*end)),
        split_values: split.series.into_iter().map(|series| v1::GroupValue { value: series.value }).collect(),
        values_omitted: split.values_omitted,
    }
}

/// The series whose values fit into an answer; the others go to the rest.
fn fitting(mut split: Split) -> Split {
    let mut bytes = 0_usize;
    let fits = |series: &piperoll_store::Series| {
        bytes = bytes.saturating_add(series.value.as_ref().map_or(0, String::len));
        bytes <= VALUES_BYTES_MAX
    };
    let fitting = split.series.iter().map(fits).take_while(|fits| *fits).count();
    for series in split.series.split_off(fitting) {
        split.values_omitted = split.values_omitted.saturating_add(1);
        for (rest, count) in split.rest.iter_mut().zip(series.counts) {
            *rest = rest.saturating_add(count);
        }
    }
    split
}
