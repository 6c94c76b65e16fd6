//! Our bytes against those of the library and of other implementations.

use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

fn written(ordinals: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(ordinals, &mut bytes);
    bytes
}

/// The library's bytes of the same set, its runs taken out.
fn library(ordinals: &[u32]) -> Vec<u8> {
    let mut bitmap: RoaringBitmap = ordinals.iter().copied().collect();
    bitmap.remove_run_compression();
    let mut bytes = Vec::new();
    bitmap.serialize_into(&mut bytes).unwrap();
    bytes
}

fn check(ordinals: &[u32]) {
    let bytes = written(ordinals);
    assert_eq!(bytes, library(ordinals), "{} ordinals", ordinals.len());
    let end = ordinals.last().map_or(0, |last| last + 1);
    let posting = Posting::parse(&bytes, end).unwrap();
    assert_eq!(posting.cardinality(), ordinals.len() as u64);
    assert!(posting.to_bitmap().unwrap().iter().eq(ordinals.iter().copied()));
    let mut bits = Bits::new(end);
    assert!(posting.add_to(&mut bits).is_some());
    assert!(bits.to_bitmap().iter().eq(ordinals.iter().copied()));
    assert_eq!(posting.count_in(&bits), Some(ordinals.len() as u64));
    assert!(end == 0 || Posting::parse(&bytes, end - 1).is_none(), "an ordinal that no event has");
}

#[test]
fn bytes_are_those_of_the_library_around_every_border() {
    check(&[]);
    check(&[0]);
    check(&[65_535, 65_536, 131_072, 16_777_215]);
    for count in [4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 200_000] {
        check(&(0..count).collect::<Vec<_>>());
        check(&(0..count).map(|n| n * 3 + 1).collect::<Vec<_>>());
        check(&(60_000..60_000 + count).collect::<Vec<_>>());
    }
}

#[test]
fn a_posting_list_is_these_bytes() {
    let expected = [
        "3a300000 02000000",   // cookie, containers
        "0000 0100 0100 0000", // keys and cardinalities less 1
        "18000000 1c000000",   // offsets
        "0100 ffff 0000",
    ];
    let expected: String = expected.concat().split_whitespace().collect();
    assert_eq!(crate::tests::hex(&written(&[1, 65_535, 65_536])), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::tests::cases(64)))]

    /// Whatever containers meet: arrays of like and of very unlike lengths, bits, unions of several postings, none.
    #[test]
    fn what_sets_have_in_common_is_what_all_their_postings_have(
        sets in proptest::collection::vec((1_u32..4, 0_u32..12, 0_u32..3, 0_u32..70_000), 1..6),
    ) {
        let end = 140_000;
        let sets: Vec<Vec<Vec<u32>>> = sets
            .iter()
            .map(|&(postings, spread, begin, offset)| {
                let step = 1_u32 << spread;
                let of = |number: u32| (begin * offset + number..end).step_by((step * postings) as usize);
                (0..postings).map(|number| of(number * step).collect()).collect()
            })
            .collect();
        let unions = sets.iter().map(|set| set.iter().flatten().copied().collect::<RoaringBitmap>());
        let expected = unions.reduce(|all, set| all & set).unwrap();
        let bytes: Vec<Vec<_>> = sets.iter().map(|set| set.iter().map(|ordinals| written(ordinals)).collect()).collect();
        let parsed: Vec<Vec<_>> =
            bytes.iter().map(|set| set.iter().map(|bytes| Posting::parse(bytes, end).unwrap()).collect()).collect();
        prop_assert_eq!(common::count(&parsed, end), Some(expected.len()));
        prop_assert_eq!(common::set(&parsed, end), Some(expected));
    }
}

/// Found by the fuzz target `index`: a bit or a value beyond the last event was answered, or left out in silence.
#[test]
fn ordinals_that_no_event_has_are_refused() {
    let parse = |ordinals: &[u32], end| Posting::parse(&written(ordinals), end).is_some();
    assert!(parse(&[4], 5) && !parse(&[4], 4), "in the last byte, but not an event");
    assert!(parse(&[70_000], 70_001) && !parse(&[70_000], 70_000), "in the second container");
    assert!(!parse(&[70_000], 65_536), "a container that has no events");
    let many: Vec<u32> = (0..5_000).collect();
    assert!(parse(&many, 5_000) && !parse(&many, 4_999), "in a bitset");
    let mut twice = written(&[1, 2, 3]);
    let last = twice.len() - 4;
    twice[last] = 1;
    let posting = Posting::parse(&twice, 4).unwrap();
    assert!(posting.add_to(&mut Bits::new(4)).is_none() && posting.count_in(&Bits::new(4)).is_none());
    assert!(posting.to_bitmap().is_none(), "1, 1, 3 do not ascend");
    let others = written(&[0, 1, 2, 3]);
    let others = Posting::parse(&others, 4).unwrap();
    for sets in [[vec![posting], vec![others]], [vec![others], vec![posting]]] {
        assert_eq!(common::count(&sets, 4), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::tests::cases(64)))]

    #[test]
    fn bytes_are_those_of_the_library(set in prop::collection::btree_set(0_u32..1 << 18, 0..6_000)) {
        check(&set.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn other_bytes_are_refused_or_read_without_harm(
        set in prop::collection::btree_set(0_u32..1 << 18, 0..50),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written(&set.into_iter().collect::<Vec<_>>());
        let place = at.index(bytes.len());
        bytes[place] = with;
        let end = cut.index(bytes.len() + 1);
        for bytes in [&bytes[..], &bytes[..end]] {
            let events = 1 << 10;
            if let Some(posting) = Posting::parse(bytes, events) {
                let mut bits = Bits::new(events);
                let added = posting.add_to(&mut bits);
                prop_assert!(posting.cardinality() <= u64::from(events));
                prop_assert_eq!(posting.count_in(&bits).is_some(), added.is_some());
                prop_assert!(bits.to_bitmap().max().is_none_or(|last| last < events));
                if let Some(set) = posting.to_bitmap() {
                    prop_assert!(set.max().is_none_or(|last| last < events));
                }
            }
        }
    }
}

/// Files that other implementations wrote: those without runs are read, and written again, byte for byte.
#[test]
fn files_of_other_implementations_are_written_again_byte_for_byte() {
    let Some(corpus) = std::env::var_os("PIPEROLL_CORPUS").map(PathBuf::from) else {
        return println!("skipped, because PIPEROLL_CORPUS is not set");
    };
    let (mut same, mut refused) = (0, 0);
    for directory in ["roaring/testdata", "generated/roaring"] {
        for entry in std::fs::read_dir(corpus.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            match Posting::parse(&bytes, u32::MAX).and_then(Posting::to_bitmap) {
                Some(bitmap) => {
                    assert_eq!(written(&bitmap.iter().collect::<Vec<_>>()), bytes, "{}", path.display());
                    same += 1;
                }
                None => refused += 1,
            }
        }
    }
    println!("{same} files the same, {refused} refused: runs, 64 bits, damage, or no bitmap");
    assert!(same > 0);
}
