//! What the tests of this crate share: an encoder of events that knows nothing of the crate's own, and
//! segments in memory.

use piperoll_format::envelope::Envelope;
use piperoll_format::frame::{FrameParts, MessageSpan, PADDING, ProducerKey, encode_frame};
use piperoll_format::names::Name;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{FrameSalt, LogId, Offset, Sequence, UnixNanos};
use proptest::prelude::ProptestConfig;

/// As many cases as `PIPEROLL_TEST_CASES` says; a few without it.
pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// Writes protobuf fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(pub(crate) Vec<u8>);

impl Wire {
    pub(crate) fn varint(mut self, mut number: u64) -> Self {
        loop {
            let low = u8::try_from(number & 0x7F).unwrap();
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return self;
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn number(self, field: u32, number: u64) -> Self {
        self.varint(u64::from(field) << 3).varint(number)
    }

    pub(crate) fn bytes(self, field: u32, bytes: &[u8]) -> Self {
        let mut wire = self.varint(u64::from(field) << 3 | 2).varint(bytes.len() as u64);
        wire.0.extend_from_slice(bytes);
        wire
    }

    pub(crate) fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// A good event.
pub(crate) fn event(actor: &str, action: &str) -> Vec<u8> {
    Wire::default().text(4, actor).text(5, action).0
}

pub(crate) const SALT: FrameSalt = FrameSalt([
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F,
]);

pub(crate) fn class() -> Name {
    Name::from_outside("keep-7y").unwrap()
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        principal: "ci@acme".into(),
        auth_method: 5,
        peer: "10.0.0.7:51234".into(),
        intake: "grpc".into(),
        split: Vec::new(),
    }
}

/// A frame with these messages of these events.
pub(crate) fn frame(
    offset: u64,
    first: u64,
    received: i64,
    durable_end: u64,
    producer: Option<ProducerKey>,
    messages: &[Vec<Vec<u8>>],
    envelope: &Envelope,
) -> Vec<u8> {
    let payload: Vec<Vec<u8>> = messages
        .iter()
        .map(|events| events.iter().fold(Wire::default(), |wire, event| wire.bytes(1, event)).0)
        .collect();
    let spans: Vec<MessageSpan> = messages
        .iter()
        .zip(&payload)
        .map(|(events, bytes)| MessageSpan {
            events: u32::try_from(events.len()).unwrap(),
            payload_bytes: u32::try_from(bytes.len()).unwrap(),
        })
        .collect();
    let mut encoded = Vec::new();
    envelope.encode(&mut encoded);
    let parts = FrameParts {
        first_sequence: Sequence(first),
        received: UnixNanos(received),
        durable_end,
        producer,
        messages: &spans,
        envelope: &encoded,
        payload: &payload.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    };
    let mut out = Vec::new();
    let made = encode_frame(&parts, &SALT, Offset(offset), &mut out).unwrap();
    out.extend(payload.concat());
    out.extend_from_slice(&PADDING[..made.padding]);
    assert_eq!(out.len() as u64, made.length);
    out
}

pub(crate) fn header(first: u64) -> SegmentHeader {
    SegmentHeader {
        log_id: LogId([0x10; 16]),
        salt: SALT,
        first: Sequence(first),
        created: UnixNanos(1),
        previous: None,
        tenant: Name::from_outside("acme").unwrap(),
        class: class(),
    }
}

/// A segment as a writer makes it, in memory.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Vec<u8>,
    /// Offset and first sequence of each frame.
    pub(crate) frames: Vec<(u64, u64)>,
    pub(crate) next: u64,
    pub(crate) durable: u64,
}

impl Segment {
    pub(crate) fn new() -> Self {
        let header = header(0);
        let bytes = header.encode().to_vec();
        Self { header, bytes, frames: Vec::new(), next: 0, durable: 1_024 }
    }

    /// Appends a frame of events, the first one with so long a reason.
    pub(crate) fn push(&mut self, events: usize, reason_bytes: usize) -> &mut Self {
        let offset = self.bytes.len() as u64;
        let long = Wire(event("alice", "build.started")).text(21, &"x".repeat(reason_bytes)).0;
        let mut all = vec![event("bob", "deploy.approved"); events];
        all[0] = long;
        let received = i64::try_from(self.next).unwrap();
        let frame = frame(offset, self.next, received, self.durable, None, &[all], &envelope());
        self.frames.push((offset, self.next));
        self.next += events as u64;
        self.bytes.extend(frame);
        self
    }

    /// All that was written is durable from here on.
    pub(crate) fn sync(&mut self) -> &mut Self {
        self.durable = self.bytes.len() as u64;
        self
    }

    /// Zeros behind what was written, as preallocation leaves them.
    pub(crate) fn allocate(&mut self, bytes: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len() + bytes, 0);
        self
    }
}
