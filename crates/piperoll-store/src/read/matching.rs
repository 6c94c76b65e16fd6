//! Every match of a question, segment by segment, for answers that are made of sets and not of events.

use super::{
    error::ReadError,
    pinned::{Decided, SegmentReader},
    walk::{Question, is_ruled_out, open, share},
};
use crate::{catalog::Log, disk::Disk, segment::Segment};
use parking_lot::Mutex;
use piperoll_format::units::Sequence;
use roaring::RoaringBitmap;
use std::{ops::Range, sync::Arc};

/// Events that are read between two looks at whether the asker still waits.
const EVENTS_BETWEEN_CHECKS: usize = 1_024;
/// Events that are decided at one time, by as many threads as are free.
pub(super) const EVENTS_DECIDED_MAX: usize = 1 << 18;

/// A segment that may have matches.
struct Candidate<'a, D: Disk> {
    log: &'a Log<D>,
    segment: &'a Segment<D>,
    /// Which sequences it should have.
    expected: Range<Sequence>,
    is_whole: bool,
}

/// Looks at every segment of the logs that has matches, several at one time, and takes in what each look gave, one
/// after the other and in no order. What damage took of the matches is an error.
pub(super) fn for_each_match<D: Disk, P>(
    question: &Question<'_>,
    logs: &[Arc<Log<D>>],
    look: impl Fn(&mut SegmentReader<'_>, &RoaringBitmap) -> Result<P, ReadError> + Sync,
    take: impl FnMut(P) -> Result<(), ReadError> + Send,
) -> Result<(), ReadError> {
    let snapshots: Vec<_> = logs.iter().map(|log| (log, log.snapshot())).collect();
    let mut candidates = Vec::new();
    for (log, segments) in &snapshots {
        let is_whole = log.trouble().is_none();
        // Where something is wrong with a log, one that seems empty may lack something.
        let is_there = |segment: &&Arc<Segment<D>>| !is_whole || segment.first() < segment.end();
        question.asker.meets_segments(segments.iter().filter(is_there).count());
        let end = segments.last().map_or(Sequence(0), |segment| segment.end());
        for segment in segments.iter().filter(is_there) {
            if !is_ruled_out(question, log.class(), segment, is_whole) {
                let expected = share(segments, segment, &(Sequence(0)..end));
                candidates.push(Candidate { log, segment, expected, is_whole });
            }
        }
    }
    let take = Mutex::new(take);
    question.helpers.for_each(&candidates, |candidate| {
        let Some(found) = look_at(question, candidate, &look)? else { return Ok(()) };
        take.lock()(found)
    })
}

fn look_at<D: Disk, P>(
    question: &Question<'_>,
    Candidate { log, segment, expected, is_whole }: &Candidate<'_, D>,
    look: impl Fn(&mut SegmentReader<'_>, &RoaringBitmap) -> Result<P, ReadError>,
) -> Result<Option<P>, ReadError> {
    let Some(mut reader) = open(question, log.class(), segment)? else { return Ok(None) };
    let holes = reader.holes(question.filter, expected, *is_whole)?;
    if let Some(hole) = holes.first() {
        return Err(reader.lost(hole));
    }
    let exact = exact_matches(question, &mut reader, expected)?;
    if exact.is_empty() { Ok(None) } else { look(&mut reader, &exact).map(Some) }
}

/// The ordinals that match, every one verified where the index alone could not tell.
fn exact_matches(
    question: &Question<'_>,
    reader: &mut SegmentReader<'_>,
    sequences: &Range<Sequence>,
) -> Result<RoaringBitmap, ReadError> {
    let matches = reader.matches(question.filter, &reader.ordinals(sequences))?;
    let (mut exact, mut maybe) = (matches.sure, matches.maybe.iter());
    loop {
        let ordinals: Vec<u32> = maybe.by_ref().take(EVENTS_DECIDED_MAX).collect();
        if ordinals.is_empty() {
            return Ok(exact);
        }
        let decided = decide(question, reader, &ordinals)?;
        exact |= decided.matches;
        for_each_ordinal(question, &decided.undecided, |ordinal| {
            if reader.is_match(question.filter, ordinal)? {
                exact.insert(ordinal);
            }
            Ok(())
        })?;
    }
}

/// Decides by their bytes which of these events match, which stand in ascending order; on more threads where there
/// are many.
pub(super) fn decide(
    question: &Question<'_>,
    reader: &SegmentReader<'_>,
    ordinals: &[u32],
) -> Result<Decided, ReadError> {
    let pieces: Vec<&[u32]> = ordinals.chunks(EVENTS_BETWEEN_CHECKS).collect();
    let decided = Mutex::new(Decided::default());
    question.helpers.for_each(&pieces, |piece| {
        question.asker.check()?;
        let of_piece = reader.decide(question.filter, question.needles.as_ref(), piece)?;
        let mut decided = decided.lock();
        decided.matches |= of_piece.matches;
        decided.undecided |= of_piece.undecided;
        Ok(())
    })?;
    Ok(decided.into_inner())
}

/// Ordinals to read, with a look now and then at whether the asker still waits.
pub(super) fn for_each_ordinal(
    question: &Question<'_>,
    ordinals: &RoaringBitmap,
    mut visit: impl FnMut(u32) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    for (done, ordinal) in ordinals.iter().enumerate() {
        if done.is_multiple_of(EVENTS_BETWEEN_CHECKS) {
            question.asker.check()?;
        }
        visit(ordinal)?;
    }
    Ok(())
}
