//! The bytes of every struct, against files that were made by hand and not by this crate.
//!
//! A byte that moves is a new version of the format, never an edit of these files.

use crate::support::{SALT, class, envelope, event, frame};
use piperoll_format::directory::DirectoryFile;
use piperoll_format::entry::{
    Drop, Entry, EntryDetail, EntryFile, EntryHead, Loss, Mark, Open, Reindex, Round, Seal, SealedDetail,
};
use piperoll_format::envelope::{Envelope, SplitPart};
use piperoll_format::frame::{MalformedFrame, ProducerKey, check_frame};
use piperoll_format::names::Name;
use piperoll_format::producers::{ProducerState, decode_producers, encode_producers};
use piperoll_format::round::RoundFile;
use piperoll_format::segment::{Previous, SegmentHeader};
use piperoll_format::units::{FrameSalt, LogId, Offset, Root, Sequence, UnixNanos};

/// A golden file's bytes: hexadecimal, with comments behind '#'.
macro_rules! golden {
    ($name:literal) => {
        bytes_of(include_str!(concat!("../golden/", $name, ".hex")))
    };
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter_map(|line| line.split('#').next()).collect();
    let nibbles: Vec<u8> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
        .collect();
    let (pairs, rest) = nibbles.as_chunks();
    assert!(rest.is_empty(), "odd number of digits");
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

fn run<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(u8::try_from(at).unwrap()))
}

#[test]
fn segment_headers_are_these_bytes() {
    let first = SegmentHeader {
        log_id: LogId(run(0x10)),
        salt: FrameSalt(run(0x20)),
        first: Sequence(0),
        created: UnixNanos(1_700_000_000_123_456_789),
        previous: None,
        tenant: Name::from_outside("acme").unwrap(),
        class: Name::from_outside("keep-7y").unwrap(),
    };
    let previous = Previous { first: Sequence(7), length: 123_456, root: Root(run(0x80)) };
    let next = SegmentHeader { first: Sequence(300), previous: Some(previous), ..first.clone() };
    for (header, bytes) in [(first, golden!("segment-first")), (next, golden!("segment-next"))] {
        assert_eq!(header.encode().as_slice(), bytes);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    }
}

#[test]
fn a_frame_of_one_message_is_these_bytes() {
    let bytes = golden!("frame-one-message");
    let messages = [vec![event("alice", "build.started")]];
    let made = frame(1_024, 300, 1_700_000_001_000_000_000, 1_024, None, &messages, &envelope());
    assert_eq!(made, bytes);

    let checked = check_frame(&bytes, Offset(1_024), &SALT).unwrap().validate(&class()).unwrap();
    assert_eq!(checked.envelope(), &envelope());
    let (place, view) = checked.events().next().unwrap();
    assert_eq!(view.bytes(), event("alice", "build.started"));
    assert_eq!(&bytes[place.start as usize..][..view.bytes().len()], view.bytes());
}

#[test]
fn a_frame_of_three_messages_is_these_bytes() {
    let bytes = golden!("frame-three-messages");
    let messages = [
        vec![event("alice", "build.started"), event("bot-7", "test.failed")],
        vec![event("bob", "deploy.approved")],
        vec![event("bob", "deploy.started")],
    ];
    let key = ProducerKey { id: 0x1122_3344_5566_7788, sequence: 41 };
    assert_eq!(frame(4_096, 301, -1, 2_048, Some(key), &messages, &envelope()), bytes);

    let view = check_frame(&bytes, Offset(4_096), &SALT).unwrap();
    assert_eq!(view.producer_of(2), Some(ProducerKey { sequence: 43, ..key }));
    assert_eq!(view.messages().map(|span| span.events).collect::<Vec<_>>(), [2, 1, 1]);
    let checked = view.validate(&class()).unwrap();
    let expected: Vec<_> = messages.concat();
    assert!(checked.events().map(|(_, event)| event.bytes()).eq(expected.iter().map(Vec::as_slice)));
    assert_eq!(checked.event_at(Sequence(303)).unwrap().bytes(), expected[2]);
    assert_eq!(checked.event_at(Sequence(305)), None);
    assert_eq!(checked.event_at(Sequence(300)), None);
}

