//! What bad input gets over gRPC: a status that names what is wrong, and a connection and a daemon that live on.

use crate::daemon::Daemon;
use crate::input::{CLASSES, event};
use bytes::Bytes;
use piperoll_proto::codec::RawCodec;
use piperoll_proto::raw::RawMessage;
use piperoll_proto::v1::query_service_client::QueryServiceClient;
use piperoll_proto::v1::{
    AppendRequest, AppendResponse, CountRequest, Event, GetRequest, QueryRequest, TailRequest,
};
use prost::Message as _;
use prost_types::Timestamp;
use tempfile::tempdir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const APPEND: PathAndQuery = PathAndQuery::from_static("/piperoll.v1.EventService/Append");

/// Sends the bytes of an `AppendRequest`, whatever they are.
async fn append_bytes(channel: &Channel, tenant: &str, bytes: Vec<u8>) -> Result<AppendResponse, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(RawMessage(Bytes::from(bytes)));
    request.metadata_mut().insert("piperoll-tenant", MetadataValue::try_from(tenant).unwrap());
    let codec = RawCodec::<RawMessage, AppendResponse>::default();
    Ok(client.unary(request, APPEND, codec).await?.into_inner())
}

fn request(events: Vec<Event>) -> Vec<u8> {
    AppendRequest { events, ..AppendRequest::default() }.encode_to_vec()
}

/// A request of one event, with these bytes behind the event's own.
fn with_tail(tail: &[u8]) -> Vec<u8> {
    let mut bytes = event("bad").encode_to_vec();
    bytes.extend(tail);
    field(1, &bytes)
}

/// A length-delimited protobuf field.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend(content);
    out
}

fn changed(change: impl FnOnce(&mut Event)) -> Vec<u8> {
    let mut bad = event("bad");
    change(&mut bad);
    request(vec![event("good"), bad])
}

fn at(seconds: i64, nanos: i32) -> Vec<u8> {
    changed(|event| event.time = Some(Timestamp { seconds, nanos }))
}

