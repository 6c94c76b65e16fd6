//! `piperoll histogram`: how many, when.

use super::complete::{fields, zones};
use super::connection::Connection;
use super::which::Which;
use super::{Done, Failure, Outcome, say};
use crate::output::{Format, bars::Bars, print_json, text};
use anyhow::anyhow;
use jiff::{Timestamp, tz::TimeZone};
use piperoll_proto::v1::{HistogramBucket, HistogramRequest, HistogramResponse};
use prost_types::Duration;
use serde_json::json;
use std::io::{self, Write};

/// Values that bars are split by, where nobody says how many: as many as are told apart at a glance.
const SPLIT_LIMIT: u32 = 4;

/// Count events over time, as bars
///
/// piperoll histogram --every 1h --since -24h
/// piperoll histogram --by outcome 'stage = deploy' --since -30d
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Width of a bucket: 10s, 5m, 1h, 1d, 1w; a round one that makes about sixty where nobody says
    #[arg(long, value_name = "TIME", value_parser = width)]
    every: Option<Duration>,
    /// By which time: received, as the daemon saw it, or time, as the sources claim
    #[arg(long, value_name = "FIELD", default_value = "received")]
    field: String,
    /// The time zone whose days and hours the buckets follow; this computer's where nobody says
    #[arg(long, value_name = "NAME", add = zones())]
    zone: Option<String>,
    /// Split each bucket by this field
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true, add = fields())]
    by: String,
    /// At most this many values of it, the most frequent; the others are counted together
    #[arg(short = 'n', long, visible_alias = "top", default_value_t = SPLIT_LIMIT, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where nothing matched.
pub(crate) async fn run(args: Args) -> Outcome {
    let filter = args.which.text()?;
    let zone = Zone::new(args.zone)?;
    let client = args.connection.open().await?;
    let request = HistogramRequest {
        filter,
        field: args.field,
        every: args.every,
        zone: zone.name.clone(),
        split_by: args.by.clone(),
        split_limit: args.limit,
    };
    let answer = client.histogram(request).await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => print_bars(&mut out, &zone.zone, &args.by, &answer)?,
        Format::Csv => print_csv(&mut out, &args.by, &answer)?,
        Format::Json => print_json(&mut out, Format::Json, &as_json(&args.by, &answer))?,
        Format::Jsonl => {
            let names = names(&answer);
            let lines = answer.buckets.iter().map(|bucket| bucket_json(&names, bucket));
            lines.into_iter().try_for_each(|line| print_json(&mut out, Format::Jsonl, &line))?;
        }
    }
    out.flush()?;
    if answer.untimed > 0 {
        say(&format!("{} more events match and claim no time", text::count(answer.untimed)));
    }
    if answer.total == 0 {
        say("nothing found");
        return Ok(Done::Nothing);
    }
    Ok(Done::Yes)
}

/// A zone, and its name as the daemon knows it.
struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    fn new(name: Option<String>) -> Result<Self, Failure> {
        if let Some(name) = name {
            let zone = jiff::tz::TimeZoneDatabase::bundled().get(&name);
            let zone = zone.map_err(|_| {
                let known = "write an IANA name such as Europe/Paris";
                Failure::Usage(anyhow!("--zone: {name:?} is no time zone; {known}"))
            })?;
            return Ok(Self { name, zone });
        }
        let zone = TimeZone::system();
        if let Some(name) = zone.iana_name() {
            return Ok(Self { name: name.to_owned(), zone });
        }
        say("this computer's time zone has no name, so days and hours are those of UTC: --zone");
        Ok(Self { name: String::new(), zone: TimeZone::UTC })
    }
}

/// `1h30m`: numbers with units.
fn width(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time with the units w d h m s ms, such as 1h or 1h30m".to_owned();
    let mut nanos = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, behind) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(unit_end).ok_or_else(wrong)?;
        let unit = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000_i64,
            _ => return Err(wrong()),
        };
        let part =
            number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
        nanos = nanos.checked_add(part).ok_or_else(wrong)?;
        rest = next;
    }
    let seconds = nanos / 1_000_000_000;
    let rest = i32::try_from(nanos % 1_000_000_000).map_err(|_| wrong())?;
    if nanos == 0 { Err(wrong()) } else { Ok(Duration { seconds, nanos: rest }) }
}

fn print_bars(out: &mut impl Write, zone: &TimeZone, by: &str, answer: &HistogramResponse) -> io::Result<()> {
    let most = answer.buckets.iter().map(longest).max().unwrap_or(0);
    let counts: Vec<_> = answer.buckets.iter().map(|bucket| text::count(bucket.count)).collect();
    let count_width = counts.iter().map(String::len).max().unwrap_or(0);
    let format = label_format(answer.every.unwrap_or_default());
    let labels: Vec<_> = answer.buckets.iter().map(|bucket| label(bucket, zone, format)).collect();
    let label_width = labels.iter().map(String::len).max().unwrap_or(0);
    let bars = Bars::of_stdout(label_width + count_width + 4);
    if !by.is_empty() {
        print_legend(out, bars, answer)?;
    }
    for ((bucket, label), count) in answer.buckets.iter().zip(labels).zip(counts) {
        let bar =
            if by.is_empty() { bars.whole(bucket.count, most) } else { bars.parts(&parts(bucket), most) };
        writeln!(out, "{}", format!("{label:label_width$}  {count:>count_width$}  {bar}").trim_end())?;
    }
    Ok(())
}

