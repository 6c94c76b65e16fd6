//! Append, find, count, fetch, seal, restart, sweep.

use crate::support::{Daemon, event, find, ids};
use piperoll_proto::v1::{CountRequest, Order, QueryRequest, SealRequest};
use tonic::Code;

const FILTER: &str = "actor = alice AND stage = deploy";

#[tokio::test]
async fn what_was_appended_is_found_counted_and_fetched_before_and_after_sealing_and_a_restart() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    for id in 0..30 {
        let (actor, stage) = (["alice", "bob", "carol"][id % 3], ["deploy", "build"][id % 2]);
        let answer = client.append(vec![event(actor, stage, id)]).await.unwrap();
        let range = &answer.ranges[0];
        assert_eq!(
            (range.class.as_str(), range.first_sequence, range.end_sequence),
            ("default", id as u64, id as u64 + 1)
        );
    }
    let check = async |client: &piperoll_client::Client| {
        assert_eq!(ids(&find(client, FILTER, Order::NewestFirst, 0).await), [24, 18, 12, 6, 0]);
        assert_eq!(ids(&find(client, FILTER, Order::OldestFirst, 2).await), [0, 6]);
        let record = client.get("default/default@7").await.unwrap();
        assert_eq!(record.event.unwrap(), event("bob", "build", 7));
        assert_eq!((record.address.as_str(), record.sequence), ("default/default@7", 7));
        let sender = record.sender.unwrap();
        assert_eq!((sender.principal.as_str(), sender.intake.as_str()), ("anonymous", "grpc"));
        assert!(sender.peer.starts_with("127.0.0.1:"), "{}", sender.peer);
        let count =
            CountRequest { group_by: vec!["actor".into(), "stage".into()], ..CountRequest::default() };
        let counted = client.count(count).await.unwrap();
        assert_eq!((counted.total, counted.groups.len(), counted.groups[0].count), (30, 6, 5));
    };
    check(&client).await;

    let sealed = client.seal(SealRequest::default()).await.unwrap().segments;
    assert_eq!((sealed.len(), sealed[0].first_sequence, sealed[0].end_sequence), (1, 0, 30));
    let bytes = std::fs::read(daemon.directory.path().join(&sealed[0].file)).unwrap();
    assert_eq!(bytes.len() as u64, sealed[0].bytes);
    check(&client).await;

    let daemon = daemon.restart().await;
    let client = daemon.client().await;
    check(&client).await;
    let status = client.status().await.unwrap();
    assert_eq!((status.logs.len(), status.logs[0].end_sequence, status.logs[0].sealed_segments), (1, 30, 1));
    assert_eq!(status.directory_id.len(), 32);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_while_events_arrive_and_segments_are_sealed() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append((0..50).map(|id| event("a", ["", "test"][id % 2], id)).collect()).await.unwrap();
    let (mut position, mut found) = (String::new(), Vec::new());
    for page in 0.. {
        let request = QueryRequest { limit: 7, position: position.clone(), ..QueryRequest::default() };
        let mut query = client.query(request).await.unwrap();
        while let Some(record) = query.next().await.unwrap() {
            found.push(record);
        }
        position = query.position().to_owned();
        if query.exhausted() {
            break;
        }
        client.append(vec![event("a", "", 1_000 + page)]).await.unwrap();
        if page == 2 {
            client.seal(SealRequest::default()).await.unwrap();
        }
    }
    let found = ids(&found);
    assert_eq!(found.len(), 50);
    assert!(
        found.iter().all(|id| *id < 50),
        "newest first, what arrives meanwhile is not on a later page: {found:?}"
    );
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_of_several_classes_gets_a_range_in_each() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let answer = client
        .append(vec![event("a", "test", 0), event("a", "build", 1), event("a", "test", 2)])
        .await
        .unwrap();
    let ranges: Vec<_> = answer
        .ranges
        .iter()
        .map(|range| (range.class.as_str(), range.end_sequence, range.positions.clone()))
        .collect();
    assert_eq!(ranges, [("default", 1, vec![1]), ("short", 2, vec![0, 2])]);
    assert_eq!(client.get("short@1").await.unwrap().event.unwrap(), event("a", "test", 2));
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let daemon = Daemon::new().await;
    let (acme, other) = (daemon.client_of("acme").await, daemon.client_of("other").await);
    acme.append(vec![event("a", "", 0)]).await.unwrap();
    assert_eq!(find(&acme, "", Order::NewestFirst, 0).await.len(), 1);
    assert!(find(&other, "", Order::NewestFirst, 0).await.is_empty());
    let wrong = other.get("acme/default@0").await.unwrap_err();
    assert_eq!(wrong.code(), Some(Code::InvalidArgument), "{wrong}");
    assert_eq!(other.get("default@0").await.unwrap_err().code(), Some(Code::NotFound));
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn answers_longer_than_a_message_come_in_several() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    for id in 0..100 {
        let mut large = event("a", "", id);
        large.original = Some(vec![0; 60_000]);
        client.append(vec![large]).await.unwrap();
    }
    let found = find(&client, "", Order::OldestFirst, 1_000).await;
    assert_eq!(ids(&found), (0..100).collect::<Vec<_>>());
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn expired_segments_are_told_then_dropped_and_what_keeps_stays() {
    let daemon = Daemon::with(|config| {
        config.retention.classes.iter_mut().filter(|class| class.name == "short").for_each(|class| {
            class.keep = "0s".parse().unwrap();
        });
    })
    .await;
    let client = daemon.client().await;
    client.append(vec![event("a", "test", 0), event("a", "build", 1)]).await.unwrap();
    assert!(client.sweep(false).await.unwrap().segments.is_empty(), "nothing that is not sealed is dropped");
    client.seal(SealRequest::default()).await.unwrap();
    let told = client.sweep(true).await.unwrap();
    assert!(told.dry_run);
    let swept = client.sweep(false).await.unwrap();
    assert_eq!(swept.segments, told.segments);
    assert_eq!((swept.segments.len(), swept.segments[0].events), (1, 1));
    assert_eq!(swept.segments[0].segment.as_ref().unwrap().class, "short");
    assert_eq!(ids(&find(&client, "", Order::NewestFirst, 0).await), [1]);
    let gone = client.get("short@0").await.unwrap_err();
    assert_eq!(gone.code(), Some(Code::NotFound), "{gone}");
    assert!(client.status().await.unwrap().last_sweep.is_some());
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn metrics_health_and_readiness_are_served_over_http() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("a", "", 0)]).await.unwrap();
    client.append(vec![event("", "", 0)]).await.unwrap_err();
    assert_eq!(daemon.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(daemon.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "piperoll_append_events_total 1",
        "piperoll_acks_total 1",
        "piperoll_refusals_total{reason=\"bad_request\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(daemon.get("/").await.0, 404);
    daemon.running.stop().await.unwrap();
}

/// Heavy questions once held up the metrics and `status`, just when somebody wants to see what is going on.
#[tokio::test]
async fn metrics_and_status_wait_for_no_read() {
    let daemon = Daemon::with(|config| config.limits.reads_max = "0".parse().unwrap()).await;
    let client = daemon.client().await;
    client.append(vec![event("a", "", 0)]).await.unwrap();
    let patience = std::time::Duration::from_mins(1);
    let seen = tokio::time::timeout(patience, client.status()).await.unwrap().unwrap();
    assert_eq!(seen.logs.len(), 1);
    assert_eq!(tokio::time::timeout(patience, daemon.get("/metrics")).await.unwrap().0, 200);
    daemon.running.stop().await.unwrap();
}
