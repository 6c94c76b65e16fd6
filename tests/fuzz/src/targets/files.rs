//! The formats of the disk, each by itself: what is accepted is written again as the same bytes.

use super::events::samples;
use crate::mutate::{fix_crc_at_end, fix_frame_crc};
use piperoll_format::{
    directory::DirectoryFile,
    entry::{self, Entry, EntryDetail, EntryFile, EntryHead, Mark, SealedDetail},
    envelope::{Envelope, SplitPart},
    event::EventView,
    frame::{FrameParts, FrameView, MessageSpan, PADDING, ProducerKey, check_frame, encode_frame},
    limits::SEGMENT_HEADER_BYTES,
    names::Name,
    producers::{ProducerState, decode_producers, encode_producers},
    round::RoundFile,
    segment::{Previous, SegmentHeader},
    units::{FrameSalt, LogId, Offset, Root, Sequence, UnixNanos},
    walk::{ByteSource, VerdictKind, walk as walk_segment},
};
use piperoll_proto::v1::AppendRequest;
use prost::Message as _;
use std::convert::Infallible;

pub(crate) const SALT: FrameSalt = FrameSalt([7; 16]);
/// A segment's first frame stands behind its header.
const FIRST: Offset = Offset(SEGMENT_HEADER_BYTES);

pub(crate) fn name(text: &str) -> Name {
    Name::from_disk(text).expect("a name")
}

/// The bytes of a frame of these many generated events, which would stand at `offset`.
pub(crate) fn frame_bytes(events: usize, skip: usize, first: u64, producer: u64, offset: Offset) -> Vec<u8> {
    let events = samples(skip + events).split_off(skip);
    let payload = AppendRequest { events: events.clone(), ..Default::default() }.encode_to_vec();
    let count = |length: usize| u32::try_from(length).expect("small");
    let span = MessageSpan { events: count(events.len()), payload_bytes: count(payload.len()) };
    let mut envelope = Vec::new();
    Envelope { principal: "runner-7".to_owned(), peer: "[::1]:9".to_owned(), ..Envelope::default() }
        .encode(&mut envelope);
    let parts = FrameParts {
        first_sequence: Sequence(first),
        received: UnixNanos(1_795_435_200_000_000_000),
        durable_end: SEGMENT_HEADER_BYTES,
        producer: (producer > 0).then_some(ProducerKey { id: producer, sequence: 3 }),
        messages: &[span],
        envelope: &envelope,
        payload: &[&payload],
    };
    let mut bytes = Vec::new();
    let encoded = encode_frame(&parts, &SALT, offset, &mut bytes).expect("the parts agree");
    bytes.extend(&payload);
    bytes.extend(&PADDING[..encoded.padding]);
    bytes
}

/// The length and the checksum are put right; then the frame is asked everything, and written again.
pub(crate) fn frame(bytes: &[u8]) {
    if let Ok(frame) = check_frame(bytes, FIRST, &SALT) {
        ask_frame(frame);
    }
    let mut bytes = bytes[..bytes.len() / 8 * 8].to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if let Some(place) = bytes.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
    fix_frame_crc(&mut bytes, &SALT.0, FIRST.0);
    if let Ok(frame) = check_frame(&bytes, FIRST, &SALT) {
        ask_frame(frame);
    }
}

