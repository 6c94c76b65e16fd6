//! Senders that go on through every kill, and remember each acknowledgement: the oracle.

use crate::daemon::wait_until;
use piperoll_client::{Client, ClientOptions, ProducerOptions};
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{AddressRange, AppendRequest, Event};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// Events in a batch: few and the same number often, since equal-sized frames are what torn tails confuse.
const BATCH_EVENTS: u64 = 8;
/// Batches of one unary sender that are sent again after their acknowledgement: every so many.
const REPEAT_EVERY: u64 = 7;

/// What the daemon has promised.
#[derive(Default)]
pub(crate) struct Promises {
    /// Of each producer and number, where its events went.
    pub(crate) batches: Mutex<BTreeMap<(u64, u64), Vec<AddressRange>>>,
    /// Batches in all.
    pub(crate) count: AtomicU64,
    /// Set when the senders are to end.
    pub(crate) enough: AtomicBool,
}

impl Promises {
    /// Lets the senders finish what they have begun.
    pub(crate) async fn end(&self, mut senders: JoinSet<()>) {
        self.enough.store(true, Ordering::SeqCst);
        while let Some(sender) = senders.join_next().await {
            sender.unwrap();
        }
    }

    /// Waits until so many more batches are acknowledged.
    pub(crate) fn wait_for_more(&self, batches: u64) {
        let wanted = self.count.load(Ordering::SeqCst) + batches;
        wait_until("batches to be acknowledged", || {
            (self.count.load(Ordering::SeqCst) >= wanted).then_some(())
        });
    }

    /// Remembers an acknowledgement; a second one of the same batch must be the first one again.
    pub(crate) fn keep(&self, producer: u64, sequence: u64, ranges: Vec<AddressRange>) {
        let mut batches = self.batches.lock().unwrap();
        if let Some(first) = batches.get(&(producer, sequence)) {
            assert_eq!(*first, ranges, "a retry of {producer}#{sequence} got other addresses");
            return;
        }
        batches.insert((producer, sequence), ranges);
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// The events of a batch: a function of its name, so that a changed byte shows. Every third batch has events of
/// two classes.
pub(crate) fn events_of(producer: u64, sequence: u64) -> Vec<Event> {
    (0..BATCH_EVENTS).map(|position| event_of(producer, sequence, position)).collect()
}

fn event_of(producer: u64, sequence: u64, position: u64) -> Event {
    let id = format!("{producer}-{sequence}-{position}");
    let deploys = sequence.is_multiple_of(3) && position.is_multiple_of(2);
    Event {
        actor: Some(format!("sender-{producer}")),
        action: Some("crash.tested".to_owned()),
        stage: Some(if deploys { "deploy-prod" } else { "build" }.to_owned()),
        // Lengths differ from batch to batch, and are the same within runs of batches.
        reason: Some(id.repeat(usize::try_from(1 + sequence / 16 % 5).unwrap())),
        id: Some(id),
        ..Event::default()
    }
}

/// Two senders with `Append` and one with a stream, until it is enough.
pub(crate) async fn start_senders(endpoint: &str, promises: &Arc<Promises>) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for producer in [11, 12] {
        let channel = Endpoint::from_shared(endpoint.to_owned()).unwrap().connect_lazy();
        senders.spawn(unary(channel, producer, Arc::clone(promises)));
    }
    let client = Client::connect(ClientOptions::new(endpoint.to_owned())).await.unwrap();
    senders.spawn(streaming(client, 21, Arc::clone(promises)));
    senders
}

/// Sends one batch after the other with `Append`, each until it is acknowledged, and some of them again.
async fn unary(channel: Channel, producer: u64, promises: Arc<Promises>) {
    let mut client = EventServiceClient::new(channel);
    let mut sequence = 1;
    while !promises.enough.load(Ordering::SeqCst) {
        let first = acknowledged(&mut client, producer, sequence).await;
        promises.keep(producer, sequence, first);
        if sequence.is_multiple_of(REPEAT_EVERY) {
            let again = acknowledged(&mut client, producer, sequence - REPEAT_EVERY / 2).await;
            promises.keep(producer, sequence - REPEAT_EVERY / 2, again);
        }
        sequence += 1;
    }
}

/// Sends a batch until the daemon acknowledges it.
pub(crate) async fn acknowledged(
    client: &mut EventServiceClient<Channel>,
    producer: u64,
    sequence: u64,
) -> Vec<AddressRange> {
    let events = events_of(producer, sequence);
    let request = AppendRequest { events, producer_id: producer, producer_sequence: sequence };
    loop {
        match client.append(request.clone()).await {
            Ok(answer) => return answer.into_inner().ranges,
            Err(status) => {
                let refused = [
                    Code::InvalidArgument,
                    Code::AlreadyExists,
                    Code::OutOfRange,
                    Code::FailedPrecondition,
                    Code::DataLoss,
                ];
                assert!(!refused.contains(&status.code()), "{producer}#{sequence}: {status:?}");
                sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

/// Sends batches over a stream with the public client, which goes on by itself.
async fn streaming(client: Client, id: u64, promises: Arc<Promises>) {
    let sink = Arc::clone(&promises);
    let options = ProducerOptions {
        batch_events_max: usize::try_from(BATCH_EVENTS).unwrap(),
        // Only the count ends a batch, so that the batches are those of `events_of`.
        linger: Duration::MAX,
        producer_id: Some(id),
        on_ack: Some(Box::new(move |ack| sink.keep(id, ack.sequence, ack.response.ranges.clone()))),
        ..ProducerOptions::default()
    };
    let mut producer = client.producer(options).unwrap();
    let mut sequence = 1;
    while !promises.enough.load(Ordering::SeqCst) {
        for event in events_of(id, sequence) {
            producer.push(&event).await.unwrap();
        }
        sequence += 1;
    }
    producer.finish().await.unwrap();
}
