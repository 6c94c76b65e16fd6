//! A part of a file in memory that moves forward with the walk.

use super::WalkError;
use crate::frame::{FrameHeader, FrameView, check_frame};
use crate::limits::FRAME_HEADER_BYTES;
use crate::units::{FrameSalt, Offset};

/// Where a walk reads from.
pub trait ByteSource {
    /// What can go wrong.
    type Error: std::error::Error + 'static;

    /// Reads from `offset` into the whole of `into` or less; 0 only at the end.
    fn read_at(&mut self, into: &mut [u8], offset: u64) -> Result<usize, Self::Error>;
}

/// Bytes that are read ahead at once.
const STEP: u64 = 1024 * 1024;

/// The bytes `start .. start + buffer.len()` of a file.
pub(super) struct Window<'s, S> {
    source: &'s mut S,
    file_length: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'s, S: ByteSource> Window<'s, S> {
    pub(super) fn new(source: &'s mut S, file_length: u64) -> Self {
        Self { source, file_length, start: 0, buffer: Vec::new() }
    }

    pub(super) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// The frame that checks at `at`, if one does within the file.
    pub(super) fn frame(
        &mut self,
        at: u64,
        salt: &FrameSalt,
    ) -> Result<Option<FrameView<'_>>, WalkError<S::Error>> {
        match self.header(at)? {
            Some(header) => Ok(check_frame(self.bytes(at, header.length.into())?, Offset(at), salt).ok()),
            None => Ok(None),
        }
    }

    /// The header at `at`, if it could be that of a frame within the file.
    pub(super) fn header(&mut self, at: u64) -> Result<Option<FrameHeader>, WalkError<S::Error>> {
        let left = self.file_length.saturating_sub(at);
        let header = FrameHeader::read(self.bytes(at, FRAME_HEADER_BYTES)?, Offset(at)).ok();
        Ok(header.filter(|header| u64::from(header.length) <= left))
    }

    /// Up to `length` bytes from `at` on; fewer only at the end of the file.
    pub(super) fn bytes(&mut self, at: u64, length: u64) -> Result<&[u8], WalkError<S::Error>> {
        let length = length.min(self.file_length.saturating_sub(at));
        if (self.held(at).len() as u64) < length {
            self.move_to(at, length)?;
        }
        let held = self.held(at);
        Ok(held.get(..usize::try_from(length).unwrap_or(held.len())).unwrap_or(held))
    }

    /// What is in memory from `at` on.
    fn held(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.buffer.get(skip..)).unwrap_or_default()
    }

    /// Forgets what lies before `at` and reads on until `length` bytes are there.
    fn move_to(&mut self, at: u64, length: u64) -> Result<(), WalkError<S::Error>> {
        let kept = self.held(at).len();
        self.buffer.drain(..self.buffer.len() - kept);
        self.start = at;
        let wanted = length.saturating_add(STEP).min(self.file_length.saturating_sub(at));
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut filled = kept;
        self.buffer.resize(wanted, 0);
        while filled < wanted {
            let offset = at + filled as u64;
            let into = self.buffer.get_mut(filled..).unwrap_or_default();
            match self.source.read_at(into, offset) {
                Ok(0) => return Err(WalkError::Short { offset, length: self.file_length }),
                Ok(read) => filled += read,
                Err(source) => return Err(WalkError::Read { offset, source }),
            }
        }
        Ok(())
    }
}
