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

use anyhow::{Context as _, Result};
use bytes::Bytes;
use load::{CLIENT, Outcome, Shape};
use piperoll_proto::raw::event_service_server::EventServiceServer;
use report::{Scale, print};
use scrape::Written;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Runtime;
use tonic::service::Routes;

/// A request may have 8 MiB of events; the echo takes what the daemon takes.
const REQUEST_BYTES_MAX: usize = (8 << 20) + 4_096;
const BURST_SECONDS: f64 = 2.0;
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

/// The three rates of one case.
struct Measured {
    shape: Shape,
    echo: Outcome,
    daemon: Outcome,
    written: Written,
    /// Events a second of bare synced writes.
    disk: f64,
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

    fn case(&self, shape: Shape) -> Result<()> {
        let messages = load::messages(&self.events, shape.batch);
        let time = self.burst;
        let echo = load::run(&self.clients, self.echo, shape, &messages, time)?;
        let (daemon, written) = self.daemon(shape, &messages, time)?;
        let group = scrape::group(&messages, written.bytes / written.syncs);
        let group_seconds = disk::bare_group_seconds(&self.directory, &group, time)?;
        let disk = daemon.events / written.syncs / group_seconds;
        self.tell(&Measured { shape, echo, daemon, written, disk })
    }

    /// The daemon on a fresh directory, and what it wrote until the last acknowledgement.
    fn daemon(&self, shape: Shape, messages: &Arc<[Bytes]>, time: Duration) -> Result<(Outcome, Written)> {
        let directory = tempfile::tempdir_in(&self.directory)?;
        let daemon = daemon::start_daemon(&self.servers, &directory.path().join("data"))?;
        let outcome = load::run(&self.clients, daemon.grpc_address, shape, messages, time)?;
        let written = scrape::written(daemon.http_address).context("reading the daemon's metrics")?;
        anyhow::ensure!(
            written.events.total_cmp(&outcome.events).is_eq(),
            "the daemon counts {} events and acknowledged {}",
            written.events,
            outcome.events
        );
        self.servers.block_on(daemon.stop())?;
        Ok((outcome, written))
    }

    fn tell(&self, measured: &Measured) -> Result<()> {
        let Measured { shape, echo, daemon, written, disk } = measured;
        let kind = if shape.streams { "streams" } else { "unary" };
        let ratio = daemon.rate() / echo.rate().min(*disk);
        let per_million = |seconds: f64, events: f64| seconds * 1e6 / events;
        print(&format!(
            "| {kind}, {} | {:.0} | {:.0} | {disk:.0} | {ratio:.2} | {:.0} | {:.2} | {:.2} | {:.2} |",
            shape.batch,
            daemon.rate(),
            echo.rate(),
            written.events / written.syncs,
            per_million(daemon.processor.server, daemon.events),
            per_million(daemon.processor.client, daemon.events),
            per_million(echo.processor.server, echo.events),
        ))?;
        report::keep(
            self.scale,
            &format!("append {kind} {} burst", shape.batch),
            ratio,
            "of ceiling",
            TARGETS,
        )
    }
}
