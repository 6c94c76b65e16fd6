//! The steps of the demo that speak to the daemon.

use super::daemon::Daemon;
use super::files::files_below;
use super::input::{DEPLOYED, Expected, NEWEST};
use super::report::Report;
use crate::cli::Failure;
use crate::output::text;
use anyhow::anyhow;
use piperoll_client::{Client, ProducerOptions};
use piperoll_proto::v1::{CountRequest, Event, Order, Outcome, QueryRequest, SealRequest, TailRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Events that the second producer sends while the tail watches.
const LIVE_EVENTS: u64 = 2_000;
/// Events that the third producer sends across the kill.
const ACROSS_EVENTS: u64 = 60_000;
/// Acknowledged events after which the daemon is killed.
const KILL_AFTER: u64 = 20_000;
/// How long anything may take before the demo gives up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lines shown of a longer list.
const SHOWN: usize = 5;

/// Sends the whole input through one producer.
pub(super) async fn append(client: &Client, expected: &Expected, report: &mut Report) -> Result<(), Failure> {
    let mut producer = client.producer(ProducerOptions::default())?;
    for event in &expected.webhooks {
        producer.push(event).await?;
    }
    producer.flush().await?;
    let kinds = expected.webhook_kinds;
    report.step(&format!("stored {} GitHub webhook payloads of {kinds} kinds", expected.webhooks.len()));
    for event in expected.generated_events() {
        producer.push(&event).await?;
    }
    let progress = producer.finish().await?;
    let (events, rate) = (text::count(expected.generated()), report.rate(expected.generated()));
    let bytes = text::bytes(progress.bytes);
    report.step(&format!(
        "stored {events} generated events, every one durable before its ack: {rate}, {bytes}"
    ));
    report.answer("events acknowledged", &expected.total(), &progress.events);
    Ok(())
}

/// Asks what a platform engineer would ask.
pub(super) async fn ask(client: &Client, expected: &Expected, report: &mut Report) -> Result<(), Failure> {
    report.answer("events in all", &expected.total(), &count(client, "").await?);

    let groups = count_by(client, DEPLOYED, "actor").await?;
    report.step("asked: who deployed to production?");
    let wanted = expected.deployed_to_production.iter().map(|(actor, n)| (Some(actor.clone()), *n));
    report.list("by actor", &ranked(wanted), &ranked(groups), SHOWN);

    let groups = count_by(client, "outcome = failure", "stage").await?;
    report.step("asked: what failed, in which stage?");
    let wanted = expected.failed_by_stage.iter().map(|(stage, n)| (stage.clone(), *n));
    report.list("by stage", &ranked(wanted), &ranked(groups), SHOWN);

    let filter = format!("actor = \"{}\" AND stage = build", expected.builder);
    let ids = ids(client, &filter, Order::NewestFirst, NEWEST).await?;
    report.step(&format!("asked: the newest {NEWEST} builds of {}", expected.builder));
    report.list("ids, newest first", &expected.newest_builds, &ids, 2);

    let found = count(client, &format!("artifact = \"{}\"", expected.artifact)).await?;
    let short: String = expected.artifact.chars().take(23).collect();
    report.step(&format!("asked: what touched artifact {short}…?"));
    report.answer("events", &expected.artifact_events, &found);
    Ok(())
}

/// Follows live what a second producer sends, and tells how long each event took from ack to delivery.
pub(super) async fn tail(daemon: &Daemon, client: &Client, report: &mut Report) -> Result<u64, Failure> {
    let filter = "action = demo.live".to_owned();
    let mut tail = client.tail(TailRequest { filter, start: None }).await?;
    // The first answer says that the tail stands where the log ends: from here on it misses nothing.
    timeout(PATIENCE, tail.next()).await.map_err(|_| late("the tail to begin"))??;
    let second = daemon.client().await?;
    let sent = tokio::spawn(async move {
        let options = ProducerOptions { batch_events_max: 10, ..ProducerOptions::default() };
        let mut producer = second.producer(options)?;
        for number in 0..LIVE_EVENTS {
            producer.push(&numbered("demo.live", number)).await?;
        }
        producer.finish().await
    });
    let mut ids = Vec::new();
    while ids.len() < usize::try_from(LIVE_EVENTS).unwrap_or(usize::MAX) {
        let answer = timeout(PATIENCE, tail.next()).await.map_err(|_| late("the tail"))??;
        ids.extend(answer.records.into_iter().filter_map(|record| record.event?.id));
    }
    sent.await.map_err(Failure::running)??;
    report.step(&format!(
        "followed {} events live while a second producer sent them",
        text::count(LIVE_EVENTS)
    ));
    let wanted: Vec<_> = (0..LIVE_EVENTS).map(|number| format!("demo.live-{number}")).collect();
    report.list("ids, in the order sent", &wanted, &ids, 0);
    Ok(LIVE_EVENTS)
}

/// Rolls and seals whatever is active.
pub(super) async fn seal(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let sealed = client.seal(SealRequest::default()).await?;
    let status = client.status().await?;
    let total: u64 = status.logs.iter().map(|log| log.sealed_segments).sum();
    let events: u64 =
        sealed.segments.iter().map(|segment| segment.end_sequence - segment.first_sequence).sum();
    let what =
        format!("rolled and sealed {} segments with {} events", sealed.segments.len(), text::count(events));
    report.step(&format!("{what}; {total} are sealed by now"));
    Ok(())
}

/// Kills the daemon with SIGKILL while a third producer sends, and starts it again. The producer goes on by
/// itself, and what it sends again is stored once.
pub(super) async fn kill_and_restart(daemon: &mut Daemon, report: &mut Report) -> Result<u64, Failure> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&acknowledged);
    let client = daemon.client().await?;
    let sending = tokio::spawn(async move {
        let options = ProducerOptions {
            batch_events_max: 100,
            on_ack: Some(Box::new(move |ack| {
                counter.fetch_add(ack.events as u64, Ordering::Relaxed);
            })),
            ..ProducerOptions::default()
        };
        let mut producer = client.producer(options)?;
        for number in 0..ACROSS_EVENTS {
            producer.push(&numbered("demo.across", number)).await?;
        }
        producer.finish().await
    });
    let begun = Instant::now();
    while acknowledged.load(Ordering::Relaxed) < KILL_AFTER {
        if begun.elapsed() > PATIENCE || sending.is_finished() {
            return Err(late("events to be acknowledged before the kill"));
        }
        sleep(Duration::from_millis(1)).await;
    }
    let before = acknowledged.load(Ordering::Relaxed);
    let took = daemon.kill_and_restart().await?;
    report.step(&format!(
        "killed the daemon with SIGKILL after {} acks of a third producer; it was ready again after {}",
        text::count(before),
        text::duration(took)
    ));
    let progress = timeout(PATIENCE, sending).await.map_err(|_| late("the third producer"))?;
    let progress = progress.map_err(Failure::running)??;
    report.step(&format!(
        "the third producer went on by itself: {} reconnects, {} requests sent twice and stored once",
        progress.reconnects, progress.repeated_batches
    ));
    report.answer("its events acknowledged", &ACROSS_EVENTS, &progress.events);
    Ok(ACROSS_EVENTS)
}

