//! What a start looks at before it writes anything: what a later version wrote (R28), and what is no file or directory
//! of its own (R29).

use super::files::LogFiles;
use super::log::{read_entry, read_header};
use super::{OpenError, home};
use crate::catalog::LOGS_DIR;
use crate::disk::{self, Disk, EntryKind};
use crate::durable::FileKind;
use crate::identity::not_ours;
use crate::rounds::{self, TREE_DIR};
use crate::segment::Home;
use crate::write::roll::LOG_OPEN;
use piperoll_format::entry::{Entry, EntryFile, EntryFileError};
use piperoll_format::names::Name;
use piperoll_index::CANONICAL_VERSION;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Refuses a directory that this version must leave alone, and writes nothing.
///
/// A later version writes at the end of a log, so the newest file of each kind is looked at, and older ones where they
/// are read at a start anyway: it does not depend on the history how long this takes. One that is not seen here is seen
/// by whoever reads it, and left as it is.
pub(super) fn look<D: Disk>(disk: &Arc<D>) -> Result<(), OpenError> {
    for entry in list(&**disk, Path::new(TREE_DIR))? {
        let at = Path::new(TREE_DIR).join(entry.name);
        if entry.kind == EntryKind::Other && [0, 1].map(rounds::path).contains(&at) {
            return Err(not_ours(&at, EntryKind::File));
        }
    }
    let top = Path::new(LOGS_DIR);
    for tenant in directories(&**disk, top)? {
        for class in directories(&**disk, &top.join(tenant.as_str()))? {
            match look_at_log(&home(disk, &tenant, class, &Arc::default())) {
                // What cannot be read keeps the others from nothing; recovery tells.
                Ok(()) | Err(OpenError::Io { .. }) => {}
                refused => return refused,
            }
        }
    }
    Ok(())
}

/// What is in `dir`; nothing where it is not there yet.
fn list<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<disk::Entry>, OpenError> {
    match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(OpenError::io(dir)),
    }
}

/// The directories with names of ours in `dir`.
fn directories<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<Name>, OpenError> {
    let mut names = Vec::new();
    for entry in list(disk, dir)? {
        let Some(name) = entry.name.to_str().and_then(|name| Name::from_disk(name).ok()) else { continue };
        match entry.kind {
            EntryKind::Directory => names.push(name),
            // Left alone, like every file that is not ours.
            EntryKind::File => {}
            EntryKind::Other => return Err(not_ours(&dir.join(entry.name), EntryKind::Directory)),
        }
    }
    Ok(names)
}

fn look_at_log<D: Disk>(home: &Home<D>) -> Result<(), OpenError> {
    let mut files = LogFiles::default();
    for entry in home.disk.list(&home.dir).map_err(OpenError::io(&home.dir))? {
        let is_ours = files.add(entry.name.to_str().unwrap_or_default());
        if is_ours && entry.kind == EntryKind::Other {
            return Err(not_ours(&home.dir.join(entry.name), EntryKind::File));
        }
    }
    let newest = files.logs().pop();
    for first in files.logs() {
        if Some(first) == newest || !files.has(first, FileKind::Seal) {
            // What is wrong with it otherwise is for recovery to say.
            let _ = read_header(home, first)?;
        }
    }
    let newest = [FileKind::Seal, FileKind::Drop].map(|kind| (kind, files.with(kind).next_back()));
    let newest = newest.into_iter().filter_map(|(kind, first)| Some((kind, first?)));
    // Few, since each is what a person or a repair did.
    let all = [FileKind::Loss, FileKind::Reindex];
    let all = all.into_iter().flat_map(|kind| files.with(kind).map(move |first| (kind, first)));
    for (kind, first) in newest.chain(all) {
        look_at_entry(home, &kind.path(&home.dir, first))?;
    }
    if files.log_open { look_at_entry(home, &home.dir.join(LOG_OPEN)) } else { Ok(()) }
}

fn look_at_entry<D: Disk>(home: &Home<D>, at: &Path) -> Result<(), OpenError> {
    let bytes = read_entry(&*home.disk, at)?;
    let version = match EntryFile::decode(&bytes).map(|file| file.entry) {
        Err(error @ EntryFileError::Newer { .. }) => return Err(newer(at, &error)),
        Ok(Entry::Seal(seal)) => seal.index_version,
        Ok(Entry::Reindex(reindex)) => reindex.index_version,
        // Damage is for recovery to tell.
        _ => return Ok(()),
    };
    if version > CANONICAL_VERSION {
        let text = format!(
            "it names an index of version {version}, this program reads version {CANONICAL_VERSION}: use a later \
             piperoll"
        );
        return Err(newer(at, &text));
    }
    Ok(())
}

/// That a later version wrote a file.
pub(super) fn newer(at: &Path, what: &impl ToString) -> OpenError {
    OpenError::Newer(format!("{}: {}", at.display(), what.to_string()))
}
