//! How near to what the wire and the disk allow events are appended: `cargo bench -p piperoll --bench append`.
//!
//! Each figure is a ratio within one run: the daemon's rate over its ceiling, the smaller of an echo of the
//! same messages and bare synced writes of the same groups. See `docs/performance.md`.

#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/daemon.rs"]
mod daemon;
mod disk;
mod echo;
mod load;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/net.rs"]
mod net;
mod processor;
#[path = "../support/report.rs"]
mod report;
mod scrape;

use anyhow::Result;
use load::{CLIENT, Outcome, Shape};
use piperoll_proto::raw::event_service_server::EventServiceServer;
use report::{Scale, print};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::runtime::Runtime;
use tonic::service::Routes;

/// A request may have 8 MiB of events; the echo takes what the daemon takes.
const REQUEST_BYTES_MAX: usize = (8 << 20) + 4_096;
const BURST_SECONDS: f64 = 2.0;
/// Slices of a burst; echo, daemon and disk take turns.
const TURNS: u32 = 8;
/// Distinct events that are sent round and round.
const EVENTS: usize = 200_000;
/// Of the ceiling: what must be reached, and what is aimed at.
const TARGETS: [f64; 2] = [0.4, 0.6];

/// What all cases share.
struct Bench {
    scale: Scale,
    burst: Duration,
    directory: PathBuf,
    servers: Runtime,
    clients: Runtime,
    echo: SocketAddr,
    events: Vec<Vec<u8>>,
}

/// The sums of a case's turns.
#[derive(Default)]
struct Measured {
    echo: Outcome,
    daemon: Outcome,
    /// Syncs that the daemon's acknowledgements waited for.
    syncs: f64,
    /// What the daemon's groups take as bare synced writes.
    disk_seconds: f64,
}

fn main() -> Result<()> {
    let scale = Scale::of_this_run();
    let directory = report::directory()?;
    let (servers, clients) = (net::runtime("bench-server")?, net::runtime(CLIENT)?);
    let echo = EventServiceServer::new(echo::Echo).max_decoding_message_size(REQUEST_BYTES_MAX);
    let echo = servers.block_on(net::serve(Routes::new(echo)))?;
    let events = load::events(if scale.full { EVENTS } else { 2_000 });
    let burst = Duration::from_secs_f64(scale.pick("PIPEROLL_BENCH_SECONDS", BURST_SECONDS, 0.01)?);
    let bench = Bench { scale, burst, directory, servers, clients, echo, events };
    bench.print_head()?;
    for streams in [true, false] {
        for batch in [1, 16, 256, 1_000] {
            bench.case(Shape { streams, batch })?;
        }
    }
    Ok(())
}

impl Bench {
    fn print_head(&self) -> Result<()> {
        machine::print_facts(&self.directory)?;
        let message = load::messages(&self.events, 1);
        let runs = self.scale.runs();
        let round_trip = load::round_trip(&self.clients, self.echo, &message, runs)?;
        machine::print_speeds(&self.directory, round_trip, runs)?;
        let bytes: usize = self.events.iter().map(Vec::len).sum();
        print(&format!("events of {} bytes on average; rates in events/s\n", bytes / self.events.len()))?;
        print(
            "| events a message | daemon | (a) echo | (b) disk | of ceiling | events a sync | server s/M | \
             client s/M | echo server s/M |",
        )?;
        print("|---|---|---|---|---|---|---|---|---|")
    }

    /// In turns, since a disk that syncs in 0.1 ms now may take 4 ms in a second: a ratio of figures that were
    /// measured one after the other would be a ratio of two moods of the disk.
    fn case(&self, shape: Shape) -> Result<()> {
        let messages = load::messages(&self.events, shape.batch);
        let slice = self.burst / TURNS;
        let directory = tempfile::tempdir_in(&self.directory)?;
        let daemon = daemon::start_daemon(&self.servers, &directory.path().join("data"))?;
        let mut sum = Measured::default();
        for _ in 0..TURNS {
            sum.echo.add(&load::run(&self.clients, self.echo, shape, &messages, slice)?);
            let before = scrape::written(daemon.http_address)?;
            let outcome = load::run(&self.clients, daemon.grpc_address, shape, &messages, slice)?;
            let written = scrape::written(daemon.http_address)?.since(&before);
            let (counted, answered) = (written.events, outcome.events);
            anyhow::ensure!(
                counted.total_cmp(&answered).is_eq(),
                "the daemon counts {counted} events and acknowledged {answered}"
            );
            let group = scrape::group(&messages, written.bytes / written.syncs);
            let group_seconds = disk::bare_group_seconds(&self.directory, &group, slice)?;
            sum.disk_seconds += written.syncs * group_seconds;
            sum.syncs += written.syncs;
            sum.daemon.add(&outcome);
        }
        self.servers.block_on(daemon.stop())?;
        self.tell(shape, &sum)
    }

    fn tell(&self, shape: Shape, sum: &Measured) -> Result<()> {
        let kind = if shape.streams { "streams" } else { "unary" };
        let (daemon, echo) = (&sum.daemon, &sum.echo);
        let disk = daemon.events / sum.disk_seconds;
        let ratio = daemon.rate() / echo.rate().min(disk);
        let per_million = |seconds: f64, events: f64| seconds * 1e6 / events;
        print(&format!(
            "| {kind}, {} | {:.0} | {:.0} | {disk:.0} | {ratio:.2}{} | {:.0} | {:.2} | {:.2} | {:.2} |",
            shape.batch,
            daemon.rate(),
            echo.rate(),
            if ratio > 1.0 { " (?)" } else { "" },
            daemon.events / sum.syncs,
            per_million(daemon.processor.server, daemon.events),
            per_million(daemon.processor.client, daemon.events),
            per_million(echo.processor.server, echo.events),
        ))?;
        if ratio > 1.0 {
            // Nothing is faster than its ceiling: the disk was another one from turn to turn.
            return Ok(());
        }
        report::keep(
            self.scale,
            &format!("append {kind} {} burst", shape.batch),
            ratio,
            "of ceiling",
            TARGETS,
        )
    }
}
