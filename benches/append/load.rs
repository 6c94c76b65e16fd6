//! The load: closed loop, as fast as the answers allow, so its rates are maxima and say nothing of latency.

use crate::{
    clock::{median, now},
    net::connect,
    processor::Processor,
};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream;
use piperoll_proto::raw::{RawMessage, event_service_client::EventServiceClient};
use prost::Message as _;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet};
use tonic::transport::Channel;

/// What the client's threads are called.
pub(crate) const CLIENT: &str = "bench-client";
const CONNECTIONS: usize = 2;
const UNARY_IN_FLIGHT: usize = 16;
/// Unanswered bytes of all streams: below the 32 MiB that may wait for one log, or the daemon refuses some.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// How events are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// One endless call a connection; otherwise a call a batch.
    pub(crate) streams: bool,
    /// Events a message.
    pub(crate) batch: usize,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Events acknowledged.
    pub(crate) events: f64,
    /// From the first message to the last acknowledgement.
    pub(crate) seconds: f64,
    /// What it cost meanwhile.
    pub(crate) processor: Processor,
}

impl Outcome {
    /// Adds another slice of the same load.
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.seconds += other.seconds;
        self.processor.client += other.processor.client;
        self.processor.server += other.processor.server;
    }

    /// Events a second.
    pub(crate) fn rate(&self) -> f64 {
        self.events / self.seconds
    }
}

/// Messages of `batch` events each, encoded.
pub(crate) fn messages(events: &[Vec<u8>], batch: usize) -> Arc<[Bytes]> {
    let message = |events: &[Vec<u8>]| {
        let mut bytes = Vec::new();
        for event in events {
            // Field 1 of both requests, as long as a LEB128 number says.
            bytes.push(0x0a);
            prost::encoding::encode_varint(event.len() as u64, &mut bytes);
            bytes.extend_from_slice(event);
        }
        Bytes::from(bytes)
    };
    events.chunks_exact(batch.min(events.len())).map(message).collect()
}

/// Encoded sample events.
pub(crate) fn events(count: usize) -> Vec<Vec<u8>> {
    let events = piperoll_samples::Events::new(5, count as u64, 30.0);
    events.take(count).map(|event| event.encode_to_vec()).collect()
}

/// Messages round and round until told to stop.
struct Endless {
    messages: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Iterator for Endless {
    type Item = RawMessage;

    fn next(&mut self) -> Option<RawMessage> {
        if self.stop.load(Relaxed) {
            return None;
        }
        let place = self.next.fetch_add(1, Relaxed) % self.messages.len();
        self.messages.get(place).cloned().map(RawMessage)
    }
}

/// Sends `messages` to `address` for `time`, and waits for every answer.
pub(crate) fn run(
    runtime: &Runtime,
    address: SocketAddr,
    shape: Shape,
    messages: &Arc<[Bytes]>,
    time: Duration,
) -> Result<Outcome> {
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicUsize::new(0));
        let source =
            || Endless { messages: Arc::clone(messages), next: Arc::clone(&next), stop: Arc::clone(&stop) };
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(address).await?);
        }
        let (start, before) = (now(), Processor::read(CLIENT)?);
        let mut calls = JoinSet::new();
        if shape.streams {
            for channel in channels {
                calls.spawn(one_stream(channel, source()));
            }
        } else {
            let callers = channels.iter().cycle().take(UNARY_IN_FLIGHT).cloned();
            callers.for_each(|channel| drop(calls.spawn(many_calls(channel, source()))));
        }
        tokio::time::sleep(time).await;
        stop.store(true, Relaxed);
        let mut answers = 0;
        while let Some(call) = calls.join_next().await {
            answers += call??;
        }
        let (seconds, after) = (start.elapsed().as_secs_f64(), Processor::read(CLIENT)?);
        let events = answers as f64 * shape.batch as f64;
        Ok(Outcome { events, seconds, processor: after.since(before) })
    })
}

/// One endless call. What it has in flight is bounded, by a share of what may wait for a log.
async fn one_stream(channel: Channel, messages: Endless) -> Result<u64> {
    let longest = messages.messages.iter().map(Bytes::len).max().unwrap_or(1);
    let window = Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX / longest / CONNECTIONS + 1));
    let waits = Arc::clone(&window);
    let sending = stream::unfold(messages, move |mut messages| {
        let window = Arc::clone(&waits);
        async move {
            // Nobody closes the window; forgotten, the permit comes back with the answer.
            window.acquire().await.ok()?.forget();
            Some((messages.next()?, messages))
        }
    });
    let mut client = EventServiceClient::new(channel);
    let mut answers = client.append_stream(sending).await?.into_inner();
    let mut count = 0;
    while answers.message().await?.is_some() {
        window.add_permits(1);
        count += 1;
    }
    Ok(count)
}

async fn many_calls(channel: Channel, messages: Endless) -> Result<u64> {
    let mut client = EventServiceClient::new(channel);
    let mut count = 0;
    for message in messages {
        client.append(message).await?;
        count += 1;
    }
    Ok(count)
}

/// The median time of one call after the other.
pub(crate) fn round_trip(
    runtime: &Runtime,
    address: SocketAddr,
    messages: &[Bytes],
    runs: usize,
) -> Result<Duration> {
    let message = messages.first().context("there are no messages")?;
    runtime.block_on(async {
        let mut client = EventServiceClient::new(connect(address).await?);
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = now();
            client.append(RawMessage(message.clone())).await?;
            times.push(start.elapsed());
        }
        Ok(median(times))
    })
}
