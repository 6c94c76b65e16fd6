//! Events, frames and logs of every shape, made byte by byte.

use crate::{BuiltIndex, Columns, SealedIndex, TermSet, Terms, terms::bitmap_fields};
use piperoll_format::{
    envelope::Envelope,
    event::Field,
    frame::{FrameParts, MessageSpan, PADDING, ProducerKey, check_frame, encode_frame},
    limits::SEGMENT_HEADER_BYTES,
    names::Name,
    units::{FrameSalt, Offset, Root, Sequence, UnixNanos},
};
use std::cell::OnceCell;

pub(super) const SALT: FrameSalt = FrameSalt([7; 16]);
pub(super) const FIRST: Sequence = Sequence(1_000);
pub(super) const CLASS: &str = "default";
pub(super) const PRINCIPAL: &str = "runner-7";

/// Cases of a property test.
pub(crate) fn cases(default: u32) -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7F {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A protobuf message that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    /// An event with the two fields that every event has.
    pub(super) fn event(actor: &str, action: &str) -> Self {
        Self::default().text(Field::Actor, actor).text(Field::Action, action)
    }

    pub(super) fn bytes(mut self, number: u16, bytes: &[u8]) -> Self {
        put_varint(u64::from(number) << 3 | 2, &mut self.0);
        put_varint(bytes.len() as u64, &mut self.0);
        self.0.extend(bytes);
        self
    }

    pub(super) fn varint(mut self, number: u16, value: u64) -> Self {
        put_varint(u64::from(number) << 3, &mut self.0);
        put_varint(value, &mut self.0);
        self
    }

    pub(super) fn text(self, field: Field, text: &str) -> Self {
        self.bytes(field.number(), text.as_bytes())
    }

    pub(super) fn number(self, field: Field, number: u64) -> Self {
        self.varint(field.number(), number)
    }

    pub(super) fn time(self, nanos: i64) -> Self {
        let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        let stamp = Self::default().varint(1, seconds as u64).varint(2, rest as u64);
        self.bytes(Field::Time.number(), &stamp.0)
    }

    fn entry(self, number: u16, key: &str, value: &str) -> Self {
        let entry = Self::default().bytes(1, key.as_bytes()).bytes(2, value.as_bytes());
        self.bytes(number, &entry.0)
    }

    pub(super) fn attribute(self, key: &str, value: &str) -> Self {
        self.entry(Field::Attributes.number(), key, value)
    }

    pub(super) fn artifact(self, digests: &[(&str, &str)]) -> Self {
        let artifact =
            digests.iter().fold(Self::default(), |artifact, (name, hex)| artifact.entry(4, name, hex));
        self.bytes(Field::Artifacts.number(), &artifact.0)
    }

    pub(super) fn attestation(self, algorithm: &str, hex: &str) -> Self {
        self.bytes(Field::Attestations.number(), &Self::default().entry(3, algorithm, hex).0)
    }

    pub(super) fn link(self, id: Option<&str>) -> Self {
        let link = Self::default().bytes(1, b"caused_by");
        let link = id.map_or(link.clone(), |id| link.bytes(3, id.as_bytes()));
        self.bytes(Field::Links.number(), &link.0)
    }
}

/// What a frame is, beside its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    /// Its first event has no actor.
    Malformed,
    /// Of a kind that no version has yet.
    Newer,
}

/// A frame to be written.
#[derive(Clone, Debug)]
pub(super) struct FrameSpec {
    /// Sequences that are missing before it, as a loss leaves them.
    pub(super) gap: u32,
    pub(super) received: i64,
    pub(super) kind: Kind,
    pub(super) producer: Option<ProducerKey>,
    /// The events of each message.
    pub(super) messages: Vec<Vec<Vec<u8>>>,
}

impl FrameSpec {
    /// A frame of one message without a producer.
    pub(super) fn of(received: i64, events: impl IntoIterator<Item = Message>) -> Self {
        let messages = vec![events.into_iter().map(|event| event.0).collect()];
        Self { gap: 0, received, kind: Kind::Good, producer: None, messages }
    }
}

/// An event of a log, as the index should see it.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) ordinal: u32,
    pub(super) received: i64,
    /// `None` where it cannot be read.
    pub(super) bytes: Option<Vec<u8>>,
}

/// A `.log`, its events, and where its frames begin.
pub(super) struct Log {
    pub(super) bytes: Vec<u8>,
    indexes: OnceCell<(Columns, BuiltIndex)>,
    pub(super) events: Vec<Logged>,
    pub(super) offsets: Vec<u64>,
}

