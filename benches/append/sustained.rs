//! Sustained: the closed-loop maximum of a minute without a pause, with retention at work. A daemon that leaves
//! work behind while it is loaded has not kept up: its rate counts until it has no more unsealed segments than
//! at the beginning.

use crate::{
    Bench,
    ceiling::Ceiling,
    load::Outcome,
    messages::Shape,
    or_dash, per_million,
    processor::Processor,
    report::print,
    subject::{Measured, Subject},
};
use anyhow::Result;
use piperoll_server::{Config, Keep, Span};
use std::time::Duration;

const SECONDS: f64 = 60.0;
/// The ceilings are measured for this share of the time, before it and after it.
const CEILING_SHARE: f64 = 0.05;
const CEILINGS: [f64; 2] = [0.25, 0.25];
/// Kept so long, a minute at full rate needs a tenth of the room.
const KEPT: Duration = Duration::from_secs(5);
const SWEPT_EVERY: Duration = Duration::from_secs(1);

/// The head of the table.
pub(crate) fn print_head() -> Result<()> {
    print("\n## Sustained: closed loop; rates in events/s, processor seconds per million events\n")?;
    print(
        "| events a message | daemon | (a) echo | (b) disk | of ceiling | while loaded | left unsealed | server | \
         index, seal | client |",
    )?;
    print("|---|---|---|---|---|---|---|---|---|---|")
}

/// One shape.
pub(crate) fn case(bench: &Bench, shape: Shape) -> Result<()> {
    let load = bench.samples.one_tenant(shape);
    let time = bench.seconds(SECONDS)?;
    let short = time.mul_f64(CEILING_SHARE);
    let subject = Subject::start(bench, expire_soon)?;
    let mut ceiling = Ceiling::default();
    // Tells how long the groups are.
    let warm = subject.slice(&load, short)?;
    ceiling.measure_echo(bench, &load, short)?;
    ceiling.measure_disk(bench, &load, warm.written, short)?;

    let unsealed = subject.scrape()?.unsealed()?;
    let before = Processor::read()?;
    let (outcome, written) = subject.load(&load, time)?;
    let left = subject.scrape()?.unsealed()? - unsealed;
    let drained = subject.drain(unsealed)?;
    let processor = Processor::read()? - before;
    subject.settle()?;

    ceiling.measure_echo(bench, &load, short)?;
    ceiling.measure_disk(bench, &load, written, short)?;
    let active = subject.seal()?;
    subject.stop()?;
    let sum = Measured { outcome, written, processor };
    let behind = sum.behind_per_million(active);
    tell(bench, shape, &ceiling, &sum, behind, (left, drained))
}

fn expire_soon(config: &mut Config) {
    config.retention.sweep_interval = Span(SWEPT_EVERY);
    config.retention.classes.iter_mut().for_each(|class| class.keep = Keep(Some(Span(KEPT))));
}

fn tell(
    bench: &Bench,
    shape: Shape,
    ceiling: &Ceiling,
    sum: &Measured,
    behind: Option<f64>,
    (left, drained): (f64, Duration),
) -> Result<()> {
    let Measured { outcome, processor, .. } = sum;
    let whole = Outcome { seconds: outcome.seconds + drained.as_secs_f64(), ..*outcome };
    let ratio = whole.rate() / ceiling.rate();
    let left = if left > 0.0 {
        format!("{left:.0} more, {:.1} s to seal", drained.as_secs_f64())
    } else {
        "no more".to_owned()
    };
    print(&format!(
        "| {shape} | {:.0} | {:.0} | {:.0} | {ratio:.2} | {:.0} | {left} | {:.2} | {} | {:.2} |",
        whole.rate(),
        ceiling.echo.rate(),
        ceiling.disk.rate(),
        outcome.rate(),
        per_million(processor.server, outcome.events),
        or_dash(behind),
        per_million(processor.client, outcome.events),
    ))?;
    bench.keep(&format!("append {shape} sustained"), ratio, "of ceiling", CEILINGS)
}
