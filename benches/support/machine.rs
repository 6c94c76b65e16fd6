//! What the figures were measured on: the machine's facts, and the speed of its parts at this very moment.

use crate::{clock::timed, report::print};
use anyhow::{Context as _, Result};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt as _,
    path::Path,
    time::Duration,
};

/// Bytes of a small write: a frame of one event is about as long.
const SMALL_WRITE_BYTES: usize = 220;
const BLOCK_BYTES: usize = 1 << 20;
const PREALLOCATED_BYTES: u64 = 16 << 20;

/// Prints processor, kernel and file system.
pub(crate) fn print_facts(directory: &Path) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    print(&format!(
        "{cores} cores ({}), Linux {}, {}; load average at the start {}\n",
        model.map_or("unknown", |(_, name)| name),
        kernel.trim(),
        file_system(directory)?,
        load.split(' ').next().unwrap_or_default(),
    ))
}

/// The type of the file system that `directory` lies on.
fn file_system(directory: &Path) -> Result<String> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let directory = directory.canonicalize()?;
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = fields.filter(|(place, _)| directory.starts_with(place));
    let (_, kind) = holding.max_by_key(|(place, _)| place.len()).context("no mount holds the directory")?;
    Ok(kind.to_owned())
}

/// Prints the medians of a small synced write, of a copy, of both hashes, and of the loopback's round trip;
/// beside that of an echo, where there is one.
pub(crate) fn print_speeds(directory: &Path, echo: Option<Duration>, runs: usize) -> Result<()> {
    let sync = small_sync(directory, runs)?;
    let block = vec![0x5a_u8; BLOCK_BYTES];
    let mut copy = vec![0_u8; BLOCK_BYTES];
    let per_second = |time: Duration| BLOCK_BYTES as f64 / 1e9 / time.as_secs_f64();
    let mut hashed = 0_u64;
    let copied = timed(runs, || {
        std::hint::black_box(&mut copy).copy_from_slice(std::hint::black_box(&block));
        anyhow::Ok(())
    })?;
    let blake3 = timed(runs, || {
        hashed ^= u64::from(blake3::hash(std::hint::black_box(&block)).as_bytes()[0]);
        anyhow::Ok(())
    })?;
    let crc = timed(runs, || {
        hashed ^= u64::from(crc32fast::hash(std::hint::black_box(&block)));
        anyhow::Ok(())
    })?;
    std::hint::black_box(hashed);
    print(&format!(
        "medians of this run: write of {SMALL_WRITE_BYTES} bytes + fdatasync {:.0} µs, loopback round trip {:.0} µs, \
         {}memory copy {:.1} GB/s, BLAKE3 {:.1} GB/s, crc32 {:.1} GB/s\n",
        sync.as_secs_f64() * 1e6,
        loopback_round_trip(runs)?.as_secs_f64() * 1e6,
        echo.map(|time| format!("echo round trip {:.0} µs, ", time.as_secs_f64() * 1e6)).unwrap_or_default(),
        per_second(copied),
        per_second(blake3),
        per_second(crc),
    ))
}

/// A byte there and back over TCP, without any protocol.
fn loopback_round_trip(runs: usize) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let answering = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read(&mut byte)? > 0 {
            far.write_all(&byte)?;
        }
        anyhow::Ok(())
    });
    let median = timed(runs, || {
        near.write_all(&[0x5a])?;
        anyhow::Ok(near.read_exact(&mut [0])?)
    })?;
    drop(near);
    answering.join().map_err(|_| anyhow::anyhow!("the far end panicked"))??;
    Ok(median)
}

/// The median time of a small synced write into a file that has its blocks.
pub(crate) fn small_sync(directory: &Path, runs: usize) -> Result<Duration> {
    let file = tempfile::tempfile_in(directory)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, PREALLOCATED_BYTES)?;
    let bytes = [0x5a_u8; SMALL_WRITE_BYTES];
    let mut offset = 0;
    timed(runs, || {
        file.write_all_at(&bytes, offset)?;
        offset += SMALL_WRITE_BYTES as u64;
        anyhow::Ok(file.sync_data()?)
    })
}
