//! A tail that does not read is dropped with its position, and nothing is lost by going on from there.

use crate::daemon::Daemon;
use crate::http::get;
use crate::input::{CLASSES, event};
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::query_service_client::QueryServiceClient;
use piperoll_proto::v1::{Event, TailRequest, tail_request::Start};
use std::time::Duration;
use tempfile::tempdir;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;

/// Bytes of the text that makes events long enough to fill every window between daemon and tail.
const LONG: usize = 30_000;
const EVENTS: usize = 400;

fn long_event(number: usize) -> Event {
    Event { reason: Some("x".repeat(LONG)), ..event(&format!("n{number}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_does_not_read_is_ended_with_its_position() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &["--set", "limits.tail_stall_max=1s"]);
    let client = Client::connect(ClientOptions::new(daemon.grpc())).await.unwrap();
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    let mut reader = QueryServiceClient::new(channel);
    let mut tail = reader.tail(TailRequest::default()).await.unwrap().into_inner();
    // The first answer says that the tail stands at the end of what there is.
    tail.message().await.unwrap().unwrap();
    for begin in (0..EVENTS).step_by(50) {
        client.append((begin..begin + 50).map(long_event).collect()).await.unwrap();
    }
    let begun = Instant::now();
    while client.status().await.unwrap().tails > 0 {
        assert!(begun.elapsed() < crate::daemon::PATIENCE, "the tail was not dropped");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(get(&daemon, "/metrics").1.contains("piperoll_tails 0"));

    // What had been on its way comes, then the status that says where to go on.
    let mut ids = Vec::new();
    let status = loop {
        match tail.message().await {
            Ok(Some(answer)) => {
                ids.extend(answer.records.into_iter().map(|record| record.event.unwrap().id().to_owned()));
            }
            Ok(None) => panic!("the tail ended without a status"),
            Err(status) => break status,
        }
    };
    assert!(ids.len() < EVENTS, "the daemon held {} long events for a reader that did not read", ids.len());
    let position = status.metadata().get("piperoll-position").unwrap().to_str().unwrap().to_owned();
    assert!(!status.message().is_empty());
    let request = TailRequest { start: Some(Start::Position(position)), ..TailRequest::default() };
    let mut rest = client.tail(request).await.unwrap();
    while ids.len() < EVENTS {
        let answer = rest.next().await.unwrap();
        ids.extend(answer.records.into_iter().map(|record| record.event.unwrap().id().to_owned()));
    }
    let wanted: Vec<_> = (0..EVENTS).map(|number| format!("n{number}")).collect();
    assert_eq!(ids, wanted, "none is missing and none comes twice");
}
