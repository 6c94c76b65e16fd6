//! What is there, compared with what was promised.

use crate::senders::{Promises, acknowledged, events_of};
use piperoll_client::Client;
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{Event, EventRecord, Order, QueryRequest};
use std::collections::{BTreeMap, BTreeSet};

/// Compares everything that is there with everything that was promised; answers how many events are there.
pub(crate) async fn check_everything(client: &Client, promises: &Promises) -> usize {
    let found = check_from(client, promises, &BTreeMap::new()).await;
    assert!(found >= promises.batches.lock().unwrap().len() * events_of(1, 1).len());
    found
}

/// The same where retention has dropped the events of a class before a sequence. Answers how many events are there.
pub(crate) async fn check_from(
    client: &Client,
    promises: &Promises,
    begins: &BTreeMap<String, u64>,
) -> usize {
    let begin = |class: &str| begins.get(class).copied().unwrap_or_default();
    let found = all_records(client).await;
    let mut ids = BTreeSet::new();
    let mut received = BTreeMap::new();
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for record in found.values() {
        let event = record.event.as_ref().unwrap();
        assert_eq!(*event, as_sent(event.id()), "an event changed");
        assert!(ids.insert(event.id().to_owned()), "{} is there twice", event.id());
        let expected = next.entry(record.class.clone()).or_insert_with(|| begin(&record.class));
        assert_eq!(record.sequence, *expected, "{} has a gap", record.class);
        *expected += 1;
        let time = record.received.as_ref().map(|time| (time.seconds, time.nanos));
        let last = received.insert(record.class.clone(), time).flatten();
        assert!(time >= last, "received falls at {}", record.address);
    }
    let batches = promises.batches.lock().unwrap().clone();
    for ((producer, sequence), ranges) in &batches {
        if ranges.iter().any(|range| range.end_sequence <= begin(&range.class)) {
            continue;
        }
        let events = events_of(*producer, *sequence);
        let mut covered = 0;
        for range in ranges {
            for (at, address) in (range.first_sequence..range.end_sequence).enumerate() {
                let position = range.positions.get(at).map_or(at, |position| *position as usize);
                let record = found.get(&(range.class.clone(), address));
                let record = record
                    .unwrap_or_else(|| panic!("{}@{address} was acknowledged and is lost", range.class));
                assert_eq!(record.event.as_ref(), events.get(position), "{}@{address}", range.class);
                assert_eq!(record.received, range.received);
                covered += 1;
            }
        }
        assert_eq!(covered, events.len(), "{producer}#{sequence}: every event has an address");
    }
    ids.len()
}

fn as_sent(id: &str) -> Event {
    let numbers: Vec<u64> = id.split('-').map(|part| part.parse().unwrap()).collect();
    events_of(numbers[0], numbers[1]).swap_remove(usize::try_from(numbers[2]).unwrap())
}

pub(crate) async fn all_records(client: &Client) -> BTreeMap<(String, u64), EventRecord> {
    let mut found = BTreeMap::new();
    let mut position = String::new();
    loop {
        let request = QueryRequest {
            order: Order::OldestFirst.into(),
            limit: 10_000,
            position,
            ..QueryRequest::default()
        };
        let mut answer = client.query(request).await.unwrap();
        while let Some(record) = answer.next().await.unwrap() {
            let before = found.insert((record.class.clone(), record.sequence), record);
            assert_eq!(before.map(|record| record.address), None, "pages overlap");
        }
        if answer.exhausted() {
            return found;
        }
        position = answer.position().to_owned();
    }
}

/// A retry of the newest batches of each producer gets the addresses of the first time, and stores nothing.
pub(crate) async fn check_retries(endpoint: &str, promises: &Promises) {
    let mut client = EventServiceClient::connect(endpoint.to_owned()).await.unwrap();
    let batches = promises.batches.lock().unwrap().clone();
    for producer in [11, 12, 21] {
        let own: Vec<_> = batches.iter().filter(|((id, _), _)| *id == producer).collect();
        // The oldest and the newest ones.
        for ((id, sequence), first) in own.iter().take(10).chain(own.iter().rev().take(30)) {
            assert_eq!(acknowledged(&mut client, *id, *sequence).await, **first, "{id}#{sequence}");
        }
    }
}

/// Whether an event can be read.
pub(crate) async fn is_there(client: &Client, class: &str, sequence: u64) -> bool {
    client.get(&format!("{class}@{sequence}")).await.is_ok()
}
