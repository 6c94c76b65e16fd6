//! What is sent: sample events, encoded once and put together into messages.

use anyhow::Result;
use bytes::Bytes;
use piperoll_samples::Events;
use prost::Message as _;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tonic::metadata::{Ascii, MetadataValue};

/// The tag of field 1 of both requests, the events.
const EVENTS_TAG: u8 = 0x0a;
const SEED: u64 = 5;
const DAYS: f64 = 30.0;

/// How events are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// An endless call; otherwise a call a batch.
    pub(crate) streams: bool,
    /// Events a message.
    pub(crate) batch: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.streams { "streams" } else { "unary" }, self.batch)
    }
}

/// One batch.
#[derive(Clone)]
pub(crate) struct Message {
    /// The encoded request.
    pub(crate) body: Bytes,
    /// Whose it is; the default tenant's where it is not said.
    pub(crate) tenant: Option<MetadataValue<Ascii>>,
}

/// Messages of one shape, to be sent round and round.
pub(crate) struct Load {
    pub(crate) shape: Shape,
    /// All of them.
    pub(crate) messages: Arc<[Message]>,
    /// The same by tenant: a stream has one tenant.
    lanes: Vec<Arc<[Message]>>,
}

impl Load {
    /// All messages, in as many hands as share the iterator.
    pub(crate) fn endless(&self, stop: &Arc<AtomicBool>) -> Endless {
        Endless { messages: Arc::clone(&self.messages), next: Arc::default(), stop: Arc::clone(stop) }
    }

    /// The messages of each tenant.
    pub(crate) fn endless_by_tenant(&self, stop: &Arc<AtomicBool>) -> Vec<Endless> {
        let endless = |messages| Endless { messages, next: Arc::default(), stop: Arc::clone(stop) };
        self.lanes.iter().cloned().map(endless).collect()
    }

    /// Length of the longest message.
    pub(crate) fn longest(&self) -> usize {
        self.messages.iter().map(|message| message.body.len()).max().unwrap_or(1)
    }

    /// About `bytes` bytes of messages.
    pub(crate) fn group(&self, bytes: f64) -> Vec<u8> {
        let mut group = Vec::new();
        for Message { body, .. } in self.messages.iter().cycle() {
            if group.len() as f64 + body.len() as f64 / 2.0 > bytes && !group.is_empty() {
                break;
            }
            group.extend_from_slice(body);
        }
        group
    }
}

/// Messages round and round until told to stop, but one at least. Clones go on where the others are.
#[derive(Clone)]
pub(crate) struct Endless {
    messages: Arc<[Message]>,
    next: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Endless {
    /// Whose they are, where all are of one tenant.
    pub(crate) fn tenant(&self) -> Option<&MetadataValue<Ascii>> {
        self.messages.first()?.tenant.as_ref()
    }
}

impl Iterator for Endless {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let number = self.next.fetch_add(1, Relaxed);
        if number > 0 && self.stop.load(Relaxed) {
            return None;
        }
        self.messages.get(number % self.messages.len()).cloned()
    }
}

/// Encoded sample events, each with the tenant that it is of.
pub(crate) struct Samples(Vec<(String, Vec<u8>)>);

impl Samples {
    /// So many.
    pub(crate) fn new(count: usize) -> Self {
        let mut events = Events::new(SEED, count as u64, DAYS);
        let mut samples = Vec::with_capacity(count);
        while let Some(event) = events.next().filter(|_| samples.len() < count) {
            samples.push((events.tenant().to_owned(), event.encode_to_vec()));
        }
        Self(samples)
    }

    /// The mean length of an event.
    pub(crate) fn mean_bytes(&self) -> usize {
        self.0.iter().map(|(_, event)| event.len()).sum::<usize>() / self.0.len().max(1)
    }

    /// For the default tenant.
    pub(crate) fn one_tenant(&self, shape: Shape) -> Load {
        let events: Vec<&[u8]> = self.0.iter().map(|(_, event)| event.as_slice()).collect();
        let batches = events.chunks_exact(shape.batch.min(events.len()));
        let messages: Arc<[_]> = batches.map(|batch| Message { body: encode(batch), tenant: None }).collect();
        Load { shape, lanes: vec![Arc::clone(&messages)], messages }
    }

    /// For the tenants that the events are of; a message is sent when its last event has happened.
    pub(crate) fn by_tenant(&self, shape: Shape) -> Result<Load> {
        let mut open: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        let mut lanes: BTreeMap<&str, Vec<Message>> = BTreeMap::new();
        let mut messages = Vec::new();
        for (tenant, event) in &self.0 {
            let batch = open.entry(tenant).or_default();
            batch.push(event);
            if batch.len() == shape.batch {
                let message = Message { body: encode(batch), tenant: Some(tenant.parse()?) };
                lanes.entry(tenant).or_default().push(message.clone());
                messages.push(message);
                batch.clear();
            }
        }
        anyhow::ensure!(!messages.is_empty(), "no tenant has {} events", shape.batch);
        let lanes = lanes.into_values().map(Arc::from).collect();
        Ok(Load { shape, messages: messages.into(), lanes })
    }
}

fn encode(events: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::new();
    for event in events {
        bytes.push(EVENTS_TAG);
        prost::encoding::encode_varint(event.len() as u64, &mut bytes);
        bytes.extend_from_slice(event);
    }
    Bytes::from(bytes)
}