#[test]
fn a_frame_of_a_split_message_is_these_bytes() {
    let bytes = golden!("frame-split");
    let part = |class: &str, positions: &[u32]| SplitPart {
        class: Name::from_outside(class).unwrap(),
        positions: positions.to_vec(),
    };
    let split = vec![part("default", &[1]), part("keep-7y", &[0, 2])];
    let envelope = Envelope { intake: "grpc".into(), split, ..Envelope::default() };
    let messages = [vec![event("alice", "deploy.approved"), event("bob", "deploy.started")]];
    let key = Some(ProducerKey { id: 9, sequence: 1 });
    assert_eq!(frame(1_024, 0, 0, 1_024, key, &messages, &envelope), bytes);

    let view = check_frame(&bytes, Offset(1_024), &SALT).unwrap();
    assert_eq!(view.validate(&class()).unwrap().into_envelope(), envelope);
    let other = Name::from_outside("other").unwrap();
    assert_eq!(view.validate(&other).unwrap_err(), MalformedFrame::Split, "the own class has no part");
    let default = Name::from_outside("default").unwrap();
    assert_eq!(view.validate(&default).unwrap_err(), MalformedFrame::Split, "the own part has one event");
}

#[test]
fn a_newer_frame_checks_and_shows_nothing() {
    let bytes = golden!("frame-newer");
    let view = check_frame(&bytes, Offset(1_024), &SALT).unwrap();
    assert!(view.is_newer());
    assert_eq!(view.header().end_sequence(), Sequence(6));
    assert_eq!((view.events().count(), view.messages().count()), (0, 0));
    assert_eq!(view.validate(&class()).unwrap_err(), MalformedFrame::Newer { kind: 2, flags: 1 });
}

fn head() -> EntryHead {
    EntryHead {
        log_id: LogId(run(0x10)),
        first: Sequence(300),
        end: Sequence(420),
        made: UnixNanos(1_700_000_002_000_000_000),
        detail: [0; 32],
    }
}

fn check_entry(entry: impl Into<Entry>, bytes: &[u8]) {
    let entry = entry.into();
    assert_eq!(entry.encode().unwrap(), bytes);
    assert_eq!(Entry::decode(bytes), Ok(entry));
    let longer = [bytes, &[0]].concat();
    assert!(Entry::decode(&longer).is_err(), "a byte that is not used");
    assert!(Entry::decode(&bytes[..bytes.len() - 1]).is_err(), "a byte too few");
}

#[test]
fn entries_are_these_bytes() {
    let (root, previous_root, index_root) = (Root(run(0x40)), Root(run(0x80)), Root(run(0xC0)));
    let none = EntryHead { first: Sequence(0), end: Sequence(0), ..head() };
    check_entry(Mark { head: head(), length: 65_536, root, previous_root }, &golden!("entry-mark"));
    let round = EntryHead { log_id: LogId::default(), ..none };
    check_entry(Round { head: round, number: 17, count: 2, root }, &golden!("entry-round"));
    let seal = Seal {
        head: head(),
        length: 65_536,
        root,
        previous_root,
        events: 120,
        frames: 11,
        earliest_received: UnixNanos(1_600_000_000_000_000_000),
        latest_received: UnixNanos(1_700_000_000_000_000_000),
        index_version: 1,
        index_root,
    };
    check_entry(seal, &golden!("entry-seal"));
    check_entry(Drop { head: head(), root, seal_tree_index: u64::MAX }, &golden!("entry-drop"));
    check_entry(Loss { head: head(), offset: 4_096, length: 61_440, root }, &golden!("entry-loss"));
    check_entry(Reindex { head: head(), root, index_version: 2, index_root }, &golden!("entry-reindex"));
    check_entry(Open { head: none }, &golden!("entry-open"));
}

#[test]
fn unknown_kinds_and_versions_are_entries_of_which_nothing_is_known() {
    assert_eq!(Entry::decode(&[7, 1, 9]), Ok(Entry::Unknown { kind: 7, version: 1 }));
    assert_eq!(Entry::decode(&[2, 2]), Ok(Entry::Unknown { kind: 2, version: 2 }));
    assert!(Entry::decode(&[2]).is_err());
    assert!(Seal::decode(&golden!("entry-mark")).is_err());
}

