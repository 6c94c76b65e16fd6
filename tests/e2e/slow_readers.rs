//! Readers that do not read are let go: a tail with its position, and nothing is lost by going on from there.

use crate::daemon::Daemon;
use crate::http::get;
use crate::input::{CLASSES, event};
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::query_service_client::QueryServiceClient;
use piperoll_proto::v1::{
    AppendStreamRequest, Event, EventRecord, QueryRequest, TailRequest, tail_request::Start,
};
use std::time::Duration;
use tempfile::tempdir;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Bytes of the text that makes events long enough to fill every window between daemon and tail.
const LONG: usize = 30_000;
const EVENTS: usize = 400;

fn long_event(number: usize) -> Event {
    Event { reason: Some("x".repeat(LONG)), ..event(&format!("n{number}")) }
}

async fn connect(daemon: &Daemon) -> Channel {
    Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap()
}

/// Reads what had been on its way, then the status that a stream must end with.
async fn read_to_status<T>(answers: &mut Streaming<T>, mut each: impl FnMut(T)) -> Status {
    loop {
        match answers.message().await {
            Ok(Some(answer)) => each(answer),
            Ok(None) => panic!("the stream ended as if that were all"),
            Err(status) => break status,
        }
    }
}

fn ids_of(records: Vec<EventRecord>) -> impl Iterator<Item = String> {
    records.into_iter().map(|record| record.event.unwrap().id().to_owned())
}

async fn store_long_events(client: &Client) {
    for begin in (0..EVENTS).step_by(50) {
        client.append((begin..begin + 50).map(long_event).collect()).await.unwrap();
    }
}

/// R39: the place of a query whose answers nobody reads is another's after a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_answers_are_not_read_is_ended() {
    let folder = tempdir().unwrap();
    let limits = ["--set", "limits.reader_stall_max=1s", "--set", "limits.queries_max=1"];
    let daemon = Daemon::start(folder.path(), CLASSES, &limits);
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    store_long_events(&client).await;
    let everything = QueryRequest { limit: u32::MAX, ..QueryRequest::default() };
    let mut unread = QueryServiceClient::new(connect(&daemon).await);
    let mut unread = unread.query(everything.clone()).await.unwrap().into_inner();
    let mut other = QueryServiceClient::new(connect(&daemon).await);
    let refused = other.query(everything.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let begun = Instant::now();
    // Read to its end, so that its own place is free again.
    while read_all(&mut other).await.is_err() {
        assert!(begun.elapsed() < crate::daemon::PATIENCE, "the query that nobody reads keeps its place");
        sleep(Duration::from_millis(20)).await;
    }
    let (mut found, mut position) = (0, String::new());
    let status = read_to_status(&mut unread, |answer| {
        found += answer.records.len();
        position = answer.position;
    })
    .await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let mut rest = other.query(QueryRequest { position, ..everything }).await.unwrap().into_inner();
    while let Some(answer) = rest.message().await.unwrap() {
        found += answer.records.len();
    }
    assert_eq!(found, EVENTS, "none is missing and none comes twice");
}

async fn read_all(client: &mut QueryServiceClient<Channel>) -> Result<(), Status> {
    let mut answers = client.query(QueryRequest::default()).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

/// R39: a stream of requests whose answers nobody reads does not keep what it has in flight for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_answers_are_not_read_is_ended() {
    const REQUESTS: usize = 20_000;
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &["--set", "limits.reader_stall_max=1s"]);
    let endpoint = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap();
    // Answers are short; so is what may be on its way of them.
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut sender = EventServiceClient::new(channel);
    let request = |number| AppendStreamRequest {
        events: vec![event(&format!("n{number}"))],
        ..AppendStreamRequest::default()
    };
    let requests = futures_util::stream::iter((0..REQUESTS).map(request));
    let mut answers = sender.append_stream(requests).await.unwrap().into_inner();
    let begun = Instant::now();
    while !get(&daemon, "/metrics").1.contains("reason=\"slow_reader\"") {
        assert!(begun.elapsed() < crate::daemon::PATIENCE, "the stream was not ended");
        sleep(Duration::from_millis(20)).await;
    }
    let mut acknowledged = 0;
    let status = read_to_status(&mut answers, |_| acknowledged += 1).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(acknowledged < REQUESTS, "all was answered");
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let stored = client.status().await.unwrap().logs.iter().map(|log| log.end_sequence).sum::<u64>();
    assert_eq!(stored, acknowledged as u64, "what was stored was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_does_not_read_is_ended_with_its_position() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &["--set", "limits.reader_stall_max=1s"]);
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let mut reader = QueryServiceClient::new(connect(&daemon).await);
    let mut tail = reader.tail(TailRequest::default()).await.unwrap().into_inner();
    // The first answer says that the tail stands at the end of what there is.
    tail.message().await.unwrap().unwrap();
    store_long_events(&client).await;
    let begun = Instant::now();
    while client.status().await.unwrap().tails > 0 {
        assert!(begun.elapsed() < crate::daemon::PATIENCE, "the tail was not dropped");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(get(&daemon, "/metrics").1.contains("piperoll_tails 0"));

    // What had been on its way comes, then the status that says where to go on.
    let mut ids = Vec::new();
    let status = read_to_status(&mut tail, |answer| ids.extend(ids_of(answer.records))).await;
    assert!(ids.len() < EVENTS, "the daemon held {} long events for a reader that did not read", ids.len());
    let position = status.metadata().get("piperoll-position").unwrap().to_str().unwrap().to_owned();
    assert!(!status.message().is_empty());
    let request = TailRequest { start: Some(Start::Position(position)), ..TailRequest::default() };
    let mut rest = client.tail(request).await.unwrap();
    while ids.len() < EVENTS {
        let answer = rest.next().await.unwrap();
        ids.extend(ids_of(answer.records));
    }
    let wanted: Vec<_> = (0..EVENTS).map(|number| format!("n{number}")).collect();
    assert_eq!(ids, wanted, "none is missing and none comes twice");
}
