//! The entries of the tree, and the files that hold one entry each. The one module that names bincode.
//!
//! bincode's legacy form of a plain struct of integers and byte arrays is those fields in order, fixed width,
//! little-endian, with nothing between them: exactly the tables below, which any other writer can produce.

mod file;

pub use file::{EntryDetail, EntryFile, EntryFileError, SealedDetail};

use crate::units::{LogId, Root, Sequence, UnixNanos};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

/// The version of every entry that this crate writes.
pub const ENTRY_VERSION: u8 = 1;
/// No entry of version 1 is longer.
pub const ENTRY_BYTES_MAX: usize = 256;
/// Bytes of a mark.
pub const MARK_BYTES: usize = 146;

type Config = Configuration<LittleEndian, Fixint, Limit<ENTRY_BYTES_MAX>>;

const fn config() -> Config {
    bincode::config::legacy().with_limit::<ENTRY_BYTES_MAX>()
}

/// Why bytes are no entry of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// They begin with another kind or version.
    #[error("the entry has kind {kind} version {version}, expected kind {expected} version 1")]
    Kind {
        /// The kind found.
        kind: u8,
        /// The version found.
        version: u8,
        /// The kind asked for.
        expected: u8,
    },
    /// There are fewer or more of them than the kind has.
    #[error("an entry of kind {kind} has {expected} bytes, found {found}")]
    Length {
        /// The kind.
        kind: u8,
        /// Its length.
        expected: usize,
        /// The bytes found.
        found: usize,
    },
    /// A field breaks a rule.
    #[error("the entry's {0} breaks a rule of docs/format.md")]
    Field(&'static str),
}

/// What every entry says after its kind and version.
///
/// | at | bytes | field |
/// |---:|---:|---|
/// | 0 | 1 | kind |
/// | 1 | 1 | version, 1 |
/// | 2 | 16 | log id |
/// | 18 | 8 | first sequence |
/// | 26 | 8 | end sequence, exclusive |
/// | 34 | 8 | made, i64 |
/// | 42 | 32 | detail: zero, or the hash that [`SealedDetail`] opens |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct EntryHead {
    /// The log; zero in a round.
    pub log_id: LogId,
    /// The first sequence that the entry is about.
    pub first: Sequence,
    /// The sequence after the last one.
    pub end: Sequence,
    /// When the entry was made.
    pub made: UnixNanos,
    /// Zero, or the BLAKE3 of 32 random bytes and the detail.
    pub detail: [u8; 32],
}

/// Bytes of kind, version and [`EntryHead`].
const HEAD_BYTES: usize = 74;

macro_rules! plain {
    ($($newtype:ident $inner:ty;)*) => {$(
        impl Encode for $newtype {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.0.encode(encoder)
            }
        }

        impl<C> Decode<C> for $newtype {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                <$inner>::decode(decoder).map(Self)
            }
        }

        bincode::impl_borrow_decode!($newtype);
    )*};
}

plain! {
    LogId [u8; 16];
    Root [u8; 32];
    Sequence u64;
    UnixNanos i64;
}

