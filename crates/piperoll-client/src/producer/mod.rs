//! Sends many events: collects them into numbered batches, keeps several on their way, sends again what a lost
//! connection left without an answer.

mod batch;
mod worker;

use self::{batch::Collector, worker::Worker};
use crate::{Client, ClientError, ProducerOptions};
use piperoll_proto::v1;
use prost::Message as _;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Longest event that a daemon takes, in bytes.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Longest batch that a daemon takes, in bytes of events.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most events of a batch that a daemon takes.
const BATCH_EVENTS_MAX: usize = 16_384;

/// One acknowledged batch: its events are durable.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The batch's number.
    pub sequence: u64,
    /// Events in it.
    pub events: usize,
    /// Bytes of its events.
    pub bytes: usize,
    /// Where they went.
    pub response: v1::AppendStreamResponse,
}

/// What was acknowledged so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events.
    pub events: u64,
    /// Bytes of events.
    pub bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Batches that the daemon had stored before: their first answer had been lost.
    pub repeated_batches: u64,
    /// Number of the last batch; 0 for none.
    pub last_sequence: u64,
    /// How often the connection was made anew.
    pub reconnects: u64,
}

/// Sends events. What was pushed is durable once [`flush`](Self::flush) or [`finish`](Self::finish) returned;
/// a producer that is dropped before may leave its last events unsent.
#[derive(Debug)]
pub struct Producer {
    id: u64,
    collector: Arc<Collector>,
    worker: JoinHandle<()>,
}

impl Producer {
    pub(crate) fn start(client: Client, options: ProducerOptions) -> Result<Self, ClientError> {
        check_options(&options)?;
        let random = getrandom::u64().map_err(|error| wrong("producer_id", error.to_string()))?;
        let id = options.producer_id.unwrap_or(random.max(1));
        let collector = Arc::new(Collector::new(&options));
        let worker = Worker::new(client, id, Arc::clone(&collector), options);
        Ok(Self { id, collector, worker: tokio::spawn(worker.run()) })
    }

    /// The number that names this producer.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Hands an event over; waits while too much is on its way. An error is final: the batches before it are
    /// acknowledged, it names the batch that was refused, and nothing later counts as stored.
    pub async fn push(&mut self, event: &v1::Event) -> Result<(), ClientError> {
        let length = event.encoded_len();
        if length > EVENT_BYTES_MAX {
            let problem = format!("the event has {length} bytes, the daemon takes at most {EVENT_BYTES_MAX}");
            return Err(wrong("event", problem));
        }
        self.collector.push(event, length).await
    }

    /// Sends what was pushed, and returns when all of it is durable.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.collector.flush().await
    }

    /// Sends what was pushed, and ends when all of it is durable.
    pub async fn finish(self) -> Result<Progress, ClientError> {
        self.collector.flush().await?;
        Ok(self.collector.progress())
    }

    /// What was acknowledged so far.
    pub fn progress(&self) -> Progress {
        self.collector.progress()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn check_options(options: &ProducerOptions) -> Result<(), ClientError> {
    let within = |option, value: usize, most: usize| {
        let problem = || wrong(option, format!("{value} is not within 1 and {most}"));
        if (1..=most).contains(&value) { Ok(()) } else { Err(problem()) }
    };
    within("batch_events_max", options.batch_events_max, BATCH_EVENTS_MAX)?;
    within("batch_bytes_max", options.batch_bytes_max, BATCH_BYTES_MAX)?;
    within("in_flight_max", options.in_flight_max, 1_024)?;
    if options.producer_id == Some(0) || options.first_sequence == 0 {
        return Err(wrong("producer_id, first_sequence", "neither is ever 0".to_owned()));
    }
    Ok(())
}

fn wrong(option: &'static str, problem: String) -> ClientError {
    ClientError::Option { option, problem }
}
