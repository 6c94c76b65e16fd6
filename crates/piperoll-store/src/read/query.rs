//! Pages of events, across a tenant's logs.

use super::{
    Reader,
    asker::Asker,
    error::ReadError,
    merge::{Merge, gather},
    pinned::Record,
    position::{Order, Position, PositionError},
    walk::{Question, Walk},
};
use crate::{catalog::Log, disk::Disk};
use piperoll_filter::Filter;
use piperoll_format::{names::Name, units::Sequence};
use std::sync::Arc;

/// What to find.
#[derive(Clone, Debug)]
pub struct Query {
    /// Whose logs.
    pub tenant: Name,
    /// Which events.
    pub filter: Filter,
    /// Which end comes first.
    pub order: Order,
    /// At most this many events.
    pub limit: usize,
    /// No further event once the events found have this many bytes; one always comes.
    pub bytes_max: usize,
    /// Where an earlier page ended; `None` for the beginning.
    pub position: Option<Position>,
}

/// Some of the events found, in order.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events.
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub position: Position,
    /// True when there was nothing more when the page was made. False does not promise more.
    pub exhausted: bool,
}

impl<D: Disk> Reader<D> {
    /// One page of what matches. `asker` is asked from time to time whether to give up.
    ///
    /// A page takes from each log what was published when it began; later pages go on from there, so that
    /// newest first nothing comes that arrived meanwhile, and oldest first everything does. A log that is
    /// made after the first page is left out newest first, and begins at its beginning oldest first.
    pub fn query(&self, query: &Query, asker: &Asker<'_>) -> Result<Page, ReadError> {
        let asked = self.asked(query.order, &query.tenant, &query.filter);
        let logs = self.core.catalog.logs_of(&query.tenant);
        if let Some(position) = &query.position {
            position.fits(&asked)?;
            check_classes(position, &logs)?;
        }
        let question = Question::new(&query.filter, query.order, asker, &self.core.helpers);
        asker.check()?;
        let mut walks = Vec::with_capacity(logs.len());
        for log in &logs {
            walks.extend(walk(&question, log, query.position.as_ref())?);
        }
        let mut merge = Merge::new(query.order, walks);
        let gathered =
            gather(&mut merge, query.limit, query.bytes_max, |record| record.event.len(), &|| {
                asker.has_enough()
            })?;
        let walks = merge.into_sources();
        let bounds = walks.iter().map(|walk| (walk.class().clone(), walk.resume())).collect();
        let position = Position { asked, bounds };
        Ok(Page { records: gathered.items, position, exhausted: gathered.exhausted })
    }
}

/// The walk through what a position leaves of a log; `None` for a log that the position leaves out.
fn walk<'q, D: Disk>(
    question: &'q Question<'q>,
    log: &Log<D>,
    position: Option<&Position>,
) -> Result<Option<Walk<'q, D>>, PositionError> {
    let segments = log.snapshot();
    let end = segments.last().map_or(Sequence(0), |segment| segment.end());
    let bound = position.map(|position| position.bounds.get(log.class()).copied());
    let left = match (question.order, bound) {
        (Order::NewestFirst, Some(None)) => return Ok(None),
        (Order::NewestFirst, bound) => Sequence(0)..bound.flatten().unwrap_or(end),
        (Order::OldestFirst, bound) => bound.flatten().unwrap_or_default()..end,
    };
    match bound.flatten() {
        Some(found) if found > end => {
            Err(PositionError::BeyondEnd { class: log.class().clone(), found, end })
        }
        _ => Ok(Some(Walk::new(question, log, segments, left))),
    }
}

/// Logs never go: a class without one was never in a position that we made. `logs` ascend by class.
fn check_classes<D: Disk>(position: &Position, logs: &[Arc<Log<D>>]) -> Result<(), PositionError> {
    let has_log = |class: &Name| logs.binary_search_by(|log| log.class().cmp(class)).is_ok();
    match position.bounds.keys().find(|class| !has_log(class)) {
        Some(class) => {
            Err(PositionError::NoSuchLog { tenant: position.asked.tenant.clone(), class: class.clone() })
        }
        None => Ok(()),
    }
}