fn ask_frame(frame: FrameView<'_>) {
    let messages: Vec<_> = frame.messages().collect();
    assert!(messages.len() <= frame.bytes().len());
    assert!(frame.events().count() <= frame.payload().len());
    let Ok(checked) = frame.validate(&name("default")) else { return };
    let header = frame.header();
    let events: Vec<_> = checked.events().collect();
    assert_eq!(events.len(), header.event_count as usize);
    for (place, (_, view)) in (0u64..).zip(&events) {
        let sequence = Sequence(header.first_sequence.0 + place);
        assert_eq!(checked.event_at(sequence).map(EventView::bytes), Some(view.bytes()));
    }
    assert_eq!(checked.event_at(header.end_sequence()), None);
    let parts = FrameParts {
        first_sequence: header.first_sequence,
        received: header.received,
        durable_end: header.durable_end,
        producer: frame.producer(),
        messages: &messages,
        envelope: frame.envelope(),
        payload: &[frame.payload()],
    };
    let mut again = Vec::new();
    let encoded = encode_frame(&parts, &SALT, FIRST, &mut again).expect("a frame that checks can be written");
    again.extend(frame.payload());
    again.extend(&PADDING[..encoded.padding]);
    assert_eq!(again, frame.bytes(), "written again");
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    vec![
        frame_bytes(1, 0, 0, 0, FIRST),
        frame_bytes(3, 1, 5, 7, FIRST),
        frame_bytes(6, 4, 1 << 40, u64::MAX, FIRST),
    ]
}

struct Lent<'a>(&'a [u8]);

impl ByteSource for Lent<'_> {
    type Error = Infallible;

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> Result<usize, Infallible> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn header() -> SegmentHeader {
    SegmentHeader {
        log_id: LogId([3; 16]),
        salt: SALT,
        first: Sequence(0),
        created: UnixNanos(1_795_435_200_000_000_000),
        previous: None,
        tenant: name("t"),
        class: name("default"),
    }
}

/// Two bytes that say where the last mark lies, then a segment without its header. Frames get their right checksum,
/// but for those whose checksum begins with 0.
pub(crate) fn walk(bytes: &[u8]) {
    let Some((mark, body)) = bytes.split_first_chunk::<2>() else { return };
    let mut file = [&header().encode()[..], body].concat();
    let mut at = FIRST;
    while let Some(rest) = usize::try_from(at.0).ok().and_then(|at| file.get_mut(at..)) {
        let step = match rest.get(4) {
            Some(0) | None => u32::from_le_bytes(*rest.first_chunk().unwrap_or(&[0; 4])).into(),
            Some(_) => fix_frame_crc(rest, &SALT.0, at.0).map_or(8, |length| length as u64),
        };
        at.0 += step.max(8).next_multiple_of(8);
    }
    let frames = walk_checked(&file, None);
    let ends: Vec<_> = frames.iter().map(|(end, sequence)| (*end, *sequence)).collect();
    let [kind, number] = *mark;
    let (length, end) = match ends.get(usize::from(number)) {
        Some(&there) if kind % 2 == 0 => there,
        _ => (SEGMENT_HEADER_BYTES + u64::from(number) * 8, Sequence(number.into())),
    };
    let head = EntryHead { log_id: header().log_id, end, ..EntryHead::default() };
    walk_checked(&file, Some(&Mark { head, length, ..Mark::default() }));
}

/// Walks twice, and checks what a verdict says; answers where each frame ends.
fn walk_checked(file: &[u8], mark: Option<&Mark>) -> Vec<(u64, Sequence)> {
    let length = file.len() as u64;
    let mut ends = Vec::new();
    let mut at = FIRST;
    let verdict = walk_segment(&mut Lent(file), &header(), length, mark, &mut |offset, frame| {
        assert_eq!(offset, at, "frames lie one behind the other");
        at.0 += u64::from(frame.header().length);
        ends.push((at.0, frame.header().end_sequence()));
    });
    let verdict = verdict.expect("the source does not fail");
    assert_eq!((verdict.end, verdict.frames), (at, ends.len() as u64));
    assert_eq!(verdict.end_sequence, ends.last().map_or(Sequence(0), |(_, sequence)| *sequence));
    let is_zero =
        |from: u64| file.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).all(|byte| *byte == 0);
    match &verdict.kind {
        VerdictKind::Clean => assert!(is_zero(verdict.end.0), "clean, with bytes behind the end"),
        VerdictKind::Torn { not_zero } => {
            assert!(not_zero.start >= verdict.end.0 && not_zero.end <= length);
            assert!(is_zero(not_zero.end), "all of the tail is in the range");
        }
        VerdictKind::Damaged(damage) => assert!(damage.mark_not_met || verdict.durable > verdict.end.0),
    }
    if let Some(mark) = mark
        && verdict.end.0 < mark.length
    {
        assert!(
            matches!(verdict.kind, VerdictKind::Damaged(_)),
            "a walk that ends before its mark is damage"
        );
    }
    let again = walk_segment(&mut Lent(file), &header(), length, mark, &mut |_, _| ());
    assert_eq!(again.expect("the source does not fail"), verdict);
    ends
}

