//! The second ceiling: the same bytes in the same groups, written and synced by nobody else's leave.

use crate::clock::now;
use anyhow::Result;
use rustix::fs::{FallocateFlags, fallocate};
use std::{os::unix::fs::FileExt as _, path::Path, time::Duration};

/// The length of the daemon's segments.
const FILE_BYTES: u64 = 64 << 20;

/// How long each write of `group` + `fdatasync` takes, one after the other, for `time`. Files are preallocated
/// and of the length of a segment, as the daemon's are.
pub(crate) fn bare_groups(directory: &Path, group: &[u8], time: Duration) -> Result<Vec<Duration>> {
    let start = now();
    let (mut times, mut offset) = (Vec::new(), FILE_BYTES);
    let mut file = tempfile::tempfile_in(directory)?;
    while times.is_empty() || start.elapsed() < time {
        let begin = now();
        if offset + group.len() as u64 > FILE_BYTES {
            file = tempfile::tempfile_in(directory)?;
            fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES)?;
            offset = 0;
        }
        file.write_all_at(group, offset)?;
        file.sync_data()?;
        times.push(begin.elapsed());
        offset += group.len() as u64;
    }
    Ok(times)
}
