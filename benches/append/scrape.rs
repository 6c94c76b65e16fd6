//! What the daemon wrote, by its own metrics: so that the disk's ceiling is measured with the same groups.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// Totals since the daemon's start.
pub(crate) struct Written {
    /// Events stored.
    pub(crate) events: f64,
    /// Bytes of frames.
    pub(crate) bytes: f64,
    /// Syncs that acknowledgements waited for.
    pub(crate) syncs: f64,
}

impl Written {
    /// What was written since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            events: self.events - before.events,
            bytes: self.bytes - before.bytes,
            syncs: self.syncs - before.syncs,
        }
    }
}

/// Reads them.
pub(crate) fn written(http: SocketAddr) -> Result<Written> {
    let mut stream = TcpStream::connect(http)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let number = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        anyhow::Ok(line.with_context(|| format!("no metric {name}"))?.trim().parse::<f64>()?)
    };
    Ok(Written {
        events: number("piperoll_append_events_total")?,
        bytes: number("piperoll_append_bytes_total")?,
        syncs: number("piperoll_sync_duration_seconds_count")?,
    })
}

/// About `bytes` bytes of messages.
pub(crate) fn group(messages: &[Bytes], bytes: f64) -> Vec<u8> {
    let mut group = Vec::new();
    for message in messages.iter().cycle() {
        if group.len() as f64 + message.len() as f64 / 2.0 > bytes && !group.is_empty() {
            break;
        }
        group.extend_from_slice(message);
    }
    group
}
