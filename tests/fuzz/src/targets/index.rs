//! The `.idx`: every read of wrong bytes whose checksums are right.

use super::files::{SALT, frame_bytes, name};
use piperoll_filter::parse;
use piperoll_format::{
    event::{Field, Indexed},
    frame::check_frame,
    limits::SEGMENT_HEADER_BYTES,
    units::{Offset, Ordinal, Root, Sequence, UnixNanos},
};
use piperoll_index::{Columns, IndexError, SealedIndex, Terms, evaluate, group};
use roaring::RoaringBitmap;

/// Bytes of the trailer, and of a block that has a checksum of its own: docs/format.md.
const TRAILER_BYTES: usize = 256;
const BLOCK_BYTES: usize = 4_096;

/// Asks everything of the bytes as they are, and with their checksums put right.
pub(crate) fn index(bytes: &[u8]) {
    drop(ask_all(bytes));
    if let Some(fixed) = with_right_checksums(bytes.to_vec()) {
        drop(ask_all(&fixed));
    }
}

fn with_right_checksums(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let trailer = bytes.len().checked_sub(TRAILER_BYTES)?;
    let checks = usize::try_from(u64::from_le_bytes(*bytes.get(trailer + 64..)?.first_chunk()?)).ok()?;
    let content = bytes.get(..checks)?;
    let sums: Vec<u8> =
        content.chunks(BLOCK_BYTES).flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    bytes.get_mut(checks..trailer).filter(|place| place.len() == sums.len())?.copy_from_slice(&sums);
    let crc = crc32fast::hash(&bytes[trailer..trailer + TRAILER_BYTES - 4]);
    bytes[trailer + TRAILER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    Some(bytes)
}

const FILTERS: [&str; 8] = [
    "actor = user-1",
    "actor = user-*",
    "stage:*",
    "run = run-1",
    "time > 1970-01-01T00:00:00.000001Z",
    "received < 2026-11-23",
    "NOT attr.retention = standard",
    "outcome != success AND NOT pipeline:*",
];

/// Every read; an answer never names an event that the index says it does not have.
fn ask_all(bytes: &[u8]) -> Result<(), IndexError> {
    let index = SealedIndex::open(bytes)?;
    drop(index.verify());
    drop(index.verify_exact());
    let _root = (index.canonical_root(), index.log_root(), index.canonical_length());
    let end = index.summary().end;
    let mut first_error = Ok(());
    let mut note = |answer: Result<RoaringBitmap, IndexError>| match answer {
        Ok(set) => assert!(set.max().is_none_or(|last| last < end), "{:?} of {end} events", set.max()),
        Err(error) if first_error.is_ok() => first_error = Err(error),
        Err(_) => {}
    };
    for field in Field::ALL {
        note(index.present(*field));
    }
    for field in Field::ALL.iter().copied().filter(|field| field.indexed() == Indexed::Bitmap) {
        note(index.with_prefix(field, b"a"));
        note(index.with_terms(field, &[b"alice", b"user-1", &1u64.to_le_bytes()]));
        let all = (0..end).collect();
        for among in [(0..end.min(3)).collect::<RoaringBitmap>(), all] {
            drop(group(&index, field, &among));
            let mut terms = Vec::new();
            drop(index.count_terms(field, &among, &mut |term, count| {
                assert!(count <= among.len(), "a term of more events than were asked for");
                if terms.len() < 8 {
                    terms.push(term.to_vec());
                }
            }));
            for term in &terms {
                note(index.with_terms(field, &[term]));
            }
        }
    }
    for key in [0, 1, u32::MAX, piperoll_index::text_key(Field::Run, "run-1")] {
        note(index.with_key(key));
    }
    note(index.with_time(i64::MIN..=i64::MAX));
    note(index.with_time(0..=1_767_225_600_000_000_000));
    for ordinal in [0, 1, 5, end.saturating_sub(1), end, u32::MAX] {
        drop(index.event_place(Ordinal(ordinal)));
        drop(index.frame_at(ordinal));
    }
    for text in FILTERS {
        let filter = parse(text, UnixNanos(0)).expect("a filter");
        drop(evaluate(&filter, "default", &index, 0..u32::MAX));
    }
    first_error
}

/// The index of some generated events.
fn built(frames: usize, events: usize) -> Vec<u8> {
    let mut columns = Columns::new(Sequence(0), &SALT, &name("default"));
    let mut offset = Offset(SEGMENT_HEADER_BYTES);
    for place in 0..frames {
        let skip = place * events;
        let bytes = frame_bytes(events, skip, skip as u64, place as u64, offset);
        let frame = check_frame(&bytes, offset, &SALT).expect("a frame that was just written");
        columns.frame(offset, &frame).expect("frames in order");
        offset.0 += bytes.len() as u64;
    }
    columns.build(&Root([9; 32])).expect("an index").bytes
}

pub(crate) fn index_seeds() -> Vec<Vec<u8>> {
    let seeds = vec![built(1, 1), built(3, 4), built(5, 40)];
    for seed in &seeds {
        assert_eq!(ask_all(seed), Ok(()), "a good index answers everything");
        assert_eq!(
            with_right_checksums(seed.clone()).as_ref(),
            Some(seed),
            "its checksums are found where they are"
        );
    }
    seeds
}
