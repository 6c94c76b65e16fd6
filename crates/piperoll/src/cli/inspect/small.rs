//! The small files: entries, rounds, producers, `piperoll.dir`, and what is only bytes.

use super::beside::{self, Found};
use super::print::{Cell, Printer};
use super::{Failure, Subject};
use piperoll_format::directory::{DirectoryError, DirectoryFile};
use piperoll_format::entry::{Drop, Entry, EntryFile, EntryFileError, EntryHead, Reindex, Seal};
use piperoll_format::producers::decode_producers;
use piperoll_format::round::{RoundError, RoundFile};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes of the ballast that are read at a time.
const STEP_BYTES: usize = 64 * 1024;
/// Bytes of one of the blocks that a file's status counts.
const BLOCK_BYTES: u64 = 512;
/// Bytes of a raw file that are shown.
const RAW_BYTES_SHOWN: u64 = 256;
/// Bytes in a line of them.
const RAW_LINE_BYTES: usize = 16;

/// The ballast: how much room it keeps, and that nothing is in it.
pub(super) fn ballast(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let reserved = subject.file.metadata()?.blocks().saturating_mul(BLOCK_BYTES);
    printer.fact("bytes", Cell::Bytes(subject.length));
    printer.fact("reserved", Cell::Bytes(reserved));
    printer.fact("use", Cell::text("room kept back, to finish seals and drops on a full disk"));
    if reserved >= subject.length {
        printer.holds("room", "the file system keeps all of it");
    } else {
        printer.unknown("room", "the file system keeps less than that: it may not be able to, or compress");
    }
    let (mut step, mut at) = (vec![0; STEP_BYTES], 0_u64);
    loop {
        let read = (&subject.file).read(&mut step)?;
        let bytes = step.get(..read).unwrap_or_default();
        if let Some(place) = bytes.iter().position(|byte| *byte != 0) {
            let place = at.saturating_add(place as u64);
            printer.fails("content", format!("a byte that is not zero at {place}: somebody else wrote it"));
            return Ok(());
        }
        if read == 0 {
            printer.holds("content", "nothing is in it");
            return Ok(());
        }
        at = at.saturating_add(read as u64);
    }
}

/// An entry's file: `.seal`, `.drop`, `.loss`, `.reindex`, `log.open`.
pub(super) fn entry(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let bytes = subject.read_small()?;
    let file = match EntryFile::decode(&bytes) {
        Ok(file) => file,
        Err(error @ EntryFileError::Newer { .. }) => return Err(subject.newer(error)),
        Err(error) => {
            printer.fact("bytes", Cell::Bytes(subject.length));
            printer.fails("entry", error.to_string());
            return Ok(());
        }
    };
    if let Some(head) = file.entry.head() {
        head_facts(kind_of(&file.entry), head, printer);
    }
    entry_facts(&file.entry, printer);
    printer.fact("tree_index", file.tree_index.map_or(Cell::None, Cell::Number));
    if let Some(sealed) = &file.detail {
        let detail = &sealed.detail;
        for (name, words) in [
            ("tenant", &detail.tenant),
            ("class", &detail.class),
            ("rule", &detail.rule),
            ("principal", &detail.principal),
            ("text", &detail.text),
        ] {
            if !words.is_empty() {
                printer.fact(name, Cell::text(words));
            }
        }
        if detail.keep_seconds > 0 {
            printer.fact("keep_seconds", Cell::Number(detail.keep_seconds));
        }
    }
    printer.holds("entry", "its crc32 is right, and the detail is the one that it has the hash of");
    check_entry(&subject.path, &file.entry, printer)
}

fn kind_of(entry: &Entry) -> &'static str {
    match entry {
        Entry::Mark(_) => "mark",
        Entry::Round(_) => "round",
        Entry::Seal(_) => "seal",
        Entry::Drop(_) => "drop",
        Entry::Loss(_) => "loss",
        Entry::Reindex(_) => "reindex",
        Entry::Open(_) => "open",
        Entry::Unknown { .. } => "unknown",
    }
}

