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

/// The tenant of all tests.
pub(crate) fn tenant() -> Name {
    Name::from_outside("acme").expect("a name")
}

/// The class of an index.
pub(crate) fn class(index: usize) -> Name {
    Name::from_outside(CLASSES[index]).expect("a name")
}

/// What a client sends in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Producer id and sequence, for messages that may be sent again.
    pub(crate) producer: Option<(u64, u64)>,
    /// Class and bytes of each event.
    pub(crate) events: Vec<(usize, Vec<u8>)>,
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
            (class, event)
        });
        Self { producer, events: events.collect() }
    }

    /// The bytes of the request.
    fn request(&self) -> Bytes {
        let mut request = Vec::new();
        self.events.iter().for_each(|(_, event)| put_field(&mut request, 1, event));
        if let Some((id, sequence)) = self.producer {
            for (field, number) in [(2, id), (3, sequence)] {
                put_varint(&mut request, field << 3);
                put_varint(&mut request, number);
            }
        }
        request.into()
    }

    /// The message as the engine takes it.
    pub(crate) fn batch(&self) -> Batch {
        let request = check_batch(self.request(), &mut |_, _| ()).expect("a good request");
        let of_event: Vec<u16> =
            self.events.iter().map(|&(class, _)| class.try_into().expect("few")).collect();
        let classes = if of_event.iter().all(|class| *class == of_event[0]) {
            Classes::One(class(of_event[0].into()))
        } else {
            Classes::Each { classes: (0..CLASSES.len()).map(class).collect(), of_event }
        };
        Batch { tenant: tenant(), sender: Arc::clone(&SENDER), request, classes }
    }

    /// The positions of its events that go to the class of this index.
    pub(crate) fn positions(&self, class: usize) -> Vec<usize> {
        (0..self.events.len()).filter(|&position| self.events[position].0 == class).collect()
    }
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
