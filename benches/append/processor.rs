//! Processor seconds of this process, told apart by the names of its threads.

use crate::load::CLIENT;
use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    ops::{AddAssign, Sub},
};

// The store's threads that index and seal behind the acknowledgements; a thread's name is cut to 15 bytes.
const KEEPER: &str = "piperoll-keeper";
const SEALER: &str = "piperoll-sealer";

/// Processor seconds so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processor {
    /// Of the client's threads.
    pub(crate) client: f64,
    /// Of the keeper, which indexes events as they come.
    pub(crate) keeper: f64,
    /// Of the sealer, which indexes and hashes full segments.
    pub(crate) sealer: f64,
    /// Of all others but the bench's own: the server, with each log's writer and the kernel's work for them.
    pub(crate) server: f64,
}

impl Processor {
    /// Reads them.
    pub(crate) fn read() -> Result<Self> {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let all = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        let main = std::process::id().to_string();
        let (mut client, mut keeper, mut sealer, mut own) = (0.0, 0.0, 0.0, 0.0);
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            // A thread that has ended meanwhile is none of those: they live as long as the daemon and the bench.
            let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
            let sum = match name.trim() {
                CLIENT => &mut client,
                KEEPER => &mut keeper,
                SEALER => &mut sealer,
                _ if path.ends_with(&main) => &mut own,
                _ => continue,
            };
            let text = fs::read_to_string(path.join("schedstat"))?;
            let on_processor = text.split(' ').next().context("schedstat is empty")?;
            *sum += on_processor.parse::<u64>()? as f64 / 1e9;
        }
        Ok(Self { client, keeper, sealer, server: all - client - keeper - sealer - own })
    }
}

impl Sub for Processor {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            client: self.client - before.client,
            keeper: self.keeper - before.keeper,
            sealer: self.sealer - before.sealer,
            server: self.server - before.server,
        }
    }
}

impl AddAssign for Processor {
    fn add_assign(&mut self, other: Self) {
        self.client += other.client;
        self.keeper += other.keeper;
        self.sealer += other.sealer;
        self.server += other.server;
    }
}
