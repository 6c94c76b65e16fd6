//! Every match of a question, segment by segment, for answers that are made of sets and not of events.

use super::{
    count::exact_matches,
    error::ReadError,
    pinned::SegmentReader,
    walk::{Question, open, share},
};
use crate::{catalog::Log, disk::Disk, segment::Segment};
use piperoll_format::units::Sequence;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Events that are read between two looks at whether the asker still waits.
const EVENTS_BETWEEN_CHECKS: usize = 1_024;

/// What is done with a segment and the ordinals in it that match, of which there is at least one.
pub(super) type Visit<'v> = dyn FnMut(&mut SegmentReader<'_>, &RoaringBitmap) -> Result<(), ReadError> + 'v;

/// Visits every segment of the logs that has matches. What damage took of them is an error.
pub(super) fn for_each_match<D: Disk>(
    question: &Question<'_>,
    logs: &[Arc<Log<D>>],
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    for log in logs {
        let segments = log.snapshot();
        for segment in segments.iter() {
            visit_segment(question, log, (&segments, segment), visit)?;
        }
    }
    Ok(())
}

fn visit_segment<D: Disk>(
    question: &Question<'_>,
    log: &Log<D>,
    (segments, segment): (&[Arc<Segment<D>>], &Segment<D>),
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    let Some(mut reader) = open(question, log.class(), segment)? else { return Ok(()) };
    let end = segments.last().map_or(Sequence(0), |segment| segment.end());
    let expected = share(segments, segment, &(Sequence(0)..end));
    let holes = reader.holes(question.filter, &expected, log.trouble().is_none())?;
    if let Some(hole) = holes.first() {
        return Err(reader.lost(hole));
    }
    let exact = exact_matches(question, &mut reader, &expected)?;
    if exact.is_empty() { Ok(()) } else { visit(&mut reader, &exact) }
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
