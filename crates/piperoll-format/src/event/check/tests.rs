//! Tests of the check of an event.

use super::*;
use crate::event::Term;
use crate::units::UnixNanos;
use crate::wire::{put_bytes, put_number, put_varint};

/// A good event with `more` behind its actor and action.
fn event(more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 4, b"alice");
    put_bytes(&mut out, 5, b"deploy.approved");
    more(&mut out);
    out
}

fn message(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

fn check(bytes: &[u8], expected: Result<(), (&str, EventProblem)>) {
    let found = check_event(bytes).map(|_| ());
    let expected = expected.map_err(|(field, reason)| EventError { field: field.into(), reason });
    assert_eq!(found, expected, "{bytes:02x?}");
}

fn check_with(more: impl FnOnce(&mut Vec<u8>), expected: Result<(), (&str, EventProblem)>) {
    check(&event(more), expected);
}

#[test]
fn actor_and_action_are_there_and_not_empty() {
    check(&[], Err(("actor", EventProblem::Required)));
    check(&message(|m| put_bytes(m, 4, b"a")), Err(("action", EventProblem::Required)));
    check(&message(|m| put_bytes(m, 4, b"")), Err(("actor", EventProblem::Required)));
    check_with(|_| {}, Ok(()));
}

#[test]
fn singular_fields_are_there_once() {
    check_with(|m| put_bytes(m, 4, b"mallory"), Err(("actor", EventProblem::Twice)));
    check_with(
        |m| {
            put_bytes(m, 30, b"linux");
            put_bytes(m, 30, b"linux");
        },
        Ok(()),
    );
    let twice = message(|m| {
        put_bytes(m, 1, b"a");
        put_bytes(m, 1, b"b");
    });
    check_with(|m| put_bytes(m, 14, &twice), Err(("artifacts[0].name", EventProblem::Twice)));
    check_with(|m| put_bytes(m, 15, &twice), Err(("attributes[0].key", EventProblem::Twice)));
}

#[test]
fn known_numbers_have_their_own_wire_type_on_every_level() {
    check_with(|m| put_number(m, 6, 1), Err(("stage", EventProblem::WireType)));
    check_with(|m| put_bytes(m, 7, b"1"), Err(("outcome", EventProblem::WireType)));
    check_with(|m| m.extend([0x3D, 1, 0, 0, 0]), Err(("outcome", EventProblem::WireType)));
    let role = message(|m| put_bytes(m, 5, b""));
    check_with(
        |m| {
            put_bytes(m, 14, b"");
            put_bytes(m, 14, &role);
        },
        Err(("artifacts[1].role", EventProblem::WireType)),
    );
    check_with(|m| put_bytes(m, 3, &[0x0A, 0]), Err(("time.seconds", EventProblem::WireType)));
}

#[test]
fn unknown_numbers_are_kept_and_counted_but_are_strict_protobuf() {
    let inner = message(|m| put_number(m, 99, 1));
    let bytes = event(|m| {
        put_bytes(m, 40, &[0xFF, 0x00]);
        put_number(m, 536_870_911, 7);
        m.extend([0xC1, 0x3E, 0, 0, 0, 0, 0, 0, 0, 0]);
        put_bytes(m, 14, &inner);
        put_bytes(m, 15, &inner);
    });
    assert_eq!(check_and_count(&bytes).unwrap().1, 5);
    check_with(|m| m.extend([0xC3, 0x02]), Err(("", EventProblem::Wire(WireProblem::Group))));
    check_with(|m| m.extend([0xC0, 0x02, 0x80, 0]), Err(("", EventProblem::Wire(WireProblem::LongVarint))));
    check_with(|m| m.extend([0xC0, 0x82, 0]), Err(("", EventProblem::Wire(WireProblem::LongVarint))));
}

#[test]
fn text_is_utf8_without_control_characters() {
    for (bytes, reason) in [
        (&b"a\nb"[..], EventProblem::Control('\n')),
        (b"12345678\x1b", EventProblem::Control('\x1b')),
        (b"\x7f2345678", EventProblem::Control('\x7f')),
        (b"\x002345678", EventProblem::Control('\0')),
        ("ab\u{85}".as_bytes(), EventProblem::Control('\u{85}')),
        ("\u{9f}".as_bytes(), EventProblem::Control('\u{9f}')),
        (b"abc\xff", EventProblem::Utf8(3)),
        (b"\xc0\x80", EventProblem::Utf8(0)),
        (b"\xed\xa0\x80", EventProblem::Utf8(0)),
    ] {
        check_with(|m| put_bytes(m, 6, bytes), Err(("stage", reason)));
    }
    for good in ["", "é", "\u{a0}", "~", "日本語", "12345678é", "\u{202e}"] {
        check_with(|m| put_bytes(m, 6, good.as_bytes()), Ok(()));
    }
}

#[test]
fn only_reason_and_values_of_attributes_have_lines() {
    let both = |key: &[u8], value: &[u8]| {
        message(|m| {
            put_bytes(m, 1, key);
            put_bytes(m, 2, value);
        })
    };
    let lines = b"one\r\n\ttwo";
    check_with(|m| put_bytes(m, 21, lines), Ok(()));
    check_with(|m| put_bytes(m, 21, b"\x0b"), Err(("reason", EventProblem::Control('\x0b'))));
    check_with(|m| put_bytes(m, 15, &both(b"k", lines)), Ok(()));
    check_with(
        |m| put_bytes(m, 15, &both(lines, b"")),
        Err(("attributes[0].key", EventProblem::Control('\r'))),
    );
    let artifact = message(|m| put_bytes(m, 4, &both(b"sha256", lines)));
    check_with(
        |m| put_bytes(m, 14, &artifact),
        Err(("artifacts[0].digests[0].value", EventProblem::Control('\r'))),
    );
}

#[test]
fn eight_bytes_at_a_time_see_every_byte_that_one_at_a_time_sees() {
    for byte in 0..=255u8 {
        for at in 0..17 {
            let mut text = [b'a'; 17];
            text[at] = byte;
            assert_eq!(is_printable_ascii(&text), (0x20..0x7F).contains(&byte), "{byte:#x} at {at}");
        }
    }
}

#[test]
fn numbers_fit_their_fields() {
    check_with(|m| put_number(m, 7, (1 << 31) - 1), Ok(()));
    let above = |found, max| EventProblem::Number { found, max };
    check_with(|m| put_number(m, 7, 1 << 31), Err(("outcome", above(1 << 31, (1 << 31) - 1))));
    check_with(|m| put_number(m, 22, u64::from(u32::MAX)), Ok(()));
    check_with(|m| put_number(m, 22, 1 << 32), Err(("run_attempt", above(1 << 32, u64::from(u32::MAX)))));
    check_with(|m| put_number(m, 36, u64::MAX), Ok(()));
}

#[test]
fn times_are_valid_and_fit_64_bits_of_nanoseconds() {
    let time = |seconds: i64, nanos: u64| {
        message(|m| {
            put_number(m, 1, seconds.cast_unsigned());
            put_number(m, 2, nanos);
        })
    };
    let check_time = |seconds, nanos, expected: Result<i64, (&str, EventProblem)>| {
        let bytes = event(|m| put_bytes(m, 3, &time(seconds, nanos)));
        check(&bytes, expected.map(|_| ()));
        if let Ok(expected) = expected {
            assert_eq!(check_event(&bytes).unwrap().time(), Some(UnixNanos(expected)));
        }
    };
    check_time(0, 0, Ok(0));
    check_time(1, 999_999_999, Ok(1_999_999_999));
    check_time(-1, 1, Ok(-999_999_999));
    check_time(9_223_372_036, 854_775_807, Ok(i64::MAX));
    check_time(-9_223_372_037, 145_224_192, Ok(i64::MIN));
    check_time(9_223_372_036, 854_775_808, Err(("time", EventProblem::Time)));
    check_time(-9_223_372_037, 145_224_191, Err(("time", EventProblem::Time)));
    check_time(i64::MIN, 0, Err(("time", EventProblem::Time)));
    let above = EventProblem::Number { found: 1_000_000_000, max: 999_999_999 };
    check_time(0, 1_000_000_000, Err(("time.nanos", above)));
}

#[test]
fn keys_of_maps_do_not_repeat_in_small_and_large_maps() {
    let map = |count: usize, repeat: Option<usize>| {
        event(|m| {
            for key in (0..count).chain(repeat) {
                put_bytes(m, 15, &message(|m| put_bytes(m, 1, format!("key {key}").as_bytes())));
            }
        })
    };
    for count in [1, 2, 31, 32, 33, 34, 100, 3_000] {
        check(&map(count, None), Ok(()));
        let among_the_first = format!("attributes[{count}]");
        check(&map(count, Some(0)), Err((&among_the_first, EventProblem::Key)));
    }
    check(&map(100, Some(99)), Err(("attributes", EventProblem::Key)));
    check(&map(100, Some(50)), Err(("attributes", EventProblem::Key)));
    let absent_is_empty = event(|m| {
        put_bytes(m, 15, b"");
        put_bytes(m, 15, &[0x0A, 0]);
    });
    check(&absent_is_empty, Err(("attributes[1]", EventProblem::Key)));
}

#[test]
fn an_event_has_at_most_64_kib() {
    let fill = |length: usize| {
        let mut bytes = event(|_| {});
        put_varint(&mut bytes, 38 << 3 | 2);
        let body = length - bytes.len() - 3;
        put_varint(&mut bytes, body as u64);
        bytes.resize(length, 0xFF);
        bytes
    };
    check(&fill(EVENT_BYTES_MAX), Ok(()));
    check(&fill(EVENT_BYTES_MAX + 1), Err(("", EventProblem::TooLong(EVENT_BYTES_MAX + 1))));
}

#[test]
fn terms_are_every_indexed_value_in_the_order_of_the_bytes() {
    let digest = message(|m| {
        put_bytes(m, 1, b"sha256");
        put_bytes(m, 2, b"ab");
    });
    let bytes = event(|m| {
        put_bytes(m, 3, &[0x08, 1]);
        m.extend([0x38, 0]);
        put_bytes(m, 14, &message(|m| put_bytes(m, 4, &digest)));
        put_bytes(m, 15, &[0x12, 1, b'v']);
        put_bytes(m, 16, b"not indexed");
        put_number(m, 22, 2);
        put_bytes(m, 30, b"linux");
        put_bytes(m, 31, &message(|m| put_bytes(m, 3, &digest)));
        put_bytes(m, 32, b"\xff");
        put_bytes(m, 34, &[0x0A, 1, b'k']);
        put_bytes(m, 34, &[0x1A, 1, b'i']);
    });
    let mut terms = Vec::new();
    check_event(&bytes).unwrap().for_each_term(&mut |term| terms.push(term));
    assert_eq!(
        terms,
        [
            Term::Text(Field::Actor, b"alice"),
            Term::Text(Field::Action, b"deploy.approved"),
            Term::Time(UnixNanos(1_000_000_000)),
            Term::Number(Field::Outcome, 0),
            Term::Digest(Field::Artifacts, b"sha256", b"ab"),
            Term::Attribute(b"", b"v"),
            Term::Number(Field::RunAttempt, 2),
            Term::Text(Field::RunnerLabels, b"linux"),
            Term::Digest(Field::Attestations, b"sha256", b"ab"),
            Term::Bytes(Field::TraceId, b"\xff"),
            Term::Text(Field::Links, b"i"),
        ]
    );
}

#[test]
fn errors_say_where_and_what() {
    let error = check_event(&event(|m| put_bytes(m, 6, b"\x1b"))).unwrap_err();
    assert_eq!(error.to_string(), "stage: text may not contain the control character U+001B");
    let error = check_event(&event(|m| m.push(0x0B))).unwrap_err();
    assert_eq!(error.to_string(), "groups are refused");
}
