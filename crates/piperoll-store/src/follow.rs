//! What follows behind the writer, in nobody's way: the running hash and the columns of a segment.

use crate::segment::{LogBytes, PinError, Reach};
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{Offset, Root};
use piperoll_index::Columns;
use std::io::IoSlice;

/// The BLAKE3 hash of a segment as far as somebody has caught it up.
pub(crate) struct RunningHash {
    hasher: blake3::Hasher,
    at: Offset,
}

impl RunningHash {
    /// The hash of nothing.
    pub(crate) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), at: Offset(0) }
    }

    /// Hashes on over what its writer has just written at `offset`, unless bytes before that are missing: then the next
    /// who catches up finds all of them in the file.
    pub(crate) fn extend(&mut self, offset: Offset, parts: &[IoSlice<'_>]) {
        if self.at != offset {
            return;
        }
        for part in parts {
            self.hasher.update(part);
            self.at = Offset(self.at.0.saturating_add(part.len() as u64));
        }
    }

    /// Hashes on up to `reach` and tells the root of all bytes before it.
    pub(crate) fn catch_up(&mut self, log: &LogBytes, reach: &Reach) -> Result<Root, PinError> {
        if self.at < reach.length {
            let unreadable =
                || PinError::damaged(log.path(), self.at, "bytes that were published cannot be mapped");
            let rest = log.from(self.at).ok_or_else(unreadable)?;
            self.check(log, rest, reach)?;
            self.hasher.update(rest);
            self.at = reach.length;
        }
        Ok(Root(*self.hasher.finalize().as_bytes()))
    }

    /// A root goes into marks and headers that stay: bytes that come wrong from the map must not get into one.
    fn check(&self, log: &LogBytes, rest: &[u8], reach: &Reach) -> Result<(), PinError> {
        let mut at = self.at;
        if at < Offset(SEGMENT_HEADER_BYTES) {
            SegmentHeader::decode(rest).map_err(|error| PinError::damaged(log.path(), at, error))?;
            at = Offset(SEGMENT_HEADER_BYTES);
        }
        while at < reach.length {
            at = Offset(at.0.saturating_add(log.frame(at)?.header().length.into()));
        }
        Ok(())
    }
}

/// The columns of an unsealed segment as far as somebody has caught them up.
pub(crate) struct ActiveColumns {
    /// The columns.
    pub(crate) columns: Columns,
    /// End of the last frame in them.
    reached: Offset,
}

impl ActiveColumns {
    /// The columns of a segment, before its first frame.
    pub(crate) fn new(header: &SegmentHeader) -> Self {
        let columns = Columns::new(header.first, &header.salt, &header.class);
        Self { columns, reached: Offset(SEGMENT_HEADER_BYTES) }
    }

    /// True when nothing before `end` is missing.
    pub(crate) fn has_reached(&self, end: Offset) -> bool {
        self.reached >= end
    }

    /// Takes in the frames up to the length of `log`; those from `own` on were written by this process.
    pub(crate) fn catch_up(&mut self, log: &LogBytes, own: Offset) -> Result<(), PinError> {
        while self.reached < log.length() {
            let at = self.reached;
            let frame = log.frame(at)?;
            let taken =
                if at >= own { self.columns.own_frame(at, &frame) } else { self.columns.frame(at, &frame) };
            taken.map_err(|error| PinError::damaged(log.path(), at, error))?;
            self.reached = Offset(at.0.saturating_add(frame.header().length.into()));
        }
        Ok(())
    }

    /// Takes in what can be read of a damaged segment: the frames up to `reach`, and those behind the damage.
    /// Answers how far that is. What lies between has no ordinals, and is said to be unreadable elsewhere.
    pub(crate) fn fill_damaged(
        &mut self,
        log: &LogBytes,
        mut reach: Reach,
        behind: impl IntoIterator<Item = Offset>,
    ) -> Reach {
        // A frame that checked a moment ago and no longer does is one more that cannot be read.
        let _ = self.catch_up(&log.up_to(reach.length), Offset(u64::MAX));
        for at in behind {
            let Ok(frame) = log.frame(at) else { continue };
            if self.columns.frame(at, &frame).is_err() {
                continue;
            }
            let header = frame.header();
            reach.length = Offset(at.0.saturating_add(header.length.into()));
            reach.end = header.end_sequence();
            let earliest = reach.received.map_or(header.received, |(earliest, _)| earliest);
            reach.received = Some((earliest, header.received));
        }
        self.reached = reach.length;
        reach
    }
}
