//! Latency of an acknowledgement at half of the closed-loop maximum of the same run, beside what it is made of:
//! a bare synced write of the same bytes, and an echo at the same rate, the three in turns.

use crate::{
    Bench, disk,
    messages::Shape,
    open::{self, Latencies},
    report::print,
    subject::Subject,
};
use anyhow::{Context as _, Result};
use std::time::Duration;

const SECONDS: f64 = 8.0;
const TURNS: u32 = 8;
/// Of the closed-loop maximum.
const LOAD_SHARE: f64 = 0.5;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Of the sum of sync and echo: the median, and the 99th percentile of that of theirs.
const MEDIANS: [f64; 2] = [2.0, 2.0];
const P99S: [f64; 2] = [4.0, 4.0];

/// The head of the table.
pub(crate) fn print_head() -> Result<()> {
    print("\n## Latency at half load: open loop, from when a message was due; median and p99 in µs\n")?;
    print("| events a message | events/s | write + fdatasync | echo | ack | median ratio | p99 ratio |")?;
    print("|---|---|---|---|---|---|---|")
}

/// One shape.
pub(crate) fn case(bench: &Bench, shape: Shape) -> Result<()> {
    let load = bench.samples.one_tenant(shape);
    let slice = bench.seconds(SECONDS)? / TURNS;
    let subject = Subject::start(bench, |_| {})?;
    // Makes the log; then the maximum.
    subject.slice(&load, slice)?;
    let rate = subject.slice(&load, 2 * slice)?.outcome.rate() * LOAD_SHARE;
    let message = load.messages.first().context("there are no messages")?;
    let [mut sync, mut echo, mut ack] = [new()?, new()?, new()?];
    for _ in 0..TURNS {
        for time in disk::bare_groups(&bench.directory, &message.body, slice / 4)? {
            sync.record(u64::try_from(time.as_nanos())?)?;
        }
        for (address, latencies) in [(bench.echo, &mut echo), (subject.address(), &mut ack)] {
            open::run(&bench.clients, address, &load, rate / shape.batch as f64, slice, latencies)?;
        }
        subject.settle()?;
    }
    subject.stop()?;
    let quantile = |of: &Latencies, q| Duration::from_nanos(of.value_at_quantile(q)).as_secs_f64() * 1e6;
    let both = |of: &Latencies| format!("{:.0}, {:.0}", quantile(of, 0.5), quantile(of, 0.99));
    let ratio = |q| quantile(&ack, q) / (quantile(&sync, q) + quantile(&echo, q));
    let (median, p99) = (ratio(0.5), ratio(0.99));
    let (of_sync, of_echo, of_ack) = (both(&sync), both(&echo), both(&ack));
    print(&format!("| {shape} | {rate:.0} | {of_sync} | {of_echo} | {of_ack} | {median:.2} | {p99:.2} |"))?;
    let unit = "of fdatasync + echo";
    bench.keep(&format!("ack {shape} half load median"), median, unit, MEDIANS)?;
    bench.keep(&format!("ack {shape} half load p99"), p99, unit, P99S)
}

fn new() -> Result<Latencies> {
    Ok(Latencies::new(SIGNIFICANT_DIGITS)?)
}
