//! Callers that ask for all that they can.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use piperoll_proto::raw::RawMessage;
use piperoll_proto::raw::event_service_client::EventServiceClient;
use piperoll_proto::v1::query_service_client::QueryServiceClient;
use piperoll_proto::v1::{AppendRequest, Artifact, Event, TailRequest, tail_request::Start};
use prost::Message as _;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// What an HTTP/2 client says first: the preface, empty settings, and that it has taken the server's.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
/// Calls that one connection may have at one time, and a few less.
const CALLS_EACH: usize = 100;
/// The longest batch has so many of the longest events.
const LONGEST_BATCH: usize = 127;
const LONG_TEXT: usize = 65_000;

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Connections on which nothing is said, or nothing after the greeting.
    Idle,
    /// Tails of which half never read, and a producer of long events.
    Tails,
    /// Queries for everything whose answers nobody reads.
    Queries,
    /// The longest batches, and some that are too long, from many producers.
    Giants,
    /// One event a message, as fast as it goes.
    Tiny,
    /// Messages that never end.
    Halves,
    /// A value that was never there before in every field of every event.
    Values,
}

impl Load {
    pub(crate) const ALL: [Self; 7] =
        [Self::Idle, Self::Tails, Self::Queries, Self::Giants, Self::Tiny, Self::Halves, Self::Values];
}

/// How many callers there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) idle: usize,
    pub(crate) tails: usize,
    pub(crate) queries: usize,
    pub(crate) giants: usize,
    pub(crate) tiny: usize,
    pub(crate) halves: usize,
    pub(crate) values: usize,
}

/// Tells that everything is under way, or done.
pub(crate) type Begun = mpsc::Sender<Load>;

