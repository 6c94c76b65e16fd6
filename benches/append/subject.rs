//! The daemon that is measured: loaded, left to finish what it does behind its acknowledgements, counted.

use crate::{
    Bench,
    clock::now,
    daemon,
    load::{self, Outcome},
    messages::Load,
    per_million,
    processor::Processor,
    scrape::{Scrape, Written},
};
use anyhow::Result;
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::SealRequest;
use piperoll_server::{Config, Running};
use std::{thread::sleep, time::Duration};
use tempfile::TempDir;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longer than the store's threads wait before they look for work again.
const QUIET: Duration = Duration::from_millis(250);
/// A daemon with nothing to do takes less of a processor.
const QUIET_SHARE: f64 = 0.05;
/// Nothing takes so long; something is wrong then.
const SETTLE_MAX: Duration = Duration::from_mins(5);

/// A daemon on a directory of its own, with its defaults.
pub(crate) struct Subject<'a> {
    bench: &'a Bench,
    running: Running,
    // Deleted with the subject.
    _held: TempDir,
}

/// What slices of one load came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    pub(crate) written: Written,
    /// With the indexing and sealing that the load left behind.
    pub(crate) processor: Processor,
}

impl Measured {
    /// Processor seconds that index and seal take for a million events: the keeper's of all events, the sealer's of
    /// those in full segments. `unsealed` events were in none; `None` where all were.
    pub(crate) fn behind_per_million(&self, unsealed: f64) -> Option<f64> {
        let sealed = self.outcome.events - unsealed;
        let seconds = per_million(self.processor.keeper, self.outcome.events);
        (sealed > 0.0).then(|| seconds + per_million(self.processor.sealer, sealed))
    }

    /// Adds another slice.
    pub(crate) fn add(&mut self, other: Self) {
        self.outcome.add(other.outcome);
        self.written += other.written;
        self.processor += other.processor;
    }
}

impl<'a> Subject<'a> {
    /// Starts it, with `change` made to its settings.
    pub(crate) fn start(bench: &'a Bench, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let held = tempfile::tempdir_in(&bench.directory)?;
        let running = daemon::start_daemon(&bench.servers, &held.path().join("data"), change)?;
        Ok(Self { bench, running, _held: held })
    }

    /// Where it serves gRPC.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running.grpc_address
    }

    /// Its metrics.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Scrape::of(self.running.http_address)
    }

    /// Sends a load for `time`; what it wrote is checked against what was acknowledged.
    pub(crate) fn load(&self, load: &Load, time: Duration) -> Result<(Outcome, Written)> {
        let before = self.scrape()?.written()?;
        let outcome = load::run(&self.bench.clients, self.address(), load, time)?;
        let written = self.scrape()?.written()? - before;
        let (counted, answered) = (written.events, outcome.events);
        anyhow::ensure!(
            counted.total_cmp(&answered).is_eq(),
            "the daemon counts {counted} events and acknowledged {answered}"
        );
        Ok((outcome, written))
    }

    /// A slice of a load, and all that it costs.
    pub(crate) fn slice(&self, load: &Load, time: Duration) -> Result<Measured> {
        let before = Processor::read()?;
        let (outcome, written) = self.load(load, time)?;
        self.settle()?;
        Ok(Measured { outcome, written, processor: Processor::read()? - before })
    }

    /// Waits until no more than `unsealed` full segments are not sealed; the time that it took.
    pub(crate) fn drain(&self, unsealed: f64) -> Result<Duration> {
        let start = now();
        while self.scrape()?.unsealed()? > unsealed {
            anyhow::ensure!(start.elapsed() < SETTLE_MAX, "segments stay unsealed");
            sleep(LOOK_EVERY);
        }
        Ok(start.elapsed())
    }

    /// Waits until it has sealed what is full and does nothing more.
    pub(crate) fn settle(&self) -> Result<()> {
        let start = now();
        self.drain(0.0)?;
        let quiet = if self.bench.scale.full { QUIET } else { LOOK_EVERY };
        loop {
            let before = Processor::read()?;
            sleep(quiet);
            let spent = Processor::read()? - before;
            if spent.server + spent.keeper + spent.sealer < QUIET_SHARE * quiet.as_secs_f64() {
                return Ok(());
            }
            anyhow::ensure!(start.elapsed() < SETTLE_MAX, "the daemon does not come to rest");
        }
    }

    /// Seals what is not sealed yet, and tells how many events that are.
    pub(crate) fn seal(&self) -> Result<f64> {
        let events: u64 = self.bench.clients.block_on(async {
            let client = Client::connect(ClientOptions::new(format!("http://{}", self.address()))).await?;
            let sealed = client.seal(SealRequest::default()).await?.segments;
            anyhow::Ok(sealed.iter().map(|segment| segment.end_sequence - segment.first_sequence).sum())
        })?;
        Ok(events as f64)
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Result<()> {
        Ok(self.bench.servers.block_on(self.running.stop())?)
    }
}
