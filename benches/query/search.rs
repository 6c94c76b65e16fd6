//! How long it takes to look at the text of every event, beside ripgrep over the same events as JSON lines.

use crate::{
    answers::readable,
    ask::{ask, check},
    clock::{median, now},
    lines::Lines,
    net,
    questions::Search,
    report::{Scale, keep, print},
};
use anyhow::Result;
use std::net::SocketAddr;

/// Medians of a search over those of ripgrep.
const RIPGREPS_MAX: [f64; 2] = [2.0, 2.0];
/// Runs of a search, which takes long.
const RUNS: usize = 11;

/// Asks the questions that look at every event.
pub(crate) async fn measure(
    scale: Scale,
    address: SocketAddr,
    searches: &[Search],
    lines: Option<&Lines>,
) -> Result<()> {
    print("## Searches\n\n| search | median | ripgrep over JSON lines | ratio | answer |")?;
    print("|---|---|---|---|---|")?;
    let daemon = net::connect(address).await?;
    let runs = scale.runs().min(RUNS);
    for Search { question, text } in searches {
        let size = check(question, &ask(&daemon, question).await?)?;
        let mut asked = Vec::new();
        for _ in 0..runs {
            let start = now();
            ask(&daemon, question).await?;
            asked.push(start.elapsed());
        }
        let (asked, name) = (median(asked), question.name);
        let Some(lines) = lines else {
            print(&format!("| {name} | {} | skipped | – | {size} |", readable(asked)))?;
            continue;
        };
        let counted = lines.count(text, question.expected, runs)?;
        let ratio = asked.as_secs_f64() / counted.as_secs_f64();
        let [asked, counted] = [asked, counted].map(readable);
        print(&format!("| {name} | {asked} | {counted} | {ratio:.1} | {size} |"))?;
        keep(scale, &format!("query {name}"), ratio, "of ripgrep", RIPGREPS_MAX)?;
    }
    print("")
}
