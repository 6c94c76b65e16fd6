//! How near to what the wire and the disk allow events are appended: `cargo bench -p piperoll --bench append`.
//!
//! Each figure is a ratio within one run: the daemon's rate over its ceiling, the smaller of an echo of the
//! same messages and bare synced writes of the same groups. Words after `--` choose cases: `burst unary 256`.
//! See `docs/performance.md`.

mod burst;
mod ceiling;
#[path = "../support/choice.rs"]
mod choice;
#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/daemon.rs"]
mod daemon;
mod disk;
mod echo;
mod latency;
mod load;
#[path = "../support/machine.rs"]
mod machine;
mod messages;
#[path = "../support/net.rs"]
mod net;
mod open;
mod processor;
#[path = "../support/report.rs"]
mod report;
mod scrape;
#[path = "../support/serve.rs"]
mod serve;
mod subject;
mod sustained;
mod tenants;

use anyhow::Result;
use choice::Choice;
use load::CLIENT;
use messages::{Samples, Shape};
use piperoll_proto::raw::event_service_server::EventServiceServer;
use report::{Scale, print};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::runtime::Runtime;
use tonic::service::Routes;

/// A request may have 8 MiB of events; the echo takes what the daemon takes.
const REQUEST_BYTES_MAX: usize = (8 << 20) + 4_096;
/// Distinct events that are sent round and round.
const EVENTS: usize = 200_000;
const STREAMS: [usize; 3] = [1, 16, 256];
const UNARY: [usize; 4] = [1, 16, 256, 1_024];

/// What all cases share.
struct Bench {
    scale: Scale,
    directory: PathBuf,
    servers: Runtime,
    clients: Runtime,
    echo: SocketAddr,
    samples: Samples,
}

/// Cases of one kind.
struct Kind {
    name: &'static str,
    /// Only when asked for.
    is_long: bool,
    shapes: Vec<Shape>,
    print_head: fn() -> Result<()>,
    case: fn(&Bench, Shape) -> Result<()>,
}

fn main() -> Result<()> {
    let scale = Scale::of_this_run();
    let directory = report::directory()?;
    let (servers, clients) = (net::runtime("bench-server")?, net::runtime(CLIENT)?);
    let echo = EventServiceServer::new(echo::Echo).max_decoding_message_size(REQUEST_BYTES_MAX);
    let echo = servers.block_on(serve::serve(Routes::new(echo)))?;
    let samples = Samples::new(if scale.full { EVENTS } else { 20_000 });
    let bench = Bench { scale, directory, servers, clients, echo, samples };
    bench.print_machine()?;
    let choice = Choice::of_this_run(scale);
    for kind in kinds() {
        let name = |shape: &&Shape| choice.takes(&format!("{} {shape}", kind.name), kind.is_long);
        let shapes: Vec<_> = kind.shapes.iter().filter(name).collect();
        if !shapes.is_empty() {
            (kind.print_head)()?;
        }
        shapes.into_iter().try_for_each(|shape| (kind.case)(&bench, *shape))?;
    }
    choice.check()
}

fn kinds() -> [Kind; 4] {
    let shapes = |streams: &[usize], unary: &[usize]| {
        let shape = |streams| move |batch: &usize| Shape { streams, batch: *batch };
        streams.iter().map(shape(true)).chain(unary.iter().map(shape(false))).collect()
    };
    [
        Kind {
            name: "burst",
            is_long: false,
            shapes: shapes(&STREAMS, &UNARY),
            print_head: burst::print_head,
            case: burst::case,
        },
        Kind {
            name: "latency",
            is_long: false,
            shapes: shapes(&[1, 256], &[1, 16, 256]),
            print_head: latency::print_head,
            case: latency::case,
        },
        Kind {
            name: "tenants",
            is_long: false,
            shapes: shapes(&[256], &[256]),
            print_head: tenants::print_head,
            case: tenants::case,
        },
        Kind {
            name: "sustained",
            is_long: true,
            shapes: shapes(&STREAMS, &UNARY),
            print_head: sustained::print_head,
            case: sustained::case,
        },
    ]
}

impl Bench {
    fn print_machine(&self) -> Result<()> {
        machine::print_facts(&self.directory)?;
        let one_event = self.samples.one_tenant(Shape { streams: false, batch: 1 });
        let runs = self.scale.runs();
        let round_trip = load::round_trip(&self.clients, self.echo, &one_event, runs)?;
        machine::print_speeds(&self.directory, Some(round_trip), runs)?;
        print(&format!("events of {} bytes on average\n", self.samples.mean_bytes()))
    }

    /// How long a load runs, all its slices together.
    fn seconds(&self, default: f64) -> Result<Duration> {
        Ok(Duration::from_secs_f64(self.scale.pick("PIPEROLL_BENCH_SECONDS", default, 0.01)?))
    }

    /// Keeps a figure.
    fn keep(&self, figure: &str, value: f64, unit: &str, targets: [f64; 2]) -> Result<()> {
        report::keep(self.scale, figure, value, unit, targets)
    }
}

/// Seconds for a million events.
fn per_million(seconds: f64, events: f64) -> f64 {
    seconds * 1e6 / events
}

/// Processor seconds, where there are any to tell.
fn or_dash(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.2}"))
}
