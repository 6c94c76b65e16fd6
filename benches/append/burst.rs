//! Bursts: the closed-loop maximum of some seconds, in slices.

use crate::{
    Bench,
    ceiling::Ceiling,
    messages::Shape,
    or_dash, per_million,
    report::print,
    subject::{Measured, Subject},
};
use anyhow::Result;

const SECONDS: f64 = 5.0;
/// Slices; echo, daemon and disk take turns, since a disk that syncs in 0.1 ms now may take 4 ms in a second:
/// a ratio of figures that were measured one after the other would be a ratio of two moods of the disk.
const TURNS: u32 = 8;
/// Of the ceiling: what must be reached, and what is aimed at.
const CEILINGS: [f64; 2] = [0.4, 0.6];
/// One-event messages on streams, as a share of the echo's rate.
const ECHOES_OF_STREAMED: [f64; 2] = [0.2, 0.4];
/// Processor seconds a million events of a long batch: of the server, and as many for index and seal.
const SECONDS_PER_MILLION: [f64; 2] = [1.5, 1.5];
const LONG_BATCH: usize = 1_000;

/// The head of the table.
pub(crate) fn print_head() -> Result<()> {
    print("## Burst: closed loop; rates in events/s, processor seconds per million events\n")?;
    print(
        "| events a message | daemon | (a) echo | (b) disk | of ceiling | events a sync | server | index, seal | \
         client | echo's server |",
    )?;
    print("|---|---|---|---|---|---|---|---|---|---|")
}

/// One shape.
pub(crate) fn case(bench: &Bench, shape: Shape) -> Result<()> {
    let load = bench.samples.one_tenant(shape);
    let slice = bench.seconds(SECONDS)? / TURNS;
    let subject = Subject::start(bench, |_| {})?;
    let (mut ceiling, mut sum) = (Ceiling::default(), Measured::default());
    for _ in 0..TURNS {
        ceiling.measure_echo(bench, &load, slice)?;
        let measured = subject.slice(&load, slice)?;
        ceiling.measure_disk(bench, &load, measured.written, slice)?;
        sum.add(measured);
    }
    let unsealed = subject.seal()?;
    subject.stop()?;
    tell(bench, shape, &ceiling, &sum, unsealed)
}

fn tell(bench: &Bench, shape: Shape, ceiling: &Ceiling, sum: &Measured, unsealed: f64) -> Result<()> {
    let Measured { outcome, written, processor } = sum;
    let ratio = outcome.rate() / ceiling.rate();
    let server = per_million(processor.server, outcome.events);
    let behind = sum.behind_per_million(unsealed);
    print(&format!(
        "| {shape} | {:.0} | {:.0} | {:.0} | {ratio:.2}{} | {:.0} | {server:.2} | {} | {:.2} | {:.2} |",
        outcome.rate(),
        ceiling.echo.rate(),
        ceiling.disk.rate(),
        if ratio > 1.0 { " (?)" } else { "" },
        outcome.events / written.syncs,
        or_dash(behind),
        per_million(processor.client, outcome.events),
        per_million(ceiling.echo_seconds, ceiling.echo.events),
    ))?;
    let keep = |what: &str, value, unit, targets| {
        bench.keep(&format!("append {shape} {what}"), value, unit, targets)
    };
    // Nothing is faster than its ceiling: otherwise the disk was another one from turn to turn.
    if ratio <= 1.0 {
        keep("burst", ratio, "of ceiling", CEILINGS)?;
    }
    if shape.streams && shape.batch == 1 {
        keep("burst of echo", outcome.rate() / ceiling.echo.rate(), "of echo", ECHOES_OF_STREAMED)?;
    }
    if shape.batch >= LONG_BATCH {
        keep("server processor", server, "s per million", SECONDS_PER_MILLION)?;
        if let Some(behind) = behind {
            keep("index and seal processor", behind, "s per million", SECONDS_PER_MILLION)?;
        }
    }
    Ok(())
}
