//! How long answers take: `cargo bench -p piperoll --bench query`.
//!
//! A query's figure is its median over that of an echo of the very same answer from memory, the two asked in
//! turns; its answer is checked against what was sent. That of a search is over ripgrep's, which counts the lines with
//! the same text in the same events as JSON lines. See `docs/performance.md`.

#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/daemon.rs"]
mod daemon;
mod echo;
#[path = "../support/fill.rs"]
mod fill;
mod lines;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/net.rs"]
mod net;
mod questions;
#[path = "../support/report.rs"]
mod report;
#[path = "../support/serve.rs"]
mod serve;

use anyhow::Result;
use clock::{median, now};
use lines::Lines;
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::{
    raw::{
        QueryResponse, query_service_client::QueryServiceClient, query_service_server::QueryServiceServer,
    },
    v1::{CountRequest, CountResponse, QueryRequest, SealRequest},
};
use questions::{Ask, Question, Sent, events};
use report::{Scale, print};
use std::{net::SocketAddr, time::Duration};
use tokio::runtime::Runtime;
use tonic::{service::Routes, transport::Channel};

const EVENTS: usize = 1_000_000;
/// Medians of a query over those of its echo.
const ECHOES_MAX: [f64; 2] = [2.0, 2.0];
/// Medians of a search over those of ripgrep.
const RIPGREPS_MAX: [f64; 2] = [2.0, 2.0];
/// Runs of a search, which takes long.
const SEARCHES: usize = 11;

/// An answer as the daemon gave it.
#[derive(Default)]
struct Answer {
    records: Vec<QueryResponse>,
    count: CountResponse,
}

fn main() -> Result<()> {
    let scale = Scale::of_this_run();
    let (servers, clients) = (net::runtime("bench-server")?, net::runtime("bench-client")?);
    let held = tempfile::tempdir_in(report::directory()?)?;
    let directory = held.path().join("data");
    machine::print_facts(held.path())?;

    let daemon = daemon::start_daemon(&servers, &directory, |_| {})?;
    let address = daemon.grpc_address;
    let count = scale.pick("PIPEROLL_BENCH_EVENTS", EVENTS, 2_000)?;
    let lines = Lines::write(held.path().join("events.jsonl"), events(count))?;
    let sent =
        clients.block_on(fill::fill(address, "default", events(count), Sent::default(), Sent::note))?;
    let sealed = clients.block_on(seal(address))?;
    print(&format!("{count} events, the last {sealed} segments sealed on request\n"))?;
    let (searches, others): (Vec<_>, Vec<_>) =
        sent.questions().into_iter().partition(|question| question.text.is_some());
    let round_trip = ask_all(scale, [&servers, &clients], address, &others)?;
    clients.block_on(search_all(scale, address, &searches, lines.as_ref()))?;
    machine::print_speeds(held.path(), Some(round_trip), scale.runs())?;
    Ok(servers.block_on(daemon.stop())?)
}

/// Seals what is not sealed yet, so that every answer comes from sealed segments.
async fn seal(address: SocketAddr) -> Result<usize> {
    let client = Client::connect(ClientOptions::new(format!("http://{address}"))).await?;
    Ok(client.seal(SealRequest::default()).await?.segments.len())
}

/// Asks every question; the median of the shortest echo comes back.
fn ask_all(
    scale: Scale,
    [servers, clients]: [&Runtime; 2],
    address: SocketAddr,
    questions: &[Question],
) -> Result<Duration> {
    print("| question | median | echo of the answer | ratio | answer |")?;
    print("|---|---|---|---|---|")?;
    let daemon = clients.block_on(net::connect(address))?;
    let mut shortest = Duration::MAX;
    for question in questions {
        let answer = clients.block_on(ask(&daemon, question))?;
        let size = check(question, &answer)?;
        let echo = echo::Echo { records: answer.records, count: answer.count };
        let echo = Routes::new(QueryServiceServer::new(echo));
        let echo = servers.block_on(serve::serve(echo))?;
        let (mut asked, mut echoed) = (Vec::new(), Vec::new());
        clients.block_on(async {
            let echo = net::connect(echo).await?;
            for _ in 0..scale.runs() {
                for (channel, times) in [(&daemon, &mut asked), (&echo, &mut echoed)] {
                    let start = now();
                    ask(channel, question).await?;
                    times.push(start.elapsed());
                }
            }
            anyhow::Ok(())
        })?;
        let (asked, echoed) = (median(asked), median(echoed));
        shortest = shortest.min(echoed);
        let ratio = asked.as_secs_f64() / echoed.as_secs_f64();
        let [asked, echoed] = [asked, echoed].map(readable);
        print(&format!("| {} | {asked} | {echoed} | {ratio:.1} | {size} |", question.name))?;
        report::keep(scale, &format!("query {}", question.name), ratio, "of echo", ECHOES_MAX)?;
    }
    print("")?;
    Ok(shortest)
}

/// Asks the questions that look at every event.
async fn search_all(
    scale: Scale,
    address: SocketAddr,
    questions: &[Question],
    lines: Option<&Lines>,
) -> Result<()> {
    print("| search | median | ripgrep over JSON lines | ratio | answer |")?;
    print("|---|---|---|---|---|")?;
    let daemon = net::connect(address).await?;
    let runs = scale.runs().min(SEARCHES);
    for question in questions {
        let size = check(question, &ask(&daemon, question).await?)?;
        let mut asked = Vec::new();
        for _ in 0..runs {
            let start = now();
            ask(&daemon, question).await?;
            asked.push(start.elapsed());
        }
        let (asked, name) = (median(asked), question.name);
        let (Some(lines), Some(text)) = (lines, &question.text) else {
            print(&format!("| {name} | {} | skipped | – | {size} |", readable(asked)))?;
            continue;
        };
        let counted = lines.count(text, question.expected, runs)?;
        let ratio = asked.as_secs_f64() / counted.as_secs_f64();
        let [asked, counted] = [asked, counted].map(readable);
        print(&format!("| {name} | {asked} | {counted} | {ratio:.1} | {size} |"))?;
        report::keep(scale, &format!("query {name}"), ratio, "of ripgrep", RIPGREPS_MAX)?;
    }
    print("")
}

async fn ask(channel: &Channel, question: &Question) -> Result<Answer> {
    let mut client = QueryServiceClient::new(channel.clone());
    let filter = question.filter.clone();
    let mut answer = Answer::default();
    match question.ask {
        Ask::Newest(limit) => {
            let limit = u32::try_from(limit)?;
            let mut stream =
                client.query(QueryRequest { filter, limit, ..QueryRequest::default() }).await?.into_inner();
            while let Some(part) = stream.message().await? {
                answer.records.push(part);
            }
        }
        Ask::Count(fields) => {
            let group_by = fields.iter().map(|&field| field.to_owned()).collect();
            answer.count = client.count(CountRequest { filter, group_by, limit: 0 }).await?.into_inner();
        }
    }
    Ok(answer)
}

/// Whether it is the right answer; tells its size.
fn check(question: &Question, answer: &Answer) -> Result<String> {
    let records: usize = answer.records.iter().map(|part| part.records.len()).sum();
    let (found, size) = match question.ask {
        Ask::Newest(_) => (records as u64, format!("{records} events")),
        Ask::Count(_) => {
            (answer.count.total, format!("{} in {} groups", answer.count.total, answer.count.groups.len()))
        }
    };
    let (filter, expected) = (&question.filter, question.expected);
    anyhow::ensure!(found == expected, "`{filter}` gives {found} where {expected} were sent");
    Ok(size)
}

/// A time in the unit that suits it.
fn readable(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1e3) }
}