fn head_facts(kind: &'static str, head: &EntryHead, printer: &mut Printer<impl Write>) {
    printer.fact("entry", Cell::text(kind));
    printer.fact("log_id", Cell::text(&head.log_id));
    printer.fact("first_sequence", Cell::Number(head.first.0));
    printer.fact("end_sequence", Cell::Number(head.end.0));
    printer.fact("made", Cell::Time(head.made));
}

fn entry_facts(entry: &Entry, printer: &mut Printer<impl Write>) {
    match entry {
        Entry::Mark(mark) => {
            printer.fact("length", Cell::Bytes(mark.length));
            printer.fact("root", Cell::text(&mark.root));
        }
        Entry::Round(round) => {
            printer.fact("number", Cell::Number(round.number));
            printer.fact("marks", Cell::Count(round.count));
            printer.fact("root", Cell::text(&round.root));
        }
        Entry::Seal(seal) => seal_facts(seal, printer),
        Entry::Drop(drop) => printer.fact("root", Cell::text(&drop.root)),
        Entry::Loss(loss) => {
            printer.fact("offset", Cell::Number(loss.offset));
            printer.fact("length", Cell::Bytes(loss.length));
            printer.fact("root", Cell::text(&loss.root));
        }
        Entry::Reindex(reindex) => {
            printer.fact("root", Cell::text(&reindex.root));
            printer.fact("index_version", Cell::Number(reindex.index_version.into()));
            printer.fact("index_root", Cell::text(&reindex.index_root));
        }
        Entry::Open(_) | Entry::Unknown { .. } => {}
    }
}

fn seal_facts(seal: &Seal, printer: &mut Printer<impl Write>) {
    printer.fact("length", Cell::Bytes(seal.length));
    printer.fact("root", Cell::text(&seal.root));
    printer.fact("previous_root", Cell::text(&seal.previous_root));
    printer.fact("events", Cell::Count(seal.events));
    printer.fact("frames", Cell::Count(seal.frames));
    printer.fact("earliest_received", Cell::Time(seal.earliest_received));
    printer.fact("latest_received", Cell::Time(seal.latest_received));
    printer.fact("index_version", Cell::Number(seal.index_version.into()));
    printer.fact("index_root", Cell::text(&seal.index_root));
}

/// Compares an entry with the files that it is about.
fn check_entry(path: &Path, entry: &Entry, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let log = path.with_extension("log");
    match entry {
        Entry::Seal(seal) if log.exists() => check_log(&log, seal.length, &seal.root.to_string(), printer)?,
        Entry::Loss(loss) if log.exists() => {
            check_log(&log, loss.offset.saturating_add(loss.length), &loss.root.to_string(), printer)?;
        }
        Entry::Drop(drop) => check_drop(path, drop, printer)?,
        Entry::Reindex(reindex) => check_reindex(path, reindex, printer)?,
        _ => {}
    }
    let (Some(head), Some(log_id)) = (entry.head(), beside::log_id(path)?) else { return Ok(()) };
    printer.compare("log id", &log_id, &head.log_id, "log.open");
    Ok(())
}

fn check_log(log: &Path, length: u64, root: &str, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let found = std::fs::metadata(log)?.len();
    printer.compare("length", &length, &found, "the entry");
    let found = beside::root_of(log, found)?.map_or_else(String::new, |root| root.to_string());
    printer.compare("root of .log", &root, &found.as_str(), "the entry");
    Ok(())
}

fn check_drop(path: &Path, drop: &Drop, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    match beside::seal(path)? {
        Found::Nothing => printer.unknown("seal", "there is none beside the receipt"),
        Found::Wrong(reason) => printer.fails("seal", reason),
        Found::Entry(seal) => {
            printer.compare("root", &seal.root, &drop.root, "the seal");
            printer.compare("end sequence", &seal.head.end, &drop.head.end, "the seal");
        }
    }
    if path.with_extension("log").exists() {
        printer.unknown("dropped", "the .log is still there: the next sweep finishes the drop");
    }
    Ok(())
}

fn check_reindex(path: &Path, reindex: &Reindex, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    match beside::seal(path)? {
        Found::Nothing => printer.unknown("seal", "there is none beside the entry"),
        Found::Wrong(reason) => printer.fails("seal", reason),
        Found::Entry(seal) => printer.compare("root", &seal.root, &reindex.root, "the seal"),
    }
    Ok(())
}

