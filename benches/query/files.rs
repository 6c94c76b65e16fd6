//! What the events take on the disk: room for all of them, and the index of each segment by its parts.

use crate::report::{Scale, keep, print};
use anyhow::{Context as _, Result};
use piperoll_index::SealedIndex;
use std::{fs, path::Path};

/// Bytes of an event in the log and in its index: more than samples take.
const EVENT_BYTES: u64 = 460;
/// Beside the events that are asked about: those that come while somebody asks, those that are lines, and what the
/// daemon keeps free.
const BESIDE_BYTES: u64 = 12 << 30;
const INDEX_BYTES: [f64; 2] = [60.0, 40.0];
const GIB: f64 = 1_073_741_824.0;

/// Fails where `directory` has no room for so many events.
pub(crate) fn check_room(scale: Scale, directory: &Path, events: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(directory)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = events.saturating_mul(EVENT_BYTES) + if scale.full { BESIDE_BYTES } else { 0 };
    let [free_gib, needed_gib] = [free, needed].map(|bytes| bytes as f64 / GIB);
    print(&format!("{events} events: {needed_gib:.1} GiB of room, {free_gib:.1} GiB are free\n"))?;
    anyhow::ensure!(needed <= free, "{} has {free_gib:.1} GiB of {needed_gib:.1} GiB", directory.display());
    Ok(())
}

/// Prints how many bytes of index an event has, by part; how many segments there are comes back.
pub(crate) fn measure_index(scale: Scale, directory: &Path, events: u64) -> Result<usize> {
    let (mut parts, mut segments) = (Vec::<(&str, u64)>::new(), 0);
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "idx") {
                segments += 1;
                add(&mut parts, &path).with_context(|| path.display().to_string())?;
            }
        }
    }
    let each = |bytes: u64| bytes as f64 / events as f64;
    let all = each(parts.iter().map(|(_, bytes)| bytes).sum());
    print(&format!(
        "## Index: {all:.1} bytes an event in {segments} segments, at most {} and the goal {}\n\n| part | bytes an event |\n|---|---|",
        INDEX_BYTES[0], INDEX_BYTES[1]
    ))?;
    for (part, bytes) in parts {
        print(&format!("| {part} | {:.2} |", each(bytes)))?;
    }
    print("")?;
    keep(scale, &format!("index, {events} events"), all, "bytes an event", INDEX_BYTES)?;
    Ok(segments)
}

/// Adds the parts of one index; every index has the same ones.
fn add(parts: &mut Vec<(&'static str, u64)>, path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    for (place, (part, bytes)) in SealedIndex::open(&bytes)?.parts().into_iter().enumerate() {
        match parts.get_mut(place) {
            Some((_, so_far)) => *so_far += bytes,
            None => parts.push((part, bytes)),
        }
    }
    Ok(())
}
