//! Opening a directory whose files are the fuzzer's.

use super::events::samples;
use super::files::name;
use crate::mutate::{fix_crc_at_end, fix_frame_crc};
use piperoll_filter::Filter;
use piperoll_format::{request::check_batch, units::UnixNanos};
use piperoll_proto::v1::AppendRequest;
use piperoll_store::{
    Asker, Batch, Classes, Clock, Entropy, Moment, OpenError, Opened, Options, Order, Query, ReadOnlyLog,
    Sender,
    disk::{Disk, EntryKind},
    open,
    sim::SimDisk,
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

/// Stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Moment {
        Moment { wall: UnixNanos(1_795_435_200_000_000_000), monotonic_ns: 1_000 }
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

/// Counts, so that every run makes the same directory.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, into: &mut [u8]) {
        let number = blake3::hash(&self.0.fetch_add(1, SeqCst).to_le_bytes());
        into.iter_mut().zip(number.as_bytes().iter().cycle()).for_each(|(place, byte)| *place = *byte);
    }
}

fn open_disk(disk: &SimDisk) -> Result<Opened<SimDisk>, OpenError> {
    let options = Options {
        segment_bytes_max: 4 * 1024,
        allocate_bytes_min: 1_024,
        allocate_bytes_max: 2_048,
        ..Options::default()
    };
    open(disk.clone(), options, Arc::new(Still), Arc::new(Counting(AtomicU64::new(1))))
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files_of(disk: &SimDisk) -> Files {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in disk.list(&folder).expect("a simulated disk lists") {
            let path = folder.join(&entry.name);
            match entry.kind {
                EntryKind::Directory => folders.push(path),
                _ => drop(files.insert(path.clone(), disk.contents(&path).expect("a file"))),
            }
        }
    }
    files
}

/// A directory with a sealed segment, a full one and a growing one of one log, and a second log.
fn base() -> &'static (SimDisk, Files) {
    static BASE: OnceLock<(SimDisk, Files)> = OnceLock::new();
    BASE.get_or_init(|| {
        let disk = SimDisk::new();
        let engine = open_disk(&disk).expect("an empty directory");
        append(&engine, "a", 9);
        append(&engine, "b", 2);
        engine.keeper.seal_now(Some(&name("t")), Some(&name("a"))).expect("a seal");
        append(&engine, "a", 9);
        engine.keeper.round().expect("a round");
        append(&engine, "a", 2);
        engine.keeper.close();
        drop(engine);
        let files = files_of(&disk);
        assert!(
            files.keys().any(|path| path.extension().is_some_and(|ending| ending == "seal")),
            "{files:?}"
        );
        (disk, files)
    })
}

fn append(engine: &Opened<SimDisk>, class: &str, requests: u64) {
    for sequence in 1..=requests {
        let events = samples(usize::try_from(sequence).expect("small") % 3 + 1);
        let message = AppendRequest {
            events,
            producer_id: 5,
            producer_sequence: engine.reader.status().iter().map(|log| log.end.0).sum::<u64>() + 1,
        };
        let request = check_batch(message.encode_to_vec().into(), &mut |_, _| ()).expect("a good request");
        let sender = Arc::new(Sender::new("ci", 0, "127.0.0.1:9", "grpc").expect("a good sender"));
        let batch = Batch { tenant: name("t"), sender, request, classes: Classes::One(name(class)) };
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&outcomes);
        engine
            .appender
            .submit(batch, Box::new(move |outcome| into.lock().expect("not poisoned").push(outcome)));
        engine.keeper.commit_all();
        let outcomes = outcomes.lock().expect("not poisoned");
        assert!(outcomes.iter().all(Result::is_ok) && outcomes.len() == 1, "{outcomes:?}");
    }
}

/// Each edit is a file, a kind, a place, a length, and bytes; the kinds that change also put checksums right.
fn edit(disk: &SimDisk, files: &Files, mut edits: &[u8]) {
    let paths: Vec<_> = files.keys().collect();
    while let Some((&[file, kind, low, high, length], rest)) = edits.split_first_chunk::<5>() {
        let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
        edits = rest;
        let path = paths[usize::from(file) % paths.len()];
        let other = files.values().nth(usize::from(low) % files.len()).expect("below the number of files");
        let at = usize::from(u16::from_le_bytes([low, high]));
        let change = |content: &mut Vec<u8>| change(content, kind, at, bytes, other);
        disk.corrupt(path, change).expect("the folder is there");
    }
}

