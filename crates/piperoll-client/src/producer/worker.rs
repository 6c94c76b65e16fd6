//! Sends batches and takes answers, and begins again with what has no answer when the connection is lost.

use super::{
    Ack, Progress,
    batch::{Batch, Collector},
};
use crate::{AckFn, BatchName, Client, ProducerOptions, error::Refusal, retry::Retry};
use bytes::Bytes;
use piperoll_proto::{raw::RawMessage, v1};
use prost::Message as _;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

pub(super) struct Worker {
    client: Client,
    id: u64,
    collector: Arc<Collector>,
    in_flight_max: usize,
    on_ack: Option<AckFn>,
    retry: Retry,
    next_sequence: u64,
    events_before: u64,
    /// Sent, or to be sent again, and not acknowledged; in order.
    unanswered: VecDeque<Sent>,
}

struct Sent {
    name: BatchName,
    event_bytes: usize,
    message: Bytes,
}

impl Worker {
    pub(super) fn new(client: Client, id: u64, collector: Arc<Collector>, options: ProducerOptions) -> Self {
        Self {
            client,
            id,
            collector,
            in_flight_max: options.in_flight_max,
            on_ack: options.on_ack,
            retry: Retry::new(options.retry_for),
            next_sequence: options.first_sequence,
            events_before: 0,
            unanswered: VecDeque::new(),
        }
    }

    /// Works until an error that trying again does not heal; the producer aborts it otherwise.
    pub(super) async fn run(mut self) {
        loop {
            let mut refusal = self.connection().await;
            refusal.batch = self.unanswered.front().map(|sent| sent.name);
            if let Err(error) = self.retry.failed(refusal).await {
                return self.collector.failed(error);
            }
            self.collector.reconnected();
        }
    }

    /// One connection, until it ends; returns why.
    async fn connection(&mut self) -> Refusal {
        let (requests, outgoing) = mpsc::channel(self.in_flight_max);
        for sent in &self.unanswered {
            // There is room for as many as can be unanswered, and the receiver lives.
            drop(requests.try_send(RawMessage(sent.message.clone())));
        }
        match self.client.append_stream(ReceiverStream::new(outgoing)).await {
            Ok(answers) => Refusal::from(&self.converse(requests, answers).await),
            Err(refusal) => refusal,
        }
    }

    async fn converse(
        &mut self,
        requests: mpsc::Sender<RawMessage>,
        mut answers: Streaming<v1::AppendStreamResponse>,
    ) -> Status {
        let collector = Arc::clone(&self.collector);
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if let Err(status) = self.answered(answer) { return status },
                    Ok(None) => return Status::unavailable("the daemon ended the stream"),
                    Err(status) => return status,
                },
                batch = collector.next_batch(), if self.unanswered.len() < self.in_flight_max => {
                    let message = self.number(batch);
                    // A connection that has ended says why where its answers are read.
                    drop(requests.try_send(RawMessage(message)));
                }
            }
        }
    }

    /// Gives a batch its number, and keeps it until its answer.
    fn number(&mut self, batch: Batch) -> Bytes {
        let Batch { mut bytes, events } = batch;
        let event_bytes = bytes.len();
        let sequence = self.next_sequence;
        let tail =
            v1::AppendStreamRequest { events: Vec::new(), producer_id: self.id, producer_sequence: sequence };
        // Fails only where the buffer cannot grow, and this one can.
        let _ = tail.encode(&mut bytes);
        let message = bytes.freeze();
        let name = BatchName { producer_id: self.id, sequence, events, first_event: self.events_before };
        self.next_sequence = sequence.saturating_add(1);
        self.events_before += events as u64;
        self.unanswered.push_back(Sent { name, event_bytes, message: message.clone() });
        message
    }

    fn answered(&mut self, response: v1::AppendStreamResponse) -> Result<(), Status> {
        let sent = self.unanswered.pop_front();
        let sent =
            sent.ok_or_else(|| Status::data_loss("the daemon answered more requests than it was sent"))?;
        self.retry.succeeded();
        let repeated = u64::from(response.repeated_request);
        let ack =
            Ack { sequence: sent.name.sequence, events: sent.name.events, bytes: sent.event_bytes, response };
        if let Some(on_ack) = &mut self.on_ack {
            on_ack(&ack);
        }
        self.collector.acknowledged(ack.events, |progress: &mut Progress| {
            progress.events += ack.events as u64;
            progress.bytes += ack.bytes as u64;
            progress.batches += 1;
            progress.repeated_batches += repeated;
            progress.last_sequence = ack.sequence;
        });
        Ok(())
    }
}
