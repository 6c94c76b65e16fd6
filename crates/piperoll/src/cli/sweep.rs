//! `piperoll sweep`: drop sealed segments whose retention has ended.

use super::connection::Connection;
use super::{Done, Outcome, say};
use crate::output::{Format, print_json, print_table, table, text};
use piperoll_proto::v1::SweepResponse;
use serde_json::json;
use std::io::{self, Write};

/// Drop sealed segments whose retention has ended
///
/// Whole segments only, oldest first, of every tenant. Each leaves its seal and a receipt: when, under which
/// rule, how many events. The daemon sweeps by itself on a schedule.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only show what would be dropped
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Sweeps and prints; `Done::Nothing` where nothing had expired.
pub(crate) async fn run(args: Args) -> Outcome {
    let answer = args.connection.open().await?.sweep(args.dry_run).await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => print_words(&mut out, &answer)?,
        Format::Csv => {
            super::seal::print_csv(&mut out, answer.segments.iter().filter_map(|s| s.segment.as_ref()))?;
        }
        Format::Json | Format::Jsonl => print_json(&mut out, args.output, &as_json(&answer))?,
    }
    out.flush()?;
    Ok(if answer.segments.is_empty() { Done::Nothing } else { Done::Yes })
}

fn print_words(out: &mut impl Write, answer: &SweepResponse) -> io::Result<()> {
    if answer.segments.is_empty() {
        say("nothing has expired");
        return Ok(());
    }
    let mut rows = table(&["LOG", "SEQUENCES", "EVENTS", "SIZE", "EXPIRED", "RULE"]);
    for swept in &answer.segments {
        let segment = swept.segment.clone().unwrap_or_default();
        rows.add_row(vec![
            format!("{}/{}", segment.tenant, segment.class),
            format!("{}..{}", segment.first_sequence, segment.end_sequence),
            text::count(swept.events),
            text::bytes(segment.bytes),
            text::local_time(swept.expired.as_ref()),
            text::plain(&swept.rule),
        ]);
    }
    print_table(out, &rows)?;
    let verb = if answer.dry_run { "would be dropped" } else { "dropped" };
    say(&format!("{} segments, {} {verb}", answer.segments.len(), text::bytes(answer.freed_bytes)));
    Ok(())
}

fn as_json(answer: &SweepResponse) -> serde_json::Value {
    let segments: Vec<_> = answer
        .segments
        .iter()
        .map(|swept| {
            json!({
                "segment": swept.segment.as_ref().map(super::seal::segment_json),
                "rule": swept.rule,
                "expired": text::rfc3339(swept.expired.as_ref()),
                "events": swept.events,
            })
        })
        .collect();
    json!({ "dry_run": answer.dry_run, "freed_bytes": answer.freed_bytes, "segments": segments })
}
