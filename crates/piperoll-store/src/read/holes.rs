//! Sequences that damage took from a segment that is not sealed. An answer ends in an error where it meets
//! them; whoever asks for what lies before or behind gets it.

use super::zone::{Verdict, Zone};
use piperoll_filter::Filter;
use piperoll_format::{names::Name, units::UnixNanos};
use piperoll_index::{FrameRow, IndexError, Terms};
use std::ops::Range;

/// Ordinals without a frame, and the frames around them.
pub(super) struct Hole {
    pub(super) ordinals: Range<u32>,
    pub(super) after: Option<FrameRow>,
    before: Option<FrameRow>,
}

impl Hole {
    /// Whether events that were there can have matched.
    pub(super) fn may_match(&self, filter: &Filter, class: &Name) -> bool {
        let earliest = self.after.map_or(UnixNanos(i64::MIN), |frame| frame.received);
        let latest = self.before.map_or(UnixNanos(i64::MAX), |frame| frame.received);
        let zone = Zone { class, received: Some((earliest, latest)), terms: None };
        zone.judge(filter.expression()) != Verdict::None
    }
}

/// The holes within `ordinals`, cut to them.
pub(super) fn find(terms: &dyn Terms, ordinals: &Range<u32>) -> Result<Vec<Hole>, IndexError> {
    let summary = terms.summary();
    let is_dense = summary.events == summary.end;
    if is_dense && ordinals.end <= summary.end {
        return Ok(Vec::new());
    }
    let mut holes = Vec::new();
    let mut put = |hole: Range<u32>, after, before| {
        let cut = hole.start.max(ordinals.start)..hole.end.min(ordinals.end);
        if !cut.is_empty() {
            holes.push(Hole { ordinals: cut, after, before });
        }
    };
    let mut last: Option<FrameRow> = None;
    for number in 0..summary.frames {
        let frame = terms.frame_at(number)?;
        put(last.map_or(0, |last| last.end())..frame.first, last, Some(frame));
        last = Some(frame);
    }
    put(last.map_or(0, |last| last.end())..u32::MAX, last, None);
    Ok(holes)
}
