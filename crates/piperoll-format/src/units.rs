//! Places and times, each of its own type: a bare integer never says which of them it is.

use std::fmt;

/// Place of an event in its log, dense from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Place of an event in its segment: its sequence minus the segment's first sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(pub u32);

/// Place of a byte in a segment's `.log` file, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// Unix time in nanoseconds, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

/// Random name of a log, made with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

/// A BLAKE3 root.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

/// What a segment mixes into the checksums of its frames.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameSalt(pub [u8; 16]);

impl Sequence {
    /// The sequence `count` events later.
    ///
    /// Saturates: a log cannot hold 2⁶⁴ events, and whatever would get there is refused where it is made.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The ordinal of this sequence in a segment that begins at `first`; `None` where it lies before
    /// `first` or 2³² or more after it.
    pub fn ordinal_from(self, first: Self) -> Option<Ordinal> {
        let distance = self.0.checked_sub(first.0)?;
        u32::try_from(distance).ok().map(Ordinal)
    }
}

impl Ordinal {
    /// The sequence of this ordinal in a segment that begins at `first`.
    pub fn sequence_from(self, first: Sequence) -> Sequence {
        first.plus(u64::from(self.0))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for FrameSalt {
    /// Says nothing of the salt (I20): while its segment is active, no answer and no log line may show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameSalt(..)")
    }
}
