//! Tails: live, from a position, from a time, across a restart.

use crate::support::{Daemon, config, event, first_start, ids};
use piperoll_client::{Client, ClientOptions, Tail};
use piperoll_proto::v1::{
    Event, EventRecord, QueryRequest, TailRequest, query_service_client::QueryServiceClient,
    tail_request::Start,
};
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

/// What tails of one filter share is whole for each of them, wherever it joined and however slowly it reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_that_join_and_leave_at_any_time_get_every_event_once_and_in_order() {
    const EVENTS: usize = 3_000;
    const TAILS: usize = 24;
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("alice", "", 0), event("alice", "test", 0)]).await.unwrap();
    let mut following = Vec::new();
    for number in 0..TAILS {
        let (client, evens) = (daemon.client().await, number % 2 == 0);
        following.push(tokio::spawn(async move {
            let filter = if evens { "actor = bob AND stage = test" } else { "actor = bob" };
            let request = TailRequest { filter: filter.to_owned(), start: None };
            let mut tail = client.tail(request.clone()).await.unwrap();
            tail.next().await.unwrap();
            let (mut short, mut default) = (Vec::new(), Vec::new());
            while short.last() != Some(&EVENTS) {
                for record in tail.next().await.unwrap().records {
                    let list = if record.class == "short" { &mut short } else { &mut default };
                    list.extend(ids(&[record]));
                }
                // One in three leaves now and then, and joins again where it was.
                if number % 3 == 0 && (short.len() + default.len()) % 7 == 0 {
                    let start = Some(Start::Position(tail.position().to_owned()));
                    tail = client.tail(TailRequest { start, ..request.clone() }).await.unwrap();
                }
                if number % 5 == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                }
            }
            (evens, short, default)
        }));
    }
    while client.status().await.unwrap().tails < TAILS as u64 {
        tokio::task::yield_now().await;
    }
    for id in 1..=EVENTS {
        let actor = if id % 4 == 0 { "alice" } else { "bob" };
        let (one, two) = (event(actor, "", id), event("bob", "test", id));
        client.append(vec![one, two]).await.unwrap();
    }
    for tail in following {
        let (evens, short, default) = tail.await.unwrap();
        let begin = *short.first().unwrap();
        assert!(short.iter().copied().eq(begin..=EVENTS), "{short:?}");
        if evens {
            assert!(default.is_empty(), "{default:?}");
            continue;
        }
        let Some(&first) = default.first() else { continue };
        let expected = (first..=*default.last().unwrap()).filter(|id| id % 4 != 0);
        assert!(default.iter().copied().eq(expected), "{default:?}");
        assert!(*default.last().unwrap() >= EVENTS - 1, "{default:?}");
    }
    daemon.running.stop().await.unwrap();
}

/// What a page of a query may not read, a tail reads in several.
#[tokio::test]
async fn a_tail_with_much_to_look_through_gets_there() {
    let daemon = Daemon::with(|config| config.limits.answer_bytes_max = "128KiB".parse().unwrap()).await;
    let client = daemon.client().await;
    let reason = |id: usize| if id.is_multiple_of(997) { "a hit" } else { "none" };
    let event = |id: usize| Event { reason: Some(reason(id).to_owned()), ..event("a", "", id) };
    for first in (0..5_000).step_by(500) {
        client.append((first..first + 500).map(event).collect()).await.unwrap();
    }
    let filter = "reason ~ hit".to_owned();
    let query = QueryRequest { filter: filter.clone(), ..QueryRequest::default() };
    assert_eq!(client.query(query).await.unwrap_err().code(), Some(Code::FailedPrecondition));
    let start = Some(Start::ReceivedFrom(prost_types::Timestamp::default()));
    let mut tail = client.tail(TailRequest { filter, start }).await.unwrap();
    let mut got = Vec::new();
    loop {
        let answer = tail.next().await.unwrap();
        got.extend(ids(&answer.records));
        if answer.live {
            break;
        }
    }
    assert_eq!(got, [0, 997, 1_994, 2_991, 3_988, 4_985]);
    daemon.running.stop().await.unwrap();
}

/// Everything on the way to it is full in the middle of what it gets, and it misses what others of its filter share.
#[tokio::test]
async fn a_tail_that_pauses_gets_every_event_once_and_in_order() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let mut queries = QueryServiceClient::connect(daemon.endpoint()).await.unwrap();
    let mut paused = queries.tail(TailRequest::default()).await.unwrap().into_inner();
    assert!(paused.message().await.unwrap().unwrap().live);
    let mut reading = client.tail(TailRequest::default()).await.unwrap();
    assert!(reading.next().await.unwrap().live);
    let expected: Vec<_> = (0..600).collect();
    for some in expected.chunks(20) {
        // More than the windows of the transport hold.
        let large = |&id: &usize| Event { original: Some(vec![0; 40_000]), ..event("a", "", id) };
        client.append(some.iter().map(large).collect()).await.unwrap();
        assert_eq!(ids(&take(&mut reading, some.len()).await), some);
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(ids(&paused.message().await.unwrap().unwrap().records));
    }
    assert_eq!(got, expected);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn tails_have_a_limit_and_a_slow_one_is_ended_with_its_position() {
    let daemon = Daemon::with(|config| {
        config.limits.tails_max = "1".parse().unwrap();
        config.limits.reader_stall_max = "1s".parse().unwrap();
    })
    .await;
    let client = daemon.client().await;
    let mut slow = QueryServiceClient::connect(daemon.endpoint()).await.unwrap();
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
