//! Whatever is sent, it is refused with a clear status, and both daemon and connection live on.

use crate::support::{Daemon, event};
use piperoll_client::{Client, ClientError};
use piperoll_proto::{
    raw::{RawMessage, event_service_client::EventServiceClient},
    v1::{
        AppendRequest, CountRequest, Event, QueryRequest, SealRequest, TailRequest,
        query_service_client::QueryServiceClient, tail_request::Start,
    },
};
use prost::Message as _;
use prost_types::Timestamp;
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt as _;

/// A field of the wire: tag byte, length, bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
    [field, bytes.to_vec()].concat()
}

fn good() -> Vec<u8> {
    field(0x0A, &event("a", "", 0).encode_to_vec())
}

fn bad_requests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let of = |event: &Event| field(0x0A, &event.encode_to_vec());
    let base = || event("a", "", 0);
    let with_time = |seconds| Event { time: Some(Timestamp { seconds, nanos: 0 }), ..base() };
    let bytes = base().encode_to_vec();
    vec![
        ("no events", Vec::new(), "events"),
        ("no actor", [good(), of(&Event { actor: None, ..base() })].concat(), "events[1].actor"),
        ("an empty action", of(&Event { action: Some(String::new()), ..base() }), "events[0].action"),
        ("a control character", of(&Event { stage: Some("\u{1b}[31m".into()), ..base() }), "events[0].stage"),
        ("a time that is none", of(&with_time(i64::MAX)), "events[0].time"),
        ("an event that is too long", of(&Event { original: Some(vec![0; 70_000]), ..base() }), "events[0]"),
        (
            "a field that is there twice",
            field(0x0A, &[bytes.clone(), field(0x22, b"b")].concat()),
            "events[0].actor",
        ),
        ("bad UTF-8", field(0x0A, &[field(0x22, b"\xff"), field(0x2A, b"b")].concat()), "events[0].actor"),
        ("truncated protobuf", good().split_last().unwrap().1.to_vec(), "request"),
        ("a truncated event", field(0x0A, bytes.split_last().unwrap().1), "events[0]"),
        ("no protobuf at all", b"\xff\xff\xff\xff".to_vec(), "request"),
        ("an unknown field", [good(), field(0x7A, b"x")].concat(), "request"),
        ("a sequence without a producer", [good(), vec![0x18, 1]].concat(), "producer_sequence"),
        ("too many events", good().repeat(16_385), "events"),
        (
            "too many bytes",
            [of(&Event { original: Some(vec![0; 60_000]), ..base() }).repeat(141)].concat(),
            "request",
        ),
    ]
}

async fn bare(daemon: &Daemon) -> EventServiceClient<Channel> {
    EventServiceClient::connect(daemon.endpoint()).await.unwrap()
}

#[tokio::test]
async fn a_bad_batch_is_refused_whole_with_the_place_and_the_connection_lives_on() {
    let daemon = Daemon::new().await;
    let mut client = bare(&daemon).await;
    for (what, request, place) in bad_requests() {
        let status = client.append(RawMessage(request.clone().into())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert!(violations[0].field.starts_with(place), "{what}: {violations:?}");
        assert!(status.message().contains(violations[0].description.as_str()), "{what}: {status}");
        assert_eq!(details.error_info().unwrap().domain, "piperoll");

        let both = tokio_stream::iter([RawMessage(good().into()), RawMessage(request.into())]);
        let mut answers = client.append_stream(both).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().ranges.len(), 1, "{what}");
        let status = answers.message().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    }
    let stored = client.append(RawMessage(good().into())).await.unwrap().into_inner();
    assert_eq!(
        stored.ranges[0].first_sequence,
        bad_requests().len() as u64,
        "nothing of a bad batch was stored"
    );
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_no_name_is_refused() {
    let daemon = Daemon::new().await;
    for tenant in ["../x", "_piperoll", "", "A", "a/b", "x y"] {
        let client = daemon.client_of(tenant).await;
        let error = client.append(vec![event("a", "", 0)]).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::InvalidArgument), "{tenant:?}: {error}");
        assert!(error.to_string().contains("piperoll-tenant"), "{tenant:?}: {error}");
    }
    let mut twice = Request::new(RawMessage(good().into()));
    for tenant in ["a", "b"] {
        twice.metadata_mut().append("piperoll-tenant", tenant.parse().unwrap());
    }
    assert_eq!(bare(&daemon).await.append(twice).await.unwrap_err().code(), Code::InvalidArgument);
    let tenants: Vec<_> = daemon.client().await.status().await.unwrap().logs;
    assert!(tenants.is_empty(), "{tenants:?}");
    daemon.running.stop().await.unwrap();
}

