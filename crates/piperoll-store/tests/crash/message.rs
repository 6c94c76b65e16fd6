//! Messages that the tests send: events whose bytes say which message they belong to.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use piperoll_format::names::Name;
use piperoll_format::request::check_batch;
use piperoll_store::{Batch, Classes, Sender};

/// The classes that messages go to, by index.
pub(crate) const CLASSES: [&str; 3] = ["audit", "build", "deploy"];

static SENDER: LazyLock<Arc<Sender>> = LazyLock::new(|| {
    let sender = Sender::new("tester", 5, "10.0.0.1:4711", "grpc");
    Arc::new(sender.expect("a sender"))
});

static TENANT: LazyLock<Name> = LazyLock::new(|| Name::from_outside("acme").expect("a name"));

static CLASS_NAMES: LazyLock<[Name; CLASSES.len()]> =
    LazyLock::new(|| CLASSES.map(|name| Name::from_outside(name).expect("a name")));

/// The tenant of all tests.
pub(crate) fn tenant() -> Name {
    TENANT.clone()
}

/// The class of an index.
pub(crate) fn class(index: usize) -> Name {
    CLASS_NAMES[index].clone()
}

/// What a client sends in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Producer id and sequence, for messages that may be sent again.
    pub(crate) producer: Option<(u64, u64)>,
    /// Class and bytes of each event.
    pub(crate) events: Vec<(usize, Bytes)>,
    batch: Batch,
}

impl Message {
    /// A message whose `number` no other has: an event for each of `classes`, each with `padding` bytes.
    pub(crate) fn new(
        number: usize,
        producer: Option<(u64, u64)>,
        classes: &[usize],
        padding: usize,
    ) -> Self {
        let events = classes.iter().enumerate().map(|(position, &class)| {
            let id = format!("{number}.{position}");
            let reason = "x".repeat(padding);
            let action = CLASSES[class];
            let texts = [(1, id.as_str()), (4, "tester"), (5, action), (21, reason.as_str())];
            let mut event = Vec::new();
            for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                put_field(&mut event, field, text.as_bytes());
            }
            (class, Bytes::from(event))
        });
        let events: Vec<_> = events.collect();
        let batch = batch(producer, &events);
        Self { producer, events, batch }
    }

    /// The message as the engine takes it.
    pub(crate) fn batch(&self) -> Batch {
        self.batch.clone()
    }

    /// The positions of its events that go to the class of this index.
    pub(crate) fn positions(&self, class: usize) -> Vec<usize> {
        (0..self.events.len()).filter(|&position| self.events[position].0 == class).collect()
    }
}

/// The bytes of the request.
fn request(producer: Option<(u64, u64)>, events: &[(usize, Bytes)]) -> Bytes {
    let mut request = Vec::new();
    for (_, event) in events {
        put_field(&mut request, 1, event);
    }
    if let Some((id, sequence)) = producer {
        for (field, number) in [(2, id), (3, sequence)] {
            put_varint(&mut request, field << 3);
            put_varint(&mut request, number);
        }
    }
    request.into()
}

fn batch(producer: Option<(u64, u64)>, events: &[(usize, Bytes)]) -> Batch {
    let request = check_batch(request(producer, events), &mut |_, _| ()).expect("a good request");
    let of_event: Vec<u16> = events.iter().map(|&(class, _)| class.try_into().expect("few")).collect();
    let classes = if of_event.iter().all(|class| *class == of_event[0]) {
        Classes::One(class(of_event[0].into()))
    } else {
        Classes::Each { classes: (0..CLASSES.len()).map(class).collect(), of_event }
    };
    Batch { tenant: tenant(), sender: Arc::clone(&SENDER), request, classes }
}

fn put_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}
