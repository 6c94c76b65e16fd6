//! What a scrape of `/metrics` shows. Counters of the engine are read when it is asked, not copied before.

use crate::refusal::Refusal;
use piperoll_store::{LogStatus, SYNC_BUCKET_BORDERS_NS, StoreCounts};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, text::encode},
    metrics::{MetricType, counter::Counter, exemplar::Exemplar, family::Family},
    registry::Registry,
};
use std::fmt;
use tonic::Status;

/// The daemon's own counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Requests acknowledged.
    pub(crate) acks: Counter,
    /// Requests refused, by reason.
    pub(crate) refusals: Refusals,
    /// Fields of events that this version does not know.
    pub(crate) unknown_fields: Counter,
    /// Sweeps that failed.
    pub(crate) sweep_failures: Counter,
}

/// Counts refusals by their reasons; a clone counts into the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Family<Reason, Counter>);

impl Refusals {
    /// Counts a refusal and makes its status.
    pub(crate) fn status(&self, refusal: Refusal) -> Status {
        self.0.get_or_create(&Reason { reason: refusal.reason }).inc();
        tracing::debug!(reason = refusal.reason, message = %refusal, "refused");
        refusal.into()
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What is read for a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// The engine's counters.
    pub(crate) store: StoreCounts,
    /// The logs' states.
    pub(crate) logs: Vec<LogStatus>,
    /// Tails connected.
    pub(crate) tails: u64,
    /// When the sweeper last ran, in seconds since 1970; 0 for not yet.
    pub(crate) last_sweep_seconds: f64,
    /// Bytes cut from torn tails at the start.
    pub(crate) cut_bytes: u64,
    /// Bytes free on the file system.
    pub(crate) free_bytes: u64,
    /// Bytes that the ballast holds.
    pub(crate) ballast_bytes: u64,
    /// Sealed segments that are open.
    pub(crate) open_segments: u64,
    /// Bytes of memory that terms of sealed segments take.
    pub(crate) term_set_bytes: u64,
    /// How far the clock is ahead of what is believed, in seconds.
    pub(crate) clock_ahead_seconds: f64,
}

/// A number: name, explanation, value.
type Number<T> = (&'static str, &'static str, T);

impl Metrics {
    /// The text of a scrape.
    pub(crate) fn text(&self, reading: Reading) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("piperoll");
        registry.register("acks", "Requests acknowledged", self.acks.clone());
        registry.register("refusals", "Requests refused", self.refusals.0.clone());
        let unknown = "Fields of events that this version does not know";
        registry.register("unknown_fields", unknown, self.unknown_fields.clone());
        registry.register("sweep_failures", "Sweeps that failed", self.sweep_failures.clone());
        registry.register_collector(Box::new(reading));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Reading {
    fn counters(&self) -> [Number<u64>; 15] {
        let store = &self.store;
        [
            ("appends", "Batches, parts of batches, or requests of a stream as one, stored", store.appends),
            ("append_events", "Events stored", store.events),
            ("append_bytes", "Bytes of frames stored", store.bytes),
            ("repeated_requests", "Requests that had been stored before", store.repeated),
            ("rolls", "Segments that became full", store.rolls),
            ("seals", "Segments sealed", store.seals),
            ("seal_failures", "Seals that failed and are tried again", store.seal_failures),
            ("seal_waits", "Times that a writer waited for the sealer", store.seal_waits),
            ("rounds", "Rounds of marks", store.rounds),
            ("round_failures", "Rounds of marks that failed and are tried again", store.round_failures),
            ("dropped_segments", "Segments dropped", store.drops),
            ("dropped_bytes", "Bytes that drops freed", store.dropped_bytes),
            ("reindexes", "Indexes made again from their logs", store.reindexes),
            ("no_space", "Appends that a full disk refused", store.no_space),
            ("frames", "Frames stored", store.frames),
        ]
    }

    fn gauges(&self) -> [Number<u64>; 11] {
        let sum = |of: fn(&LogStatus) -> u64| self.logs.iter().map(of).sum();
        [
            ("logs", "Logs", self.logs.len() as u64),
            ("refusing_logs", "Logs that take no appends", sum(|log| u64::from(log.refusal.is_some()))),
            ("sealed_segments", "Segments sealed and not dropped", sum(|log| log.sealed_segments)),
            ("unsealed_segments", "Segments full and not sealed yet", sum(|log| log.unsealed_segments)),
            ("log_bytes", "Bytes of all segments", sum(|log| log.bytes)),
            ("tails", "Tails connected", self.tails),
            ("cut_bytes", "Bytes cut from torn tails at the last start", self.cut_bytes),
            (
                "ballast_bytes",
                "Bytes of room kept back for seals and drops on a full disk",
                self.ballast_bytes,
            ),
            ("free_bytes", "Bytes free on the data directory's file system", self.free_bytes),
            ("open_segments", "Sealed segments that are open for the next question", self.open_segments),
            (
                "term_set_bytes",
                "Bytes of memory with which segments are ruled out unopened",
                self.term_set_bytes,
            ),
        ]
    }

    fn times(&self) -> [Number<f64>; 2] {
        let last_sweep = "When the sweeper last ran, in seconds since 1970; 0 for not since the start";
        let ahead = "How far the clock is ahead of what is believed; 0 while it is believed";
        [
            ("last_sweep_timestamp_seconds", last_sweep, self.last_sweep_seconds),
            ("clock_ahead_seconds", ahead, self.clock_ahead_seconds),
        ]
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.counters().iter().try_for_each(|number| counter(&mut encoder, number))?;
        self.gauges().iter().try_for_each(|number| gauge(&mut encoder, number))?;
        self.times().iter().try_for_each(|number| gauge(&mut encoder, number))?;
        syncs(&mut encoder, &self.store)?;
        let mut info = encoder.encode_descriptor("build", "The running version", None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn counter<T: EncodeCounterValue>(encoder: &mut DescriptorEncoder<'_>, number: &Number<T>) -> fmt::Result {
    let (name, help, value) = number;
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter(value, None::<&Exemplar<[(&str, &str); 0], f64>>)
}

fn gauge<T: EncodeGaugeValue>(encoder: &mut DescriptorEncoder<'_>, number: &Number<T>) -> fmt::Result {
    let (name, help, value) = number;
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
}

fn syncs(encoder: &mut DescriptorEncoder<'_>, store: &StoreCounts) -> fmt::Result {
    let borders = SYNC_BUCKET_BORDERS_NS.iter().map(|ns| seconds(*ns)).chain([f64::INFINITY]);
    let buckets: Vec<_> = borders.zip(store.sync_buckets).collect();
    let help = "Time of the syncs that acknowledgements wait for";
    let mut metric = encoder.encode_descriptor("sync_duration_seconds", help, None, MetricType::Histogram)?;
    metric.encode_histogram::<[(&str, &str); 0]>(seconds(store.sync_ns), store.syncs, &buckets, None)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_every_metric_under_our_prefix() {
        let metrics = Metrics::default();
        metrics.acks.inc();
        let refused = metrics.refusals.status(Refusal::overload("queue_full", "the queue is full"));
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let mut reading = Reading { tails: 3, ..Reading::default() };
        reading.store.syncs = 2;
        reading.store.sync_ns = 3_000_000;
        reading.store.sync_buckets[0] = 2;
        let text = metrics.text(reading).unwrap();
        for line in [
            "piperoll_acks_total 1",
            "piperoll_refusals_total{reason=\"queue_full\"} 1",
            "piperoll_appends_total 0",
            "piperoll_tails 3",
            "piperoll_sync_duration_seconds_count 2",
            "piperoll_sync_duration_seconds_sum 0.003",
            "piperoll_sync_duration_seconds_bucket{le=\"0.0001\"} 2",
            "piperoll_sync_duration_seconds_bucket{le=\"+Inf\"} 2",
            "piperoll_last_sweep_timestamp_seconds 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("piperoll_build_info{version="), "{text}");
        let ours = |line: &str| line.starts_with("piperoll_") || line.starts_with('#');
        assert!(text.lines().all(ours), "{text}");
    }
}
