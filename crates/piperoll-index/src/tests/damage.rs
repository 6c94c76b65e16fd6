//! A wrong `.idx` is noticed, whatever is wrong with it, and harms nobody.

use super::support::{CLASS, FrameSpec, Kind, Log, Message, cases, root};
use crate::{BuiltIndex, GoodBlocks, IndexError, IndexLayout, SealedIndex, Terms, evaluate, group};
use piperoll_filter::parse;
use piperoll_format::{
    event::Field,
    units::{Ordinal, UnixNanos},
};
use proptest::prelude::*;
use std::sync::Arc;

/// Some events, enough for a bitset container and for several blocks.
fn built(events: u64) -> BuiltIndex {
    let event = |n: u64| {
        let event = Message::event(&format!("actor-{}", n % 7), "run").number(Field::Outcome, n % 3);
        event
            .text(Field::Run, &format!("run-{}", n / 3))
            .time(1_000 * n as i64)
            .attribute("n", &n.to_string())
    };
    let frames: Vec<FrameSpec> = (0..events.div_ceil(500))
        .map(|f| FrameSpec::of(f as i64, (f * 500..(f * 500 + 500).min(events)).map(event)))
        .collect();
    Log::new(&[frames, vec![FrameSpec { kind: Kind::Malformed, ..FrameSpec::of(99, [event(1)]) }]].concat())
        .columns()
        .build(&root())
        .unwrap()
}

/// Everything that can be asked of an index.
fn ask_all(bytes: &[u8]) -> Result<Vec<String>, IndexError> {
    ask(&SealedIndex::open(bytes)?)
}

fn ask(index: &SealedIndex<'_>) -> Result<Vec<String>, IndexError> {
    let mut answers =
        vec![format!("{:?} {:?} {:?}", index.summary(), index.log_root(), index.verify_exact()?)];
    for text in [
        "actor = actor-3",
        "actor = actor-*",
        "stage:*",
        "run:*",
        "reason:*",
        "run = run-1",
        "time > 1970-01-01T00:00:00.000001Z",
        "NOT attr.n = 4",
        "actor = actor-3 AND outcome = success",
    ] {
        let filter = parse(text, UnixNanos(0)).unwrap();
        let matches = evaluate(&filter, CLASS, index, 0..u32::MAX)?;
        answers.push(format!("{matches:?}"));
        for field in [Field::Actor, Field::Outcome, Field::Trigger] {
            answers.push(format!("{:?}", group(index, field, &matches.sure)?));
        }
    }
    for ordinal in [0, 1, 5, 499, 500, 4_999] {
        answers.push(format!("{:?}", index.event_place(Ordinal(ordinal))?));
    }
    Ok(answers)
}

/// What is kept of an index that was open before: its layout, and that nothing of it is believed any more.
fn opened_before(built: &BuiltIndex) -> (Arc<IndexLayout>, GoodBlocks) {
    let index = SealedIndex::open(&built.bytes).unwrap();
    let checked = index.good_blocks();
    checked.forget();
    (index.layout(), checked)
}

/// A bit that is flipped is met by a checksum before it is answered from, or was not looked at; the check of
/// the whole file finds it in any case.
fn check_flip(built: &BuiltIndex, good: &[String], place: usize, bit: u8) {
    let mut bytes = built.bytes.clone();
    bytes[place] ^= 1 << bit;
    if let Ok(answers) = ask_all(&bytes) {
        assert_eq!(answers, good, "byte {place} bit {bit} changed an answer");
    }
    let (layout, checked) = opened_before(built);
    if let Ok(answers) =
        SealedIndex::open_again(&bytes, &layout, checked.clone()).and_then(|index| ask(&index))
    {
        assert_eq!(
            answers, good,
            "byte {place} bit {bit} changed an answer of an index that was open before"
        );
    }
    let found = SealedIndex::open(&bytes).and_then(|index| index.verify());
    assert!(found.is_err(), "byte {place} bit {bit} was not noticed");
    if place < usize::try_from(built.canonical_length).unwrap() {
        let root = SealedIndex::open(&bytes).map(|index| index.canonical_root());
        assert_ne!(root, Ok(built.index_root), "byte {place} bit {bit}");
    }
}

