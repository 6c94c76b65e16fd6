//! `piperoll seal`: roll active segments and wait until they are sealed.

use super::connection::Connection;
use super::{Done, Outcome, say};
use crate::output::{Format, print_json, print_table, table, text};
use piperoll_proto::v1::{SealRequest, SealedSegment};
use serde_json::json;
use std::io::{self, Write};

/// Roll active segments and wait until they are sealed
///
/// The daemon does this by itself when a segment is full or old; by hand it is for those who want to check,
/// copy or archive what there is now. `b3sum` of each file gives the root that is printed here.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this retention class
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// The logs of every tenant
    #[arg(long)]
    all_tenants: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Seals and prints; `Done::Nothing` where there was nothing to seal.
pub(crate) async fn run(args: Args) -> Outcome {
    let tenant = if args.all_tenants { String::new() } else { args.connection.tenant().to_owned() };
    let request = SealRequest { tenant, class: args.class.unwrap_or_default() };
    let answer = args.connection.open().await?.seal(request).await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text if answer.segments.is_empty() => say("nothing to seal"),
        Format::Text => {
            let mut rows = table(&["LOG", "SEQUENCES", "SIZE", "ROOT", "FILE"]);
            for segment in &answer.segments {
                rows.add_row(row(segment));
            }
            print_table(&mut out, &rows)?;
        }
        Format::Csv => print_csv(&mut out, answer.segments.iter())?,
        Format::Json | Format::Jsonl => {
            let segments: Vec<_> = answer.segments.iter().map(segment_json).collect();
            print_json(&mut out, args.output, &json!({ "segments": segments }))?;
        }
    }
    out.flush()?;
    Ok(if answer.segments.is_empty() { Done::Nothing } else { Done::Yes })
}

/// A segment's cells: log, sequences, size, root, file.
pub(super) fn row(segment: &SealedSegment) -> Vec<String> {
    vec![
        format!("{}/{}", segment.tenant, segment.class),
        format!("{}..{}", segment.first_sequence, segment.end_sequence),
        text::bytes(segment.bytes),
        hex::encode(&segment.root),
        text::plain(&segment.file),
    ]
}

/// A segment as JSON.
pub(super) fn segment_json(segment: &SealedSegment) -> serde_json::Value {
    json!({
        "tenant": segment.tenant,
        "class": segment.class,
        "first_sequence": segment.first_sequence,
        "end_sequence": segment.end_sequence,
        "bytes": segment.bytes,
        "root": hex::encode(&segment.root),
        "file": segment.file,
    })
}

/// Segments as CSV.
pub(super) fn print_csv<'a>(
    out: &mut impl Write,
    segments: impl Iterator<Item = &'a SealedSegment>,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["tenant", "class", "first_sequence", "end_sequence", "bytes", "root", "file"])?;
    for segment in segments {
        writer.write_record([
            segment.tenant.clone(),
            segment.class.clone(),
            segment.first_sequence.to_string(),
            segment.end_sequence.to_string(),
            segment.bytes.to_string(),
            hex::encode(&segment.root),
            segment.file.clone(),
        ])?;
    }
    writer.flush()
}
