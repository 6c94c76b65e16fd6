//! Closed loop: as fast as the answers allow, so its rates are maxima and say nothing of latency.

use crate::{
    clock::{median, now},
    messages::{Endless, Load, Message},
    net::connect,
};
use anyhow::{Context as _, Result};
use futures_util::stream;
use piperoll_proto::{
    TENANT_METADATA,
    raw::{RawMessage, event_service_client::EventServiceClient},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

/// What the client's threads are called.
pub(crate) const CLIENT: &str = "bench-client";
const CONNECTIONS: usize = 2;
const UNARY_IN_FLIGHT: usize = 16;
/// Unanswered bytes of all streams: below the 32 MiB that may wait for one log, or the daemon refuses some.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// What came of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Events acknowledged.
    pub(crate) events: f64,
    /// From the first message to the last acknowledgement.
    pub(crate) seconds: f64,
}

impl Outcome {
    /// Adds another slice of the same load.
    pub(crate) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.seconds += other.seconds;
    }

    /// Events a second.
    pub(crate) fn rate(&self) -> f64 {
        self.events / self.seconds
    }
}

/// The connections that a load goes over.
pub(crate) async fn connect_all(address: SocketAddr) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(connect(address).await?);
    }
    Ok(channels)
}

fn name_tenant<T>(request: &mut Request<T>, tenant: Option<&MetadataValue<Ascii>>) {
    if let Some(tenant) = tenant {
        request.metadata_mut().insert(TENANT_METADATA, tenant.clone());
    }
}

/// Sends `load` to `address` for `time`, and waits for every answer.
pub(crate) fn run(runtime: &Runtime, address: SocketAddr, load: &Load, time: Duration) -> Result<Outcome> {
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let channels = connect_all(address).await?;
        let start = now();
        let mut calls = JoinSet::new();
        if load.shape.streams {
            // A stream a connection, or one a tenant where there are more of them.
            let lanes = load.endless_by_tenant(&stop);
            let streams = lanes.len().max(CONNECTIONS);
            let window = IN_FLIGHT_BYTES_MAX / load.longest() / streams + 1;
            let lanes = lanes.iter().cycle().cloned().zip(channels.iter().cycle().cloned()).take(streams);
            lanes.for_each(|(lane, channel)| drop(calls.spawn(one_stream(channel, lane, window))));
        } else {
            let messages = load.endless(&stop);
            let callers = channels.iter().cycle().take(UNARY_IN_FLIGHT).cloned();
            callers.for_each(|channel| drop(calls.spawn(many_calls(channel, messages.clone()))));
        }
        tokio::time::sleep(time).await;
        stop.store(true, Relaxed);
        let mut answers = 0;
        while let Some(call) = calls.join_next().await {
            answers += call??;
        }
        Ok(Outcome {
            events: answers as f64 * load.shape.batch as f64,
            seconds: start.elapsed().as_secs_f64(),
        })
    })
}

/// One endless call with at most `window` messages unanswered: its share of what may wait for a log.
async fn one_stream(channel: Channel, messages: Endless, window: usize) -> Result<u64> {
    let window = Arc::new(Semaphore::new(window));
    let waits = Arc::clone(&window);
    let tenant = messages.tenant().cloned();
    let sending = stream::unfold(messages, move |mut messages| {
        let window = Arc::clone(&waits);
        async move {
            // Nobody closes the window; forgotten, the permit comes back with the answer.
            window.acquire().await.ok()?.forget();
            Some((RawMessage(messages.next()?.body), messages))
        }
    });
    let mut request = Request::new(sending);
    name_tenant(&mut request, tenant.as_ref());
    let mut answers = EventServiceClient::new(channel).append_stream(request).await?.into_inner();
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
        client.append(request(&message)).await?;
        count += 1;
    }
    Ok(count)
}

/// A call with this message.
pub(crate) fn request(message: &Message) -> Request<RawMessage> {
    let mut request = Request::new(RawMessage(message.body.clone()));
    name_tenant(&mut request, message.tenant.as_ref());
    request
}

/// The median time of one call after the other.
pub(crate) fn round_trip(
    runtime: &Runtime,
    address: SocketAddr,
    load: &Load,
    runs: usize,
) -> Result<Duration> {
    let message = load.messages.first().context("there are no messages")?;
    runtime.block_on(async {
        let mut client = EventServiceClient::new(connect(address).await?);
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = now();
            client.append(request(message)).await?;
            times.push(start.elapsed());
        }
        Ok(median(times))
    })
}
