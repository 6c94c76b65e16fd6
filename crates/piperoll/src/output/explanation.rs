//! How a question was answered, for `--explain`.

use super::{Format, print_json, print_table, table, text};
use piperoll_proto::v1::ExplainResponse;
use serde_json::json;
use std::{
    io::{self, Write},
    time::Duration,
};

/// Prints it.
pub(crate) fn print(out: &mut impl Write, format: Format, answer: &ExplainResponse) -> io::Result<()> {
    match format {
        Format::Text => print_text(out, answer),
        Format::Csv => print_csv(out, answer),
        Format::Json | Format::Jsonl => print_json(out, format, &as_json(answer)),
    }
}

/// Segments that were neither ruled out nor asked.
fn unneeded(answer: &ExplainResponse) -> u64 {
    let met = answer.ruled_out_by_time + answer.ruled_out_by_terms + answer.indexes;
    answer.segments.saturating_sub(met)
}

fn took(duration: Option<&prost_types::Duration>) -> Duration {
    duration.and_then(|duration| Duration::try_from(*duration).ok()).unwrap_or_default()
}

fn rows(answer: &ExplainResponse) -> [(&'static str, u64, String); 8] {
    let time = |duration| text::duration(took(duration));
    let none = String::new;
    [
        ("segments", answer.segments, none()),
        ("  ruled out by time and class", answer.ruled_out_by_time, none()),
        ("  ruled out by their terms", answer.ruled_out_by_terms, none()),
        (
            "  asked",
            answer.indexes,
            format!(
                "opened in {}, asked in {}",
                time(answer.open_time.as_ref()),
                time(answer.index_time.as_ref())
            ),
        ),
        ("  not needed", unneeded(answer), none()),
        ("events that the indexes gave", answer.candidates, none()),
        (
            "events read",
            answer.events_read,
            format!("{} in {}", text::bytes(answer.bytes_read), time(answer.read_time.as_ref())),
        ),
        ("events found", answer.found, format!("in {}", time(answer.took.as_ref()))),
    ]
}

fn print_text(out: &mut impl Write, answer: &ExplainResponse) -> io::Result<()> {
    let mut steps = table(&["STEP", "NUMBER", ""]);
    for (name, number, note) in rows(answer) {
        steps.add_row([name.to_owned(), text::count(number), note]);
    }
    print_table(out, &steps)?;
    if answer.conditions.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut conditions = table(&["CONDITION", "BY THE INDEX", "TO BE READ"]);
    for one in &answer.conditions {
        conditions.add_row([
            text::plain(&one.condition),
            text::count(one.matches),
            text::count(one.candidates),
        ]);
    }
    print_table(out, &conditions)
}

fn print_csv(out: &mut impl Write, answer: &ExplainResponse) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["step", "number"])?;
    for (name, number, _) in rows(answer) {
        writer.write_record([name.trim(), &number.to_string()])?;
    }
    writer.flush()
}

fn as_json(answer: &ExplainResponse) -> serde_json::Value {
    let seconds = |duration: Option<&prost_types::Duration>| took(duration).as_secs_f64();
    let conditions = answer.conditions.iter().map(
        |one| json!({ "condition": one.condition, "matches": one.matches, "candidates": one.candidates }),
    );
    json!({
        "found": answer.found,
        "segments": answer.segments,
        "ruled_out_by_time": answer.ruled_out_by_time,
        "ruled_out_by_terms": answer.ruled_out_by_terms,
        "indexes": answer.indexes,
        "not_needed": unneeded(answer),
        "candidates": answer.candidates,
        "events_read": answer.events_read,
        "bytes_read": answer.bytes_read,
        "seconds": seconds(answer.took.as_ref()),
        "open_seconds": seconds(answer.open_time.as_ref()),
        "index_seconds": seconds(answer.index_time.as_ref()),
        "read_seconds": seconds(answer.read_time.as_ref()),
        "conditions": conditions.collect::<Vec<_>>(),
    })
}
