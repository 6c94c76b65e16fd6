//! `piperoll query`: find events.

use super::connection::Connection;
use super::which::Which;
use super::{Done, Outcome, say};
use crate::output::{Format, events::EventPrinter};
use piperoll_proto::v1::{EventRecord, Order, QueryRequest};
use std::io;

/// Rows that are shown together: enough for aligned columns, few enough to show at once.
const ROWS_TOGETHER: usize = 256;

/// Find events
///
/// Newest first, unless --oldest is given. The last line on stderr names the position to go on from.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// At most this many events
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Oldest first
    #[arg(long)]
    oldest: bool,
    /// Go on where an earlier answer to the same question ended
    #[arg(long, value_name = "POSITION")]
    position: Option<String>,
    /// The one event at this address, such as default/standard@1234
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["filter", "position", "oldest"])]
    address: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where nothing matched.
pub(crate) async fn run(args: Args) -> Outcome {
    let filter = args.which.text()?;
    let client = args.connection.open().await?;
    let mut printer = EventPrinter::new(io::stdout().lock(), args.output);
    if let Some(address) = &args.address {
        return match client.get(address).await {
            Ok(record) => {
                printer.print(&[record])?;
                printer.finish()?;
                Ok(Done::Yes)
            }
            Err(error) if error.code() == Some(tonic::Code::NotFound) => {
                say(&error.to_string());
                Ok(Done::Nothing)
            }
            Err(error) => Err(error.into()),
        };
    }
    let order = if args.oldest { Order::OldestFirst } else { Order::NewestFirst };
    let request = QueryRequest {
        filter: filter.clone(),
        order: order.into(),
        limit: args.limit,
        position: args.position.unwrap_or_default(),
    };
    let mut answer = client.query(request).await?;
    let mut rows: Vec<EventRecord> = Vec::new();
    while let Some(record) = answer.next().await? {
        rows.push(record);
        if rows.len() == ROWS_TOGETHER {
            printer.print(&rows)?;
            rows.clear();
        }
    }
    printer.print(&rows)?;
    printer.finish()?;
    if printer.printed() == 0 {
        say("nothing found");
        return Ok(Done::Nothing);
    }
    if !answer.exhausted() {
        // Times are settled in this filter: a position belongs to exactly the question that it came from.
        let order = if args.oldest { " --oldest" } else { "" };
        let position = answer.position();
        say(&format!("there may be more: piperoll query {filter:?}{order} --position {position}"));
    }
    Ok(Done::Yes)
}
