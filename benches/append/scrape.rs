//! What the daemon did, by its own metrics: so that the disk's ceiling is measured with the same groups.

use anyhow::{Context as _, Result};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::{AddAssign, Sub},
};

/// Totals since the daemon's start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Written {
    /// Events stored.
    pub(crate) events: f64,
    /// Bytes of frames.
    pub(crate) bytes: f64,
    /// Syncs that acknowledgements waited for.
    pub(crate) syncs: f64,
}

impl Sub for Written {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            events: self.events - before.events,
            bytes: self.bytes - before.bytes,
            syncs: self.syncs - before.syncs,
        }
    }
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.syncs += other.syncs;
    }
}

/// A scrape.
pub(crate) struct Scrape(String);

impl Scrape {
    /// Asks for it.
    pub(crate) fn of(http: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(http)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(Self(page))
    }

    /// What was written.
    pub(crate) fn written(&self) -> Result<Written> {
        Ok(Written {
            events: self.number("piperoll_append_events_total")?,
            bytes: self.number("piperoll_append_bytes_total")?,
            syncs: self.number("piperoll_sync_duration_seconds_count")?,
        })
    }

    /// Segments that are full and not sealed yet.
    pub(crate) fn unsealed(&self) -> Result<f64> {
        self.number("piperoll_unsealed_segments")
    }

    /// Logs.
    pub(crate) fn logs(&self) -> Result<f64> {
        self.number("piperoll_logs")
    }

    fn number(&self, name: &str) -> Result<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }
}
