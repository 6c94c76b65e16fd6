//! Checksums of any range of the bytes ahead, at the price of none.
//!
//! A client may put bytes into its events that look like the headers of frames of 16 MiB. Behind a torn tail
//! each of them would be checksummed whole, a hundred thousand times 16 MiB, and the restart would take
//! minutes. The crc32 of a range follows from those of two prefixes, so the prefixes are kept.

use crate::frame::{FrameHeader, crc_of_place};
use crate::units::{FrameSalt, Offset};
use std::collections::VecDeque;

/// Frames up to this length are just checksummed.
const SHORT: u32 = 4_096;

/// The crc32 of all bytes from some place to `start`, `start + 8`, `start + 16`, …
#[derive(Default)]
pub(super) struct Sums {
    start: u64,
    sums: VecDeque<u32>,
}

impl Sums {
    /// Whether the checksum in the header at `at` is that of the bytes, which are the frame's; always true for
    /// a short frame, whose bytes are as quickly looked at. Places are asked for in ascending order.
    pub(super) fn may_check(
        &mut self,
        at: u64,
        header: &FrameHeader,
        bytes: &[u8],
        salt: &FrameSalt,
    ) -> bool {
        if header.length <= SHORT {
            return true;
        }
        self.extend(at, bytes);
        let (from, to) = (at + 8, at + u64::from(header.length));
        let (Some(before), Some(after)) = (self.sum_at(from), self.sum_at(to)) else { return true };
        // crc(whole) is crc(before), moved by the length of the range, xor crc(range).
        let range = after ^ joined(before, 0, to - from);
        let place = crc_of_place(salt, Offset(at), header.length).finalize();
        joined(place, range, to - from) == header.crc
    }

    fn end(&self) -> u64 {
        self.start + 8 * (self.sums.len() as u64).saturating_sub(1)
    }

    fn sum_at(&self, at: u64) -> Option<u32> {
        let index = usize::try_from(at.checked_sub(self.start)? / 8).ok()?;
        self.sums.get(index).copied()
    }

    /// Forgets what lies before `at`, and goes on to the end of `bytes`, which begin there.
    fn extend(&mut self, at: u64, bytes: &[u8]) {
        if self.sums.is_empty() || at < self.start || at > self.end() {
            self.start = at;
            self.sums.clear();
            self.sums.push_back(0);
        }
        let passed = usize::try_from((at - self.start) / 8).unwrap_or(self.sums.len());
        self.sums.drain(..passed.min(self.sums.len()));
        self.start = at;
        let known = usize::try_from(self.end() - at).unwrap_or(bytes.len());
        let mut sum = self.sums.back().copied().unwrap_or_default();
        let (words, _) = bytes.get(known..).unwrap_or_default().as_chunks::<8>();
        for word in words {
            let mut crc = crc32fast::Hasher::new_with_initial(sum);
            crc.update(word);
            sum = crc.finalize();
            self.sums.push_back(sum);
        }
    }
}

/// The crc32 of two runs of bytes, one behind the other, from the crc32 of each.
fn joined(first: u32, second: u32, second_bytes: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(first);
    crc.combine(&crc32fast::Hasher::new_with_initial_len(second, second_bytes));
    crc.finalize()
}
