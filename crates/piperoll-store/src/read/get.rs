//! One event by its address.

use super::{
    Reader,
    asker::Asker,
    error::{Place, ReadError},
    pinned::{Record, SegmentReader},
};
use crate::{catalog::Log, disk::Disk};
use piperoll_format::{names::Name, units::Sequence};

impl<D: Disk> Reader<D> {
    /// The event `tenant/class@sequence`.
    pub fn get(&self, tenant: &Name, class: &Name, sequence: Sequence) -> Result<Record, ReadError> {
        let log = self.core.catalog.log(tenant, class);
        let end = log.as_ref().map_or(Sequence(0), |log| log.end());
        match log {
            Some(log) if sequence < end => find(&log, sequence),
            _ => Err(ReadError::NotFound { tenant: tenant.clone(), class: class.clone(), sequence, end }),
        }
    }
}

fn find<D: Disk>(log: &Log<D>, sequence: Sequence) -> Result<Record, ReadError> {
    let segments = log.snapshot();
    let behind = segments.partition_point(|segment| segment.first() <= sequence);
    let dropped = || ReadError::Dropped {
        tenant: log.tenant().clone(),
        class: log.class().clone(),
        sequence,
        first: segments.get(behind).map_or_else(|| log.end(), |segment| segment.first()),
    };
    let segment = behind.checked_sub(1).and_then(|at| segments.get(at)).ok_or_else(dropped)?;
    let gone = || match segment.loss() {
        Some(loss) if loss.first <= sequence => {
            ReadError::Lost { class: log.class().clone(), sequence, first: loss.first, end: loss.end }
        }
        _ => dropped(),
    };
    let pinned = segment.pin().map_err(|error| {
        let place = Place { class: log.class(), first: segment.first(), end: segment.end() };
        place.error(error).unwrap_or_else(gone)
    })?;
    let has_loss = pinned.has_loss;
    match sequence.ordinal_from(pinned.first) {
        Some(ordinal) if sequence < pinned.end => {
            let asker = Asker::patient();
            let mut reader = SegmentReader::new(pinned, &asker);
            if has_loss && !reader.has_frame_of(ordinal.0)? {
                return Err(gone());
            }
            reader.read(ordinal.0).map(|seen| seen.to_record())
        }
        _ => Err(gone()),
    }
}
