//! What happens without anybody asking: sweeps on a schedule, and health that follows the logs.

use crate::{daemon::Daemon, grpc::HealthSwitch};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// A daemon that is restarted every day sweeps all the same.
const FIRST_SWEEP_MAX: Duration = Duration::from_mins(5);
/// How soon health follows.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Sweeps on schedule, until the daemon ends.
pub(crate) async fn sweep(daemon: Arc<Daemon>, interval: Duration) {
    let mut wait = interval.min(FIRST_SWEEP_MAX);
    loop {
        tokio::select! {
            () = daemon.stopping.cancelled() => return,
            () = sleep(wait) => {}
        }
        wait = interval;
        match daemon.sweep(false).await {
            Ok(swept) => {
                tracing::info!(segments = swept.segments.len(), freed_bytes = swept.freed_bytes, "swept");
            }
            Err(refusal) => {
                daemon.metrics.sweep_failures.inc();
                tracing::error!(error = %refusal, "the sweep failed and is tried again");
            }
        }
    }
}

/// `EventService` is healthy while every log takes appends; everything is unhealthy once the daemon ends.
pub(crate) async fn health(daemon: Arc<Daemon>, switch: HealthSwitch) {
    loop {
        let takes_appends = daemon.appender.clock_refusal().is_none() && daemon.reader.refusing().is_empty();
        switch.events(takes_appends).await;
        tokio::select! {
            () = daemon.stopping.cancelled() => return switch.all_down().await,
            () = sleep(HEALTH_INTERVAL) => {}
        }
    }
}
