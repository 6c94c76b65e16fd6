//! What nothing can be faster than: an echo of the same messages, and bare synced writes of the same groups.

use crate::{
    Bench, disk,
    load::{self, Outcome},
    messages::Load,
    processor::Processor,
    scrape::Written,
};
use anyhow::Result;
use std::time::Duration;

/// Both, in slices.
#[derive(Default)]
pub(crate) struct Ceiling {
    pub(crate) echo: Outcome,
    /// Processor seconds of the echo's server.
    pub(crate) echo_seconds: f64,
    /// The daemon's events in its own groups, written and synced by nobody else's leave.
    pub(crate) disk: Outcome,
}

impl Ceiling {
    /// Sends a load to the echo for `time`.
    pub(crate) fn measure_echo(&mut self, bench: &Bench, load: &Load, time: Duration) -> Result<()> {
        let before = Processor::read()?;
        self.echo.add(load::run(&bench.clients, bench.echo, load, time)?);
        self.echo_seconds += (Processor::read()? - before).server;
        Ok(())
    }

    /// Writes groups like the daemon's for `time`.
    pub(crate) fn measure_disk(
        &mut self,
        bench: &Bench,
        load: &Load,
        written: Written,
        time: Duration,
    ) -> Result<()> {
        let group = load.group(written.bytes / written.syncs);
        let times = disk::bare_groups(&bench.directory, &group, time)?;
        let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
        self.disk.add(Outcome { events: written.events, seconds: written.syncs * mean });
        Ok(())
    }

    /// The smaller of both, in events a second.
    pub(crate) fn rate(&self) -> f64 {
        self.echo.rate().min(self.disk.rate())
    }
}
