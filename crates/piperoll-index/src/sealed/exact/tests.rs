//! A section that is not what a writer makes is noticed, by the check and by the look-ups that it concerns.

use super::*;
use crate::{
    columns::ExactKeys, packed::BitWriter, sealed::blocks::GoodBlocks, tests::cases, wire::put_leb128,
    writer::put_exact,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Map = BTreeMap<u32, BTreeSet<u32>>;

const END: u32 = 1 << 24;

/// The section as the writer makes it.
fn written(map: &Map) -> Vec<u8> {
    let mut exact = ExactKeys::default();
    for (key, ordinals) in map {
        for ordinal in ordinals {
            exact.push(*key, *ordinal);
        }
    }
    let mut section = Vec::new();
    put_exact(&exact, &mut section).unwrap();
    section
}

/// Asks a section whose checksums are right.
fn ask<T>(
    section: &[u8],
    ask: impl FnOnce(&ExactSection, &Blocks<'_>) -> Result<T, IndexError>,
) -> Result<T, IndexError> {
    let checks: Vec<u8> =
        section.chunks(4_096).flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    let blocks = Blocks::new(section, &checks, GoodBlocks::none_of(section.len()));
    ask(&ExactSection::open(&blocks, 0..section.len())?, &blocks)
}

fn find(section: &[u8], key: u32) -> Result<Vec<u32>, IndexError> {
    ask(section, |exact, blocks| Ok(exact.find(blocks, key, END)?.iter().collect()))
}

/// All that stands in a section, if it is what a writer makes.
fn read(section: &[u8]) -> Result<Map, IndexError> {
    let mut map = Map::new();
    let totals = ask(section, |exact, blocks| {
        exact.check(blocks, END, |key, ordinal| assert!(map.entry(key).or_default().insert(ordinal)))
    })?;
    let ordinals = map.values().map(BTreeSet::len).sum::<usize>();
    assert_eq!(totals, ExactTotals { keys: map.len() as u64, ordinals: ordinals as u64 });
    Ok(map)
}

/// Keys that share buckets, and ordinals near each other and far apart.
fn maps() -> impl Strategy<Value = Map> {
    let key = prop_oneof![any::<u32>(), 0..8_u32, Just(u32::MAX)];
    let ordinal = prop_oneof![0..64_u32, 0..END, Just(END - 1)];
    prop::collection::btree_map(key, prop::collection::btree_set(ordinal, 1..6), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn what_is_written_is_found_and_nothing_else(map in maps(), others in prop::collection::vec(any::<u32>(), 20)) {
        let section = written(&map);
        let all = read(&section);
        prop_assert_eq!(all.as_ref(), Ok(&map));
        for key in map.keys().copied().chain(others) {
            let expected: Vec<u32> = map.get(&key).into_iter().flatten().copied().collect();
            prop_assert_eq!(find(&section, key), Ok(expected), "{}", key);
        }
    }

    /// So no two sections have the same keys and ordinals, and what is not in order is never taken for good.
    #[test]
    fn a_section_that_is_read_is_the_one_that_is_written(
        map in maps(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let mut section = written(&map);
        for (place, value) in changes {
            let place = place.index(section.len());
            section[place] = value;
        }
        if let Ok(other) = read(&section) {
            prop_assert_eq!(&written(&other), &section);
        }
        for key in map.keys() {
            if let Ok(found) = find(&section, *key) {
                prop_assert!(found.iter().all(|ordinal| *ordinal < END));
            }
        }
    }
}

#[test]
fn every_cut_of_a_section_is_an_error_for_whoever_reads_what_is_missing() {
    let map: Map =
        (0..100_u32).map(|n| (n * 0x0290_0001, (0..=n % 4).map(|step| n + 100 * step).collect())).collect();
    let section = written(&map);
    for length in 0..section.len() {
        let cut = &section[..length];
        assert!(read(cut).is_err(), "cut at {length}");
        let found = |key: &u32| find(cut, *key).map(|found| found.into_iter().collect::<BTreeSet<_>>());
        assert!(
            map.iter().all(|(key, ordinals)| found(key).is_err() || found(key).as_ref() == Ok(ordinals)),
            "cut at {length}"
        );
        assert!(map.keys().any(|key| found(key).is_err()), "cut at {length}");
    }
}

/// A section of one bucket, part by part.
#[derive(Clone)]
struct Parts {
    keys: u32,
    ordinal_bits: u8,
    zeros: [u8; 3],
    /// Beyond the last byte.
    end: i32,
    count: Vec<u8>,
    /// Key, first ordinal, whether it has more.
    records: Vec<(u32, u32, bool)>,
    record_padding: u32,
    lists: Vec<u8>,
}

impl Parts {
    /// Keys 5 with the ordinals 3, 4 and 9, 6 with 7, and 9 with 2 and 12.
    fn good() -> Self {
        // Mean gaps of 3 and 10: the differences less one are 0 and 4 with 1 low bit, and 9 with 3.
        let lists = [[2, 1, 0b0001_0001], [2, 3, 0b0000_0110]].concat();
        Self {
            keys: 3,
            ordinal_bits: 4,
            zeros: [0; 3],
            end: 0,
            count: vec![3],
            records: vec![(5, 3, true), (6, 7, false), (9, 2, true)],
            record_padding: 0,
            lists,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bucket = self.count.clone();
        let mut bits = BitWriter::new(&mut bucket);
        let mut bits_written = 0;
        for (key, ordinal, has_more) in &self.records {
            bits.put(*key, 32);
            bits.put(*ordinal, self.ordinal_bits.into());
            bits.put((*has_more).into(), 1);
            bits_written += 33 + u32::from(self.ordinal_bits);
        }
        bits.put(self.record_padding, (8 - bits_written % 8) % 8);
        bits.finish();
        bucket.extend(&self.lists);
        let mut section = self.keys.to_le_bytes().to_vec();
        section.push(self.ordinal_bits);
        section.extend(self.zeros);
        section.extend(u32::try_from(bucket.len()).unwrap().wrapping_add_signed(self.end).to_le_bytes());
        section.extend(bucket);
        section
    }
}

fn good_map() -> Map {
    [(5, [3, 4, 9].into()), (6, [7].into()), (9, [2, 12].into())].into()
}

#[test]
fn a_section_is_these_bytes() {
    assert_eq!(written(&good_map()), Parts::good().bytes());
    assert_eq!(written(&Map::new()), [0; 12]);
    assert_eq!(written(&[(7, [0].into())].into()), [1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 7, 0, 0, 0, 0]);
}

/// The figures are those of another program, written from the format's page alone: `tests/golden/README.md`.
#[test]
fn a_section_of_many_keys_is_the_golden_one() {
    let mut map = Map::new();
    for n in 0..6_000_u32 {
        let ordinals = map.entry((n * n % 1_009).wrapping_mul(2_654_435_761)).or_default();
        ordinals.insert(7 * n);
        if n % 1_000 == 999 {
            ordinals.insert(10_000_000 + n);
        }
        map.entry(u32::MAX).or_default().insert(2 * n);
    }
    let section = written(&map);
    assert_eq!((map.len(), section.len(), crc32fast::hash(&section)), (506, 15_273, 0xF898_6B36));
}

/// Everything that a section can say wrong is an error of the check, and of a look-up that meets it.
#[test]
fn each_malformed_part_is_an_error() {
    let leb = |number| {
        let mut out = Vec::new();
        put_leb128(number, &mut out);
        out
    };
    let check = |what: &str, asked: &[u32], change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::good();
        change(&mut parts);
        let section = parts.bytes();
        assert!(read(&section).is_err(), "{what}");
        for key in asked {
            assert!(find(&section, *key).is_err(), "{what}: key {key}");
        }
    };
    let (all, none) = ([5, 6, 9, 7], []);
    check("zeros of the head", &all, &|parts| parts.zeros[1] = 1);
    check("ordinals of more bits than a segment has", &all, &|parts| parts.ordinal_bits = 25);
    check("ordinals of more bits than needed", &none, &|parts| parts.ordinal_bits = 5);
    check("more keys than there are", &none, &|parts| parts.keys = 4);
    check("fewer keys than in a bucket", &all, &|parts| parts.keys = 2);
    check("keys that need more buckets", &all, &|parts| parts.keys = 1 << 20);
    check("all keys there can be", &all, &|parts| parts.keys = u32::MAX);
    check("an end beyond the section", &all, &|parts| parts.end = 1);
    check("an end before the section's", &all, &|parts| parts.end = -1);
    check("a bucket of no keys", &all, &|parts| parts.count = vec![0]);
    check("a count that is not shortest", &all, &|parts| parts.count = vec![0x83, 0]);
    check("a count beyond all bytes", &all, &|parts| parts.count = leb(u32::MAX));
    check("a count without end", &all, &|parts| parts.count = vec![0xFF; 5]);
    check("keys out of order", &all, &|parts| parts.records.swap(0, 1));
    check("a key twice", &all, &|parts| parts.records[1].0 = 5);
    check("padding of records", &all, &|parts| parts.record_padding = 1);
    check("no lists where a key has one", &[5, 9, 6, 7], &|parts| parts.lists.clear());
    check("a list less", &[9], &|parts| parts.lists.truncate(3));
    check("a list more", &none, &|parts| parts.lists.extend([2, 0, 1]));
    check("lists where no key has one", &all, &|parts| {
        parts.records.iter_mut().for_each(|record| record.2 = false);
    });
    check("a length that is not shortest", &[5, 9], &|parts| {
        parts.lists.splice(0..1, [0x82, 0]);
    });
    check("a length beyond the bucket", &[5, 9], &|parts| parts.lists[0] = 7);
    check("a length of all bits", &[5, 9], &|parts| {
        parts.lists.splice(0..1, leb(u32::MAX));
    });
    check("a list without bytes", &[5], &|parts| parts.lists[0] = 0);
    check("a list without codes", &[5], &|parts| {
        parts.lists.splice(0..3, [1, 1]);
    });
    check("low bits that are not those of the mean", &[5], &|parts| {
        parts.lists.splice(0..3, [2, 0, 0b10_0001]);
    });
    check("too many low bits", &[5], &|parts| parts.lists[1] = 24);
    check("a byte of zeros behind the codes", &[5], &|parts| {
        parts.lists.splice(0..3, [3, 1, 0b0001_0001, 0]);
    });
    check("a code that ends nowhere", &[5], &|parts| parts.lists[2] |= 0x80);
    check("a difference beyond all events", &[5], &|parts| {
        parts.lists.splice(0..3, [8, 23, 0, 0, 0, 0x80, 0xFF, 0xFF, 0xFF]);
    });
}

#[test]
fn an_ordinal_that_no_event_has_is_an_error() {
    let section = written(&good_map());
    for (end, refused) in [(13, &[][..]), (12, &[9]), (9, &[5, 9]), (7, &[5, 6, 9]), (0, &[5, 6, 9])] {
        for key in [5, 6, 9] {
            let found = ask(&section, |exact, blocks| exact.find(blocks, key, end));
            assert_eq!(found.is_err(), refused.contains(&key), "key {key}, {end} events");
        }
        let read = ask(&section, |exact, blocks| exact.check(blocks, end, |_, _| {}));
        assert_eq!(read.is_err(), !refused.is_empty(), "{end} events");
    }
}
