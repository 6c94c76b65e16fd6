//! The second ceiling: the same bytes in the same groups, written and synced by nobody else's leave.

use crate::{
    clock::now,
    open::{Latencies, sleep_precisely, wait_until},
};
use anyhow::Result;
use rustix::fs::{FallocateFlags, fallocate};
use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Duration};

/// The length of the daemon's segments.
const FILE_BYTES: u64 = 64 << 20;

/// How long each write of `group` + `fdatasync` takes, one after the other, for `time`. Files are preallocated
/// and of the length of a segment, as the daemon's are.
pub(crate) fn bare_groups(directory: &Path, group: &[u8], time: Duration) -> Result<Vec<Duration>> {
    let start = now();
    let (mut times, mut files) = (Vec::new(), Files::new(directory)?);
    while times.is_empty() || start.elapsed() < time {
        let begin = now();
        files.append(group)?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// The same in open loop: copies of `message` are due `rate` times a second for `time`, all that are due are written and
/// synced together, at most `group_bytes_max` of them, and the latency of each counts from when it was due. How long each
/// write and sync took by itself goes to `durations`.
pub(crate) fn open_groups(
    directory: &Path,
    message: &[u8],
    (rate, group_bytes_max): (f64, usize),
    time: Duration,
    (durations, latencies): (&mut Latencies, &mut Latencies),
) -> Result<()> {
    sleep_precisely()?;
    let group = message.repeat((group_bytes_max / message.len().max(1)).max(1));
    let (interval, start) = (Duration::from_secs_f64(rate.recip()), now());
    let due = |number: u32| start + interval * number;
    let (mut files, mut synced) = (Files::new(directory)?, 0_u32);
    while due(synced) <= start + time {
        wait_until(due(synced));
        let room = group.len() / message.len().max(1);
        let begin = now();
        let is_due = |number: &u32| due(*number) <= begin;
        let count = (synced..).take(room).take_while(is_due).count().max(1);
        files.append(group.get(..count * message.len()).unwrap_or(&group))?;
        durations.record(u64::try_from(begin.elapsed().as_nanos())?)?;
        for number in synced..synced + u32::try_from(count)? {
            latencies.record(u64::try_from(due(number).elapsed().as_nanos())?)?;
        }
        synced += u32::try_from(count)?;
    }
    Ok(())
}

/// Files as the daemon's segments are: preallocated, and written from front to back.
struct Files<'a> {
    directory: &'a Path,
    file: File,
    offset: u64,
}

impl<'a> Files<'a> {
    fn new(directory: &'a Path) -> Result<Self> {
        Ok(Self { directory, file: tempfile::tempfile_in(directory)?, offset: FILE_BYTES })
    }

    fn append(&mut self, group: &[u8]) -> Result<()> {
        if self.offset + group.len() as u64 > FILE_BYTES {
            self.file = tempfile::tempfile_in(self.directory)?;
            fallocate(&self.file, FallocateFlags::empty(), 0, FILE_BYTES)?;
            self.offset = 0;
        }
        self.file.write_all_at(group, self.offset)?;
        self.file.sync_data()?;
        self.offset += group.len() as u64;
        Ok(())
    }
}
