//! Tails: live, from a position, from a time, across a restart.

use crate::support::{Daemon, config, event, first_start, ids};
use piperoll_client::{Client, ClientOptions, Tail};
use piperoll_proto::v1::{EventRecord, TailRequest, tail_request::Start};
use piperoll_server::{StartOptions, start};
use tonic::Code;

async fn take(tail: &mut Tail, count: usize) -> Vec<EventRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(tail.next().await.unwrap().records);
    }
    records
}

#[tokio::test]
async fn a_tail_from_now_gets_what_arrives_and_matches() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("alice", "", 0)]).await.unwrap();
    let request = TailRequest { filter: "actor = alice".to_owned(), start: None };
    let mut tail = client.tail(request).await.unwrap();
    let first = tail.next().await.unwrap();
    assert!(first.records.is_empty() && first.live && !first.position.is_empty(), "{first:?}");
    for id in 1..20 {
        client.append(vec![event(["alice", "bob"][id % 2], ["", "test"][id / 2 % 2], id)]).await.unwrap();
    }
    assert_eq!(ids(&take(&mut tail, 9).await), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_tail_begins_at_a_position_or_a_time_and_says_when_it_is_live() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append((0..10).map(|id| event("a", "", id)).collect()).await.unwrap();
    let time = client.get("default@0").await.unwrap().received.unwrap();
    let mut tail = client
        .tail(TailRequest { start: Some(Start::ReceivedFrom(time)), ..TailRequest::default() })
        .await
        .unwrap();
    let answer = tail.next().await.unwrap();
    assert_eq!((ids(&answer.records).len(), answer.live), (10, true));
    let start = Some(Start::Position(tail.position().to_owned()));
    client.append(vec![event("a", "", 10)]).await.unwrap();
    let mut again = client.tail(TailRequest { start, ..TailRequest::default() }).await.unwrap();
    assert_eq!(ids(&take(&mut again, 1).await), [10]);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_tail_goes_on_after_a_restart_of_the_daemon_and_misses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let running = start(config.clone(), first_start()).await.unwrap();
    config.server.grpc_listen = running.grpc_address;
    let options = ClientOptions::new(format!("http://{}", running.grpc_address));
    let client = Client::connect(options).await.unwrap();
    let mut tail = client.tail(TailRequest::default()).await.unwrap();
    tail.next().await.unwrap();
    client.append(vec![event("a", "", 0)]).await.unwrap();
    assert_eq!(ids(&take(&mut tail, 1).await), [0]);
    client.append(vec![event("a", "", 1)]).await.unwrap();
    running.stop().await.unwrap();
    let running = start(config, StartOptions::default()).await.unwrap();
    client.append(vec![event("a", "", 2)]).await.unwrap();
    assert_eq!(ids(&take(&mut tail, 2).await), [1, 2]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn tails_have_a_limit_and_a_slow_one_is_ended_with_its_position() {
    let daemon = Daemon::with(|config| {
        config.limits.tails_max = "1".parse().unwrap();
        config.limits.reader_stall_max = "1s".parse().unwrap();
    })
    .await;
    let client = daemon.client().await;
    let mut slow = piperoll_proto::v1::query_service_client::QueryServiceClient::connect(daemon.endpoint())
        .await
        .unwrap();
    let mut answers = slow.tail(TailRequest::default()).await.unwrap().into_inner();
    let refused = client.tail(TailRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::ResourceExhausted), "{refused}");
    // More than the windows of the transport hold.
    let large = |id| {
        let mut event = event("a", "", id);
        event.original = Some(vec![0; 60_000]);
        event
    };
    for id in 0..20 {
        client.append((0..16).map(|_| large(id)).collect()).await.unwrap();
    }
    while client.status().await.unwrap().tails > 0 {
        tokio::task::yield_now().await;
    }
    let (mut taken, mut position) = (0, String::new());
    let status = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                taken += answer.records.len();
                position = answer.position;
            }
            Ok(None) => panic!("the tail ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.metadata().get("piperoll-position").unwrap(), position.as_str());
    assert!(taken < 320, "{taken}");
    let mut tail = client
        .tail(TailRequest { start: Some(Start::Position(position)), ..TailRequest::default() })
        .await
        .unwrap();
    assert_eq!(take(&mut tail, 320 - taken).await.len(), 320 - taken);
    daemon.running.stop().await.unwrap();
}
