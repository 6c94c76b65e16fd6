//! The way out: find, count, fetch and follow events; nothing here writes.
//!
//! A question takes a snapshot of each log's segments, rules segments out by what is known without opening
//! them, pins the others one by one, asks their index, and reads from the map only the events that it
//! returns or must verify. What is served is published, so durable (R4); what cannot be read is an error
//! that names file and place, never a shorter answer.

mod asker;
mod count;
mod error;
mod extent;
mod follow;
mod get;
mod grid;
mod helpers;
mod histogram;
mod holes;
mod listing;
mod matching;
mod merge;
mod pinned;
mod position;
mod query;
mod status;
mod tally;
mod timeline;
mod values;
mod walk;
mod zone;

pub use asker::{Asker, ConditionWork, Halt, Work};
pub use count::{Count, Counted, GROUP_SUBJECTS_MAX, Group};
pub use error::ReadError;
pub use extent::Time;
pub use grid::HISTOGRAM_CELLS_MAX;
pub(crate) use helpers::Helpers;
pub use histogram::{Bars, Histogram, Series, Split};
pub use listing::{ListValues, Listed, VALUES_EVENTS_READ_MAX};
pub use pinned::Record;
pub use position::{Order, POSITION_TEXT_BYTES_MAX, Position, PositionError};
pub use query::{Page, Query};
pub use status::{LogStatus, Refusing};
pub use tally::{GROUP_VALUE_BYTES_MAX, GROUPS_MAX};
pub use timeline::{
    Entry, Follows, Limit, Place, Reason, TIMELINE_EVENTS_MAX, TIMELINE_REASONS_MAX, TIMELINE_ROUNDS_MAX,
    TIMELINE_THINGS_MAX, Thing, Timeline, Told,
};

use crate::{core::Core, disk::Disk};
use piperoll_filter::Filter;
use piperoll_format::names::Name;
use position::Asked;
use std::sync::Arc;
use zone::filter_print;

/// Reads a store. A clone reads the same one.
pub struct Reader<D: Disk> {
    core: Arc<Core<D>>,
}

impl<D: Disk> Reader<D> {
    /// A reader of what these parts share.
    pub(crate) fn new(core: Arc<Core<D>>) -> Self {
        Self { core }
    }

    /// What a position of this question belongs to.
    fn asked(&self, order: Order, tenant: &Name, filter: &Filter) -> Asked {
        let [directory @ .., _, _, _, _, _, _, _, _] = self.core.identity.directory.directory_id;
        Asked { order, directory, tenant: tenant.clone(), filter: filter_print(filter) }
    }
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

#[cfg(test)]
mod tests;
