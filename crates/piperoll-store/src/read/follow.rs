//! What a tail needs beside oldest-first pages: where to begin, and when to look again.

use super::{
    Reader,
    asker::Asker,
    error::{Place, ReadError},
    pinned::SegmentReader,
    position::{Order, Position},
};
use crate::{
    catalog::Log,
    disk::Disk,
    segment::{Segment, SegmentState},
};
use piperoll_filter::Filter;
use piperoll_format::{
    names::Name,
    units::{Sequence, UnixNanos},
};
use std::sync::Arc;

impl<D: Disk> Reader<D> {
    /// The position of oldest-first pages of this filter that begin with what arrives from now on.
    pub fn position_now(&self, tenant: &Name, filter: &Filter) -> Position {
        let logs = self.core.catalog.logs_of(tenant);
        let bounds = logs.iter().map(|log| (log.class().clone(), known_end(log))).collect();
        Position { asked: self.asked(Order::OldestFirst, tenant, filter), bounds }
    }

    /// The position of oldest-first pages of this filter that begin with what was received at `time` or later.
    pub fn position_at_received(
        &self,
        tenant: &Name,
        filter: &Filter,
        time: UnixNanos,
    ) -> Result<Position, ReadError> {
        let logs = self.core.catalog.logs_of(tenant);
        let bound = |log: &Arc<Log<D>>| Ok((log.class().clone(), first_received(log, time)?));
        let bounds = logs.iter().map(bound).collect::<Result<_, ReadError>>()?;
        Ok(Position { asked: self.asked(Order::OldestFirst, tenant, filter), bounds })
    }

    /// Whether anything was published since an oldest-first page ended there: a look at one number a log,
    /// for tails that were woken. Whether it matches, only the next page tells.
    pub fn is_behind(&self, position: &Position) -> bool {
        let logs = self.core.catalog.logs_of(&position.asked.tenant);
        let bound = |log: &Log<D>| position.bounds.get(log.class()).copied().unwrap_or_default();
        logs.iter().any(|log| bound(log) < log.end())
    }

    /// Has `wake` called after every publish in any log, from the writer's thread: it must be quick and must
    /// not wait.
    pub fn subscribe(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.core.catalog.subscribe(wake);
    }
}

/// Where what arrives from now on begins. Where a log ends in a segment that cannot be read, nobody knows that; a
/// page that begins with the segment says so, and skips nothing.
fn known_end<D: Disk>(log: &Log<D>) -> Sequence {
    match log.active() {
        Some(last) if last.state() == SegmentState::Unreadable => last.first(),
        _ => log.end(),
    }
}

/// The first sequence that was received at `time` or later. Times never fall along a log, so both searches
/// halve: the first opens a segment only to learn its times.
fn first_received<D: Disk>(log: &Log<D>, time: UnixNanos) -> Result<Sequence, ReadError> {
    let end = log.end();
    let segments = log.snapshot();
    let (mut low, mut high) = (0_usize, segments.len());
    while let Some(segment) = segments.get(low.midpoint(high)).filter(|_| low < high) {
        if ends_before(log, segment, time)? {
            low = low.midpoint(high) + 1;
        } else {
            high = low.midpoint(high);
        }
    }
    match segments.get(low) {
        Some(segment) => Ok(first_in(log, segment, time)?.min(end)),
        None => Ok(end),
    }
}

/// Whether all of a segment was received before `time`: so is what retention has taken since the snapshot,
/// and not so is an active segment without events.
fn ends_before<D: Disk>(log: &Log<D>, segment: &Segment<D>, time: UnixNanos) -> Result<bool, ReadError> {
    if segment.received_range().is_none() && pin(&Asker::patient(), log, segment)?.is_none() {
        return Ok(true);
    }
    Ok(segment.received_range().is_some_and(|(_, latest)| latest < time))
}

fn first_in<D: Disk>(log: &Log<D>, segment: &Segment<D>, time: UnixNanos) -> Result<Sequence, ReadError> {
    let asker = Asker::patient();
    let Some(reader) = pin(&asker, log, segment)? else { return Ok(segment.first()) };
    let ordinal = reader.ask(|terms| {
        let (mut low, mut high) = (0_u32, terms.summary().frames);
        while low < high {
            let middle = low.midpoint(high);
            if terms.frame_at(middle)?.received < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let is_there = low < terms.summary().frames;
        if is_there { terms.frame_at(low).map(|frame| frame.first) } else { Ok(terms.summary().end) }
    })?;
    Ok(reader.first().plus(u64::from(ordinal)))
}

fn pin<'a, D: Disk>(
    asker: &'a Asker<'a>,
    log: &Log<D>,
    segment: &Segment<D>,
) -> Result<Option<SegmentReader<'a>>, ReadError> {
    match segment.pin() {
        Ok(pinned) => Ok(Some(SegmentReader::new(pinned, asker))),
        Err(error) => {
            let place = Place { class: log.class(), first: segment.first(), end: segment.end() };
            place.error(error).map_or(Ok(None), Err)
        }
    }
}