#[test]
fn the_files_of_entries_are_these_bytes() {
    let none = EntryHead { first: Sequence(0), end: Sequence(0), ..head() };
    let open = EntryFile { entry: Open { head: none }.into(), tree_index: Some(3), detail: None };
    let detail = SealedDetail {
        nonce: run(1),
        detail: EntryDetail {
            tenant: "acme".into(),
            class: "keep-7y".into(),
            rule: "class keep-7y".into(),
            keep_seconds: 221_735_808,
            principal: "root@ci".into(),
            text: "by rule".into(),
        },
    };
    let head = EntryHead { detail: detail.hash(), ..head() };
    let entry = Drop { head, root: Root(run(0x40)), seal_tree_index: u64::MAX }.into();
    let drop = EntryFile { entry, tree_index: None, detail: Some(detail) };
    for (file, bytes) in [(open, golden!("file-open")), (drop.clone(), golden!("file-drop"))] {
        assert_eq!(file.encode().unwrap(), bytes);
        assert_eq!(EntryFile::decode(&bytes), Ok(file));
    }
    assert!(EntryFile { detail: None, ..drop }.encode().is_err(), "the hash is of no detail");
}

#[test]
fn the_other_files_are_these_bytes() {
    let mark = Mark { head: head(), length: 65_536, root: Root(run(0x40)), previous_root: Root(run(0x80)) };
    let second = EntryHead { log_id: LogId(run(0x11)), first: Sequence(0), ..head() };
    let round = RoundFile { number: 17, marks: vec![mark, Mark { head: second, ..mark }] };
    assert_eq!(round.encode(), golden!("file-round"));
    assert_eq!(RoundFile::decode(&golden!("file-round")), Ok(round));

    let directory = DirectoryFile {
        directory_id: run(0x30),
        instance_id: run(0x50),
        process_id: 4_711,
        started: UnixNanos(1_700_000_003_000_000_000),
    };
    assert_eq!(directory.encode(), golden!("file-directory"));
    assert_eq!(DirectoryFile::decode(&golden!("file-directory")), Ok(directory));

    let producers = [ProducerState {
        principal: "ci@acme".into(),
        id: 9,
        last_sequence: 41,
        received: UnixNanos(1_700_000_001_000_000_000),
        first_sequence: Sequence(301),
        event_count: 4,
    }];
    assert_eq!(encode_producers(&producers), golden!("file-producers"));
    assert_eq!(decode_producers(&golden!("file-producers")), Ok(producers.to_vec()));
}

/// Every file with a checksum, and whether its bytes are still believed.
#[test]
fn no_flipped_bit_is_ever_believed() {
    type Believes = fn(&[u8]) -> bool;
    let decoders: [(Vec<u8>, Believes); 10] = [
        (golden!("segment-first"), |bytes| SegmentHeader::decode(bytes).is_ok()),
        (golden!("segment-next"), |bytes| SegmentHeader::decode(bytes).is_ok()),
        (golden!("frame-one-message"), |bytes| check_frame(bytes, Offset(1_024), &SALT).is_ok()),
        (golden!("frame-three-messages"), |bytes| check_frame(bytes, Offset(4_096), &SALT).is_ok()),
        (golden!("frame-newer"), |bytes| check_frame(bytes, Offset(1_024), &SALT).is_ok()),
        (golden!("file-open"), |bytes| EntryFile::decode(bytes).is_ok()),
        (golden!("file-drop"), |bytes| EntryFile::decode(bytes).is_ok()),
        (golden!("file-round"), |bytes| RoundFile::decode(bytes).is_ok()),
        (golden!("file-directory"), |bytes| DirectoryFile::decode(bytes).is_ok()),
        (golden!("file-producers"), |bytes| decode_producers(bytes).is_ok()),
    ];
    for (mut bytes, believed) in decoders {
        assert!(believed(&bytes));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!believed(&bytes), "bit {bit} of {} bytes", bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(!believed(&bytes[..length]), "cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_damaged_version_is_damage_and_a_later_version_is_not() {
    use piperoll_format::segment::SegmentError;
    let mut bytes = golden!("segment-first");
    bytes[8] = 2;
    assert!(matches!(SegmentHeader::decode(&bytes), Err(SegmentError::Crc { .. })));
    bytes[12..16].fill(0);
    let crc = crc32fast::hash(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentError::Newer(2)));
}

#[test]
fn a_frame_checks_at_its_own_place_only() {
    let bytes = golden!("frame-one-message");
    assert!(check_frame(&bytes, Offset(1_024), &SALT).is_ok());
    assert!(check_frame(&bytes, Offset(1_032), &SALT).is_err(), "another offset");
    assert!(check_frame(&bytes, Offset(1_024), &FrameSalt([0; 16])).is_err(), "another segment");
}
