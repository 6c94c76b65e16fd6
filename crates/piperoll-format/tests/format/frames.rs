//! Frames and envelopes: what goes in comes out, and what breaks a rule inside is named.

use crate::support::{SALT, Wire, class, config, envelope, event, frame};
use piperoll_format::envelope::{Envelope, EnvelopeError, SplitPart};
use piperoll_format::event::WireProblem;
use piperoll_format::frame::{
    FrameEncodeError, FrameError, FrameParts, MalformedFrame, MessageSpan, ProducerKey, check_frame,
    encode_frame, frame_length,
};
use piperoll_format::names::Name;
use piperoll_format::units::{Offset, Sequence, UnixNanos};
use proptest::prelude::*;

fn encoded(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::new();
    envelope.encode(&mut out);
    out
}

fn part(class: &str, positions: &[u32]) -> SplitPart {
    SplitPart { class: Name::from_disk(class).unwrap(), positions: positions.to_vec() }
}

fn split(parts: Vec<SplitPart>) -> Envelope {
    Envelope { split: parts, ..envelope() }
}

/// A frame with a right checksum whatever else is wrong in it.
fn raw(spans: &[MessageSpan], envelope: &[u8], payload: &[u8], producer: Option<ProducerKey>) -> Vec<u8> {
    let parts = FrameParts {
        first_sequence: Sequence(5),
        received: UnixNanos(9),
        durable_end: 1_024,
        producer,
        messages: spans,
        envelope,
        payload: &[payload],
    };
    let mut out = Vec::new();
    let made = encode_frame(&parts, &SALT, Offset(1_024), &mut out).unwrap();
    out.extend_from_slice(payload);
    out.resize(out.len() + made.padding, 0);
    out
}

fn resalted(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&SALT.0);
    crc.update(&1_024u64.to_le_bytes());
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    bytes
}

fn malformed(bytes: &[u8]) -> MalformedFrame {
    check_frame(bytes, Offset(1_024), &SALT).unwrap().validate(&class()).unwrap_err()
}

fn span(events: u32, payload: &[u8]) -> MessageSpan {
    MessageSpan { events, payload_bytes: u32::try_from(payload.len()).unwrap() }
}

#[test]
fn a_frame_that_breaks_a_rule_inside_checks_and_is_malformed() {
    let good = Wire::default().bytes(1, &event("a", "b")).0;
    let key = Some(ProducerKey { id: 1, sequence: 1 });
    let none = encoded(&envelope());

    let bytes = raw(&[span(2, &good)], &none, &good, key);
    assert_eq!(malformed(&bytes), MalformedFrame::Borders { position: 1 });
    let two = [good.clone(), good.clone()].concat();
    let bytes = raw(&[span(1, &two)], &none, &two, key);
    assert_eq!(malformed(&bytes), MalformedFrame::Borders { position: 1 });
    let (more, less) = two.split_at(good.len() + 1);
    let crossed = [span(1, more), span(1, less)];
    let bytes = raw(&crossed, &none, &two, key);
    assert_eq!(malformed(&bytes), MalformedFrame::Borders { position: 1 });
    let other = Wire(good.clone()).number(2, 1).0;
    let bytes = raw(&[span(1, &other)], &none, &other, key);
    assert_eq!(malformed(&bytes), MalformedFrame::Borders { position: 1 });
    let bad = Wire::default().bytes(1, b"").0;
    let bytes = raw(&[span(1, &bad)], &none, &bad, key);
    assert!(matches!(malformed(&bytes), MalformedFrame::Event { position: 0, .. }));
    let mut bytes = raw(&[span(1, &good)], &none, &good, key);
    bytes[72] = 0x0B;
    assert!(matches!(malformed(&resalted(bytes)), MalformedFrame::Envelope(_)));
}

