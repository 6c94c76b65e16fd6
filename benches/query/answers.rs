//! How long answers take from a daemon that has answered before, beside an echo of each answer.

use crate::{
    ask::{ask, check},
    clock::{median, now},
    echo::Echo,
    net,
    questions::{AtMost, Question},
    report::{Scale, keep, print},
    serve,
};
use anyhow::Result;
use piperoll_proto::raw::query_service_server::QueryServiceServer;
use std::{net::SocketAddr, time::Duration};
use tokio::runtime::Runtime;
use tonic::{service::Routes, transport::Channel};

/// An answer that takes long is asked for less often: for so long, but some times at least.
const TIME_MAX: Duration = Duration::from_secs(10);
const RUNS_MIN: usize = 5;

/// Asks every question of the daemon at `address`, which has so many segments; the median of the shortest echo
/// comes back.
pub(crate) fn measure(
    scale: Scale,
    [servers, clients]: [&Runtime; 2],
    address: SocketAddr,
    questions: &[Question],
    (events, segments): (u64, usize),
) -> Result<Duration> {
    print(
        "## Answers\n\n| question | median | echo of the answer | at most | answer |\n|---|---|---|---|---|",
    )?;
    let daemon = clients.block_on(net::connect(address))?;
    let mut shortest = Duration::MAX;
    for question in questions {
        let answer = clients.block_on(ask(&daemon, question))?;
        let size = check(question, &answer)?;
        let echo = Routes::new(QueryServiceServer::new(Echo(answer)));
        let echo = servers.block_on(serve::serve(echo))?;
        let [asked, echoed] = clients.block_on(in_turns(scale, &daemon, echo, question))?;
        shortest = shortest.min(echoed);
        let at_most = question.at_most.of(echoed, segments);
        print(&format!(
            "| {} | {} | {} | {} | {size} |",
            question.name,
            readable(asked),
            readable(echoed),
            readable(at_most),
        ))?;
        let figure = format!("query {}, {events} events", question.name);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        keep(scale, &figure, ms(asked), "ms", [ms(at_most); 2])?;
    }
    print("")?;
    Ok(shortest)
}

/// Medians of both, which are asked in turns.
async fn in_turns(
    scale: Scale,
    daemon: &Channel,
    echo: SocketAddr,
    question: &Question,
) -> Result<[Duration; 2]> {
    let echo = net::connect(echo).await?;
    let begun = now();
    let (mut asked, mut echoed) = (Vec::new(), Vec::new());
    while asked.len() < scale.runs() && (asked.len() < RUNS_MIN || begun.elapsed() < TIME_MAX) {
        for (channel, times) in [(daemon, &mut asked), (&echo, &mut echoed)] {
            let start = now();
            ask(channel, question).await?;
            times.push(start.elapsed());
        }
    }
    Ok([median(asked), median(echoed)])
}

impl AtMost {
    /// The time that an answer may take whose echo takes `echo`.
    fn of(self, echo: Duration, segments: usize) -> Duration {
        let seconds = self.ms / 1e3 + self.us_a_segment * segments as f64 / 1e6;
        echo.mul_f64(self.echoes) + Duration::from_secs_f64(seconds)
    }
}

/// A time in the unit that suits it.
pub(crate) fn readable(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1e3) }
}
