//! `piperoll query`: find events.

use super::connection::Connection;
use super::follow::follow;
use super::which::Which;
use super::{Done, Failure, Outcome, again, meant, printer, say};
use crate::output::{Format, Show, events::EventPrinter, explanation};
use anyhow::anyhow;
use piperoll_client::Client;
use piperoll_proto::v1::{Order, QueryRequest, explain_request::Question, tail_request::Start};
use std::io::{self, Write};

/// Events of a query that sets no limit.
const LIMIT: u32 = 100;

/// Find events
///
/// Newest first, unless --oldest is given. The last line on stderr names the position to go on from.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// At most this many events [default: 100]; with --follow, of those that are there already
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u32>,
    /// Oldest first
    #[arg(long)]
    oldest: bool,
    /// Then show events as they are stored, until Ctrl-C: the newest that are there, or all with --oldest,
    /// and what comes, oldest first
    #[arg(short, long)]
    follow: bool,
    /// Go on where an earlier answer to the same question ended
    #[arg(long, value_name = "POSITION")]
    position: Option<String>,
    /// The one event at this address, such as default/standard@1234
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["filter", "position", "oldest", "follow"])]
    address: Option<String>,
    /// Tell how the first page is found instead: what is ruled out, asked and read
    #[arg(long, conflicts_with_all = ["address", "follow"])]
    explain: bool,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where nothing matched.
pub(crate) async fn run(args: Args) -> Outcome {
    let filter = args.which.text()?;
    if args.limit == Some(0) && !args.follow {
        return Err(Failure::Usage(anyhow!("--limit: at least 1")));
    }
    let beginning = if args.follow { Some(beginning(&args)?) } else { None };
    let client = args.connection.open().await?;
    let mut printer = printer(args.show)?;
    if let Some(address) = &args.address {
        return get(&client, address, printer).await;
    }
    if let Some(beginning) = beginning {
        if let Some(position) = follow(&client, &filter, beginning, &mut printer).await? {
            say(&format!("go on with: {}", again("query --follow", &filter, &args.connection, &position)));
        }
        return Ok(Done::Yes);
    }
    let order = if args.oldest { Order::OldestFirst } else { Order::NewestFirst };
    let request = QueryRequest {
        filter: filter.clone(),
        order: order.into(),
        limit: args.limit.unwrap_or(LIMIT),
        position: args.position.unwrap_or_default(),
    };
    if args.explain {
        return explain(&client, Question::Query(request), args.show.output.of_others()).await;
    }
    let mut answer = client.query(request).await?;
    while let Some(records) = answer.next_together().await? {
        printer.print(&records)?;
    }
    printer.finish()?;
    if printer.printed() == 0 {
        say("nothing found");
        meant::say_meant(&client, &filter).await;
        return Ok(Done::Nothing);
    }
    if !answer.exhausted() {
        let order = if args.oldest { " --oldest" } else { "" };
        let limit = args.limit.map(|limit| format!(" -n {limit}")).unwrap_or_default();
        let command = again(&format!("query{order}{limit}"), &filter, &args.connection, answer.position());
        say(&format!("there may be more: {command}"));
    }
    Ok(Done::Yes)
}

/// Where following begins, and how many events before it are shown.
fn beginning(args: &Args) -> Result<(Option<Start>, u32), Failure> {
    let start = match &args.position {
        Some(position) => Some(Start::Position(position.clone())),
        // No daemon has received anything before it.
        None => args.oldest.then(|| Start::ReceivedFrom(prost_types::Timestamp::default())),
    };
    if start.is_some() && args.limit.is_some() {
        let all = "--oldest and --position show all of them";
        return Err(Failure::Usage(anyhow!(
            "--limit: with --follow it is of events that are there already; {all}"
        )));
    }
    Ok((start, args.limit.unwrap_or(LIMIT)))
}

async fn get<W: Write>(client: &Client, address: &str, mut printer: EventPrinter<W>) -> Outcome {
    match client.get(address).await {
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
    }
}

/// Tells how a question is answered.
pub(super) async fn explain(client: &Client, question: Question, format: Format) -> Outcome {
    let answer = client.explain(question).await?;
    let mut out = io::stdout().lock();
    explanation::print(&mut out, format, &answer)?;
    out.flush()?;
    Ok(if answer.found == 0 { Done::Nothing } else { Done::Yes })
}
