//! How long after its acknowledgement an event is delivered: a hundred tails with filters, of the real program, while
//! events come at a steady rate.

use crate::{
    alone::Alone,
    clock::now,
    process::Process,
    report::{keep, print},
};
use anyhow::{Context as _, Result};
use piperoll_client::{Client, ClientOptions, Tail};
use piperoll_proto::v1::{Event, TailRequest};
use piperoll_samples::Events;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

const SEED: u64 = 99;
const TAILS: usize = 100;
/// Actors of the events that are sent; each tail watches one of them, so that each event goes to ten tails.
const ACTORS: usize = 10;
/// A request of one event is sent so often, whatever the answers do.
const EVERY: Duration = Duration::from_millis(2);
/// A tail that has not delivered everything by then has lost something.
const DELIVERY_MAX: Duration = Duration::from_secs(30);
const MEDIAN_MS_MAX: [f64; 2] = [10.0, 10.0];
const P99_MS_MAX: [f64; 2] = [50.0, 50.0];

/// An event's number, and when it was delivered.
type Delivered = Vec<(usize, Instant)>;

/// Appends to the daemon's own history.
pub(crate) fn measure(alone: &Alone<'_>) -> Result<()> {
    let Alone { scale, clients, folder, events, time } = *alone;
    let daemon = Process::start(folder)?;
    let connect = || Client::connect(ClientOptions::new(format!("http://{}", daemon.address)));
    let count = usize::try_from(time.as_nanos() / EVERY.as_nanos())?.max(ACTORS);
    let mut latencies = clients.block_on(async {
        let mut tails = JoinSet::new();
        for number in 0..TAILS {
            let mine = number % ACTORS;
            let request = TailRequest { filter: format!("actor = \"{}\"", actor(mine)), start: None };
            let mut tail = connect().await?.tail(request).await?;
            while !tail.next().await?.live {}
            let expected = (count - mine).div_ceil(ACTORS);
            tails.spawn(async move { timeout(DELIVERY_MAX + time, watch(tail, expected)).await? });
        }
        let acknowledged = append(connect().await?, count).await?;
        let mut latencies = Vec::with_capacity(count * TAILS / ACTORS);
        while let Some(delivered) = tails.join_next().await {
            for (number, at) in delivered?? {
                let acknowledged = acknowledged.get(number).context("an event that was not sent")?;
                // One that is delivered before its sender hears of it took no time.
                latencies.push(at.saturating_duration_since(*acknowledged));
            }
        }
        anyhow::Ok(latencies)
    })?;
    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies.get(latencies.len() * percent / 100).map_or(0.0, |it| it.as_secs_f64() * 1e3)
    };
    let (median, p99) = (at(50), at(99));
    print(&format!(
        "## Tails\n\n{} deliveries of {count} events to {TAILS} tails: median {median:.1} ms behind the acknowledgement, \
         99th percentile {p99:.1} ms\n",
        latencies.len()
    ))?;
    keep(scale, &format!("delivery to {TAILS} tails, median, {events} events"), median, "ms", MEDIAN_MS_MAX)?;
    keep(scale, &format!("delivery to {TAILS} tails, p99, {events} events"), p99, "ms", P99_MS_MAX)
}

fn actor(number: usize) -> String {
    format!("tailed-{number}")
}

/// Sends `count` events, whose ids are their numbers; when each was acknowledged.
async fn append(client: Client, count: usize) -> Result<Vec<Instant>> {
    let client = Arc::new(client);
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut acks = JoinSet::new();
    for (number, event) in Events::new(SEED, count as u64, 1.0).take(count).enumerate() {
        due.tick().await;
        let (actor, id) = (Some(actor(number % ACTORS)), Some(number.to_string()));
        let (client, event) = (Arc::clone(&client), Event { actor, id, ..event });
        acks.spawn(async move {
            client.append(vec![event]).await?;
            anyhow::Ok((number, now()))
        });
    }
    let mut acknowledged = vec![now(); count];
    while let Some(ack) = acks.join_next().await {
        let (number, at) = ack??;
        if let Some(place) = acknowledged.get_mut(number) {
            *place = at;
        }
    }
    Ok(acknowledged)
}

/// Until `expected` events have come, each once.
async fn watch(mut tail: Tail, expected: usize) -> Result<Delivered> {
    let mut delivered = Delivered::with_capacity(expected);
    while delivered.len() < expected {
        let records = tail.next().await?.records;
        let at = now();
        for record in records {
            let number =
                record.event.and_then(|event| event.id?.parse().ok()).context("an event of nobody")?;
            delivered.push((number, at));
        }
    }
    let numbers: std::collections::HashSet<_> = delivered.iter().map(|(number, _)| *number).collect();
    anyhow::ensure!(
        numbers.len() == expected,
        "{} events came, {} different",
        delivered.len(),
        numbers.len()
    );
    Ok(delivered)
}