/// Events of a bucket, or more where values are counted that an event has several of.
fn longest(bucket: &HistogramBucket) -> u64 {
    bucket.count.max(parts(bucket).iter().sum())
}

/// The counts of a bucket's values, and of the rest.
fn parts(bucket: &HistogramBucket) -> Vec<u64> {
    bucket.split_counts.iter().copied().chain([bucket.split_rest]).collect()
}

fn print_legend(out: &mut impl Write, bars: Bars, answer: &HistogramResponse) -> io::Result<()> {
    let mut names: Vec<_> = names(answer).into_iter().map(text::value).collect();
    if answer.values_omitted > 0 {
        names.push(format!("({} others)", text::count(answer.values_omitted)));
    }
    let legend = names.iter().enumerate().map(|(place, name)| format!("{} {name}", bars.sample(place)));
    writeln!(out, "{}", legend.collect::<Vec<_>>().join("   "))
}

/// As much of a time as tells buckets of this width apart.
fn label_format(every: Duration) -> &'static str {
    match (every.seconds, every.nanos) {
        (86_400.., _) => "%Y-%m-%d",
        (seconds, 0) if seconds % 60 == 0 => "%Y-%m-%d %H:%M",
        (_, 0) => "%Y-%m-%d %H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S%.3f",
    }
}

fn label(bucket: &HistogramBucket, zone: &TimeZone, format: &str) -> String {
    let start: Option<Timestamp> = bucket.start.as_ref().and_then(text::instant);
    start.map_or_else(String::new, |start| start.to_zoned_datetime(zone.clone()).strftime(format).to_string())
}

/// The values that buckets are split by.
fn names(answer: &HistogramResponse) -> Vec<Option<&str>> {
    answer.split_values.iter().map(|value| value.value.as_deref()).collect()
}

fn print_csv(out: &mut impl Write, by: &str, answer: &HistogramResponse) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    if by.is_empty() {
        writer.write_record(["start", "count"])?;
    } else {
        writer.write_record(["start", by, "count"])?;
    }
    let names = names(answer);
    for bucket in &answer.buckets {
        let start = text::rfc3339(bucket.start.as_ref());
        if by.is_empty() {
            writer.write_record([&start, &bucket.count.to_string()])?;
        }
        for (name, count) in names.iter().zip(&bucket.split_counts) {
            writer.write_record([start.as_str(), name.unwrap_or_default(), &count.to_string()])?;
        }
        if answer.values_omitted > 0 {
            writer.write_record([start.as_str(), "(others)", &bucket.split_rest.to_string()])?;
        }
    }
    writer.flush()
}

fn put<const N: usize>(document: &mut serde_json::Value, members: [(&str, serde_json::Value); N]) {
    if let Some(object) = document.as_object_mut() {
        object.extend(members.map(|(name, value)| (name.to_owned(), value)));
    }
}

fn bucket_json(names: &[Option<&str>], bucket: &HistogramBucket) -> serde_json::Value {
    let mut document = json!({ "start": text::rfc3339(bucket.start.as_ref()), "count": bucket.count });
    if !names.is_empty() {
        let split = names.iter().zip(&bucket.split_counts);
        let split: Vec<_> = split.map(|(value, count)| json!({ "value": value, "count": count })).collect();
        put(&mut document, [("split", json!(split)), ("split_rest", json!(bucket.split_rest))]);
    }
    document
}

fn as_json(by: &str, answer: &HistogramResponse) -> serde_json::Value {
    let names = names(answer);
    let every = answer.every.unwrap_or_default();
    let mut document = json!({
        "total": answer.total,
        "untimed": answer.untimed,
        "every_seconds": every.seconds as f64 + f64::from(every.nanos) / 1e9,
        "end": text::rfc3339(answer.end.as_ref()),
        "buckets": answer.buckets.iter().map(|bucket| bucket_json(&names, bucket)).collect::<Vec<_>>(),
    });
    if !by.is_empty() {
        put(&mut document, [("split_by", json!(by)), ("values_omitted", json!(answer.values_omitted))]);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_numbers_with_units() {
        let check = |text: &str, expected: Option<(i64, i32)>| {
            assert_eq!(width(text).ok().map(|width| (width.seconds, width.nanos)), expected, "{text}");
        };
        check("1h", Some((3_600, 0)));
        check("1h30m", Some((5_400, 0)));
        check("250ms", Some((0, 250_000_000)));
        check("2w1d", Some((15 * 86_400, 0)));
        for wrong in ["", "h", "1", "1y", "-1h", "1h ", "0s", "9999999999w"] {
            check(wrong, None);
        }
    }
}