pub(crate) fn walk_seeds() -> Vec<Vec<u8>> {
    let mut whole = vec![0, 1];
    let mut first = 0;
    for (place, events) in [1, 3, 2, 2].into_iter().enumerate() {
        let offset = Offset(SEGMENT_HEADER_BYTES + whole.len() as u64 - 2);
        whole.extend(frame_bytes(events, place, first, place as u64, offset));
        first += events as u64;
    }
    let torn = whole[..whole.len() - 100].to_vec();
    let zeros = [&whole[..], &[0; 256]].concat();
    vec![whole, torn, zeros, vec![0; 600]]
}

pub(crate) fn segment_header(bytes: &[u8]) {
    drop(SegmentHeader::decode(bytes));
    let mut header = bytes.to_vec();
    header.resize(1_024, 0);
    header[12..16].fill(0);
    let crc = crc32fast::hash(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    if let Ok(decoded) = SegmentHeader::decode(&header) {
        assert_eq!(decoded.encode()[..], header[..]);
    }
}

pub(crate) fn segment_header_seeds() -> Vec<Vec<u8>> {
    let previous = Previous { first: Sequence(5), length: 4_096, root: Root([9; 32]) };
    let later = SegmentHeader { first: Sequence(77), previous: Some(previous), ..header() };
    vec![header().encode()[..256].to_vec(), later.encode().to_vec()]
}

pub(crate) fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else { return };
    let mut again = Vec::new();
    envelope.encode(&mut again);
    assert_eq!(Envelope::decode(&again), Ok(envelope));
}

pub(crate) fn envelope_seeds() -> Vec<Vec<u8>> {
    let part = |class, positions: &[u32]| SplitPart { class: name(class), positions: positions.to_vec() };
    let full = Envelope {
        principal: "ci".to_owned(),
        auth_method: 3,
        peer: "127.0.0.1:9".to_owned(),
        intake: "webhook/github".to_owned(),
        split: vec![part("a", &[0, 2, 300]), part("b", &[1, 3])],
    };
    let plain = Envelope { split: vec![], ..full.clone() };
    let encode = |envelope: &Envelope| {
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        bytes
    };
    vec![encode(&full), encode(&plain), vec![]]
}

/// Behind kind, version, log id, two sequences and a time.
const DETAIL_HASH: std::ops::Range<usize> = 42..74;

/// The hash of the detail and the checksum are put right.
pub(crate) fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert!(entry.encode().is_none_or(|again| again == bytes));
    }
    if let Some(detail) = EntryDetail::decode(bytes) {
        let mut again = Vec::new();
        detail.encode(&mut again);
        assert_eq!(again, bytes);
    }
    drop(EntryFile::decode(bytes));
    let mut file = bytes.to_vec();
    let length = match bytes.first() {
        Some(0) => entry::Mark::LENGTH,
        Some(1) => entry::Round::LENGTH,
        Some(2) => entry::Seal::LENGTH,
        Some(3) => entry::Drop::LENGTH,
        Some(4) => entry::Loss::LENGTH,
        Some(5) => entry::Reindex::LENGTH,
        _ => entry::Open::LENGTH,
    };
    // The place in the tree stands between entry and detail.
    if let Some(detail) = file.len().checked_sub(4).and_then(|end| file.get(length + 8..end))
        && !detail.is_empty()
    {
        let hash = blake3::hash(detail);
        file[DETAIL_HASH].copy_from_slice(hash.as_bytes());
    }
    fix_crc_at_end(&mut file);
    if let Ok(decoded) = EntryFile::decode(&file) {
        assert_eq!(decoded.encode().as_deref(), Ok(&file[..]));
    }
}