async fn check(client: &Client, result: Result<(), ClientError>, code: Code, part: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(part), "{error} lacks {part:?}");
    client.status().await.unwrap();
}

#[tokio::test]
async fn bad_questions_are_refused_with_the_field_that_is_wrong() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("a", "", 0)]).await.unwrap();
    let bad = Code::InvalidArgument;
    let query = |filter: &str, position: &str, order| QueryRequest {
        filter: filter.to_owned(),
        position: position.to_owned(),
        order,
        limit: 0,
    };
    let ask = async |request| client.query(request).await.map(drop);
    check(&client, ask(query("actorr = a", "", 0)).await, bad, "actor").await;
    check(&client, ask(query("actor = ", "", 0)).await, bad, "column 9").await;
    check(&client, ask(query(&"(".repeat(70_000), "", 0)).await, bad, "filter").await;
    check(&client, ask(query("", "!!", 0)).await, bad, "position").await;
    check(&client, ask(query("", "", 9)).await, bad, "order").await;

    let mut first = client.query(query("", "", 0)).await.unwrap();
    while first.next().await.unwrap().is_some() {}
    let others = first.position().to_owned();
    check(&client, ask(query("actor = a", &others, 0)).await, bad, "position").await;
    check(&client, ask(query("", &others, 2)).await, bad, "position").await;
    let tail = TailRequest { start: Some(Start::Position(others)), ..TailRequest::default() };
    let mut tail = client.tail(tail).await.unwrap();
    check(&client, tail.next().await.map(drop), bad, "position").await;

    let count = |group_by: &[&str]| CountRequest {
        group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
        ..CountRequest::default()
    };
    check(&client, client.count(count(&["actorr"])).await.map(drop), bad, "group_by[0]").await;
    check(&client, client.count(count(&["actor", "stage", "repo"])).await.map(drop), bad, "group_by").await;
    check(&client, client.get("nonsense").await.map(drop), bad, "class@sequence").await;
    // What is wrong is told in headers, of which clients take 16 KiB.
    check(&client, client.count(count(&["actor"; 1_000])).await.map(drop), bad, "group_by").await;
    check(&client, client.get(&"é".repeat(100_000)).await.map(drop), bad, "address").await;
    check(&client, client.count(count(&["class\u{1b}"])).await.map(drop), bad, "group_by[0]").await;
    check(&client, client.get("default@1").await.map(drop), Code::NotFound, "ends at 1").await;
    check(&client, client.get("none@0").await.map(drop), Code::NotFound, "none").await;
    let seal = SealRequest { tenant: "../x".to_owned(), ..SealRequest::default() };
    check(&client, client.seal(seal).await.map(drop), bad, "tenant").await;
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_and_too_many_questions_are_told_to_come_back() {
    let daemon = Daemon::with(|config| {
        config.storage.queue_bytes_max = "1".parse().unwrap();
        config.limits.queries_max = "0".parse().unwrap();
    })
    .await;
    let client = bare(&daemon).await;
    let append = || {
        let mut client = client.clone();
        async move { client.append(RawMessage(good().into())).await }
    };
    // A queue takes one request however small it is, so it takes two at one time to fill it.
    let full = loop {
        let outcomes = futures_util::future::join_all((0..16).map(|_| append())).await;
        if let Some(full) = outcomes.into_iter().find_map(Result::err) {
            break full;
        }
    };
    let mut queries = QueryServiceClient::connect(daemon.endpoint()).await.unwrap();
    let many = queries.query(QueryRequest::default()).await.unwrap_err();
    for (status, reason) in [(full, "QUEUE_FULL"), (many, "TOO_MANY_QUERIES")] {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, reason);
        assert!(details.retry_info().unwrap().retry_delay.is_some());
    }
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_over_the_budget_of_bytes_is_told_to_come_back() {
    let daemon = Daemon::with(|config| config.limits.requests_bytes_max = "16MiB".parse().unwrap()).await;
    let clients: Vec<_> = futures_util::future::join_all((0..8).map(|_| bare(&daemon))).await;
    let mut large = event("a", "", 0);
    large.original = Some(vec![0; 60_000]);
    let request = AppendRequest { events: vec![large; 130], ..AppendRequest::default() }.encode_to_vec();
    let sends = clients.into_iter().map(|mut client| {
        let request = request.clone();
        async move { client.append(RawMessage(request.into())).await }
    });
    let outcomes = futures_util::future::join_all(sends).await;
    assert!(outcomes.iter().any(Result::is_ok));
    for status in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());
    }
    daemon.running.stop().await.unwrap();
}
