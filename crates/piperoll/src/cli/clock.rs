//! `piperoll clock`: what the daemon believes of its clock, and a person's word that it is right.

use super::confirm::confirm;
use super::connection::Connection;
use super::{Done, Outcome, say};
use crate::output::{Format, print_json, text};
use piperoll_proto::v1::{AcceptClockResponse, ClockStatusResponse};
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// Show the daemon's clock, or say that it is right
///
/// A clock that is wrong would write wrong times into bytes that can never be changed, and drop what has not
/// expired. So a clock that jumps ahead is not believed: while the daemon runs, by more than 10 minutes; at its
/// start, by more than 24 hours since the last entry, unless the kernel reports it synchronised.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Show what the clock says, what is believed of it, and whether the kernel calls it synchronised
    Status(Status),
    /// Say that the clock is right, after a look at it
    ///
    /// Shows the clock and what is believed, and asks. The daemon writes it into its own audit log first:
    /// piperoll query --tenant _piperoll 'action = clock.accepted'
    Accept(Accept),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Accept {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints, or accepts.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Status(args) => {
            let status = args.connection.open().await?.clock_status().await?;
            print_status(args.output, &status)?;
            Ok(Done::Yes)
        }
        Command::Accept(args) => accept(args).await,
    }
}

/// `Done::Nothing` where the clock is believed already, or the person did not confirm.
async fn accept(args: Accept) -> Outcome {
    let client = args.connection.open().await?;
    let status = client.clock_status().await?;
    if status.ahead_ns == 0 {
        say("the clock is believed; there is nothing to accept");
        return Ok(Done::Nothing);
    }
    let question = format!("{}Is the clock right?", words(&status));
    if !confirm(args.yes, &question, "accept")? {
        say("nothing was accepted");
        return Ok(Done::Nothing);
    }
    let accepted = client.accept_clock(status.wall.unwrap_or_default()).await?;
    print_accepted(args.output, &accepted)?;
    Ok(Done::Yes)
}

fn words(status: &ClockStatusResponse) -> String {
    let ahead = if status.ahead_ns == 0 { "0 s, it is believed".to_owned() } else { long(status.ahead_ns) };
    let appends = if status.appends_refused { "refused until the clock is believed" } else { "taken" };
    let synchronised = if status.synchronised { "yes" } else { "no" };
    format!(
        "clock         {}\nbelieved      {}\nahead         {ahead}\nsynchronised  {synchronised}, says the kernel\n\
         appends       {appends}\n",
        text::local_time(status.wall.as_ref()),
        text::local_time(status.believed.as_ref()),
    )
}

/// A time in the two units that matter of it.
fn long(nanoseconds: u64) -> String {
    let seconds = Duration::from_nanos(nanoseconds).as_secs();
    match seconds {
        0..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn print_status(format: Format, status: &ClockStatusResponse) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let wall = text::rfc3339(status.wall.as_ref());
    let believed = text::rfc3339(status.believed.as_ref());
    let ahead = status.ahead_ns as f64 / 1e9;
    match format {
        Format::Text => write!(out, "{}", words(status))?,
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(["wall", "believed", "ahead_seconds", "synchronised", "appends_refused"])?;
            let (synchronised, refused) = (status.synchronised, status.appends_refused);
            let numbers = [ahead.to_string(), synchronised.to_string(), refused.to_string()];
            writer.write_record([wall, believed].into_iter().chain(numbers))?;
            writer.flush()?;
        }
        Format::Json | Format::Jsonl => {
            let value = json!({
                "wall": wall,
                "believed": believed,
                "ahead_seconds": ahead,
                "synchronised": status.synchronised,
                "appends_refused": status.appends_refused,
            });
            print_json(&mut out, format, &value)?;
        }
    }
    out.flush()
}

fn print_accepted(format: Format, accepted: &AcceptClockResponse) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let before = text::rfc3339(accepted.before.as_ref());
    let after = text::rfc3339(accepted.after.as_ref());
    let address = text::plain(&accepted.address);
    match format {
        Format::Text => {
            let (before, after) = (accepted.before.as_ref(), accepted.after.as_ref());
            let (before, after) = (text::local_time(before), text::local_time(after));
            writeln!(out, "accepted: {before} was believed, {after} is now; recorded as {address}")?;
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(["before", "after", "address"])?;
            writer.write_record([before, after, address])?;
            writer.flush()?;
        }
        Format::Json | Format::Jsonl => {
            let value = json!({ "before": before, "after": after, "address": address });
            print_json(&mut out, format, &value)?;
        }
    }
    out.flush()
}