pub(super) fn class() -> Name {
    Name::from_outside(CLASS).unwrap()
}

pub(super) fn root() -> Root {
    Root([0x5A; 32])
}

impl Log {
    pub(super) fn new(frames: &[FrameSpec]) -> Self {
        let mut log = Self {
            bytes: vec![0; SEGMENT_HEADER_BYTES as usize],
            indexes: OnceCell::new(),
            events: vec![],
            offsets: vec![],
        };
        let mut next = 0;
        for frame in frames {
            next += frame.gap;
            next = log.push(frame, next);
        }
        log
    }

    fn push(&mut self, frame: &FrameSpec, first: u32) -> u32 {
        let mut payload = Message::default();
        let mut spans = Vec::new();
        let mut ordinal = first;
        for message in &frame.messages {
            let start = payload.0.len();
            for event in message {
                let malformed = frame.kind == Kind::Malformed && ordinal == first;
                payload = payload.bytes(1, if malformed { &[] } else { event });
                let bytes = (frame.kind == Kind::Good).then(|| event.clone());
                self.events.push(Logged { ordinal, received: frame.received, bytes });
                ordinal += 1;
            }
            spans.push(MessageSpan {
                events: message.len() as u32,
                payload_bytes: (payload.0.len() - start) as u32,
            });
        }
        self.write(frame, first, &spans, &payload.0);
        ordinal
    }

    fn write(&mut self, frame: &FrameSpec, first: u32, spans: &[MessageSpan], payload: &[u8]) {
        let offset = self.bytes.len();
        let mut envelope = Vec::new();
        Envelope { principal: PRINCIPAL.into(), ..Envelope::default() }.encode(&mut envelope);
        let parts = FrameParts {
            first_sequence: FIRST.plus(first.into()),
            received: UnixNanos(frame.received),
            durable_end: SEGMENT_HEADER_BYTES,
            producer: frame.producer,
            messages: spans,
            envelope: &envelope,
            payload: &[payload],
        };
        let encoded = encode_frame(&parts, &SALT, Offset(offset as u64), &mut self.bytes).unwrap();
        self.bytes.extend(payload);
        self.bytes.extend(&PADDING[..encoded.padding]);
        if frame.kind == Kind::Newer {
            self.become_newer(offset);
        }
        self.offsets.push(offset as u64);
    }

    /// Changes the kind of the last frame, and its checksum with it.
    fn become_newer(&mut self, offset: usize) {
        self.bytes[offset + 64] = 9;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&SALT.0);
        crc.update(&(offset as u64).to_le_bytes());
        crc.update(&self.bytes[offset..offset + 4]);
        crc.update(&self.bytes[offset + 8..]);
        self.bytes[offset + 4..offset + 8].copy_from_slice(&crc.finalize().to_le_bytes());
    }

    pub(super) fn columns(&self) -> Columns {
        let mut columns = Columns::new(FIRST, &SALT, &class());
        for &offset in &self.offsets {
            let frame = check_frame(&self.bytes[offset as usize..], Offset(offset), &SALT).unwrap();
            columns.frame(Offset(offset), &frame).unwrap();
        }
        columns
    }

    /// Asks the columns, the `.idx`, and the `.idx` of which is known where its terms stand, rightly and wrongly: they have
    /// to agree.
    pub(super) fn ask<T: PartialEq + std::fmt::Debug>(&self, ask: impl Fn(&dyn Terms) -> T) -> T {
        let (columns, built) = self.indexes.get_or_init(|| {
            let columns = self.columns();
            let built = columns.build(&root()).unwrap();
            (columns, built)
        });
        let sealed = SealedIndex::open(&built.bytes).unwrap();
        let answer = ask(columns);
        assert_eq!(answer, ask(&sealed), "the columns' answer, then the .idx's");
        let sources: [&dyn Terms; 2] = [&sealed, columns];
        for source in sources {
            let Some(mut terms) = TermSet::of(source.summary()) else { break };
            bitmap_fields().for_each(|field| terms.learn(source, field).unwrap());
            let knowing = SealedIndex::open(&built.bytes).unwrap().knowing(Some(&terms));
            assert_eq!(
                answer,
                ask(&knowing),
                "the columns' answer, then that of an .idx of which the terms are known"
            );
        }
        answer
    }
}
