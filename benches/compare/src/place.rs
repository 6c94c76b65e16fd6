//! Where data lies: below `target/`, on the disk that the project is built on, or where
//! `PIPEROLL_COMPARE_DIRECTORY` says.

use anyhow::{Context as _, Result};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The workspace's root.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const BLOCK_BYTES: u64 = 512;

/// The workspace's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from)
}

/// The directory that all data lies below; it is made.
pub(crate) fn base() -> Result<PathBuf> {
    let chosen = std::env::var_os("PIPEROLL_COMPARE_DIRECTORY");
    let path = chosen.map_or_else(|| target().join("compare"), PathBuf::from);
    fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok(path.canonicalize()?)
}

/// A fresh directory, deleted when dropped. Servers that run as somebody else can reach it.
pub(crate) fn fresh() -> Result<TempDir> {
    Ok(tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir_in(base()?)?)
}

/// Bytes that the files below `folder` take up on the disk.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.blocks() * BLOCK_BYTES };
    }
    Ok(sum)
}

/// The program of this name on the PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
