//! Senders that go on through every kill, and remember each acknowledgement: the oracle.

use piperoll_client::{Client, ProducerOptions};
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{AddressRange, AppendRequest, Event};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Channel;

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
    /// Remembers an acknowledgement; a second one of the same batch must be the first one again.
    fn keep(&self, producer: u64, sequence: u64, ranges: Vec<AddressRange>) {
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

/// Sends one batch after the other with `Append`, each until it is acknowledged, and some of them again.
pub(crate) async fn unary(channel: Channel, producer: u64, promises: Arc<Promises>) {
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
pub(crate) async fn streaming(client: Client, id: u64, promises: Arc<Promises>) {
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
