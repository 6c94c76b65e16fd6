//! Closed loop: each sender has one batch in flight, and sends the next when that is acknowledged.

use crate::{
    clock::now,
    systems::{Ingest, Lane},
};
use anyhow::Result;
use hdrhistogram::Histogram;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Of a histogram of nanoseconds.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What is sent.
pub(crate) struct Load<B> {
    /// Sent round and round.
    pub(crate) batches: Arc<[B]>,
    pub(crate) in_flight: usize,
    pub(crate) time: Duration,
}

/// What came of it.
pub(crate) struct Sent {
    /// Batches acknowledged.
    pub(crate) batches: u64,
    /// From the first batch to the last acknowledgement.
    pub(crate) seconds: f64,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// Sends for as long as is said, and waits for every answer.
pub(crate) async fn run<S: Ingest>(system: &S, load: &Load<S::Batch>) -> Result<Sent> {
    let mut lanes = Vec::new();
    for _ in 0..load.in_flight {
        lanes.push(system.lane().await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let start = now();
    let end = start + load.time;
    let mut senders = JoinSet::new();
    for lane in lanes {
        senders.spawn(send(lane, Arc::clone(&load.batches), Arc::clone(&next), end));
    }
    let mut latencies = Histogram::new(SIGNIFICANT_DIGITS)?;
    while let Some(sent) = senders.join_next().await {
        latencies.add(sent??)?;
    }
    Ok(Sent { batches: latencies.len(), seconds: start.elapsed().as_secs_f64(), latencies })
}

async fn send<B: Send + Sync + 'static>(
    mut lane: impl Lane<B>,
    batches: Arc<[B]>,
    next: Arc<AtomicUsize>,
    end: Instant,
) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new(SIGNIFICANT_DIGITS)?;
    while now() < end {
        let number = next.fetch_add(1, Relaxed);
        let Some(batch) = batches.get(number % batches.len()) else { continue };
        let sent = now();
        lane.send(batch).await?;
        latencies.record(u64::try_from(sent.elapsed().as_nanos())?)?;
    }
    Ok(latencies)
}
