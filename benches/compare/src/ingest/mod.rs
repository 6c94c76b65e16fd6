//! How fast events become durable: a closed loop, each system by itself.

mod load;

use crate::{
    Bench, MACHINE_RUNS, machine, place,
    report::{keep, print},
    samples::{Sample, samples},
    server::own_processor_seconds,
    systems::{
        Ingest, System, nats::Nats, piperoll::Piperoll, postgres::Postgres, redis::Redis, sqlite::Sqlite,
    },
};
use anyhow::{Context as _, Result};
use load::{Load, Sent};
use std::{sync::Arc, time::Duration};

/// Distinct events, sent round and round.
const EVENTS: usize = 200_000;

/// A system as a row of the tables.
struct Peer {
    name: &'static str,
    missing: fn() -> Option<String>,
    takes: fn(usize) -> bool,
    about: fn(&Bench) -> Result<()>,
    case: fn(&Bench, &[Arc<Sample>], usize) -> Result<f64>,
}

const fn peer<S: Ingest>() -> Peer {
    Peer { name: S::NAME, missing: S::missing, takes: S::takes, about: about::<S>, case: case::<S> }
}

const PEERS: [Peer; 6] = [
    peer::<Piperoll>(),
    peer::<Nats<false>>(),
    peer::<Nats<true>>(),
    peer::<Postgres>(),
    peer::<Sqlite>(),
    peer::<Redis>(),
];

/// Measures every system with every length of batch.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    let samples = samples(EVENTS)?;
    let mean = |bytes: usize| bytes / samples.len().max(1);
    print(&format!(
        "## Ingest, durable\n\nevents of {} bytes as protobuf, {} as a row, on average; {:.0} s a load\n",
        mean(samples.iter().map(|sample| sample.event.len()).sum()),
        mean(samples.iter().map(|sample| sample.row.bytes()).sum()),
        bench.options.time().as_secs_f64(),
    ))?;
    print("| system | version | durability, as read back | how it is used |")?;
    print("|---|---|---|---|")?;
    let mut peers = Vec::new();
    for peer in PEERS.iter().filter(|peer| bench.options.takes(peer.name)) {
        if let Some(reason) = (peer.missing)() {
            print(&format!("| {} | not installed, because {reason} | – | – |", peer.name))?;
        } else {
            (peer.about)(bench)?;
            peers.push(peer);
        }
    }
    print("")?;
    print(
        "| events a batch | system | events/s | ack p50 | ack p99 | in flight | server, s per million | \
         client, s per million | bytes an event on disk | sync before, µs |",
    )?;
    print("|---|---|---|---|---|---|---|---|---|---|")?;
    for &batch in &bench.options.batches {
        let mut rates = Vec::new();
        for peer in peers.iter().filter(|peer| (peer.takes)(batch)) {
            rates.push((peer.name, (peer.case)(bench, &samples, batch)?));
        }
        keep_ratio(batch, &rates)?;
    }
    print("")
}

fn about<S: Ingest>(bench: &Bench) -> Result<()> {
    let folder = place::fresh()?;
    let system = bench.runtime.block_on(S::start(folder.path()))?;
    let about = bench.runtime.block_on(system.about())?;
    system.stop()?;
    print(&format!("| {} | {} | {} | {} |", S::NAME, about.version, about.durability, about.sent))
}

/// One system, one length of batch; its rate comes back.
fn case<S: Ingest>(bench: &Bench, samples: &[Arc<Sample>], batch: usize) -> Result<f64> {
    let context = || format!("{} with batches of {batch}", S::NAME);
    measure::<S>(bench, samples, batch).with_context(context)
}

fn measure<S: Ingest>(bench: &Bench, samples: &[Arc<Sample>], batch: usize) -> Result<f64> {
    let folder = place::fresh()?;
    let batches: Arc<[S::Batch]> = samples.chunks_exact(batch).map(S::batch).collect();
    anyhow::ensure!(!batches.is_empty(), "there are no {batch} samples");
    let sync = machine::small_sync(folder.path(), MACHINE_RUNS)?;
    let system = bench.runtime.block_on(S::start(folder.path()))?;
    bench.runtime.block_on(system.add_indexes())?;
    bench.runtime.block_on(system.about())?;
    let (before, own_before) = (settled(&system)?, own_processor_seconds()?);
    let load = Load { batches, in_flight: S::IN_FLIGHT, time: bench.options.time() };
    let sent = bench.runtime.block_on(load::run(&system, &load))?;
    let own = own_processor_seconds()? - own_before;
    let server = settled(&system)? - before;
    let events = sent.batches * batch as u64;
    let (acknowledged, stored) = (sent.batches * S::counted(batch), bench.runtime.block_on(system.stored())?);
    anyhow::ensure!(stored == acknowledged, "{acknowledged} were acknowledged, and it has {stored}");
    let bytes = bench.runtime.block_on(system.stored_bytes())?;
    let (server, client) = if system.server().is_some() { (server, Some(own)) } else { (own, None) };
    system.stop()?;
    tell(Figures { name: S::NAME, batch, in_flight: S::IN_FLIGHT, events, sent, server, client, bytes, sync })
}

/// Processor seconds of the server, once it does nothing more.
fn settled<S: System>(system: &S) -> Result<f64> {
    let Some(server) = system.server() else { return Ok(0.0) };
    server.wait_until_quiet()?;
    server.processor_seconds()
}

struct Figures {
    name: &'static str,
    batch: usize,
    in_flight: usize,
    events: u64,
    sent: Sent,
    server: f64,
    client: Option<f64>,
    bytes: u64,
    sync: Duration,
}

fn tell(figures: Figures) -> Result<f64> {
    let Figures { name, batch, in_flight, events, sent, server, client, bytes, sync } = figures;
    let events = events as f64;
    let per_million = |seconds: f64| seconds * 1e6 / events;
    let rate = events / sent.seconds;
    let bytes = bytes as f64 / events;
    let [p50, p99] =
        [50.0, 99.0].map(|percentile| sent.latencies.value_at_percentile(percentile) as f64 / 1e6);
    print(&format!(
        "| {batch} | {name} | {rate:.0} | {p50:.2} ms | {p99:.2} ms | {in_flight} | {:.1} | {} | {bytes:.0} | {:.0} |",
        per_million(server),
        client.map_or_else(|| "in it".to_owned(), |seconds| format!("{:.1}", per_million(seconds))),
        sync.as_secs_f64() * 1e6,
    ))?;
    let name = format!("compare ingest {batch} {name}");
    keep(&format!("{name} rate"), rate, "events/s")?;
    keep(&format!("{name} ack p50"), p50, "ms")?;
    keep(&format!("{name} ack p99"), p99, "ms")?;
    keep(&format!("{name} server processor"), per_million(server), "s per million")?;
    keep(&format!("{name} disk"), bytes, "bytes an event")?;
    Ok(rate)
}

/// How piperoll does beside the best of the others.
fn keep_ratio(batch: usize, rates: &[(&str, f64)]) -> Result<()> {
    let own = rates.iter().find(|(name, _)| *name == Piperoll::NAME);
    let best = rates.iter().filter(|(name, _)| *name != Piperoll::NAME).map(|(_, rate)| *rate);
    if let (Some((_, own)), Some(best)) = (own, best.reduce(f64::max)) {
        keep(&format!("compare ingest {batch} rate"), own / best, "of the best peer's")?;
    }
    Ok(())
}
