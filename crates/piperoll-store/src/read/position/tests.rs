//! Tokens: what goes in comes out, and nothing else is taken for one.

use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::from_outside(text).unwrap()
}

fn position(bounds: &[(&str, u64)]) -> Position {
    Position {
        asked: Asked {
            order: Order::OldestFirst,
            directory: [7; 8],
            tenant: name("acme"),
            filter: 0x0123_4567_89ab_cdef,
        },
        bounds: bounds.iter().map(|&(class, sequence)| (name(class), Sequence(sequence))).collect(),
    }
}

/// A token with this body and the right check.
fn token(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([body, &check_of(body)].concat())
}

fn check(text: &str, expected: &str) {
    let found = Position::decode(text).map(|_| ()).unwrap_err().to_string();
    assert!(found.contains(expected), "{text:?} gave {found:?}, expected {expected:?}");
}

#[test]
fn text_that_is_no_position_is_refused_with_the_reason() {
    check("", "cut short");
    check("AAAA", "cut short");
    check("not a position", "not base64url");
    check("=", "not base64url");
    check(&"A".repeat(POSITION_TEXT_BYTES_MAX + 1), "too long");
    check(&URL_SAFE_NO_PAD.encode([1; 40]), "checksum is wrong");
    check(&token(&[]), "cut short");
    check(&token(&[1]), "version 1");
    check(&token(&[2]), "cut short");
    let named = |order: u8, length: u8, tenant: u8| {
        [&[VERSION, order][..], &[0; DIRECTORY_BYTES + FILTER_BYTES], &[length, tenant]].concat()
    };
    check(&token(&named(2, 1, b'a')), "order is unknown");
    check(&token(&named(0, 9, b'a')), "cut short");
    check(&token(&named(0, 1, b'/')), "a name in it is none");
    check(&token(&named(0, 1, 0xff)), "a name in it is none");
    let bound = |class: u8| vec![1, class, 0, 0, 0, 0, 0, 0, 0, 0];
    let head = named(0, 1, b'a');
    assert!(Position::decode(&token(&[head.clone(), bound(b'a'), bound(b'b')].concat())).is_ok());
    check(&token(&[head.clone(), bound(b'b'), bound(b'a')].concat()), "out of order");
    check(&token(&[head, bound(b'a'), bound(b'a')].concat()), "out of order");
}

#[test]
fn every_changed_or_missing_character_is_noticed() {
    let text = position(&[("audit", 7), ("default", u64::MAX)]).encode();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(Position::decode(&changed).is_err(), "{changed}");
        assert!(Position::decode(text.get(..at).unwrap()).is_err(), "cut at {at}");
    }
}

#[test]
fn a_position_of_another_question_is_refused() {
    let ours = position(&[]);
    let refused = |asked: &Asked| ours.fits(asked).unwrap_err();
    assert_eq!(ours.fits(&ours.asked), Ok(()));
    let other = Asked { directory: [8; 8], ..ours.asked.clone() };
    assert_eq!(refused(&other), PositionError::OtherQuestion { what: "data directory" });
    let other = Asked { tenant: name("other"), ..ours.asked.clone() };
    assert_eq!(refused(&other), PositionError::OtherQuestion { what: "tenant" });
    let other = Asked { order: Order::NewestFirst, ..ours.asked.clone() };
    assert_eq!(refused(&other), PositionError::OtherQuestion { what: "order" });
    let other = Asked { filter: 1, ..ours.asked.clone() };
    assert_eq!(refused(&other), PositionError::OtherQuestion { what: "filter" });
}

#[test]
fn the_longest_position_is_short_enough_to_be_read() {
    let class = |n: u32| format!("{n:04}{}", "c".repeat(59));
    let bounds = (0..4096).map(|n| (name(&class(n)), Sequence(u64::MAX))).collect();
    let longest = Position { bounds, ..position(&[]) };
    assert_eq!(Position::decode(&longest.encode()), Ok(longest));
}

proptest! {
    #[test]
    fn positions_round_trip(
        newest in any::<bool>(),
        directory in any::<[u8; DIRECTORY_BYTES]>(),
        filter in any::<u64>(),
        tenant in "[a-z0-9_][a-z0-9-]{0,62}",
        bounds in prop::collection::btree_map("[a-z0-9_][a-z0-9-]{0,62}", any::<u64>(), 0..8),
    ) {
        let order = if newest { Order::NewestFirst } else { Order::OldestFirst };
        let name = |text: &str| Name::from_disk(text).unwrap();
        let bounds = bounds.iter().map(|(class, &sequence)| (name(class), Sequence(sequence))).collect();
        let position = Position { asked: Asked { order, directory, tenant: name(&tenant), filter }, bounds };
        prop_assert_eq!(Position::decode(&position.encode()), Ok(position));
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Position::decode(&token(&bytes)).map(|position| {
            assert_eq!(position.encode(), token(&bytes), "one text for one position");
        });
    }
}
