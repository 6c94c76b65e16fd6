//! The recovery walk, against hand-made histories and against a literal reading of docs/format.md.

use crate::support::{SALT, Segment, config};
use piperoll_format::entry::{EntryHead, Mark};
use piperoll_format::frame::check_frame;
use piperoll_format::units::{Offset, Sequence};
use piperoll_format::walk::{ByteSource, Damage, Verdict, VerdictKind, WalkError, walk};
use proptest::prelude::*;
use std::convert::Infallible;

/// Bytes that come in reads of at most so many.
struct Slow<'a>(&'a [u8], usize);

impl ByteSource for Slow<'_> {
    type Error = Infallible;

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> Result<usize, Infallible> {
        let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
        let count = rest.len().min(into.len()).min(self.1);
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn mark(length: u64, end: u64) -> Mark {
    Mark { head: EntryHead { end: Sequence(end), ..EntryHead::default() }, length, ..Mark::default() }
}

fn walked(segment: &Segment, mark: Option<&Mark>) -> (Verdict, Vec<(u64, u64)>) {
    let mut frames = Vec::new();
    let mut source = Slow(&segment.bytes, usize::MAX);
    let length = segment.bytes.len() as u64;
    let verdict = walk(&mut source, &segment.header, length, mark, &mut |offset, frame| {
        frames.push((offset.0, frame.header().first_sequence.0));
    });
    (verdict.unwrap(), frames)
}

fn three_groups() -> Segment {
    let mut segment = Segment::new();
    segment.push(2, 0).push(1, 100).sync().push(3, 10).sync().push(1, 1).push(1, 9);
    segment
}

fn damage(verdict: &Verdict) -> &Damage {
    match &verdict.kind {
        VerdictKind::Damaged(damage) => damage,
        other => panic!("expected damage, found {other:?}"),
    }
}

#[test]
fn an_empty_segment_is_clean() {
    let mut segment = Segment::new();
    for _ in 0..2 {
        let (verdict, frames) = walked(&segment, Some(&mark(1_024, 0)));
        assert_eq!((verdict.end, verdict.kind, frames.len()), (Offset(1_024), VerdictKind::Clean, 0));
        segment.allocate(10_000);
    }
}

#[test]
fn all_frames_of_a_clean_segment_are_seen_with_and_without_zeros_behind() {
    for zeros in [0, 8, 4_096, 3_000_000] {
        let mut segment = three_groups();
        let end = segment.bytes.len() as u64;
        segment.allocate(zeros);
        let (verdict, frames) = walked(&segment, None);
        assert_eq!((verdict.end, &verdict.kind), (Offset(end), &VerdictKind::Clean), "{zeros} zeros");
        assert_eq!((verdict.end_sequence, verdict.frames), (Sequence(8), 5));
        assert_eq!((verdict.durable, verdict.newer), (segment.durable, false));
        assert_eq!(verdict.last_received.unwrap().0, 7);
        assert_eq!(frames, segment.frames);
    }
}

#[test]
fn a_torn_tail_is_told_by_where_it_is_not_zero() {
    let mut segment = three_groups();
    let (last, _) = segment.frames[4];
    segment.allocate(100);
    let at = usize::try_from(last).unwrap();
    segment.bytes[at + 80] ^= 1;
    let (verdict, frames) = walked(&segment, None);
    assert_eq!((verdict.end, verdict.end_sequence, frames.len()), (Offset(last), Sequence(7), 4));
    let VerdictKind::Torn { not_zero } = verdict.kind else { panic!("{:?}", verdict.kind) };
    assert_eq!(not_zero.start, last);
    let written = segment.bytes.len() - 100;
    assert!(not_zero.end <= written as u64 && not_zero.end > written as u64 - 8, "{not_zero:?}");
}

#[test]
fn a_hole_below_a_durable_end_is_damage_with_the_frames_behind_it_named() {
    for at in 0..3 {
        let mut segment = three_groups();
        let (offset, sequence) = segment.frames[at];
        segment.bytes[usize::try_from(offset).unwrap() + 20] ^= 0x40;
        let (verdict, frames) = walked(&segment, None);
        assert_eq!((verdict.end, verdict.end_sequence), (Offset(offset), Sequence(sequence)));
        assert_eq!(frames.len(), at);
        let after = &verdict.frames_after;
        let found: Vec<_> = after.iter().map(|frame| (frame.offset.0, frame.first.0)).collect();
        assert_eq!(found, segment.frames[at + 1..], "frame {at}");
        assert_eq!(verdict.durable, segment.durable);
    }
}

/// One flipped bit makes 0x100 into 0: a walk that believes a length of 0 cuts history in silence.
#[test]
fn a_length_of_zero_is_checked_and_not_believed() {
    let mut segment = three_groups();
    let (offset, _) = segment.frames[1];
    let at = usize::try_from(offset).unwrap();
    segment.bytes[at..at + 4].fill(0);
    assert_eq!(walked(&segment, None).0.frames_after.len(), 3);
}

#[test]
fn a_tail_above_every_durable_end_is_torn_even_with_whole_frames_in_it() {
    let mut segment = three_groups();
    let (offset, _) = segment.frames[3];
    segment.bytes[usize::try_from(offset).unwrap()] ^= 8;
    let (verdict, frames) = walked(&segment, None);
    assert_eq!((verdict.end, frames.len(), verdict.durable), (Offset(offset), 3, offset));
    assert!(matches!(verdict.kind, VerdictKind::Torn { .. }), "{verdict:?}");
}

#[test]
fn a_mark_makes_a_tail_into_damage() {
    let mut segment = three_groups();
    let (offset, sequence) = segment.frames[4];
    let good = mark(offset, sequence);
    assert_eq!(walked(&segment, Some(&good)).0.kind, VerdictKind::Clean);
    segment.bytes[usize::try_from(segment.frames[3].0).unwrap()] ^= 8;
    assert!(damage(&walked(&segment, Some(&good)).0).mark_not_met);
}

#[test]
fn a_mark_is_checked_and_not_believed() {
    let segment = three_groups();
    let (offset, sequence) = segment.frames[2];
    let end = segment.bytes.len() as u64;
    for (length, end_sequence, met) in [
        (offset, sequence, true),
        (end, segment.next, true),
        (offset, sequence + 1, false),
        (offset + 8, sequence, false),
        (end + 8, segment.next, false),
        (1_024, 0, true),
        (1_024, 1, false),
        (0, 0, false),
    ] {
        let (verdict, frames) = walked(&segment, Some(&mark(length, end_sequence)));
        assert_eq!(verdict.kind == VerdictKind::Clean, met, "{length} {end_sequence}");
        assert_eq!(frames.len(), 5, "what checks stays readable");
    }
}

#[test]
fn a_file_cut_below_its_mark_is_damage_and_not_a_clean_end() {
    let mut segment = three_groups();
    let whole = mark(segment.bytes.len() as u64, segment.next);
    segment.bytes.truncate(usize::try_from(segment.frames[3].0).unwrap());
    assert_eq!(walked(&segment, None).0.kind, VerdictKind::Clean);
    assert!(damage(&walked(&segment, Some(&whole)).0).mark_not_met);
}

#[test]
fn a_frame_that_does_not_follow_ends_the_walk() {
    let mut segment = Segment::new();
    segment.push(2, 0);
    segment.next += 5;
    segment.push(1, 0);
    let (verdict, frames) = walked(&segment, None);
    assert_eq!((frames.len(), verdict.end_sequence), (1, Sequence(2)));
    assert!(matches!(verdict.kind, VerdictKind::Torn { .. }), "{verdict:?}");
    segment.sync().push(1, 0);
    assert_eq!(walked(&segment, None).0.frames_after.len(), 2);
}

#[test]
fn a_file_shorter_than_it_was_said_to_be_is_an_error() {
    let segment = three_groups();
    let mut source = Slow(&segment.bytes, usize::MAX);
    let length = segment.bytes.len() as u64 + 8;
    let result = walk(&mut source, &segment.header, length, None, &mut |_, _| {});
    assert!(matches!(result, Err(WalkError::Short { .. })), "{result:?}");
}

/// Headers in a payload that look right but for their checksum cost a look at 72 bytes each, and not at the
/// whole frames that they claim to begin; a true frame between them is found all the same.
#[test]
fn look_alikes_of_great_frames_are_told_apart_without_reading_each_whole() {
    let mut segment = Segment::new();
    segment.push(1, 0).sync();
    let end = segment.bytes.len() as u64;
    let look_alike = |length: u32| {
        let mut header = [0; 72];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[8] = 9;
        header[24..32].copy_from_slice(&1_024u64.to_le_bytes());
        header[48] = 1;
        header[52] = 1;
        header[60..64].copy_from_slice(&(length - 72).to_le_bytes());
        header[64] = 1;
        header
    };
    let look_alikes = |segment: &mut Segment, count: u32| {
        for n in 0..count {
            segment.bytes.extend(look_alike(2_000_000 - n % 9 * 8));
        }
    };
    look_alikes(&mut segment, 20_000);
    segment.next = 7;
    segment.push(1, 10_000).push(2, 60_000);
    look_alikes(&mut segment, 1_000);
    segment.push(1, 5_000);
    segment.allocate(2_000_000);
    let (verdict, frames) = walked(&segment, None);
    assert_eq!((verdict.end.0, verdict.durable, frames.len()), (end, end, 1));
    assert!(matches!(verdict.kind, VerdictKind::Torn { .. }), "{verdict:?}");
    let beyond = mark(end + 8, 1);
    let after = &walked(&segment, Some(&beyond)).0.frames_after.clone();
    let found: Vec<_> = after.iter().map(|frame| (frame.offset.0, frame.first.0)).collect();
    assert_eq!(found, segment.frames[1..]);
}

/// What docs/format.md says, word for word and without a window: F, D, and the frames behind F.
fn literal(bytes: &[u8]) -> (u64, u64, Vec<u64>) {
    let (mut at, mut expected, mut durable) = (1_024, 0, 1_024);
    while let Ok(frame) = check_frame(bytes.get(at..).unwrap_or_default(), Offset(at as u64), &SALT) {
        if frame.header().first_sequence.0 != expected {
            break;
        }
        durable = durable.max(frame.header().durable_end);
        expected = frame.header().end_sequence().0;
        at += frame.bytes().len();
    }
    let mut behind = Vec::new();
    for place in (at..bytes.len()).step_by(8) {
        if let Ok(frame) = check_frame(&bytes[place..], Offset(place as u64), &SALT)
            && frame.header().first_sequence.0 >= expected
        {
            durable = durable.max(frame.header().durable_end);
            behind.push(place as u64);
        }
    }
    (at as u64, durable, behind)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_walk_agrees_with_the_literal_reading(
        groups in prop::collection::vec(prop::collection::vec((1usize..4, 0usize..9_000), 1..4), 0..6),
        zeros in 0usize..20_000,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..600), 0..4),
        cut in 0usize..3_000,
        read in prop_oneof![Just(7usize), Just(512), Just(usize::MAX)],
    ) {
        let mut segment = Segment::new();
        for group in &groups {
            for (events, reason) in group {
                segment.push(*events, *reason);
            }
            segment.sync();
        }
        segment.allocate(zeros);
        for (place, byte, length) in damage {
            let rest = &mut segment.bytes[1_024..];
            if !rest.is_empty() {
                let at = place.index(rest.len());
                rest[at..].iter_mut().take(length).for_each(|b| *b = byte);
            }
        }
        segment.bytes.truncate((segment.bytes.len() - cut.min(segment.bytes.len())).max(1_024));

        let mut frames = 0;
        let mut source = Slow(&segment.bytes, read);
        let length = segment.bytes.len() as u64;
        let verdict = walk(&mut source, &segment.header, length, None, &mut |_, _| frames += 1).unwrap();
        let (end, durable, behind) = literal(&segment.bytes);
        prop_assert_eq!((verdict.end.0, verdict.durable, verdict.frames), (end, durable, frames));
        let tail = &segment.bytes[usize::try_from(end).unwrap()..];
        match verdict.kind {
            VerdictKind::Clean => prop_assert!(durable <= end && tail.iter().all(|byte| *byte == 0)),
            VerdictKind::Torn { not_zero } => {
                prop_assert!(durable <= end);
                let start = end + tail.iter().position(|byte| *byte != 0).unwrap() as u64;
                let last = end + tail.iter().rposition(|byte| *byte != 0).unwrap() as u64;
                prop_assert_eq!(not_zero, start..last + 1);
            }
            VerdictKind::Damaged(_) => {
                prop_assert!(durable > end);
                let found: Vec<u64> = verdict.frames_after.iter().map(|frame| frame.offset.0).collect();
                prop_assert_eq!(found, behind);
            }
        }
    }
}