/// Everything acknowledged before and after the kill is there, once.
pub(super) async fn nothing_lost(
    client: &Client,
    expected: &Expected,
    more: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let limit = usize::try_from(ACROSS_EVENTS).unwrap_or(usize::MAX);
    let found = ids(client, "action = demo.across", Order::OldestFirst, limit + 1).await?;
    report.step("read back what was sent across the kill");
    report.answer("events found", &ACROSS_EVENTS, &(found.len() as u64));
    report.answer(
        "different ids among them",
        &ACROSS_EVENTS,
        &(found.iter().collect::<BTreeSet<_>>().len() as u64),
    );
    report.answer("events in all", &(expected.total() + more), &count(client, "").await?);
    Ok(())
}

/// Drops the class that has expired, and finds everything else still there.
pub(super) async fn sweep(
    daemon: &Daemon,
    client: &Client,
    expected: &Expected,
    more: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let planned = loop {
        let plan = client.sweep(true).await?;
        let events: u64 = plan.segments.iter().map(|swept| swept.events).sum();
        if events >= expected.scratch {
            break plan;
        }
        if begun.elapsed() > PATIENCE {
            return Err(late("class scratch to expire"));
        }
        sleep(Duration::from_millis(100)).await;
    };
    report
        .step(&format!("planned a sweep: {} segments of class scratch have expired", planned.segments.len()));
    let swept = client.sweep(false).await?;
    report.step(&format!(
        "swept: {} dropped, {} freed",
        swept.segments.len(),
        text::bytes(swept.freed_bytes)
    ));
    report.answer("segments dropped", &planned.segments.len(), &swept.segments.len());
    let scratch = daemon.data().join("logs/default/scratch");
    report.answer("receipts that stay", &swept.segments.len(), &files_below(&scratch, "drop")?.len());
    report.answer("events of class scratch left", &0, &count(client, "class = scratch").await?);
    report.answer(
        "events of the other classes",
        &(expected.total() + more - expected.scratch),
        &count(client, "").await?,
    );
    Ok(())
}

async fn count(client: &Client, filter: &str) -> Result<u64, Failure> {
    let request = CountRequest { filter: filter.to_owned(), ..CountRequest::default() };
    Ok(client.count(request).await?.total)
}

async fn count_by(
    client: &Client,
    filter: &str,
    field: &str,
) -> Result<BTreeMap<Option<String>, u64>, Failure> {
    let request =
        CountRequest { filter: filter.to_owned(), group_by: vec![field.to_owned()], limit: 100_000 };
    let groups = client.count(request).await?.groups;
    Ok(groups
        .into_iter()
        .filter_map(|group| Some((group.values.into_iter().next()?.value, group.count)))
        .collect())
}

async fn ids(client: &Client, filter: &str, order: Order, limit: usize) -> Result<Vec<String>, Failure> {
    let limit = u32::try_from(limit).map_err(Failure::running)?;
    let request =
        QueryRequest { filter: filter.to_owned(), order: order.into(), limit, ..QueryRequest::default() };
    let mut answer = client.query(request).await?;
    let mut ids = Vec::new();
    while let Some(record) = answer.next().await? {
        ids.extend(record.event.and_then(|event| event.id));
    }
    Ok(ids)
}

/// Groups as lines, the largest first.
fn ranked(groups: impl IntoIterator<Item = (Option<String>, u64)>) -> Vec<String> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    groups
        .into_iter()
        .map(|(value, count)| {
            format!("{:>9}  {}", text::count(count), value.as_deref().unwrap_or("(no stage)"))
        })
        .collect()
}

fn numbered(action: &str, number: u64) -> Event {
    Event {
        id: Some(format!("{action}-{number}")),
        actor: Some("piperoll-demo".to_owned()),
        action: Some(action.to_owned()),
        outcome: Some(Outcome::Success.into()),
        ..Event::default()
    }
}

fn late(what: &str) -> Failure {
    Failure::Running(anyhow!("waited {} s for {what}", PATIENCE.as_secs()))
}
