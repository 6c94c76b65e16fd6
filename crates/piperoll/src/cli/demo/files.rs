//! The demo's folder, and the sealed files in it: hashed from disk, here and by somebody else's tool.

use super::report::Report;
use crate::cli::Failure;
use crate::output::text;
use anyhow::{Context, anyhow};
use piperoll_format::entry::{Entry, EntryFile};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of one demo.
pub(super) struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// Makes it: the named one, which must be empty, or a temporary one.
    pub(super) fn make(named: Option<&Path>) -> Result<Self, Failure> {
        let Some(named) = named else {
            let temporary = tempfile::Builder::new().prefix("piperoll-demo-").tempdir()?;
            let path = temporary.path().to_owned();
            return Ok(Self { path, temporary: Some(temporary) });
        };
        fs::create_dir_all(named).with_context(|| named.display().to_string()).map_err(Failure::Usage)?;
        if fs::read_dir(named)?.next().is_some() {
            return Err(Failure::Usage(anyhow!(
                "{} is not empty: the demo begins with nothing",
                named.display()
            )));
        }
        Ok(Self { path: named.canonicalize()?, temporary: None })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is, also when it is a temporary one.
    pub(super) fn keep(self) {
        if let Some(temporary) = self.temporary {
            // The path stays known as `self.path`.
            drop(temporary.keep());
        }
    }
}

/// Hashes each sealed segment file from disk, in this process and with `b3sum` where that is installed, and
/// compares with the root in its seal.
pub(super) fn verify(data: &Path, report: &mut Report) -> Result<(), Failure> {
    let seals = files_below(&data.join("logs"), "seal")?;
    let mut bytes = 0;
    let mut right = 0;
    let mut right_by_b3sum = 0;
    for path in &seals {
        let content = fs::read(path)?;
        let file = EntryFile::decode(&content).with_context(|| path.display().to_string())?;
        let Entry::Seal(seal) = file.entry else {
            return Err(Failure::Running(anyhow!("{} holds no seal", path.display())));
        };
        let root = seal.root.to_string();
        let log = path.with_extension("log");
        let mut hasher = blake3::Hasher::new();
        bytes += std::io::copy(&mut File::open(&log)?, &mut hasher)?;
        right += usize::from(hasher.finalize().to_string() == root);
        right_by_b3sum += usize::from(b3sum(&log)?.is_none_or(|found| found == root));
    }
    report.step(&format!("hashed {} sealed files from disk, {}", seals.len(), text::bytes(bytes)));
    report.answer("files whose BLAKE3 is the root in their seal", &seals.len(), &right);
    if b3sum(Path::new("/dev/null"))?.is_some() {
        report.answer("files that b3sum agrees on", &seals.len(), &right_by_b3sum);
    } else {
        Report::detail("b3sum is not installed: skipped the second opinion");
    }
    Ok(())
}

/// What `b3sum` says; `None` where it is not installed.
fn b3sum(path: &Path) -> Result<Option<String>, Failure> {
    match Command::new("b3sum").arg("--no-names").arg(path).output() {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files of one extension, of every tenant and class, sorted.
pub(super) fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