/// `tree/round.N`.
pub(super) fn round(subject: &Subject, shown: u64, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let bytes = subject.read_small()?;
    let round = match RoundFile::decode(&bytes) {
        Ok(round) => round,
        Err(error @ RoundError::Newer(_)) => return Err(subject.newer(error)),
        Err(error) => {
            printer.fails("round", error.to_string());
            return Ok(());
        }
    };
    printer.fact("number", Cell::Number(round.number));
    printer.fact("marks", Cell::Count(round.marks.len() as u64));
    printer.begin_rows("marks_listed", &["log_id", "first", "end", "length", "made", "root"])?;
    for mark in round.marks.iter().take(usize::try_from(shown).unwrap_or(usize::MAX)) {
        printer.row(&[
            Cell::text(&mark.head.log_id),
            Cell::Number(mark.head.first.0),
            Cell::Number(mark.head.end.0),
            Cell::Bytes(mark.length),
            Cell::Time(mark.head.made),
            Cell::text(&mark.root),
        ])?;
    }
    printer.end_rows((round.marks.len() as u64).saturating_sub(shown))?;
    printer.holds("round", "its crc32 is right, and its marks are in order");
    Ok(())
}

/// `.producers`.
pub(super) fn producers(
    subject: &Subject,
    shown: u64,
    printer: &mut Printer<impl Write>,
) -> Result<(), Failure> {
    let bytes = subject.read_small()?;
    let producers = match decode_producers(&bytes) {
        Ok(producers) => producers,
        Err(error) => {
            printer.fails("producers", error.to_string());
            return Ok(());
        }
    };
    printer.fact("producers", Cell::Count(producers.len() as u64));
    printer.begin_rows(
        "producers_listed",
        &["principal", "id", "last_sequence", "received", "first", "events"],
    )?;
    for producer in producers.iter().take(usize::try_from(shown).unwrap_or(usize::MAX)) {
        printer.row(&[
            Cell::text(&producer.principal),
            Cell::Number(producer.id),
            Cell::Number(producer.last_sequence),
            Cell::Time(producer.received),
            Cell::Number(producer.first_sequence.0),
            Cell::Number(producer.event_count.into()),
        ])?;
    }
    printer.end_rows((producers.len() as u64).saturating_sub(shown))?;
    printer.holds("producers", "its crc32 is right");
    Ok(())
}

/// `piperoll.dir`.
pub(super) fn directory(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let bytes = subject.read_small()?;
    match DirectoryFile::decode(&bytes) {
        Ok(directory) => {
            printer.fact("directory_id", Cell::text(&hex::encode(directory.directory_id)));
            printer.fact("instance_id", Cell::text(&hex::encode(directory.instance_id)));
            printer.fact("process_id", Cell::Number(directory.process_id.into()));
            printer.fact("started", Cell::Time(directory.started));
            printer.holds("directory", "its crc32 is right");
        }
        Err(error @ DirectoryError::Newer(_)) => return Err(subject.newer(error)),
        Err(error) => printer.fails("directory", error.to_string()),
    }
    Ok(())
}

/// `.torn`: bytes that were cut from a segment, of which nothing is promised.
pub(super) fn raw(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    printer.fact("bytes", Cell::Bytes(subject.length));
    let root = beside::root_of(&subject.path, subject.length)?;
    printer.fact("blake3", root.map_or(Cell::None, |root| Cell::text(&root)));
    let mut first = Vec::new();
    (&subject.file).take(RAW_BYTES_SHOWN).read_to_end(&mut first)?;
    printer.begin_rows("lines", &["at", "hex", "text"])?;
    for (at, line) in first.chunks(RAW_LINE_BYTES).enumerate() {
        let readable =
            |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = line.iter().map(readable).collect();
        printer.row(&[
            Cell::Number((at * RAW_LINE_BYTES) as u64),
            Cell::text(&hex::encode(line)),
            Cell::Text(text),
        ])?;
    }
    printer.end_rows(0)?;
    printer
        .unknown("bytes", "cut from the end of a segment, and never acknowledged: nothing to check them by");
    Ok(())
}
