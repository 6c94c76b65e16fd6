//! Processor seconds of this process, the client's share told apart by the names of its threads.

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// Processor seconds so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processor {
    /// Of the threads of the client.
    pub(crate) client: f64,
    /// Of all others: the server, with the engine's threads and the kernel's work for them.
    pub(crate) server: f64,
}

impl Processor {
    /// Reads them; the client's threads are called `client`.
    pub(crate) fn read(client: &str) -> Result<Self> {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let all = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        let mut client_ns = 0_u64;
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            // A thread that has ended meanwhile is none of the client's: those live as long as their runtime.
            let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
            if name.trim() == client {
                let text = fs::read_to_string(path.join("schedstat"))?;
                let on_processor = text.split(' ').next().context("schedstat is empty")?;
                client_ns += on_processor.parse::<u64>()?;
            }
        }
        let client = client_ns as f64 / 1e9;
        Ok(Self { client, server: all - client })
    }

    /// What was spent since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { client: self.client - before.client, server: self.server - before.server }
    }
}