pub(crate) fn entry_seeds() -> Vec<Vec<u8>> {
    let detail = EntryDetail {
        tenant: "t".to_owned(),
        class: "a".to_owned(),
        rule: "keep 30d".to_owned(),
        keep_seconds: 2_592_000,
        principal: "ci".to_owned(),
        text: "a disk was lost".to_owned(),
    };
    let detail = SealedDetail { nonce: [5; 32], detail };
    let head =
        EntryHead { log_id: LogId([3; 16]), end: Sequence(9), detail: detail.hash(), ..EntryHead::default() };
    let open = EntryHead { end: Sequence(0), ..head };
    let entries: [Entry; 5] = [
        entry::Seal { head, length: 4_096, events: 9, frames: 2, ..Default::default() }.into(),
        entry::Drop { head, seal_tree_index: u64::MAX, ..Default::default() }.into(),
        entry::Loss { head, offset: 2_048, length: 64, ..Default::default() }.into(),
        entry::Reindex { head, index_version: 1, ..Default::default() }.into(),
        entry::Open { head: open }.into(),
    ];
    let file =
        |entry| EntryFile { entry, tree_index: None, detail: Some(detail.clone()) }.encode().expect("fits");
    entries.map(file).to_vec()
}

pub(crate) fn round(bytes: &[u8]) {
    drop(RoundFile::decode(bytes));
    let mut file = bytes.to_vec();
    fix_crc_at_end(&mut file);
    if let Ok(decoded) = RoundFile::decode(&file) {
        assert_eq!(decoded.encode(), file);
    }
}

pub(crate) fn round_seeds() -> Vec<Vec<u8>> {
    let mark = |log: u8, end: u64| {
        let head = EntryHead { log_id: LogId([log; 16]), end: Sequence(end), ..EntryHead::default() };
        Mark { head, length: 2_048, ..Mark::default() }
    };
    let marks = vec![mark(1, 5), mark(2, 1 << 33)];
    vec![RoundFile { number: 1, marks: vec![] }.encode(), RoundFile { number: 9, marks }.encode()]
}

pub(crate) fn producers(bytes: &[u8]) {
    drop(decode_producers(bytes));
    let mut file = bytes.to_vec();
    fix_crc_at_end(&mut file);
    if let Ok(decoded) = decode_producers(&file) {
        assert_eq!(encode_producers(&decoded), file);
    }
}

pub(crate) fn producers_seeds() -> Vec<Vec<u8>> {
    let state = |principal: &str, id| ProducerState {
        principal: principal.to_owned(),
        id,
        last_sequence: 4,
        received: UnixNanos(1),
        first_sequence: Sequence(2),
        event_count: 3,
    };
    vec![encode_producers(&[]), encode_producers(&[state("ci", 1), state("", 2)])]
}

pub(crate) fn directory(bytes: &[u8]) {
    let _raw = DirectoryFile::decode(bytes);
    let mut file = bytes.to_vec();
    fix_crc_at_end(&mut file);
    if let Ok(decoded) = DirectoryFile::decode(&file) {
        assert_eq!(decoded.encode(), file);
    }
}

pub(crate) fn directory_seeds() -> Vec<Vec<u8>> {
    let file = DirectoryFile {
        directory_id: [1; 16],
        instance_id: [2; 16],
        process_id: 77,
        started: UnixNanos(1_795_435_200_000_000_000),
    };
    vec![file.encode()]
}