/// Requests that are refused, and the field that the refusal names.
fn table() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut bad_utf8 = event("bad").encode_to_vec();
    bad_utf8.extend([0x5a, 2, 0xff, 0xfe]);
    let good = request(vec![event("good")]);
    vec![
        ("nothing", Vec::new(), "events"),
        (
            "no events",
            AppendRequest { producer_id: 1, producer_sequence: 1, ..AppendRequest::default() }
                .encode_to_vec(),
            "events",
        ),
        ("too many events", request(vec![Event { reason: None, ..event("e") }; 16_385]), "events"),
        ("too long", request(vec![Event { reason: Some("x".repeat(60_000)), ..event("e") }; 140]), "request"),
        ("event too long", changed(|event| event.reason = Some("x".repeat(65_536))), "events[1]"),
        ("no actor", changed(|event| event.actor = None), "events[1].actor"),
        ("empty action", changed(|event| event.action = Some(String::new())), "events[1].action"),
        ("control character", changed(|event| event.stage = Some("a\u{7}".to_owned())), "events[1].stage"),
        ("line feed in a name", changed(|event| event.actor = Some("a\nb".to_owned())), "events[1].actor"),
        ("negative enum", changed(|event| event.outcome = Some(-1)), "events[1].outcome"),
        ("nanos below 0", at(0, -1), "events[1].time"),
        ("nanos too many", at(0, 1_000_000_000), "events[1].time"),
        ("seconds beyond 64 bits of nanoseconds", at(10_000_000_000, 0), "events[1].time"),
        ("seconds that are none", at(i64::MAX, 0), "events[1].time"),
        ("bad UTF-8", field(1, &bad_utf8), "events[0].repo"),
        ("an actor twice", with_tail(&field(4, b"mallory")), "events[0].actor"),
        (
            "a time twice",
            {
                let mut tail = field(3, &[8, 1]);
                tail.extend(field(3, &[8, 2]));
                with_tail(&tail)
            },
            "events[0].time",
        ),
        ("a wrong wire type", with_tail(&[7 << 3 | 2, 0]), "events[0].outcome"),
        ("a group", with_tail(&[0xc3, 0x02]), "events[0]"),
        (
            "a truncated event",
            {
                let bytes = event("bad").encode_to_vec();
                field(1, &bytes[..bytes.len() - 3])
            },
            "events[0]",
        ),
        ("a truncated request", good[..good.len() - 3].to_vec(), "request"),
        (
            "a length beyond everything",
            vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            "request",
        ),
        ("an endless varint", vec![0x0a; 1].into_iter().chain([0x80; 20]).collect(), "request"),
        ("garbage", vec![0xde, 0xad, 0xbe, 0xef], "request"),
        ("a producer without a number", [good.clone(), vec![0x10, 5]].concat(), "producer_sequence"),
        ("a number without a producer", [good.clone(), vec![0x18, 5]].concat(), "producer_sequence"),
        ("a producer twice", [good.clone(), vec![0x10, 5, 0x10, 6, 0x18, 1]].concat(), "request"),
        ("an unknown field", [good, vec![0x20, 5]].concat(), "request"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_batches_are_refused_whole_and_by_name() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    let mut stored = 0;
    for (what, bytes, expected) in table() {
        let status = append_bytes(&channel, "default", bytes).await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let details = status.get_error_details();
        let bad = details.bad_request().unwrap_or_else(|| panic!("{what}: {status:?}"));
        let named = &bad.field_violations.first().unwrap().field;
        assert!(named.starts_with(expected), "{what}: expected {expected}, named {named}: {status:?}");
        // The same connection takes the next request.
        append_bytes(&channel, "default", request(vec![event("good")])).await.unwrap();
        stored += 1;
    }
    let count = QueryServiceClient::new(channel).count(CountRequest::default()).await.unwrap();
    assert_eq!(count.into_inner().total, stored, "nothing of a refused batch is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_beyond_every_limit_is_refused_and_the_daemon_lives_on() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    for megabytes in [9, 20, 64] {
        let bytes = field(1, &vec![0; megabytes << 20]);
        let status = append_bytes(&channel, "default", bytes).await.unwrap_err();
        let expected = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted];
        assert!(expected.contains(&status.code()), "{megabytes} MiB: {status:?}");
    }
    append_bytes(&channel, "default", request(vec![event("good")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_no_names_are_refused() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    let long = "a".repeat(64);
    for tenant in ["../x", "_piperoll", "", "A", "a/b", ".", "..", "a b", "-a", "logs/../..", &long] {
        let status = append_bytes(&channel, tenant, request(vec![event("e")])).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{tenant:?}: {status:?}");
        if tenant == "_piperoll" {
            continue;
        }
        let mut count = Request::new(CountRequest::default());
        count.metadata_mut().insert("piperoll-tenant", MetadataValue::try_from(tenant).unwrap());
        let status = QueryServiceClient::new(channel.clone()).count(count).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{tenant:?}: {status:?}");
    }
    append_bytes(&channel, "0-a", request(vec![event("e")])).await.unwrap();
    let logs: Vec<_> = std::fs::read_dir(daemon.data().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(logs, ["0-a"], "nothing was made for a refused tenant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_questions_are_refused_by_name() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    append_bytes(&channel, "default", request(vec![event("e")])).await.unwrap();
    let mut client = QueryServiceClient::new(channel);
    let refused = |what: &str, status: Status, field: &str| {
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let details = status.get_error_details();
        let named = details.bad_request().unwrap().field_violations[0].field.clone();
        assert!(named.starts_with(field), "{what}: {named}: {status:?}");
    };
    let deep = format!("{}actor = a{}", "(".repeat(10_000), ")".repeat(10_000));
    let long = format!("actor = \"{}\"", "x".repeat(100_000));
    for filter in
        ["actor", "actor = ", "= a", "nobody = a", "actor = a AND", "time > soon", "(actor = a", &deep, &long]
    {
        let query = QueryRequest { filter: filter.to_owned(), ..QueryRequest::default() };
        refused(filter, client.query(query).await.unwrap_err(), "filter");
        let count = CountRequest { filter: filter.to_owned(), ..CountRequest::default() };
        refused(filter, client.count(count).await.unwrap_err(), "filter");
        let tail = TailRequest { filter: filter.to_owned(), ..TailRequest::default() };
        refused(filter, client.tail(tail).await.unwrap_err(), "filter");
    }
    for position in ["x", "AAAA", "////", &"A".repeat(100_000)] {
        let query = QueryRequest { position: position.to_owned(), ..QueryRequest::default() };
        refused("position", client.query(query).await.unwrap_err(), "position");
    }
    for fields in [&["nothing"][..], &["stage", "outcome", "actor"], &[""]] {
        let count = CountRequest {
            group_by: fields.iter().map(|name| (*name).to_owned()).collect(),
            ..CountRequest::default()
        };
        refused("group_by", client.count(count).await.unwrap_err(), "group_by");
    }
    for address in [
        "",
        "standard",
        "@1",
        "standard@",
        "standard@-1",
        "../x@1",
        "other/standard@0",
        "standard@99999999999999999999",
    ] {
        refused(
            address,
            client.get(GetRequest { address: address.to_owned() }).await.unwrap_err(),
            "address",
        );
    }
    let missing = client.get(GetRequest { address: "standard@1".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    // A position belongs to its question.
    let query = QueryRequest { limit: 1, ..QueryRequest::default() };
    let answer = client.query(query).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let other = QueryRequest {
        filter: "actor = tester".to_owned(),
        position: answer.position,
        ..QueryRequest::default()
    };
    refused("another filter", client.query(other).await.unwrap_err(), "position");
}

/// R2: the same number with the same bytes gets the first answer, with other bytes a refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_get_the_first_answer_and_changed_ones_none() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    let numbered = |id: &str, sequence: u64| {
        // Of both classes, so that a message has two parts.
        let deploy = Event { stage: Some("deploy-prod".to_owned()), ..event(id) };
        let events = vec![event(id), deploy, event(id)];
        AppendRequest { events, producer_id: 77, producer_sequence: sequence }.encode_to_vec()
    };
    let first = append_bytes(&channel, "default", numbered("one", 1)).await.unwrap();
    assert!(!first.repeated_request);
    let classes: Vec<_> =
        first.ranges.iter().map(|range| (range.class.as_str(), range.positions.clone())).collect();
    assert_eq!(classes, [("deploys", vec![1]), ("standard", vec![0, 2])]);
    append_bytes(&channel, "default", numbered("two", 2)).await.unwrap();
    let again = append_bytes(&channel, "default", numbered("one", 1)).await.unwrap();
    assert!(again.repeated_request);
    assert_eq!(again.ranges, first.ranges);
    let status = append_bytes(&channel, "default", numbered("changed", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
    let count = QueryServiceClient::new(channel).count(CountRequest::default()).await.unwrap();
    assert_eq!(count.into_inner().total, 6);
}

/// R39: what does not fit a queue is refused with a delay, and what was acknowledged is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_refused_with_a_delay() {
    let folder = tempdir().unwrap();
    let small = ["--set", "storage.queue_bytes_max=8MiB", "--set", "limits.requests_bytes_max=16MiB"];
    let daemon = Daemon::start(folder.path(), CLASSES, &small);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();
    let batch = request(vec![Event { reason: Some("x".repeat(60_000)), ..event("e") }; 100]);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (channel, batch) = (channel.clone(), batch.clone());
        sending.spawn(async move { append_bytes(&channel, "default", batch).await });
    }
    let mut stored = 0;
    while let Some(answer) = sending.join_next().await {
        match answer.unwrap() {
            Ok(_) => stored += 100,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
            }
        }
    }
    assert!(stored > 0);
    let count = QueryServiceClient::new(channel).count(CountRequest::default()).await.unwrap();
    assert_eq!(count.into_inner().total, stored);
}
