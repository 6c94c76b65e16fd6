//! `piperoll status`: what the daemon has and does.

use super::connection::Connection;
use super::{Done, Outcome};
use crate::output::{Format, coloured, print_json, print_table, table, text};
use comfy_table::{Cell, Color};
use jiff::Timestamp;
use piperoll_proto::v1::{AcceptedLoss, LogStatus, StatusResponse};
use serde_json::json;
use std::io::{self, Write};

/// Show what the daemon has and does
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints.
pub(crate) async fn run(args: Args) -> Outcome {
    let status = args.connection.open().await?.status().await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => print_words(&mut out, &status)?,
        Format::Csv => print_csv(&mut out, &status)?,
        Format::Json | Format::Jsonl => print_json(&mut out, args.output, &as_json(&status))?,
    }
    out.flush()?;
    Ok(Done::Yes)
}

fn print_words(out: &mut impl Write, status: &StatusResponse) -> io::Result<()> {
    let now = Timestamp::now();
    writeln!(
        out,
        "piperoll {}  directory {}",
        text::plain(&status.version),
        text::plain(&status.directory_id)
    )?;
    writeln!(out, "started           {}", text::ago(status.started.as_ref(), now))?;
    writeln!(out, "free on disk      {}", text::bytes(status.free_bytes))?;
    writeln!(out, "tails             {}", status.tails)?;
    writeln!(out, "unsealed, full    {}", status.unsealed_segments)?;
    writeln!(out, "cut at start      {}", text::bytes(status.cut_bytes))?;
    writeln!(out, "last sweep        {}", text::ago(status.last_sweep.as_ref(), now))?;
    for name in &status.foreign_files {
        writeln!(out, "foreign file      {}", text::plain(name))?;
    }
    if status.logs.is_empty() {
        return writeln!(out, "no logs yet");
    }
    writeln!(out)?;
    let mut rows = table(&["LOG", "FIRST", "END", "SEALED", "UNSEALED", "SIZE", "LAST RECEIVED", "APPENDS"]);
    for log in &status.logs {
        rows.add_row(row(log, now));
    }
    print_table(out, &rows)?;
    print_losses(out, status)
}

/// What a person accepted as lost: answers leave it out, so it is said here.
fn print_losses(out: &mut impl Write, status: &StatusResponse) -> io::Result<()> {
    let losses = status.logs.iter().flat_map(|log| &log.accepted_losses);
    let mut rows = table(&["LOST OF", "FROM", "SEQUENCES", "ACCEPTED", "BY", "WHY"]);
    for loss in losses {
        rows.add_row(vec![
            text::plain(&loss.file),
            text::count(loss.offset),
            format!("{}..{}", loss.first_sequence, loss.end_sequence),
            text::local_time(loss.accepted.as_ref()),
            text::plain(&loss.principal),
            text::plain(&loss.reason),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    print_table(out, &rows)
}

fn row(log: &LogStatus, now: Timestamp) -> Vec<Cell> {
    let appends = if log.read_only_reason.is_empty() {
        Cell::new("yes")
    } else {
        coloured(&format!("no: {}", text::plain(&log.read_only_reason)), Color::DarkRed)
    };
    let words = [
        format!("{}/{}", log.tenant, log.class),
        text::count(log.first_sequence),
        text::count(log.end_sequence),
        text::count(log.sealed_segments),
        text::count(log.unsealed_segments),
        text::bytes(log.bytes),
        text::ago(log.last_received.as_ref(), now),
    ];
    words.into_iter().map(Cell::new).chain([appends]).collect()
}

fn print_csv(out: &mut impl Write, status: &StatusResponse) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "tenant",
        "class",
        "first_sequence",
        "end_sequence",
        "sealed_segments",
        "unsealed_segments",
        "bytes",
        "last_received",
        "read_only_reason",
    ])?;
    for log in &status.logs {
        writer.write_record([
            log.tenant.clone(),
            log.class.clone(),
            log.first_sequence.to_string(),
            log.end_sequence.to_string(),
            log.sealed_segments.to_string(),
            log.unsealed_segments.to_string(),
            log.bytes.to_string(),
            text::rfc3339(log.last_received.as_ref()),
            log.read_only_reason.clone(),
        ])?;
    }
    writer.flush()
}

fn loss_json(loss: &AcceptedLoss) -> serde_json::Value {
    json!({
        "file": loss.file,
        "offset": loss.offset,
        "bytes": loss.bytes,
        "first_sequence": loss.first_sequence,
        "end_sequence": loss.end_sequence,
        "root": hex::encode(&loss.root),
        "accepted": text::rfc3339(loss.accepted.as_ref()),
        "principal": loss.principal,
        "reason": loss.reason,
    })
}

fn as_json(status: &StatusResponse) -> serde_json::Value {
    let logs: Vec<_> = status
        .logs
        .iter()
        .map(|log| {
            json!({
                "tenant": log.tenant,
                "class": log.class,
                "first_sequence": log.first_sequence,
                "end_sequence": log.end_sequence,
                "sealed_segments": log.sealed_segments,
                "unsealed_segments": log.unsealed_segments,
                "bytes": log.bytes,
                "last_received": text::rfc3339(log.last_received.as_ref()),
                "read_only_reason": log.read_only_reason,
                "accepted_losses": log.accepted_losses.iter().map(loss_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "version": status.version,
        "started": text::rfc3339(status.started.as_ref()),
        "directory_id": status.directory_id,
        "free_bytes": status.free_bytes,
        "tails": status.tails,
        "unsealed_segments": status.unsealed_segments,
        "cut_bytes": status.cut_bytes,
        "last_sweep": text::rfc3339(status.last_sweep.as_ref()),
        "foreign_files": status.foreign_files,
        "logs": logs,
    })
}
