//! Every match of a question, segment by segment, for answers that are made of sets and not of events.

use super::{
    error::ReadError,
    pinned::{Decided, SegmentReader},
    walk::{LEARNT_ALONE_MAX, Outlook, Question, open, outlook, share},
};
use crate::{catalog::Log, disk::Disk, segment::Segment};
use parking_lot::Mutex;
use piperoll_format::{names::Name, units::Sequence};
use piperoll_index::TermSet;
use roaring::RoaringBitmap;
use std::{ops::Range, sync::Arc};

/// Events that are read between two looks at whether the asker still waits.
const EVENTS_BETWEEN_CHECKS: usize = 1_024;
/// Events that are decided at one time, by as many threads as are free.
pub(super) const EVENTS_DECIDED_MAX: usize = 1 << 18;

/// What is made of the matches of each segment.
pub(super) trait Summary<D: Disk>: Sync {
    /// What a segment gives.
    type Part;

    /// What a segment gives of which every event matches, where that is known without opening it. It has as many events
    /// as its terms say.
    fn known(&self, class: &Name, segment: &Segment<D>, terms: &TermSet) -> Option<Self::Part>;

    /// What so many matches give, where their number is all that is asked for.
    fn of_count(&self) -> Option<fn(u64) -> Self::Part> {
        None
    }

    /// What a segment gives.
    fn look(&self, found: Found<'_, '_, D>) -> Result<Self::Part, ReadError>;
}

/// The matches of a segment.
pub(super) struct Found<'a, 'q, D: Disk> {
    pub(super) reader: &'a mut SegmentReader<'q>,
    /// Their ordinals.
    pub(super) exact: &'a RoaringBitmap,
    /// The segment, where these are all of its events, and nothing is wrong with it or its log: what is found of them may
    /// be kept.
    pub(super) whole: Option<&'a Segment<D>>,
}

/// A segment that may have matches.
struct Candidate<'a, D: Disk> {
    log: &'a Log<D>,
    segment: &'a Segment<D>,
    /// Which sequences it should have.
    expected: Range<Sequence>,
    is_whole: bool,
    /// All of it matches.
    is_wanted_whole: bool,
}

/// Looks at every segment of the logs that has matches, several at one time, and takes in what each look gave, one
/// after the other and in no order. What damage took of the matches is an error.
pub(super) fn for_each_match<D: Disk, S: Summary<D>>(
    question: &Question<'_>,
    logs: &[Arc<Log<D>>],
    summary: &S,
    mut take: impl FnMut(S::Part) -> Result<(), ReadError> + Send,
) -> Result<(), ReadError> {
    let snapshots: Vec<_> = logs.iter().map(|log| (log, log.snapshot())).collect();
    let mut candidates = Vec::new();
    question.asker.check()?;
    for (log, segments) in &snapshots {
        let is_whole = log.trouble().is_none();
        // Where something is wrong with a log, one that seems empty may lack something.
        let is_there = |segment: &&Arc<Segment<D>>| !is_whole || segment.first() < segment.end();
        question.asker.meets_segments(segments.iter().filter(is_there).count());
        let end = segments.last().map_or(Sequence(0), |segment| segment.end());
        for segment in segments.iter().filter(is_there) {
            let is_wanted_whole = match outlook(question, log.class(), segment, is_whole) {
                Outlook::Nothing => continue,
                Outlook::Unknown => false,
                Outlook::Everything(terms) => match summary.known(log.class(), segment, &terms) {
                    Some(part) => {
                        take(part)?;
                        continue;
                    }
                    None => true,
                },
            };
            let expected = share(segments, segment, &(Sequence(0)..end));
            candidates.push(Candidate { log, segment, expected, is_whole, is_wanted_whole });
        }
    }
    let take = Mutex::new(take);
    let clock = || question.asker.monotonic_ns();
    let look = |candidate: &Candidate<'_, D>| {
        let Some(found) = look_at(question, candidate, summary)? else { return Ok(()) };
        take.lock()(found)
    };
    let is_new = |candidate: &&Candidate<'_, D>| !candidate.segment.has_learnt(&question.fields);
    let are_many_new = candidates.iter().filter(is_new).count() > LEARNT_ALONE_MAX;
    let helpers = if are_many_new { &question.helpers.opening } else { &question.helpers.working };
    helpers.for_each(&candidates, clock, look)
}

fn look_at<D: Disk, S: Summary<D>>(
    question: &Question<'_>,
    Candidate { log, segment, expected, is_whole, is_wanted_whole }: &Candidate<'_, D>,
    summary: &S,
) -> Result<Option<S::Part>, ReadError> {
    let Some(mut reader) = open(question, log.class(), segment, *is_whole)? else { return Ok(None) };
    let holes = reader.holes(question.filter, expected, *is_whole)?;
    if let Some(hole) = holes.first() {
        return Err(reader.lost(hole));
    }
    let is_explained = question.asker.is_explaining();
    if let Some(of_count) = summary.of_count().filter(|_| !is_explained)
        && let Some(count) = reader.count_matches(question.filter, expected)?
    {
        return Ok(Some(of_count(count)));
    }
    let exact = if *is_wanted_whole && !is_explained {
        // It has terms, so it is sealed, and each of its ordinals is an event that can be read.
        let mut all = RoaringBitmap::new();
        question.asker.finds(all.insert_range(reader.ordinals(expected)));
        all
    } else {
        exact_matches(question, &mut reader, expected)?
    };
    if exact.is_empty() {
        return Ok(None);
    }
    // It may have got its terms just now.
    let terms = segment.terms().filter(|_| *is_whole);
    let is_everything = terms.is_some_and(|terms| exact.len() == u64::from(terms.events()));
    let whole = is_everything.then_some(*segment);
    summary.look(Found { reader: &mut reader, exact: &exact, whole }).map(Some)
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
    let clock = || question.asker.monotonic_ns();
    question.helpers.working.for_each(&pieces, clock, |piece| {
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
