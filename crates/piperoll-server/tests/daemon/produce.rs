//! The producer: many events, retries that store nothing twice, refusals that name their batch.

use crate::support::{Daemon, event, find, ids};
use piperoll_client::{ClientError, ProducerOptions};
use piperoll_proto::v1::{Event, Order};
use std::sync::{Arc, Mutex};
use tonic::Code;

#[tokio::test]
async fn all_that_is_pushed_is_acknowledged_once_and_in_order() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let acks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&acks);
    let options = ProducerOptions {
        batch_events_max: 100,
        on_ack: Some(Box::new(move |ack| seen.lock().unwrap().push((ack.sequence, ack.events)))),
        ..ProducerOptions::default()
    };
    let mut producer = client.producer(options).unwrap();
    for id in 0..5_000 {
        producer.push(&event("a", "", id)).await.unwrap();
    }
    let progress = producer.finish().await.unwrap();
    assert_eq!((progress.events, progress.repeated_batches, progress.reconnects), (5_000, 0, 0));
    let acks = acks.lock().unwrap().clone();
    assert!(acks.iter().map(|(sequence, _)| *sequence).eq(1..=progress.last_sequence), "{acks:?}");
    assert_eq!(acks.iter().map(|(_, events)| events).sum::<usize>(), 5_000);
    assert_eq!(ids(&find(&client, "", Order::OldestFirst, 10_000).await), (0..5_000).collect::<Vec<_>>());
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_lone_event_goes_after_the_linger_and_an_empty_flush_returns() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let mut producer = client.producer(ProducerOptions::default()).unwrap();
    producer.flush().await.unwrap();
    producer.push(&event("a", "", 0)).await.unwrap();
    while producer.progress().events == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(find(&client, "", Order::NewestFirst, 0).await.len(), 1);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_a_restart_of_the_producer_is_stored_once() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    for _ in 0..2 {
        let options = ProducerOptions {
            producer_id: Some(7),
            batch_events_max: 10,
            linger: std::time::Duration::from_mins(1),
            ..ProducerOptions::default()
        };
        let mut producer = client.producer(options).unwrap();
        for id in 0..50 {
            producer.push(&event("a", "", id)).await.unwrap();
        }
        producer.finish().await.unwrap();
    }
    assert_eq!(find(&client, "", Order::OldestFirst, 1_000).await.len(), 50);
    let options = ProducerOptions { producer_id: Some(7), ..ProducerOptions::default() };
    let mut producer = client.producer(options).unwrap();
    producer.push(&event("b", "", 0)).await.unwrap();
    let error = producer.finish().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists), "{error}");
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_producer_survives_a_restart_of_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = crate::support::config(directory.path());
    let running = piperoll_server::start(config.clone(), crate::support::first_start()).await.unwrap();
    // The second daemon takes the port of the first, which only now is known.
    config.server.grpc_listen = running.grpc_address;
    let endpoint = format!("http://{}", running.grpc_address);
    let client =
        piperoll_client::Client::connect(piperoll_client::ClientOptions::new(endpoint)).await.unwrap();
    let options = ProducerOptions { batch_events_max: 10, ..ProducerOptions::default() };
    let mut producer = client.producer(options).unwrap();
    for id in 0..500 {
        producer.push(&event("a", "", id)).await.unwrap();
    }
    running.stop().await.unwrap();
    let running = piperoll_server::start(config, piperoll_server::StartOptions::default()).await.unwrap();
    for id in 500..1_000 {
        producer.push(&event("a", "", id)).await.unwrap();
    }
    let progress = producer.finish().await.unwrap();
    assert_eq!(progress.events, 1_000);
    assert!(progress.reconnects > 0);
    assert_eq!(ids(&find(&client, "", Order::OldestFirst, 2_000).await), (0..1_000).collect::<Vec<_>>());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_full_queue_refuses_is_sent_again_in_order_and_stored_once() {
    let daemon = Daemon::with(|config| config.storage.queue_bytes_max = "1".parse().unwrap()).await;
    let client = daemon.client().await;
    let options = ProducerOptions { batch_events_max: 10, ..ProducerOptions::default() };
    let mut producer = client.producer(options).unwrap();
    for id in 0..1_000 {
        producer.push(&event("a", "", id)).await.unwrap();
    }
    assert_eq!(producer.finish().await.unwrap().events, 1_000);
    assert_eq!(ids(&find(&client, "", Order::OldestFirst, 2_000).await), (0..1_000).collect::<Vec<_>>());
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_refused_batch_is_named_and_ends_the_producer_after_the_ones_before_it() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let options = ProducerOptions { batch_events_max: 2, ..ProducerOptions::default() };
    let mut producer = client.producer(options).unwrap();
    let bad = Event { actor: Some("a\0".to_owned()), ..event("a", "", 5) };
    let events =
        [event("a", "", 0), event("a", "", 1), event("a", "", 2), event("a", "", 3), event("a", "", 4), bad];
    for event in &events {
        producer.push(event).await.unwrap();
    }
    let error = producer.finish().await.unwrap_err();
    let ClientError::Refused(refusal) = &error else { panic!("{error}") };
    let batch = refusal.batch.unwrap();
    assert_eq!((batch.sequence, batch.events, batch.first_event), (3, 2, 4), "{error}");
    assert_eq!(refusal.violations[0].field, "events[1].actor");
    assert_eq!(ids(&find(&client, "", Order::OldestFirst, 0).await), [0, 1, 2, 3]);
    daemon.running.stop().await.unwrap();
}