#[test]
fn producers_are_whole_or_absent_and_end_below_two_to_the_64() {
    let good = Wire::default().bytes(1, &event("a", "b")).0;
    for (id, sequence, well_formed) in [
        (0u64, 0u64, true),
        (1, 1, true),
        (1, u64::MAX - 1, true),
        (1, u64::MAX, false),
        (0, 1, false),
        (1, 0, false),
    ] {
        let mut bytes = raw(&[span(1, &good)], &[], &good, None);
        bytes[32..40].copy_from_slice(&id.to_le_bytes());
        bytes[40..48].copy_from_slice(&sequence.to_le_bytes());
        let bytes = resalted(bytes);
        let view = check_frame(&bytes, Offset(1_024), &SALT).unwrap();
        let expected = MalformedFrame::Producer { id, sequence };
        assert_eq!(view.validate(&class()).err(), (!well_formed).then_some(expected), "{id} {sequence}");
    }
}

#[test]
fn a_header_that_breaks_a_rule_does_not_check_even_with_a_right_checksum() {
    let good = Wire::default().bytes(1, &event("a", "b")).0;
    let two = [good.clone(), good.clone()].concat();
    let key = Some(ProducerKey { id: 1, sequence: 1 });
    let bytes = raw(&[span(1, &good), span(1, &good)], &encoded(&envelope()), &two, key);
    assert!(check_frame(&resalted(bytes.clone()), Offset(1_024), &SALT).is_ok());
    let change = |at: usize, value: &[u8]| {
        let mut changed = bytes.clone();
        changed[at..at + value.len()].copy_from_slice(value);
        check_frame(&resalted(changed), Offset(1_024), &SALT).is_ok()
    };
    assert!(!change(0, &[bytes[0] + 8]), "length is not the sum");
    assert!(!change(0, &[bytes[0] + 1]), "length is no multiple of 8");
    assert!(!change(8, &[0xFF; 8]), "sequence and events reach 2^64");
    assert!(!change(24, &1_023u64.to_le_bytes()), "durable end below the header's end");
    assert!(!change(24, &1_032u64.to_le_bytes()), "durable end above the offset");
    assert!(!change(48, &[0]), "no events");
    assert!(!change(48, &[1]), "more messages than events");
    assert!(!change(48, &[3]), "the table's events do not add up");
    assert!(!change(66, &[1]), "zero is not zero");
    assert!(!change(71, &[1]), "zero is not zero");
    assert!(!change(72, &[0]), "a message without events");
    assert!(!change(72, &[2]), "the table's events do not add up");
    assert!(!change(76, &[1]), "the table's bytes do not add up");
    let padding = bytes.len() - 1;
    assert_eq!(bytes[padding], 0);
    assert!(!change(padding, &[1]), "padding is not zero");
    assert!(change(64, &[2]), "a later kind checks");
    assert!(change(65, &[1]), "a later flag checks");
}

#[test]
fn what_is_no_frame_says_why() {
    let bytes = frame(1_024, 0, 0, 1_024, None, &[vec![event("a", "b")]], &envelope());
    let check = |bytes: &[u8]| check_frame(bytes, Offset(1_024), &SALT).map(|_| ());
    let whole = bytes.len() as u64;
    assert_eq!(check(&[]), Err(FrameError::NeedBytes(4)));
    assert_eq!(check(&[0; 4]), Err(FrameError::Zero));
    assert_eq!(check(&bytes[..4]), Err(FrameError::NeedBytes(72)));
    assert_eq!(check(&bytes[..72]), Err(FrameError::NeedBytes(whole)));
    assert_eq!(check(&bytes[..bytes.len() - 1]), Err(FrameError::NeedBytes(whole)));
    assert_eq!(check(&[&bytes[..], &[1, 2, 3]].concat()), Ok(()));
    let error = check(&[9, 0, 0, 0]).unwrap_err().to_string();
    assert_eq!(error, "length is 9, expected a multiple of 8 from 72 to 16777216");
}

fn refused_envelope(envelope: &[u8], payload: &[u8]) -> FrameEncodeError {
    let parts = FrameParts {
        first_sequence: Sequence(0),
        received: UnixNanos(0),
        durable_end: 1_024,
        producer: None,
        messages: &[span(1, payload)],
        envelope,
        payload: &[payload],
    };
    encode_frame(&parts, &SALT, Offset(1_024), &mut Vec::new()).unwrap_err()
}