fn change(content: &mut Vec<u8>, kind: u8, at: usize, bytes: &[u8], other: &[u8]) {
    match kind % 8 {
        0 => content.truncate(at),
        1 => content.resize(content.len() + at % 4_096, 0),
        2 => {
            content.clear();
            content.extend(other);
        }
        3 => content.clear(),
        4 => {
            let at = at.min(content.len());
            content.splice(at..at, bytes.iter().copied()).for_each(drop);
        }
        _ => {
            let places = content.iter_mut().skip(at);
            places.zip(bytes).for_each(|(place, byte)| *place = *byte);
        }
    }
    if kind % 8 == 6 {
        fix_crc_at_end(content);
    }
    if kind % 8 == 7
        && let Some(salt) = content.get(32..48).and_then(|salt| salt.first_chunk().copied())
    {
        fix_frames(content, &salt);
    }
}

/// Puts the checksum of the header and of every frame right, as far as lengths lead.
fn fix_frames(content: &mut [u8], salt: &[u8; 16]) {
    if let Some(header) = content.first_chunk_mut::<1_024>() {
        header[12..16].fill(0);
        let crc = crc32fast::hash(header);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    let mut at = 1_024;
    while let Some(rest) = content.get_mut(at..) {
        match fix_frame_crc(rest, salt, at as u64) {
            Some(length) => at += length,
            None => return,
        }
    }
}

/// What an open directory answers.
#[derive(Debug, PartialEq)]
struct Answer {
    read_only: Vec<ReadOnlyLog>,
    status: String,
    pages: Vec<String>,
}

fn answer(disk: &SimDisk) -> Result<Answer, String> {
    let engine = open_disk(disk).map_err(|error| error.to_string())?;
    let query = |order| {
        let query = Query {
            tenant: name("t"),
            filter: Filter::all(),
            order,
            limit: 1_000,
            bytes_max: 1 << 20,
            position: None,
        };
        let page = engine.reader.query(&query, &Asker::patient());
        page.map_or_else(|error| error.to_string(), |page| format!("{:?}", page.records))
    };
    let pages = vec![query(Order::NewestFirst), query(Order::OldestFirst)];
    let status = format!("{:?}", engine.reader.status());
    let read_only = engine.report.read_only.clone();
    engine.keeper.close();
    Ok(Answer { read_only, status, pages })
}

fn logs_of(files: &Files, read_only: &ReadOnlyLog) -> Files {
    let folder = Path::new("logs").join(read_only.tenant.as_str()).join(read_only.class.as_str());
    let is_log =
        |path: &Path| path.starts_with(&folder) && path.extension().is_some_and(|ending| ending == "log");
    files.iter().filter(|(path, _)| is_log(path)).map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
}

/// Opening never panics, leaves every byte of a damaged log, and answers the same when it is done again.
pub(crate) fn store(edits: &[u8]) {
    let (disk, files) = base();
    let disk = disk.crash(disk.crashes(1, 0).first().copied().expect("one crash at least"));
    edit(&disk, files, edits);
    let before = files_of(&disk);
    let first = answer(&disk);
    let between = files_of(&disk);
    match &first {
        Ok(answer) => {
            for read_only in &answer.read_only {
                assert_eq!(logs_of(&before, read_only), logs_of(&between, read_only), "{read_only:?}");
            }
        }
        Err(error) => assert!(!error.is_empty()),
    }
    assert_eq!(answer(&disk), first, "the second opening");
}

pub(crate) fn store_seeds() -> Vec<Vec<u8>> {
    let (_, files) = base();
    let seed = |file: usize| {
        let file = u8::try_from(file).unwrap_or_default();
        [
            vec![file, 0, 40, 4, 0],
            vec![file, 5, 0, 5, 2, 0xFF, 1],
            vec![file, 6, 8, 0, 1, 2],
            vec![file, 7, 80, 4, 3, 9, 9, 9],
            vec![file, 3, 0, 0, 0],
        ]
    };
    let mut seeds: Vec<_> = (0..files.len()).flat_map(seed).collect();
    seeds.push(Vec::new());
    seeds
}
