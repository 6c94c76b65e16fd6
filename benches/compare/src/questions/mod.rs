//! How long answers take: each system by itself, filled with the same events, asked the same questions.

pub(crate) mod answer;
pub(crate) mod ask;
mod choose;

use crate::{
    Bench,
    clock::now,
    place,
    report::{keep, print},
    row::Row,
    samples::events,
    systems::{
        Asked,
        columnar::{ClickHouse, DuckDb},
        piperoll::Piperoll,
        postgres::Postgres,
        sqlite::Sqlite,
    },
};
use answer::Answer;
use anyhow::{Context as _, Result};
use choose::{Question, Tally};
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    time::Duration,
};

/// A question that takes long is repeated no longer than this.
const REPEAT_MAX: Duration = Duration::from_secs(20);
const REPEAT_MIN: usize = 5;

/// The events that are asked about.
pub(crate) struct Input {
    pub(crate) events: usize,
    /// The rows, a JSON object a line, for systems that load files.
    pub(crate) file: PathBuf,
}

/// Medians and 99th percentiles of one system, question by question.
type Times = Vec<[Duration; 2]>;

/// A system as a column of the table.
struct Peer {
    name: &'static str,
    missing: fn() -> Option<String>,
    case: fn(&Bench, &Input, &mut [Asking]) -> Result<Times>,
}

/// A question, and the answers to its variants that the first system gave.
struct Asking {
    question: Question,
    answers: Vec<Answer>,
}

const fn peer<S: Asked>() -> Peer {
    Peer { name: S::NAME, missing: S::missing, case: case::<S> }
}

const PEERS: [Peer; 5] =
    [peer::<Piperoll>(), peer::<Postgres>(), peer::<Sqlite>(), peer::<DuckDb>(), peer::<ClickHouse>()];

/// Asks every system every question.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    let folder = place::fresh()?;
    let input = Input { events: bench.options.events, file: folder.path().join("rows.jsonl") };
    let mut askings = prepare(&input)?;
    print(&format!("## Questions, over {} events\n", input.events))?;
    print("| system | version | loaded and indexed | bytes an event on disk | how it is used |")?;
    print("|---|---|---|---|---|")?;
    let mut columns = Vec::new();
    for peer in PEERS.iter().filter(|peer| bench.options.takes(peer.name)) {
        if let Some(reason) = (peer.missing)() {
            print(&format!("| {} | not installed, because {reason} | – | – | – |", peer.name))?;
        } else {
            let times = (peer.case)(bench, &input, &mut askings).with_context(|| peer.name)?;
            columns.push((peer.name, times));
        }
    }
    tell(&askings, &columns)
}

/// Writes the rows, and chooses what is asked.
fn prepare(input: &Input) -> Result<Vec<Asking>> {
    let mut tally = Tally::default();
    let mut file = BufWriter::new(File::create(&input.file)?);
    for event in events(input.events) {
        tally.note(&event);
        serde_json::to_writer(&mut file, &Row::of(&event)?)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    let asking = |question| Asking { question, answers: Vec::new() };
    Ok(tally.questions()?.into_iter().map(asking).collect())
}

/// Fills one system and asks it everything; its answers must be those of the first one.
fn case<S: Asked>(bench: &Bench, input: &Input, askings: &mut [Asking]) -> Result<Times> {
    let folder = place::fresh()?;
    bench.runtime.block_on(async {
        let mut system = S::start(folder.path()).await?;
        let begun = now();
        system.fill(input).await?;
        let filled = begun.elapsed().as_secs_f64();
        if let Some(server) = system.server() {
            server.wait_until_quiet()?;
        }
        let bytes = system.stored_bytes().await? as f64 / input.events as f64;
        let about = system.about().await?;
        print(&format!(
            "| {} | {} | {filled:.1} s | {bytes:.0} | {} |",
            S::NAME,
            about.version,
            about.asked
        ))?;
        keep(&format!("compare questions {} disk", S::NAME), bytes, "bytes an event")?;
        let mut times = Vec::new();
        for asking in askings.iter_mut() {
            let repetitions = bench.options.repetitions;
            let asked = repeat(&mut system, asking, repetitions).await;
            times.push(asked.with_context(|| asking.question.name)?);
        }
        system.stop()?;
        Ok(times)
    })
}

/// Asks one question again and again.
async fn repeat<S: Asked>(system: &mut S, asking: &mut Asking, repetitions: usize) -> Result<[Duration; 2]> {
    let Asking { question, answers } = asking;
    for (number, ask) in question.variants.iter().enumerate() {
        let (_, answer) = system.ask(ask).await?;
        match answers.get(number) {
            Some(wanted) => answer.check(wanted).with_context(|| format!("{ask:?}"))?,
            None => answers.push(answer),
        }
    }
    let (mut times, begun) = (Vec::new(), now());
    let variants = question.variants.iter().zip(answers.iter()).cycle();
    for (ask, wanted) in variants.take(repetitions) {
        if times.len() >= REPEAT_MIN && begun.elapsed() > REPEAT_MAX {
            break;
        }
        let (time, answer) = system.ask(ask).await?;
        answer.check(wanted).with_context(|| format!("{ask:?}"))?;
        times.push(time);
    }
    times.sort_unstable();
    let percentile = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).copied().context("nothing was asked")
    };
    Ok([percentile(50)?, percentile(99)?])
}

fn tell(askings: &[Asking], columns: &[(&'static str, Times)]) -> Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    print(&format!("\nmedian, p99\n\n| question | answer | {} |", names.join(" | ")))?;
    print(&format!("|---|---|{}", "---|".repeat(names.len())))?;
    for (number, Asking { question, answers }) in askings.iter().enumerate() {
        let mut cells = Vec::new();
        for (name, times) in columns {
            let [median, p99] = *times.get(number).context("every question was asked")?;
            cells.push(format!("{}, {}", readable(median), readable(p99)));
            let figure = format!("compare question {name}, {}", question.name);
            keep(&format!("{figure} median"), median.as_secs_f64() * 1e3, "ms")?;
            keep(&format!("{figure} p99"), p99.as_secs_f64() * 1e3, "ms")?;
        }
        let size = answers.first().map(Answer::size).unwrap_or_default();
        print(&format!("| {} | {size} | {} |", question.name, cells.join(" | ")))?;
    }
    print("")
}

/// A time in the unit that suits it.
fn readable(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 1.0 {
        format!("{:.0} µs", ms * 1e3)
    } else if ms < 100.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