#[test]
fn parts_that_make_no_frame_are_refused_before_they_are_written() {
    let good = Wire::default().bytes(1, &event("a", "b")).0;
    let refused = |spans: &[MessageSpan], producer, durable_end, first| {
        let parts = FrameParts {
            first_sequence: Sequence(first),
            received: UnixNanos(0),
            durable_end,
            producer,
            messages: spans,
            envelope: b"",
            payload: &[&good],
        };
        let mut out = Vec::new();
        matches!(encode_frame(&parts, &SALT, Offset(1_024), &mut out), Err(FrameEncodeError::Disagree(_)))
    };
    let one = [span(1, &good)];
    assert!(!refused(&one, None, 1_024, 0));
    assert!(refused(&[], None, 1_024, 0), "no message");
    assert!(refused(&[span(0, &good)], None, 1_024, 0), "no event");
    assert!(refused(&[span(1, &good[1..])], None, 1_024, 0), "bytes do not add up");
    assert!(refused(&[span(1, &good), span(1, b"")], None, 1_024, 0), "two messages of nobody");
    assert!(refused(&one, Some(ProducerKey { id: 0, sequence: 1 }), 1_024, 0), "half a key");
    assert!(refused(&one, None, 1_032, 0), "durable beyond itself");
    assert!(refused(&one, None, 1_024, u64::MAX), "sequence too great");
    assert_eq!(refused_envelope(&[0x0B], &good), FrameEncodeError::Envelope(WireProblem::Group.into()));
    let split = encoded(&split(vec![part("a", &[0, 1]), part("b", &[2, 3])]));
    assert!(matches!(refused_envelope(&split, &good), FrameEncodeError::Disagree(_)));
    assert_eq!(frame_length(1, 0, 0), 72);
    assert_eq!(frame_length(2, 1, 0), 96);
}

fn check_envelope(bytes: &[u8], expected: &Result<Envelope, EnvelopeError>) {
    assert_eq!(&Envelope::decode(bytes), expected, "{bytes:02x?}");
}

#[test]
fn envelopes_have_one_form() {
    check_envelope(&[], &Ok(Envelope::default()));
    check_envelope(&encoded(&envelope()), &Ok(envelope()));
    let later = Wire(encoded(&envelope())).text(6, "x").number(6, 1).text(99, "").0;
    check_envelope(&later, &Ok(envelope()));
    check_envelope(&Wire::default().text(1, "").0, &Err(EnvelopeError::Default(1)));
    check_envelope(&Wire::default().number(2, 0).0, &Err(EnvelopeError::Default(2)));
    check_envelope(&Wire::default().number(2, 1 << 32).0, &Err(EnvelopeError::Number(2)));
    check_envelope(&Wire::default().text(1, "a").text(1, "a").0, &Err(EnvelopeError::Order(1)));
    check_envelope(&Wire::default().text(3, "a").text(1, "a").0, &Err(EnvelopeError::Order(1)));
    check_envelope(&Wire::default().text(6, "a").text(1, "a").0, &Err(EnvelopeError::Order(1)));
    check_envelope(&Wire::default().number(1, 1).0, &Err(EnvelopeError::WireType(1)));
    check_envelope(&Wire::default().text(4, &"a".repeat(1_025)).0, &Err(EnvelopeError::TooLong(4)));
    assert!(Envelope::decode(&Wire::default().text(4, &"a".repeat(1_024)).0).is_ok());
    assert!(matches!(Envelope::decode(&Wire::default().text(4, "\n").0), Err(EnvelopeError::Text(4, _))));
    assert!(matches!(Envelope::decode(&[0x8A, 0, 0]), Err(EnvelopeError::Wire(_))));
}

