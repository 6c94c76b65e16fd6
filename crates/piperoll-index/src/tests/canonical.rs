//! The canonical part: the same frames give the same bytes, for ever.

use super::support::{FIRST, FrameSpec, Kind, Log, Message, SALT, class, hex, root};
use crate::{Builder, SealedIndex, Terms};
use piperoll_format::{
    event::Field,
    frame::{ProducerKey, check_frame},
    units::{Offset, Root},
};

/// A log with something of everything: written down in `tests/golden/README.md`.
fn small_log() -> Log {
    let one = Message::event("alice", "deploy.approved")
        .text(Field::Id, "e-1")
        .text(Field::Source, "")
        .text(Field::Stage, "deploy")
        .number(Field::Outcome, 1)
        .text(Field::Run, "42")
        .number(Field::RunAttempt, 2)
        .time(1_700_000_000_000_000_001)
        .artifact(&[("sha256", "9f86"), ("sha512", "ee26")])
        .attribute("region", "eu")
        .attribute("", "");
    let two = Message::event("bob", "deploy.approved")
        .number(Field::Outcome, 0)
        .text(Field::RunnerLabels, "linux")
        .text(Field::RunnerLabels, "linux")
        .attestation("sha256", "9f86")
        .bytes(Field::TraceId.number(), &[0xAB; 16])
        .link(Some("e-1"))
        .link(None);
    let three = Message::event("alice", "run").text(Field::Environment, "prod").text(Field::Run, "42");
    let producer = Some(ProducerKey { id: 7, sequence: 9 });
    let messages = vec![vec![one.0], vec![two.0, three.0]];
    let first = FrameSpec { gap: 0, received: 5, kind: Kind::Good, producer, messages };
    let malformed = FrameSpec { kind: Kind::Malformed, ..FrameSpec::of(6, [Message::event("x", "y")]) };
    let last =
        FrameSpec { gap: 2, ..FrameSpec::of(7, [Message::event("bob", "run").number(Field::Outcome, 300)]) };
    Log::new(&[first, malformed, last])
}

/// The file was written by another program, from the format's page alone.
#[test]
fn the_canonical_part_of_the_small_log_is_the_golden_file() {
    let built = small_log().columns().build(&root()).unwrap();
    let canonical = &built.bytes[..usize::try_from(built.canonical_length).unwrap()];
    let golden = include_str!("../../tests/golden/small.idx.hex").replace('\n', "");
    assert_eq!(hex(canonical), golden);
    assert_eq!(built.index_root, Root(*blake3::hash(canonical).as_bytes()));
}

#[test]
fn a_second_build_and_a_build_from_frames_give_the_same_bytes() {
    let log = small_log();
    let built = log.columns().build(&root()).unwrap();
    let mut builder = Builder::new(FIRST, &SALT, &class());
    for &offset in &log.offsets {
        let frame = check_frame(&log.bytes[offset as usize..], Offset(offset), &SALT).unwrap();
        builder.frame(Offset(offset), &frame).unwrap();
    }
    assert_eq!(builder.finish(&root()).unwrap(), built);
    let columns = log.columns();
    assert_eq!(columns.build(&root()).unwrap(), built);
    assert_eq!(columns.build(&root()).unwrap(), built, "asking changes nothing");
}

/// The same values in two orders of their first appearance have different ids, and the same place.
#[test]
fn terms_and_keys_stand_in_order_whatever_came_first() {
    let event = |actor: &str, run: &str| Message::event(actor, "run").text(Field::Run, run);
    let log =
        Log::new(&[FrameSpec::of(1, [event("b", "2"), event("a", "1"), event("b", "1"), event("aa", "2")])]);
    let found = log.ask(|terms| {
        let mut counts = Vec::new();
        terms
            .count_terms(Field::Actor, &terms.all().unwrap(), &mut |term, n| counts.push((term.to_vec(), n)))
            .unwrap();
        counts.sort();
        counts
    });
    assert_eq!(found, [(b"a".to_vec(), 1), (b"aa".to_vec(), 1), (b"b".to_vec(), 2)]);
}

#[test]
fn a_segment_without_events_has_an_index_all_the_same() {
    let built = Log::new(&[]).columns().build(&root()).unwrap();
    let index = SealedIndex::open(&built.bytes).unwrap();
    assert_eq!((index.canonical_root(), index.log_root()), (built.index_root, root()));
    assert_eq!(index.canonical_length(), built.canonical_length);
    assert!(index.all().unwrap().is_empty());
    index.verify().unwrap();
}

/// Enough keys for the counting sort and the search by expected place to show what they are worth.
#[test]
fn each_of_many_keys_is_found_and_no_other() {
    let event = |n: u32| {
        Message::event("a", "run")
            .text(Field::Id, &format!("id-{n}"))
            .text(Field::Run, &format!("run-{}", n / 7))
    };
    let frames: Vec<FrameSpec> =
        (0..40).map(|f| FrameSpec::of(1, (f * 500..f * 500 + 500).map(event))).collect();
    let built = Log::new(&frames).columns().build(&root()).unwrap();
    let index = SealedIndex::open(&built.bytes).unwrap();
    for n in 0..20_000 {
        let found = index.with_key(crate::text_key(Field::Id, &format!("id-{n}"))).unwrap();
        assert!(found.iter().eq([n]), "id-{n}: {found:?}");
    }
    let run = index.with_key(crate::text_key(Field::Run, "run-3")).unwrap();
    assert!(run.iter().eq(21..28));
    assert!(index.with_key(crate::text_key(Field::Id, "id-20000")).unwrap().is_empty());
    assert!(index.with_key(0).unwrap().is_empty());
    assert!(index.with_key(u32::MAX).unwrap().is_empty());
}

/// Which events have a run and which have a job says the same: it stands there once.
#[test]
fn fields_that_come_and_go_together_share_what_says_so() {
    let presence = |fields: &[Field]| {
        let event = |n: u32| {
            let event = Message::event("a", "run");
            let fields = if n % 3 == 1 { fields } else { &[] };
            fields.iter().fold(event, |event, field| event.text(*field, "x"))
        };
        let log = Log::new(&[FrameSpec::of(1, (0..5_000).map(event))]);
        let built = log.columns().build(&root()).unwrap();
        for field in fields {
            let present = log.ask(|terms| terms.present(*field).unwrap());
            assert!(present.iter().eq((1..5_000).step_by(3)), "{}", field.name());
        }
        let parts = SealedIndex::open(&built.bytes).unwrap().parts();
        parts.into_iter().find(|(part, _)| *part == "which have each field").unwrap().1
    };
    assert_eq!(presence(&[Field::Run, Field::Job]), presence(&[Field::Run]));
    assert!(presence(&[Field::Run]) > presence(&[]));
}
