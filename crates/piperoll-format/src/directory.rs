//! `piperoll.dir`: what a directory is, and who uses it.

use crate::fixed::{Fixed, put_crc};
use crate::units::UnixNanos;

const MAGIC: [u8; 8] = *b"PIPERDIR";
/// The version of a directory that this crate reads and writes.
pub const DIRECTORY_VERSION: u16 = 1;
/// Bytes of `piperoll.dir`.
pub const DIRECTORY_BYTES: usize = 64;

/// The file `piperoll.dir`. It is also what the daemon that uses the directory holds its lock on.
///
/// | at | bytes | field |
/// |---:|---:|---|
/// | 0 | 8 | magic `PIPERDIR` |
/// | 8 | 2 | version, 1 |
/// | 10 | 2 | zero |
/// | 12 | 4 | process id of the daemon that opened it last |
/// | 16 | 16 | directory id, random, made with the directory |
/// | 32 | 16 | instance id, random, made at every start |
/// | 48 | 8 | when that start was, i64 |
/// | 56 | 4 | zero |
/// | 60 | 4 | crc32 over all before it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryFile {
    /// Names the directory.
    pub directory_id: [u8; 16],
    /// Names the start of the daemon that uses it: when this changes under a running daemon, another one uses
    /// a copy or another mount of the same directory.
    pub instance_id: [u8; 16],
    /// The daemon's process id.
    pub process_id: u32,
    /// When it started.
    pub started: UnixNanos,
}

/// Why bytes are no `piperoll.dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// It begins with something else.
    #[error("piperoll.dir begins with PIPERDIR: this is no piperoll directory, or the file is damaged")]
    Magic,
    /// A later version made the directory.
    #[error(
        "the directory has version {0}, this program reads version {DIRECTORY_VERSION}: use a later piperoll"
    )]
    Newer(u16),
    /// Its length or checksum is wrong, or a field breaks a rule.
    #[error("piperoll.dir is damaged: its length, zeros or crc32 are wrong")]
    Damaged,
}

impl DirectoryFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DIRECTORY_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&DIRECTORY_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.process_id.to_le_bytes());
        out.extend_from_slice(&self.directory_id);
        out.extend_from_slice(&self.instance_id);
        out.extend_from_slice(&self.started.0.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        put_crc(&mut out);
        out
    }

    /// Reads the file. Magic, version, length and checksum keep their places in every version, so that a
    /// damaged byte is never taken for a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DirectoryError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(DirectoryError::Magic);
        }
        let before = crate::fixed::without_crc(bytes).ok_or(DirectoryError::Damaged)?;
        let mut fixed = Fixed(before.get(MAGIC.len()..).ok_or(DirectoryError::Damaged)?);
        match fixed.u16().ok_or(DirectoryError::Damaged)? {
            DIRECTORY_VERSION => Self::fields(fixed).ok_or(DirectoryError::Damaged),
            version => Err(DirectoryError::Newer(version)),
        }
    }

    fn fields(mut fixed: Fixed<'_>) -> Option<Self> {
        let zero: [u8; 2] = fixed.array()?;
        let process_id = fixed.u32()?;
        let directory_id = fixed.array()?;
        let instance_id = fixed.array()?;
        let started = UnixNanos(fixed.i64()?);
        (zero == [0; 2] && fixed.0 == [0; 4]).then_some(Self {
            directory_id,
            instance_id,
            process_id,
            started,
        })
    }
}
