//! Anonymous memory under 16 producers that append without a pause: who is refused tries again at once.

use crate::{
    Bench, MIB,
    batches::batches,
    clock::now,
    net::connect,
    process::Process,
    report::{keep, print},
};
use anyhow::Result;
use bytes::Bytes;
use piperoll_proto::raw::{RawMessage, event_service_client::EventServiceClient};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

const PRODUCERS: usize = 16;
const BATCH_EVENTS: usize = 256;
/// Distinct messages of a producer.
const MESSAGES: usize = 50;
const SECONDS: f64 = 10.0;
const MEMORY_MIB_MAX: [f64; 2] = [512.0, 512.0];

/// Messages acknowledged, and refusals.
#[derive(Default)]
struct Count {
    acknowledged: u64,
    refused: u64,
}

/// Every producer has a connection and a stream of its own.
pub(crate) fn case(bench: &Bench) -> Result<()> {
    let held = tempfile::tempdir_in(&bench.directory)?;
    let process = Process::start(held.path())?;
    let time = Duration::from_secs_f64(bench.scale.pick("PIPEROLL_BENCH_SECONDS", SECONDS, 0.05)?);
    let stop = Arc::new(AtomicBool::new(false));
    let watch = process.watch_memory();
    let start = now();
    let count = bench.clients.block_on(async {
        let mut producers = JoinSet::new();
        for seed in 0..PRODUCERS {
            producers.spawn(produce(
                process.address,
                batches(seed as u64, MESSAGES, BATCH_EVENTS),
                Arc::clone(&stop),
            ));
        }
        tokio::time::sleep(time).await;
        stop.store(true, Relaxed);
        let mut sum = Count::default();
        while let Some(count) = producers.join_next().await {
            let count = count??;
            sum.acknowledged += count.acknowledged;
            sum.refused += count.refused;
        }
        anyhow::Ok(sum)
    })?;
    let rate = count.acknowledged as f64 * BATCH_EVENTS as f64 / start.elapsed().as_secs_f64();
    let most = watch.most()? as f64 / MIB;
    print(&format!(
        "## Memory\n\nanonymous memory, the most of it: {most:.0} MiB under {PRODUCERS} producers, {rate:.0} events/s, \
         {} streams refused and opened again\n",
        count.refused
    ))?;
    keep(bench.scale, "anonymous memory, 16 producers at full rate", most, "MiB", MEMORY_MIB_MAX)
}

async fn produce(address: SocketAddr, messages: Arc<[Bytes]>, stop: Arc<AtomicBool>) -> Result<Count> {
    let channel = connect(address).await?;
    let mut count = Count::default();
    while !stop.load(Relaxed) {
        match one_stream(&channel, &messages, &stop, &mut count.acknowledged).await {
            Err(status) if status.code() == Code::ResourceExhausted => count.refused += 1,
            ended => ended?,
        }
    }
    Ok(count)
}

async fn one_stream(
    channel: &Channel,
    messages: &Arc<[Bytes]>,
    stop: &Arc<AtomicBool>,
    acknowledged: &mut u64,
) -> Result<(), tonic::Status> {
    let (messages, stop) = (Arc::clone(messages), Arc::clone(stop));
    let mut at = 0;
    let sending = std::iter::from_fn(move || {
        at += 1;
        messages.get(at % messages.len()).filter(|_| !stop.load(Relaxed)).cloned().map(RawMessage)
    });
    let mut client = EventServiceClient::new(channel.clone());
    let mut answers = client.append_stream(tokio_stream::iter(sending)).await?.into_inner();
    while answers.message().await?.is_some() {
        *acknowledged += 1;
    }
    Ok(())
}
