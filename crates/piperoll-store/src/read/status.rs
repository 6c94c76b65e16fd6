//! What there is to be known of each log without reading it.

use super::Reader;
use crate::{
    catalog::Log,
    disk::Disk,
    loss::AcceptedLoss,
    segment::{PinError, Segment, SegmentState},
};
use piperoll_format::{
    names::Name,
    units::{Sequence, UnixNanos},
};

/// A log's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The tenant.
    pub tenant: Name,
    /// The retention class.
    pub class: Name,
    /// The oldest sequence that is still there.
    pub first: Sequence,
    /// The sequence that the next event gets.
    pub end: Sequence,
    /// Sealed segments.
    pub sealed_segments: u64,
    /// Segments that are full and not sealed yet.
    pub unsealed_segments: u64,
    /// Bytes published in its `.log` files.
    pub bytes: u64,
    /// When the last event that is still there was received.
    pub last_received: Option<UnixNanos>,
    /// Why the log takes no appends; `None` where it does.
    pub refusal: Option<String>,
    /// Why a segment of it cannot be read; its bytes are not counted.
    pub unreadable: Option<String>,
    /// What is lost of the segments that are still there, as a person accepted; oldest first.
    pub losses: Vec<AcceptedLoss>,
}

/// A log that takes no appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusing {
    /// The tenant.
    pub tenant: Name,
    /// The retention class.
    pub class: Name,
    /// Why.
    pub reason: String,
}

impl<D: Disk> Reader<D> {
    /// The logs that take no appends, each with the reason. Cheap: it looks at no segment.
    pub fn refusing(&self) -> Vec<Refusing> {
        let logs = self.core.catalog.all_logs();
        let refusing = |log: &std::sync::Arc<Log<D>>| {
            let (tenant, class) = (log.tenant().clone(), log.class().clone());
            log.trouble().map(|reason| Refusing { tenant, class, reason })
        };
        logs.iter().filter_map(refusing).collect()
    }

    /// The state of every log, ascending by tenant and class. After a start it reads the seals, once.
    pub fn status(&self) -> Vec<LogStatus> {
        self.core.catalog.all_logs().iter().map(|log| status_of(log)).collect()
    }
}

fn status_of<D: Disk>(log: &Log<D>) -> LogStatus {
    let segments = log.snapshot();
    let count = |state| segments.iter().filter(|segment| segment.state() == state).count() as u64;
    let mut bytes = 0_u64;
    let mut unreadable = None;
    for segment in segments.iter() {
        match length_of(segment) {
            Ok(length) => bytes = bytes.saturating_add(length),
            Err(error) => unreadable = Some(error.to_string()),
        }
    }
    LogStatus {
        tenant: log.tenant().clone(),
        class: log.class().clone(),
        first: log.first(),
        end: log.end(),
        sealed_segments: count(SegmentState::Sealed),
        unsealed_segments: count(SegmentState::Closed),
        bytes,
        last_received: segments
            .iter()
            .rev()
            .find_map(|segment| segment.received_range())
            .map(|(_, last)| last),
        refusal: log.trouble(),
        unreadable,
        losses: segments.iter().filter_map(|segment| segment.loss().cloned()).collect(),
    }
}

/// Reads the seal of a segment that nobody has asked about yet, once.
fn length_of<D: Disk>(segment: &Segment<D>) -> Result<u64, PinError> {
    if let Some(length) = segment.length() {
        return Ok(length.0);
    }
    let length = match segment.seal() {
        Ok(Some(seal)) => Ok(seal.length),
        Ok(None) => segment.pin().map(|pinned| pinned.log.length().0),
        Err(error) => Err(error),
    };
    if matches!(length, Err(PinError::Dropped | PinError::Lost)) { Ok(0) } else { length }
}