#[test]
fn a_split_has_every_position_of_the_message_once() {
    let good = |parts: Vec<SplitPart>| {
        let envelope = split(parts);
        Envelope::decode(&encoded(&envelope)).is_ok_and(|decoded| decoded == envelope)
    };
    assert!(good(vec![part("a", &[1]), part("b", &[0, 2])]));
    assert!(good(vec![part("_piperoll", &[0]), part("a", &[1, 2]), part("b", &[3])]));
    assert!(!good(vec![part("a", &[0])]), "one part is no split");
    assert!(!good(vec![part("b", &[0]), part("a", &[1])]), "classes descend");
    assert!(!good(vec![part("a", &[0]), part("a", &[1])]), "a class twice");
    assert!(!good(vec![part("a", &[0]), part("b", &[])]), "a part of nothing");
    assert!(!good(vec![part("a", &[1, 0]), part("b", &[2])]), "positions descend");
    assert!(!good(vec![part("a", &[0]), part("b", &[0])]), "a position twice");
    assert!(!good(vec![part("a", &[0]), part("b", &[2])]), "a position is missing");
    assert!(!good(vec![part("a", &[0]), part("b", &[u32::MAX])]), "a position far away");
    let unpacked = Wire::default()
        .message(5, &Wire::default().text(1, "a").number(2, 0))
        .message(5, &Wire::default().text(1, "b").bytes(2, &[1]));
    assert!(Envelope::decode(&unpacked.0).is_err(), "positions are packed");
    let no_name = Wire::default()
        .message(5, &Wire::default().text(1, "a").bytes(2, &[0]))
        .message(5, &Wire::default().text(1, "B/").bytes(2, &[1]));
    assert!(Envelope::decode(&no_name.0).is_err(), "a class is a name");
    let later = Wire::default()
        .message(5, &Wire::default().text(1, "a").bytes(2, &[0]).number(3, 9))
        .message(5, &Wire::default().text(1, "b").bytes(2, &[1]));
    assert!(Envelope::decode(&later.0).is_ok(), "a later field of a part is stepped over");
}

prop_compose! {
    fn messages()(
        sizes in prop::collection::vec(prop::collection::vec(0usize..200, 1..4), 1..5),
    ) -> Vec<Vec<Vec<u8>>> {
        let of = |size: &usize| Wire(event("alice", "x")).text(21, &"y".repeat(*size)).0;
        sizes.iter().map(|message| message.iter().map(of).collect()).collect()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn frames_come_back_as_they_went_in(
        messages in messages(),
        first in 0u64..1 << 60,
        received in any::<i64>(),
        id in 1u64..,
        sequence in 1u64..1 << 63,
        place in 128u64..1 << 29,
        durable in 1_024u64..=1_024,
    ) {
        let offset = place * 8;
        let key = ProducerKey { id, sequence };
        let bytes = frame(offset, first, received, durable, Some(key), &messages, &envelope());
        let checked = check_frame(&bytes, Offset(offset), &SALT).unwrap().validate(&class()).unwrap();
        let header = checked.header();
        prop_assert_eq!((header.first_sequence.0, header.received.0), (first, received));
        prop_assert_eq!(checked.frame().producer(), Some(key));
        prop_assert_eq!(header.messages as usize, messages.len());
        let events: Vec<_> = checked.events().map(|(_, event)| event.bytes().to_vec()).collect();
        prop_assert_eq!(events, messages.concat());
        for (place, event) in checked.events() {
            prop_assert_eq!(&bytes[place.start as usize..][..event.bytes().len()], event.bytes());
        }
    }

    #[test]
    fn every_changed_byte_of_a_frame_is_seen(
        messages in messages(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let key = Some(ProducerKey { id: 1, sequence: 1 });
        let mut bytes = frame(1_024, 0, 0, 1_024, key, &messages, &envelope());
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(check_frame(&bytes, Offset(1_024), &SALT).is_err());
    }

    #[test]
    fn random_frames_and_envelopes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        check_frame(&bytes, Offset(1_024), &SALT).ok();
        Envelope::decode(&bytes).ok();

        let key = Some(ProducerKey { id: 1, sequence: 1 });
        let mut changed = frame(1_024, 0, 0, 1_024, key, &[vec![event("a", "b")]], &envelope());
        let at = at.index(changed.len());
        changed[at] = byte;
        if let Ok(view) = check_frame(&resalted(changed), Offset(1_024), &SALT) {
            view.validate(&class()).ok();
            prop_assert!(view.events().count() <= view.payload().len());
        }
    }

    #[test]
    fn random_bytes_are_no_small_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(piperoll_format::round::RoundFile::decode(&bytes).is_err());
        prop_assert!(piperoll_format::producers::decode_producers(&bytes).is_err());
        prop_assert!(piperoll_format::directory::DirectoryFile::decode(&bytes).is_err());
        prop_assert!(piperoll_format::entry::EntryFile::decode(&bytes).is_err());
        piperoll_format::entry::Entry::decode(&bytes).ok();
    }
}
