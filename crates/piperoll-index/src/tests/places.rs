//! Where events lie, who sent them, and what columns refuse.

use super::support::{CLASS, FIRST, FrameSpec, Kind, Log, Message, PRINCIPAL, SALT, class, root};
use crate::{Builder, Columns, IndexError, Summary, Terms, checked_event};
use piperoll_format::{
    event::Field,
    frame::{ProducerKey, check_frame, check_frame_head},
    units::{Offset, Ordinal, Sequence, UnixNanos},
};

fn events(actors: &[&str]) -> Vec<Message> {
    actors.iter().map(|actor| Message::event(actor, "run").text(Field::Reason, &actor.repeat(300))).collect()
}

fn frame(gap: u32, received: i64, kind: Kind, actors: &[&str]) -> FrameSpec {
    FrameSpec { gap, kind, ..FrameSpec::of(received, events(actors)) }
}

fn mixed() -> Log {
    Log::new(&[
        frame(0, 10, Kind::Good, &["a", "b"]),
        frame(0, 10, Kind::Newer, &["c"]),
        frame(3, 12, Kind::Good, &["d"]),
        frame(0, 15, Kind::Malformed, &["e", "f", "g"]),
        frame(0, 15, Kind::Good, &["h"]),
    ])
}

#[test]
fn each_event_is_found_where_it_lies() {
    let log = mixed();
    for event in &log.events {
        let place = log.ask(|terms| terms.event_place(Ordinal(event.ordinal)).unwrap().unwrap());
        let frame =
            check_frame(&log.bytes[place.frame.offset.0 as usize..], place.frame.offset, &SALT).unwrap();
        assert_eq!(place.frame.received, UnixNanos(event.received));
        assert_eq!(place.frame.first, frame.header().first_sequence.ordinal_from(FIRST).unwrap().0);
        assert_eq!(place.frame.readable, event.bytes.is_some());
        let found = place.field.and_then(|field| {
            let bytes = &log.bytes[field.0 as usize..];
            checked_event(bytes, place.check).map(|event| &bytes[event])
        });
        assert_eq!(found, event.bytes.as_deref());
        for head in [0, 72, frame.head().len() - 1] {
            let mut bytes = frame.bytes().to_vec();
            bytes[head.min(frame.head().len() - 1)] ^= 1;
            assert!(check_frame_head(&bytes, place.frame.offset, place.frame.head_check).is_err());
        }
        let (header, envelope) =
            check_frame_head(frame.bytes(), place.frame.offset, place.frame.head_check).unwrap();
        assert_eq!((&header, envelope), (frame.header(), frame.envelope()));
    }
    for ordinal in [3, 4, 5, 11, u32::MAX] {
        assert_eq!(log.ask(|terms| terms.event_place(Ordinal(ordinal)).unwrap()), None, "{ordinal}");
    }
}

#[test]
fn the_summary_counts_what_cannot_be_read_too() {
    let log = mixed();
    let expected = Summary {
        end: 11,
        events: 8,
        frames: 5,
        unreadable: 4,
        timed: 0,
        received: Some((UnixNanos(10), UnixNanos(15))),
        time: None,
    };
    assert_eq!(log.ask(|terms| *terms.summary()), expected);
    let built = log.columns().build(&root()).unwrap();
    assert_eq!((built.events, built.frames, built.received), (8, 5, expected.received));
}

#[test]
fn each_message_of_a_producer_is_found_at_its_first_event() {
    let messages = [&["a", "b"][..], &["c"], &["d", "e"]];
    let messages = messages.map(|actors| events(actors).into_iter().map(|event| event.0).collect()).to_vec();
    let producer = ProducerKey { id: 4, sequence: 100 };
    let spec = FrameSpec { gap: 0, received: 1, kind: Kind::Good, producer: Some(producer), messages };
    let malformed = FrameSpec {
        kind: Kind::Malformed,
        producer: Some(ProducerKey { id: 9, sequence: 1 }),
        ..spec.clone()
    };
    let log = Log::new(&[frame(0, 1, Kind::Good, &["z"]), spec, malformed]);
    let check = |principal: &str, id: u64, sequence: u64, expected: &[u32]| {
        let key = ProducerKey { id, sequence };
        let found = log.ask(|terms| terms.with_producer(principal, key).unwrap().iter().collect::<Vec<_>>());
        assert_eq!(found, expected, "{principal} {id} {sequence}");
    };
    check(PRINCIPAL, 4, 100, &[1]);
    check(PRINCIPAL, 4, 101, &[3]);
    check(PRINCIPAL, 4, 102, &[4]);
    check(PRINCIPAL, 4, 103, &[]);
    check(PRINCIPAL, 5, 100, &[]);
    check("somebody else", 4, 100, &[]);
    check(PRINCIPAL, 9, 1, &[]);
    check(&"a".repeat(70_000), 4, 100, &[]);
}

#[test]
fn frames_are_taken_in_order_and_once() {
    let log = mixed();
    let mut columns = log.columns();
    let first = log.offsets[0];
    let frame = check_frame(&log.bytes[first as usize..], Offset(first), &SALT).unwrap();
    let refused = columns.frame(Offset(first), &frame).unwrap_err();
    assert_eq!(
        refused,
        IndexError::Order { offset: Offset(first), expected: Sequence(1_011), found: Sequence(1_000) }
    );
    assert_eq!(columns.end(), Sequence(1_011));
    assert_eq!(columns.build(&root()), log.columns().build(&root()), "a refused frame leaves nothing behind");
    let mut later = Columns::new(Sequence(2_000), &SALT, &class());
    assert!(matches!(later.frame(Offset(first), &frame), Err(IndexError::Order { .. })), "before the first");
    let mut far = Columns::new(Sequence(0), &SALT, &class());
    far.frame(Offset(first), &frame).unwrap();
    assert_eq!(far.summary().end, 1_002);
}

#[test]
fn ordinals_beyond_a_segment_are_refused_before_memory_is_taken() {
    let log = Log::new(&[frame(1 << 24, 1, Kind::Newer, &["a"])]);
    let frame = check_frame(&log.bytes[1_024..], Offset(1_024), &SALT).unwrap();
    let mut builder = Builder::new(FIRST, &SALT, &class());
    let found = u64::from((1_u32 << 24) + 1);
    let expected = IndexError::TooLarge { what: "the end of the frame's ordinals", found, limit: 1 << 24 };
    assert_eq!(builder.frame(Offset(1_024), &frame), Err(expected));
}

#[test]
fn memory_grows_with_the_events_and_an_idle_log_costs_little() {
    let empty = Log::new(&[]).columns().memory_bytes();
    assert!(empty < 8 * 1024, "{empty}");
    assert!(mixed().columns().memory_bytes() > empty);
    assert_eq!(CLASS, class().as_str());
}

#[test]
fn an_event_is_taken_only_whole_and_only_as_it_was() {
    assert_eq!(checked_event(b"\x0A\x02abc", crc32fast::hash(b"ab")), Some(2..4));
    assert_eq!(checked_event(b"\x0A\x02abc", crc32fast::hash(b"ac")), None);
    assert_eq!(checked_event(b"\x0A\x00", crc32fast::hash(b"")), Some(2..2));
    for bytes in [&b""[..], b"\x0A", b"\x0A\x03ab", b"\x0B\x01a", b"\x0A\x82\x00ab"] {
        assert_eq!(checked_event(bytes, crc32fast::hash(b"ab")), None, "{bytes:?}");
    }
}