#[test]
fn every_flipped_byte_of_a_small_index_is_noticed() {
    let built = built(20);
    let good = ask_all(&built.bytes).unwrap();
    for place in 0..built.bytes.len() {
        check_flip(&built, &good, place, (place % 8) as u8);
    }
}

/// A block is believed for as long as its index says so, and no longer (decision 14).
#[test]
fn damage_behind_a_good_block_is_noticed_once_that_is_forgotten() {
    let built = built(20);
    let index = SealedIndex::open(&built.bytes).unwrap();
    let answers = ask(&index);
    let (layout, good) = (index.layout(), index.good_blocks());
    let mut bytes = built.bytes.clone();
    let at = layout.range_of(Field::Actor).start;
    bytes[at..at + 4].fill(0);
    let ask_again = || SealedIndex::open_again(&bytes, &layout, good.clone()).and_then(|index| ask(&index));
    assert_ne!(ask_again(), answers, "the block is believed");
    good.forget();
    assert!(matches!(ask_again(), Err(IndexError::Damaged { .. })));
}

#[test]
fn every_cut_and_every_longer_file_is_noticed() {
    let built = built(20);
    let (layout, checked) = opened_before(&built);
    for length in 0..built.bytes.len() {
        assert!(
            SealedIndex::open_again(&built.bytes[..length], &layout, checked.clone()).is_err(),
            "cut at {length} later"
        );
        let cut = SealedIndex::open(&built.bytes[..length]).and_then(|index| index.verify());
        assert!(cut.is_err(), "cut at {length}");
    }
    for tail in [&[0][..], &[0; 8], &[0xFF; 4_096]] {
        let longer = [&built.bytes, tail].concat();
        assert!(SealedIndex::open(&longer).is_err(), "{} bytes more", tail.len());
        assert!(
            SealedIndex::open_again(&longer, &layout, checked.clone()).is_err(),
            "{} bytes more, later",
            tail.len()
        );
    }
}

#[test]
fn another_version_is_named() {
    let BuiltIndex { bytes, .. } = built(3);
    let content = bytes.len() - 256;
    let sealed = |change: &dyn Fn(&mut [u8])| {
        let mut trailer = bytes[content..bytes.len() - 4].to_vec();
        change(&mut trailer);
        trailer.extend(crc32fast::hash(&trailer).to_le_bytes());
        SealedIndex::open(&[&bytes[..content], &trailer].concat()).err()
    };
    assert_eq!(sealed(&|_| {}), None);
    let version = IndexError::Version { part: "private", found: 4, expected: 3 };
    assert_eq!(sealed(&|trailer| trailer[8] = 4), Some(version));
}

/// Checksums are no secret: whoever writes wrong bytes can write the right checksums beside them.
fn with_right_checksums(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let trailer = bytes.len().checked_sub(256)?;
    let checks = usize::try_from(u64::from_le_bytes(*bytes.get(trailer + 64..)?.first_chunk()?)).ok()?;
    let crcs: Vec<u8> =
        bytes.get(..checks)?.chunks(4_096).flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    bytes.get_mut(checks..trailer).filter(|place| place.len() == crcs.len())?.copy_from_slice(&crcs);
    let crc = crc32fast::hash(&bytes[trailer..trailer + 252]);
    bytes[trailer + 252..].copy_from_slice(&crc.to_le_bytes());
    Some(bytes)
}

#[test]
fn wrong_bytes_with_right_checksums_never_panic() {
    let built = built(20);
    for place in 0..built.bytes.len() {
        for value in [0, 0x7F, 0xFF] {
            let mut bytes = built.bytes.clone();
            bytes[place] = value;
            if let Some(bytes) = with_right_checksums(bytes) {
                // Any answer will do, and an error too.
                drop(ask_all(&bytes));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]

    #[test]
    fn flips_in_a_larger_index_are_noticed(places in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 4)) {
        thread_local!(static LARGE: (BuiltIndex, Vec<String>) = {
            let built = built(5_000);
            let good = ask_all(&built.bytes).unwrap();
            (built, good)
        });
        LARGE.with(|(built, good)| {
            for (place, bit) in places {
                check_flip(built, good, place.index(built.bytes.len()), bit);
            }
        });
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        prop_assert!(SealedIndex::open(&bytes).is_err());
    }
}
