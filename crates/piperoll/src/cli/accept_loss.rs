//! `piperoll accept-loss`: what is lost of a log that damage made read-only, and the way on.

use super::confirm::confirm;
use super::connection::Connection;
use super::{Done, Outcome, say};
use crate::output::{Format, print_json, print_table, table, text};
use piperoll_proto::v1::{AcceptLossRequest, AcceptLossResponse, Loss};
use serde_json::json;
use std::io::{self, Write};

/// Show what is lost of a log that damage made read-only, and accept it
///
/// First try to put the damaged file back from a copy: with the daemon stopped, then start it. Where there is none,
/// this shows each file that is damaged or missing, the sequences that are lost, and what behind the damage stays
/// readable. Once you type the log's name, the loss is written down for good, with your words, and the log takes
/// appends again, at sequences above all that may have been acknowledged. No damaged byte is changed: copy the file
/// aside as long as it is there. Requests that were in the lost part and are sent again are stored again.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  piperoll accept-loss default/builds                   show the loss, then ask
  piperoll accept-loss default/builds -o json           only show it, as JSON, and exit with 2
  piperoll accept-loss default/builds --yes --reason 'disk sdb failed, ticket 4711'")]
pub(crate) struct Args {
    /// The log: TENANT/CLASS as `piperoll status` names it, or only the class
    #[arg(value_name = "TENANT/CLASS")]
    log: String,
    /// Accept what is lost without asking, for scripts
    #[arg(long)]
    yes: bool,
    /// Why; kept with the loss, and shown by `piperoll status`
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Shows, asks, accepts; `Done::Nothing` where nothing is lost, or the answer was no.
pub(crate) async fn run(args: Args) -> Outcome {
    let (tenant, class) = args.log.split_once('/').unwrap_or((args.connection.tenant(), &args.log));
    let log = format!("{tenant}/{class}");
    let client = args.connection.open().await?;
    let request = |roots, reason| AcceptLossRequest {
        tenant: tenant.to_owned(),
        class: class.to_owned(),
        roots,
        reason,
    };
    let found = client.accept_loss(request(Vec::new(), String::new())).await?;
    if found.losses.is_empty() {
        print(args.output, &log, &found)?;
        return Ok(Done::Nothing);
    }
    if !args.yes {
        print(args.output, &log, &found)?;
        if !confirm(args.yes, "What is lost stays lost.", &log)? {
            say("nothing was accepted");
            return Ok(Done::Nothing);
        }
    }
    let roots = found.losses.iter().map(|loss| loss.root.clone()).collect();
    let accepted = client.accept_loss(request(roots, args.reason)).await?;
    if args.yes || args.output != Format::Text {
        print(args.output, &log, &accepted)?;
    }
    say(&format!("accepted; {log} takes appends again"));
    Ok(Done::Yes)
}

fn print(format: Format, log: &str, answer: &AcceptLossResponse) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text if answer.losses.is_empty() => say(&format!("nothing is lost: {log} takes appends")),
        Format::Text => print_words(&mut out, answer)?,
        Format::Csv => print_csv(&mut out, &answer.losses)?,
        Format::Json | Format::Jsonl => print_json(&mut out, format, &as_json(answer))?,
    }
    out.flush()
}

fn print_words(out: &mut impl Write, answer: &AcceptLossResponse) -> io::Result<()> {
    let mut rows = table(&["FILE", "FROM", "BYTES", "SEQUENCES", "READABLE BEHIND", "ROOT"]);
    for loss in &answer.losses {
        rows.add_row(vec![
            text::plain(&loss.file),
            text::count(loss.offset),
            text::count(loss.bytes),
            format!("{}..{}", loss.first_sequence, loss.end_sequence),
            format!(
                "{} events in {} frames",
                text::count(loss.events_behind),
                text::count(loss.frames_behind)
            ),
            hex::encode(&loss.root),
        ]);
    }
    print_table(out, &rows)?;
    for loss in &answer.losses {
        say(&text::plain(&loss.found));
    }
    Ok(())
}

fn print_csv(out: &mut impl Write, losses: &[Loss]) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "file",
        "offset",
        "bytes",
        "first_sequence",
        "end_sequence",
        "frames_behind",
        "events_behind",
        "root",
        "found",
    ])?;
    for loss in losses {
        writer.write_record([
            loss.file.clone(),
            loss.offset.to_string(),
            loss.bytes.to_string(),
            loss.first_sequence.to_string(),
            loss.end_sequence.to_string(),
            loss.frames_behind.to_string(),
            loss.events_behind.to_string(),
            hex::encode(&loss.root),
            loss.found.clone(),
        ])?;
    }
    writer.flush()
}

fn as_json(answer: &AcceptLossResponse) -> serde_json::Value {
    let loss = |loss: &Loss| {
        json!({
            "file": loss.file,
            "offset": loss.offset,
            "bytes": loss.bytes,
            "first_sequence": loss.first_sequence,
            "end_sequence": loss.end_sequence,
            "frames_behind": loss.frames_behind,
            "events_behind": loss.events_behind,
            "root": hex::encode(&loss.root),
            "found": loss.found,
        })
    };
    json!({ "accepted": answer.accepted, "losses": answer.losses.iter().map(loss).collect::<Vec<_>>() })
}
