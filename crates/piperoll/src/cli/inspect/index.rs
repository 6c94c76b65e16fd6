//! A segment's `.idx`: its sections, and whether it is the index that the seal names.

use super::beside::{self, Found};
use super::print::{Cell, Printer};
use super::{Failure, Subject};
use crate::output::text;
use anyhow::anyhow;
use piperoll_format::event::{Field, Indexed};
use piperoll_format::units::Root;
use piperoll_index::{ExactTotals, IndexError, SealedIndex, Summary, Terms};
use piperoll_store::disk::{Disk as _, DiskFile as _, Open};
use piperoll_store::os::OsDisk;
use std::io::Write;
use std::path::Path;

/// Shows the index. It is mapped and not read, because it may be as large as its segment.
pub(super) fn inspect(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let name = Path::new(subject.path.file_name().unwrap_or_default());
    let folder =
        subject.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let map = OsDisk::open(folder)?.open(name, Open::Read)?.map(subject.length)?;
    let bytes =
        map.bytes(0..subject.length).ok_or_else(|| Failure::Running(anyhow!("the file was cut just now")))?;
    printer.fact("file_length", Cell::Bytes(subject.length));
    let index = match SealedIndex::open(bytes) {
        Ok(index) => index,
        Err(error @ IndexError::Version { .. }) => return Err(subject.newer(error)),
        Err(error) => {
            printer.fails("index", format!("{error}; it is derived, and made again from the .log"));
            return Ok(());
        }
    };
    facts(&index, subject.length, printer);
    sections(&index, printer)?;
    match index.verify() {
        Ok(()) => printer.holds("blocks", "every crc32 is right"),
        Err(error) => printer.fails("blocks", error.to_string()),
    }
    match index.verify_exact() {
        Ok(ExactTotals { keys, ordinals }) => {
            let [keys, ordinals] = [keys, ordinals].map(text::count);
            printer.holds("exact keys", format!("{keys} keys with {ordinals} ordinals, all in order"));
        }
        Err(error) => printer.fails("exact keys", error.to_string()),
    }
    check_roots(&subject.path, &index, printer)
}

fn facts(index: &SealedIndex<'_>, length: u64, printer: &mut Printer<impl Write>) {
    let Summary { events, frames, unreadable, timed, received, time, .. } = *index.summary();
    printer.fact("events", Cell::Count(events.into()));
    printer.fact("frames", Cell::Count(frames.into()));
    printer.fact("unreadable_events", Cell::Count(unreadable.into()));
    printer.fact("timed_events", Cell::Count(timed.into()));
    printer.fact("earliest_received", received.map_or(Cell::None, |(earliest, _)| Cell::Time(earliest)));
    printer.fact("latest_received", received.map_or(Cell::None, |(_, latest)| Cell::Time(latest)));
    printer.fact("earliest_time", time.map_or(Cell::None, |(earliest, _)| Cell::Time(earliest)));
    printer.fact("latest_time", time.map_or(Cell::None, |(_, latest)| Cell::Time(latest)));
    printer.fact("canonical_length", Cell::Bytes(index.canonical_length()));
    printer.fact("private_length", Cell::Bytes(length.saturating_sub(index.canonical_length())));
    printer.fact("log_root", Cell::text(&index.log_root()));
    printer.fact("index_root", Cell::text(&index.canonical_root()));
}

/// The bitmap fields: how many terms each has, and in how many events.
fn sections(index: &SealedIndex<'_>, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    printer.begin_rows("fields", &["number", "field", "terms", "values", "events"])?;
    for field in Field::ALL.iter().copied().filter(|field| field.indexed() == Indexed::Bitmap) {
        match count(index, field) {
            Ok([terms, values, events]) => printer.row(&[
                Cell::Number(field.number().into()),
                Cell::text(field.name()),
                Cell::Count(terms),
                Cell::Count(values),
                Cell::Count(events),
            ])?,
            Err(error) => printer.fails("section", format!("{}: {error}", field.name())),
        }
    }
    printer.end_rows(0)?;
    Ok(())
}

fn count(index: &SealedIndex<'_>, field: Field) -> Result<[u64; 3], IndexError> {
    let (mut terms, mut values) = (0, 0);
    index.count_terms(field, &index.all()?, &mut |_, events| {
        terms += 1;
        values += events;
    })?;
    Ok([terms, values, index.with_prefix(field, b"")?.len()])
}

fn check_roots(
    path: &Path,
    index: &SealedIndex<'_>,
    printer: &mut Printer<impl Write>,
) -> Result<(), Failure> {
    let seal = match beside::seal(path)? {
        Found::Nothing => {
            printer.unknown("index root", "there is no seal beside the file");
            return Ok(());
        }
        Found::Wrong(reason) => {
            printer.fails("seal", reason);
            return Ok(());
        }
        Found::Entry(seal) => seal,
    };
    printer.compare("log root", &seal.root, &index.log_root(), "the seal");
    let (expected, by): (Root, _) = match beside::reindex(path)? {
        Found::Entry(reindex) => (reindex.index_root, "the reindex"),
        Found::Wrong(reason) => {
            printer.fails("reindex", reason);
            (seal.index_root, "the seal")
        }
        Found::Nothing => (seal.index_root, "the seal"),
    };
    printer.compare("index root", &expected, &index.canonical_root(), by);
    Ok(())
}
