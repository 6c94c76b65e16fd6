//! Starting where it cannot be done, and stopping while there is work.

use crate::support::{Daemon, config, event, find, first_start, ids};
use piperoll_client::ProducerOptions;
use piperoll_proto::v1::{Order, TailRequest};
use piperoll_server::{StartError, StartOptions, start};

#[tokio::test]
async fn another_address_than_loopback_is_refused_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.server.grpc_listen = "0.0.0.0:0".parse().unwrap();
    let error = start(config.clone(), StartOptions::default()).await.err().unwrap();
    assert!(error.to_string().contains("--insecure-listen"), "{error}");
    let options = StartOptions { insecure_listen: true, ..first_start() };
    start(config, options).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_a_directory_in_use_and_a_missing_one_are_named() {
    let daemon = Daemon::new().await;
    let other = tempfile::tempdir().unwrap();
    let mut taken = config(other.path());
    taken.server.grpc_listen = daemon.running.grpc_address;
    let error = start(taken, StartOptions::default()).await.err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("choose another port"), "{error}");

    let error = start(config(daemon.directory.path()), StartOptions::default()).await.err().unwrap();
    let path = daemon.directory.path().display().to_string();
    assert!(error.to_string().contains(&path) && error.to_string().contains("in use by"), "{error}");

    let missing = other.path().join("missing");
    let error = start(config(&missing), StartOptions::default()).await.err().unwrap();
    assert!(error.to_string().contains("no such directory"), "{error}");
    start(config(&missing), first_start()).await.unwrap().stop().await.unwrap();
    assert!(missing.join("piperoll.dir").exists());
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_cuts_nobody_off_silently() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let options = ProducerOptions {
        batch_events_max: 10,
        retry_for: std::time::Duration::ZERO,
        ..ProducerOptions::default()
    };
    let mut producer = client.producer(options).unwrap();
    let mut tail = client.tail(TailRequest::default()).await.unwrap();
    tail.next().await.unwrap();
    for id in 0..1_000 {
        producer.push(&event("a", "", id)).await.unwrap();
    }
    let Daemon { running, directory } = daemon;
    let stopper = running.stopper();
    let ended = tokio::spawn(running.wait());
    stopper.stop();
    tokio::time::timeout(std::time::Duration::from_secs(5), ended).await.unwrap().unwrap().unwrap();
    let acknowledged = producer.progress().events;
    drop((producer, tail));

    let running = start(config(directory.path()), StartOptions::default()).await.unwrap();
    let daemon = Daemon { running, directory };
    let found = ids(&find(&daemon.client().await, "", Order::OldestFirst, 10_000).await);
    assert!(
        found.len() as u64 >= acknowledged,
        "{} are found, {acknowledged} were acknowledged",
        found.len()
    );
    assert_eq!(found, (0..found.len()).collect::<Vec<_>>());
    daemon.running.stop().await.unwrap();
}
