//! The second ceiling: the same bytes in the same groups, written and synced by nobody else's leave.

use crate::clock::now;
use anyhow::Result;
use rustix::fs::{FallocateFlags, fallocate};
use std::{os::unix::fs::FileExt as _, path::Path, time::Duration};

/// The length of the daemon's segments.
const FILE_BYTES: u64 = 64 << 20;

/// How long writes of `group` + `fdatasync` take, one after the other, for `time`: the mean, in seconds. Files
/// are preallocated and of the length of a segment, as the daemon's are.
pub(crate) fn bare_group_seconds(directory: &Path, group: &[u8], time: Duration) -> Result<f64> {
    let start = now();
    let (mut groups, mut offset) = (0_u32, FILE_BYTES);
    let mut file = tempfile::tempfile_in(directory)?;
    while groups == 0 || start.elapsed() < time {
        if offset + group.len() as u64 > FILE_BYTES {
            file = tempfile::tempfile_in(directory)?;
            fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES)?;
            offset = 0;
        }
        file.write_all_at(group, offset)?;
        file.sync_data()?;
        (groups, offset) = (groups + 1, offset + group.len() as u64);
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(groups))
}
