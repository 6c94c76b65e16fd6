//! Streams: each request has its own answer, in order, however many were stored as one.

use crate::support::{Daemon, event, find, ids};
use piperoll_proto::{
    raw::{RawMessage, event_service_client::EventServiceClient},
    v1::{AppendRequest, AppendStreamResponse, Event, Order},
};
use prost::Message as _;
use tonic::{Code, Status, Streaming};

/// What the n-th request is like: of 1 to 3 events of one class or of both, now and then with a retry key.
fn request(number: usize, next_id: &mut usize) -> AppendRequest {
    let stages: &[&str] = match number % 7 {
        0 | 1 => &["build"],
        2 => &["test", "test"],
        3 => &["build", "build", "build"],
        4 => &["test"],
        5 => &["build", "test", "build"],
        _ => &["test", "build"],
    };
    let events = stages.iter().map(|stage| {
        *next_id += 1;
        event("a", stage, *next_id - 1)
    });
    let key = if number.is_multiple_of(11) { number as u64 + 1 } else { 0 };
    AppendRequest { events: events.collect(), producer_id: u64::from(key > 0), producer_sequence: key }
}

fn own_id(event: &Event) -> usize {
    event.id().parse().unwrap()
}

fn own_ids(request: &AppendRequest) -> impl Iterator<Item = usize> {
    request.events.iter().map(own_id)
}

async fn open(daemon: &Daemon, requests: Vec<RawMessage>) -> Streaming<AppendStreamResponse> {
    let mut client = EventServiceClient::connect(daemon.endpoint()).await.unwrap();
    client.append_stream(tokio_stream::iter(requests)).await.unwrap().into_inner()
}

fn encoded(request: &AppendRequest) -> RawMessage {
    RawMessage(request.encode_to_vec().into())
}

/// Answers up to the end or the error.
async fn answers(mut stream: Streaming<AppendStreamResponse>) -> (Vec<AppendStreamResponse>, Option<Status>) {
    let mut answers = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return (answers, None),
            Err(status) => return (answers, Some(status)),
        }
    }
}

/// R1, R3: each answer names the places of its request's events and of no others, whatever way they went.
#[tokio::test]
async fn each_request_of_a_stream_is_answered_with_the_places_of_its_own_events() {
    let daemon = Daemon::new().await;
    let mut next_id = 0;
    let requests: Vec<AppendRequest> = (0..1_000).map(|number| request(number, &mut next_id)).collect();
    let (answers, end) = answers(open(&daemon, requests.iter().map(encoded).collect()).await).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(answers.len(), requests.len());

    let client = daemon.client().await;
    for class in ["default", "short"] {
        let stored = ids(&find(&client, &format!("class = {class}"), Order::OldestFirst, 10_000).await);
        for (request, answer) in requests.iter().zip(&answers) {
            let in_class = |event: &&Event| (event.stage() == "test") == (class == "short");
            let sent: Vec<usize> = request.events.iter().filter(in_class).map(own_id).collect();
            let range = answer.ranges.iter().find(|range| range.class == class);
            let place = |at: u64| usize::try_from(at).unwrap();
            let found = range.map(|range| &stored[place(range.first_sequence)..place(range.end_sequence)]);
            assert_eq!(found.unwrap_or_default(), sent, "{answer:?}");
            assert!(!answer.repeated_request && answer.ranges.len() <= 2);
        }
        let keyed: Vec<usize> =
            requests.iter().filter(|request| request.producer_id > 0).flat_map(own_ids).collect();
        let unkeyed: Vec<_> = stored.into_iter().filter(|id| !keyed.contains(id)).collect();
        assert!(unkeyed.is_sorted(), "those without a retry key keep the order of their stream: {unkeyed:?}");
    }
    daemon.running.stop().await.unwrap();
}

/// A request that is refused ends its stream: those before it are stored and answered, none behind it is.
#[tokio::test]
async fn a_refused_request_ends_its_stream_with_all_before_it_answered() {
    let daemon = Daemon::new().await;
    let mut next_id = 0;
    let mut requests: Vec<RawMessage> =
        (0..300).map(|number| encoded(&request(number, &mut next_id))).collect();
    let sent = next_id;
    requests.push(RawMessage(b"\xff".as_slice().into()));
    requests.extend((300..600).map(|number| encoded(&request(number, &mut next_id))));
    let (answers, end) = answers(open(&daemon, requests).await).await;
    assert_eq!(end.map(|status| status.code()), Some(Code::InvalidArgument));
    assert_eq!(answers.len(), 300);
    let mut stored = ids(&find(&daemon.client().await, "", Order::OldestFirst, 10_000).await);
    stored.sort_unstable();
    assert!(stored.iter().copied().eq(0..sent), "{stored:?}");
    daemon.running.stop().await.unwrap();
}