/// Starts a load on the daemon at `address`; it goes on until the set is shut down.
pub(crate) fn start(load: Load, sizes: Sizes, address: SocketAddr, begun: Begun, tasks: &mut JoinSet<()>) {
    match load {
        Load::Idle => drop(tasks.spawn(idle(address, sizes.idle, begun))),
        Load::Tails => drop(tasks.spawn(tails(address, sizes.tails, begun))),
        Load::Queries => drop(tasks.spawn(queries(address, sizes.queries, begun))),
        Load::Giants => drop(tasks.spawn(giants(address, sizes.giants, begun))),
        Load::Tiny => drop(tasks.spawn(tiny(address, sizes.tiny, begun))),
        Load::Halves => drop(tasks.spawn(halves(address, sizes.halves, begun))),
        Load::Values => drop(tasks.spawn(values(address, sizes.values, begun))),
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
    endpoint.connect().await.unwrap()
}

async fn idle(address: SocketAddr, count: usize, begun: Begun) {
    let open = |number: usize| async move {
        let mut connection = TcpStream::connect(address).await.unwrap();
        if !number.is_multiple_of(4) {
            connection.write_all(HELLO).await.unwrap();
        }
        connection
    };
    let connections: Vec<_> = stream::iter(0..count).map(open).buffer_unordered(64).collect().await;
    begun.send(Load::Idle).await.unwrap();
    pending::<()>().await;
    drop(connections);
}

fn long_event(text: usize) -> Event {
    Event {
        actor: Some("alice".into()),
        action: Some("log.written".into()),
        original: Some(vec![b'x'; text]),
        ..Event::default()
    }
}

fn message(events: Vec<Event>) -> RawMessage {
    RawMessage(Bytes::from(AppendRequest { events, ..AppendRequest::default() }.encode_to_vec()))
}

/// Stores a message, however often it is refused.
async fn store(producer: &mut EventServiceClient<Channel>, message: &RawMessage) {
    while let Err(status) = producer.append(message.clone()).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Stores more than a reader that does not read is sent.
async fn store_long_events(producer: &mut EventServiceClient<Channel>) {
    for _ in 0..4 {
        store(producer, &message(vec![long_event(LONG_TEXT); 32])).await;
    }
}

async fn tails(address: SocketAddr, count: usize, begun: Begun) {
    let mut producer = EventServiceClient::new(connect(address).await);
    store_long_events(&mut producer).await;
    let (mut held, mut readers) = (Vec::new(), JoinSet::new());
    for number in 0..count {
        if number % CALLS_EACH == 0 {
            held.push((connect(address).await, Vec::new()));
        }
        let (channel, unread) = held.last_mut().unwrap();
        let mut client = QueryServiceClient::new(channel.clone());
        let reads = (number / CALLS_EACH).is_multiple_of(2);
        let start = (!reads).then(|| Start::ReceivedFrom(prost_types::Timestamp::default()));
        match client.tail(TailRequest { start, ..TailRequest::default() }).await {
            Ok(answers) if reads => {
                let mut answers = answers.into_inner();
                readers.spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
            }
            Ok(answers) => unread.push(answers),
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
        }
    }
    begun.send(Load::Tails).await.unwrap();
    loop {
        store(&mut producer, &message(vec![long_event(LONG_TEXT / 4)])).await;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn queries(address: SocketAddr, count: usize, begun: Begun) {
    let mut producer = EventServiceClient::new(connect(address).await);
    store_long_events(&mut producer).await;
    let mut held = Vec::new();
    for number in 0..count {
        if number % CALLS_EACH == 0 {
            held.push((connect(address).await, Vec::new()));
        }
        let (channel, unread) = held.last_mut().unwrap();
        let mut client = QueryServiceClient::new(channel.clone());
        let request = piperoll_proto::v1::QueryRequest { limit: u32::MAX, ..Default::default() };
        match client.query(request).await {
            Ok(answers) => unread.push(answers),
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
        }
    }
    begun.send(Load::Queries).await.unwrap();
    pending::<()>().await;
    drop(held);
}

async fn giants(address: SocketAddr, count: usize, begun: Begun) {
    let longest = message(vec![long_event(LONG_TEXT); LONGEST_BATCH]);
    let too_long = message(vec![long_event(LONG_TEXT); LONGEST_BATCH * 2]);
    let mut producers = JoinSet::new();
    for number in 0..count {
        let channel = connect(address).await;
        let (longest, too_long) = (longest.clone(), too_long.clone());
        producers.spawn(async move {
            let mut client = EventServiceClient::new(channel);
            loop {
                let is_too_long = number % 8 == 7;
                let sent = client.append(if is_too_long { too_long.clone() } else { longest.clone() }).await;
                match sent {
                    Ok(_) => assert!(!is_too_long, "a batch that is too long was taken"),
                    Err(status) if is_too_long => {
                        assert_ne!(status.code(), Code::Ok, "{status}");
                    }
                    Err(status) => {
                        // Where there is no processor left to take it in, it comes too slowly.
                        let codes = [Code::ResourceExhausted, Code::DeadlineExceeded];
                        assert!(codes.contains(&status.code()), "{status}");
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
    }
    begun.send(Load::Giants).await.unwrap();
    producers.join_all().await;
}

async fn tiny(address: SocketAddr, count: usize, begun: Begun) {
    let event =
        message(vec![Event { actor: Some("a".into()), action: Some("b".into()), ..Event::default() }]);
    let mut producers = JoinSet::new();
    for _ in 0..count {
        let channel = connect(address).await;
        let messages = stream::repeat(event.clone());
        producers.spawn(async move {
            let mut client = EventServiceClient::new(channel);
            loop {
                // A refusal ends the stream; the next one begins at once, as no good producer's would.
                let Ok(answers) = client.append_stream(messages.clone()).await else { continue };
                let mut answers = answers.into_inner();
                while let Ok(Some(_)) = answers.message().await {}
            }
        });
    }
    begun.send(Load::Tiny).await.unwrap();
    producers.join_all().await;
}

async fn halves(address: SocketAddr, count: usize, begun: Begun) {
    let mut held = Vec::new();
    let (header, body) = ([0, 0, 0x7f, 0, 0], Bytes::from(vec![0; 64 << 10]));
    for number in 0..count {
        if number % CALLS_EACH == 0 {
            let connection = TcpStream::connect(address).await.unwrap();
            let (sender, driver) = h2::client::handshake(connection).await.unwrap();
            held.push((sender, tokio::spawn(driver), JoinSet::new()));
        }
        let (sender, _, calls) = held.last_mut().unwrap();
        let request = http::Request::post(format!("http://{address}/piperoll.v1.EventService/Append"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        sender.clone().ready().await.unwrap();
        let (answer, mut sending) = sender.send_request(request, false).unwrap();
        let body = body.clone();
        calls.spawn(async move {
            sending.send_data(Bytes::copy_from_slice(&header), false).unwrap();
            // All but the end of a message of 8 MiB, as fast as it is taken.
            for _ in 0..126 {
                sending.reserve_capacity(body.len());
                while sending.capacity() < body.len() {
                    let Some(Ok(_)) = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await else {
                        break;
                    };
                }
                if sending.send_data(body.clone(), false).is_err() {
                    break;
                }
            }
            let status = answer.await;
            drop((status, sending));
        });
    }
    begun.send(Load::Halves).await.unwrap();
    pending::<()>().await;
    drop(held);
}

fn event_of_its_own(number: usize) -> Event {
    let text = |field: &str| Some(format!("{field}-of-its-own-{number:08}"));
    Event {
        id: text("id"),
        source: text("source"),
        actor: text("actor"),
        action: Some(format!("action.n{number}")),
        stage: text("stage"),
        pipeline: text("pipeline"),
        run: text("run"),
        job: text("job"),
        repo: text("repo"),
        r#ref: text("ref"),
        commit: Some(format!("{number:040x}")),
        artifacts: vec![Artifact {
            name: text("artifact"),
            digests: [("sha256".to_owned(), format!("{number:064x}"))].into(),
            ..Artifact::default()
        }],
        attributes: [("key".to_owned(), format!("value-{number}"))].into(),
        actor_name: text("actor-name"),
        on_behalf_of: text("on-behalf-of"),
        credential: text("credential"),
        step: text("step"),
        trigger: text("trigger"),
        change: text("change"),
        environment: text("environment"),
        runner: text("runner"),
        runner_labels: vec![format!("label-{number}")],
        user_agent: text("user-agent"),
        ..Event::default()
    }
}

async fn values(address: SocketAddr, count: usize, begun: Begun) {
    let mut producer = EventServiceClient::new(connect(address).await);
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(500) {
        store(&mut producer, &message(numbers.iter().copied().map(event_of_its_own).collect())).await;
    }
    begun.send(Load::Values).await.unwrap();
}