macro_rules! entries {
    ($($(#[$doc:meta])* $kind:literal $name:ident $length:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
            pub struct $name {
                /// What every entry says.
                pub head: EntryHead,
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl $name {
                /// The entry's kind.
                pub const KIND: u8 = $kind;
                /// Its length in bytes, kind and version counted.
                pub const LENGTH: usize = $length;

                /// The entry's bytes.
                pub fn encode(&self) -> Vec<u8> {
                    encode(Self::KIND, self)
                }

                /// Reads an entry of this kind; every byte must be used.
                pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
                    let entry: Self = decode(bytes, Self::KIND, Self::LENGTH)?;
                    entry.check()?;
                    Ok(entry)
                }
            }
        )*

        /// An entry of any kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Entry {
            $($(#[$doc])* $name($name),)*
            /// Of a kind or version that this crate does not know: a valid leaf, to be reported as unknown.
            Unknown {
                /// The kind.
                kind: u8,
                /// The version.
                version: u8,
            },
        }

        impl Entry {
            /// Reads an entry of any kind.
            pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
                match *bytes {
                    $([$kind, ENTRY_VERSION, ..] => $name::decode(bytes).map(Self::$name),)*
                    [kind, version, ..] => Ok(Self::Unknown { kind, version }),
                    _ => Err(EntryError::Field("kind and version")),
                }
            }

            /// The entry's bytes; `None` of an unknown one, whose bytes only its reader has.
            pub fn encode(&self) -> Option<Vec<u8>> {
                match self {
                    $(Self::$name(entry) => Some(entry.encode()),)*
                    Self::Unknown { .. } => None,
                }
            }

            /// What every entry says; `None` of an unknown one.
            pub fn head(&self) -> Option<&EntryHead> {
                match self {
                    $(Self::$name(entry) => Some(&entry.head),)*
                    Self::Unknown { .. } => None,
                }
            }

            /// The length of an entry that begins with this kind and version, where they are known.
            pub(crate) fn length_of(kind: u8, version: u8) -> Option<usize> {
                match (kind, version) {
                    $(($kind, ENTRY_VERSION) => Some($length),)*
                    _ => None,
                }
            }
        }

        $(
            const _: () = assert!($length <= ENTRY_BYTES_MAX);
            impl From<$name> for Entry {
                fn from(entry: $name) -> Self {
                    Self::$name(entry)
                }
            }
        )*
    };
}

entries! {
    /// A mark: the first `length` bytes of a segment hash to `root`, and are durable. A leaf of a round.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 0 |
    /// | 74 | 8 | length |
    /// | 82 | 32 | root |
    /// | 114 | 32 | previous root |
    0 Mark 146 {
        /// Bytes of the segment that it is about: the end of a frame, 1,024 without one.
        length: u64,
        /// Their BLAKE3.
        root: Root,
        /// The root of the segment before, as the header says it.
        previous_root: Root,
    }

    /// A round: the marks of all unsealed segments at one time.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 1; log id and sequences are zero |
    /// | 74 | 8 | number, from 1 |
    /// | 82 | 8 | count of marks |
    /// | 90 | 32 | RFC 6962 root over them |
    1 Round 122 {
        /// The round's number, from 1.
        number: u64,
        /// How many marks it has.
        count: u64,
        /// The RFC 6962 root over them.
        root: Root,
    }

    /// A seal: what a segment is from now on, for ever.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 2 |
    /// | 74 | 8 | length |
    /// | 82 | 32 | root |
    /// | 114 | 32 | previous root |
    /// | 146 | 8 | events |
    /// | 154 | 8 | frames |
    /// | 162 | 8 | earliest received, i64 |
    /// | 170 | 8 | latest received, i64 |
    /// | 178 | 2 | index version |
    /// | 180 | 32 | index root |
    2 Seal 212 {
        /// Bytes of the segment's file.
        length: u64,
        /// Their BLAKE3.
        root: Root,
        /// The root of the segment before.
        previous_root: Root,
        /// Events over all frames that check.
        events: u64,
        /// Frames that check.
        frames: u64,
        /// When the first frame was received.
        earliest_received: UnixNanos,
        /// When the last frame was received.
        latest_received: UnixNanos,
        /// The version of the index's canonical part.
        index_version: u16,
        /// The BLAKE3 of the index's canonical part.
        index_root: Root,
    }

    /// A drop: a segment's retention ended. The sequences are the seal's.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 3 |
    /// | 74 | 32 | root, that of the seal |
    /// | 106 | 8 | index of the seal in the tree |
    3 Drop 114 {
        /// The dropped segment's root.
        root: Root,
        /// The place of its seal in the tree; all ones while there is no tree.
        seal_tree_index: u64,
    }

    /// A loss that a person accepted. Sequences: from the one expected at `offset` to the first of the next
    /// segment.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 4 |
    /// | 74 | 8 | offset |
    /// | 82 | 8 | length, from there to the file's end |
    /// | 90 | 32 | root of the whole file as it is |
    4 Loss 122 {
        /// Where the walk through the segment ended.
        offset: u64,
        /// Bytes from there to the file's end.
        length: u64,
        /// The BLAKE3 of the whole file as it is.
        root: Root,
    }

    /// A reindex: the index of a seal was wrong or old. The last one of a segment counts.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 5 |
    /// | 74 | 32 | root of the segment |
    /// | 106 | 2 | index version |
    /// | 108 | 32 | index root |
    5 Reindex 140 {
        /// The segment's root.
        root: Root,
        /// The version of the new index's canonical part.
        index_version: u16,
        /// The BLAKE3 of the new index's canonical part.
        index_root: Root,
    }

    /// A log was made. Its sequences are 0 and 0.
    ///
    /// | at | bytes | field |
    /// |---:|---:|---|
    /// | 0 | 74 | [`EntryHead`], kind 6 |
    6 Open 74 {}
}

const _: () = assert!(Mark::LENGTH == MARK_BYTES && Open::LENGTH == HEAD_BYTES);

fn sequences_ascend(head: &EntryHead) -> Result<(), EntryError> {
    if head.first <= head.end { Ok(()) } else { Err(EntryError::Field("sequences")) }
}

fn sequences_are_zero(head: &EntryHead) -> Result<(), EntryError> {
    let zero = head.first == Sequence(0) && head.end == Sequence(0);
    if zero { Ok(()) } else { Err(EntryError::Field("sequences")) }
}

impl Mark {
    fn check(&self) -> Result<(), EntryError> {
        sequences_ascend(&self.head)
    }
}

impl Round {
    fn check(&self) -> Result<(), EntryError> {
        if self.head.log_id != LogId::default() {
            return Err(EntryError::Field("log id"));
        }
        sequences_are_zero(&self.head)
    }
}

impl Seal {
    fn check(&self) -> Result<(), EntryError> {
        sequences_ascend(&self.head)
    }
}

impl Drop {
    fn check(&self) -> Result<(), EntryError> {
        sequences_ascend(&self.head)
    }
}

impl Loss {
    fn check(&self) -> Result<(), EntryError> {
        sequences_ascend(&self.head)
    }
}

impl Reindex {
    fn check(&self) -> Result<(), EntryError> {
        sequences_ascend(&self.head)
    }
}

impl Open {
    fn check(&self) -> Result<(), EntryError> {
        sequences_are_zero(&self.head)
    }
}

/// An entry behind its kind and version.
#[derive(bincode::Encode, bincode::Decode)]
struct Stamped<T> {
    kind: u8,
    version: u8,
    entry: T,
}

fn encode<T: Encode + Copy>(kind: u8, entry: &T) -> Vec<u8> {
    let stamped = Stamped { kind, version: ENTRY_VERSION, entry: *entry };
    // Cannot fail: the lengths are fixed, and proved to be below the limit when compiling.
    bincode::encode_to_vec(stamped, config()).unwrap_or_default()
}

fn decode<T: Decode<()>>(bytes: &[u8], expected: u8, length: usize) -> Result<T, EntryError> {
    if let [kind, version, ..] = *bytes
        && (kind, version) != (expected, ENTRY_VERSION)
    {
        return Err(EntryError::Kind { kind, version, expected });
    }
    let wrong_length = EntryError::Length { kind: expected, expected: length, found: bytes.len() };
    match bincode::decode_from_slice::<Stamped<T>, _>(bytes, config()) {
        Ok((stamped, used)) if used == bytes.len() && used == length => Ok(stamped.entry),
        _ => Err(wrong_length),
    }
}
