//! Latency of an acknowledgement at half of the closed-loop maximum of the same run, beside what it is made of:
//! bare synced writes of the same bytes at the same rate, and an echo at that rate, the three in turns.

use crate::{
    Bench, disk,
    messages::Shape,
    open::{self, Latencies},
    report::print,
    scrape::Written,
    subject::Subject,
};
use anyhow::{Context as _, Result};
use std::time::Duration;

const SECONDS: f64 = 8.0;
const TURNS: u32 = 8;
/// Of the closed-loop maximum.
const LOAD_SHARE: f64 = 0.5;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Of the bare loop's writes: the daemon's `group_bytes_max`.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Of the sum of sync and echo: the median, and the 99th percentile of that of theirs.
const MEDIANS: [f64; 2] = [2.0, 2.0];
const P99S: [f64; 2] = [4.0, 4.0];

/// The head of the table.
pub(crate) fn print_head() -> Result<()> {
    print("\n## Latency at half load: open loop, from when a message was due; median and p99 in µs\n")?;
    print(
        "| events a message | events/s | write + fdatasync | echo | ack | median ratio | p99 ratio | events a sync |",
    )?;
    print("|---|---|---|---|---|---|---|---|")
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
    let mut written = Written::default();
    let [mut sync, mut synced, mut echo, mut ack] = [new()?, new()?, new()?, new()?];
    for _ in 0..TURNS {
        let due = (rate / shape.batch as f64, GROUP_BYTES_MAX);
        disk::open_groups(&bench.directory, &message.body, due, slice, (&mut sync, &mut synced))?;
        for (address, latencies) in [(bench.echo, &mut echo), (subject.address(), &mut ack)] {
            let before = subject.scrape()?.written()?;
            open::run(&bench.clients, address, &load, rate / shape.batch as f64, slice, latencies)?;
            // The echo writes nothing.
            written += subject.scrape()?.written()? - before;
        }
        subject.settle()?;
    }
    subject.stop()?;
    let quantile = |of: &Latencies, q| Duration::from_nanos(of.value_at_quantile(q)).as_secs_f64() * 1e6;
    let [sync, synced, echo, ack] =
        [sync, synced, echo, ack].map(|of| [quantile(&of, 0.5), quantile(&of, 0.99)]);
    let [median, p99] = [ack[0] / (sync[0] + echo[0]), ack[1] / (synced[1] + echo[1])];
    let group = written.events / written.syncs;
    let [of_sync, of_echo, of_ack] =
        [[sync[0], synced[1]], echo, ack].map(|[median, p99]| format!("{median:.0}, {p99:.0}"));
    print(&format!(
        "| {shape} | {rate:.0} | {of_sync} | {of_echo} | {of_ack} | {median:.2} | {p99:.2} | {group:.0} |"
    ))?;
    let unit = "of fdatasync + echo";
    bench.keep(&format!("ack {shape} half load median"), median, unit, MEDIANS)?;
    bench.keep(&format!("ack {shape} half load p99"), p99, unit, P99S)
}

fn new() -> Result<Latencies> {
    Ok(Latencies::new(SIGNIFICANT_DIGITS)?)
}
