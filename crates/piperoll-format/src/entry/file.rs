//! A file with one entry: `.seal`, `.drop`, `.loss`, `.reindex`, `log.open`.

use super::{ENTRY_VERSION, Entry, EntryError, Open};
use crate::fixed::{Fixed, put_crc, without_crc};
use crate::wire::{Reader, Value, put_number, put_text};

/// What stands for "not in the tree yet".
const NO_INDEX: u64 = u64::MAX;

/// An entry, its place in the tree, and its detail.
///
/// | bytes | field |
/// |---:|---|
/// | the entry's | entry |
/// | 8 | its index in the tree; all ones until it has one |
/// | 32 | random bytes, nothing when the entry's `detail` is zero |
/// | … | protobuf [`EntryDetail`], nothing when the entry's `detail` is zero |
/// | 4 | crc32 over all before it |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFile {
    /// The entry.
    pub entry: Entry,
    /// Its place in the tree, once it has one.
    pub tree_index: Option<u64>,
    /// What its `detail` is the hash of; `None` when that is zero.
    pub detail: Option<SealedDetail>,
}

/// A detail and the random bytes that keep its hash from being guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedDetail {
    /// Random, never used twice.
    pub nonce: [u8; 32],
    /// What they keep.
    pub detail: EntryDetail,
}

/// What an entry says to those who may read its file, and to nobody else. A protobuf message, fields
/// ascending, defaults left out:
///
/// | number | field | type |
/// |---|---|---|
/// | 1 | tenant | string |
/// | 2 | class | string |
/// | 3 | rule | string |
/// | 4 | keep seconds | uint64 |
/// | 5 | principal | string |
/// | 6 | text | string |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryDetail {
    /// The log's tenant.
    pub tenant: String,
    /// The log's retention class.
    pub class: String,
    /// The rule that a drop followed.
    pub rule: String,
    /// How long that rule keeps events, in seconds.
    pub keep_seconds: u64,
    /// Who asked for it.
    pub principal: String,
    /// Words for people.
    pub text: String,
}

/// Why bytes are no file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFileError {
    /// The checksum is wrong: damage, or a file that was not written whole.
    #[error("the file's crc32 is wrong: it is damaged")]
    Crc,
    /// The file is too short for its entry.
    #[error("the file ends inside its entry")]
    Short,
    /// The entry breaks a rule.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A later version wrote it.
    #[error(
        "the entry is of kind {kind} version {version}, this program reads version {ENTRY_VERSION} of the kinds 0 to \
         {}: use a later piperoll",
        Open::KIND
    )]
    Newer {
        /// The kind.
        kind: u8,
        /// The version.
        version: u8,
    },
    /// The detail is missing, not asked for, not well-formed, or not what the entry has the hash of.
    #[error("the detail is not the one that the entry has the hash of")]
    Detail,
}

impl SealedDetail {
    /// What stands in the entry: the BLAKE3 of the random bytes and the detail's bytes.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.bytes()).as_bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.nonce.to_vec();
        self.detail.encode(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fixed = Fixed(bytes);
        let nonce = fixed.array()?;
        Some(Self { nonce, detail: EntryDetail::decode(fixed.0)? })
    }
}

impl EntryDetail {
    /// Appends the detail's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, 1, &self.tenant);
        put_text(out, 2, &self.class);
        put_text(out, 3, &self.rule);
        put_number(out, 4, self.keep_seconds);
        put_text(out, 5, &self.principal);
        put_text(out, 6, &self.text);
    }

    /// Reads a detail: only the very bytes that [`EntryDetail::encode`] writes are one, because the hash in
    /// the tree is that of the bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut detail = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field().ok()? {
            let text = match (number, value) {
                (4, Value::Varint(seconds)) => {
                    detail.keep_seconds = seconds;
                    continue;
                }
                (1, _) => &mut detail.tenant,
                (2, _) => &mut detail.class,
                (3, _) => &mut detail.rule,
                (5, _) => &mut detail.principal,
                (6, _) => &mut detail.text,
                _ => return None,
            };
            std::str::from_utf8(value.bytes()?).ok()?.clone_into(text);
        }
        let mut again = Vec::with_capacity(bytes.len());
        detail.encode(&mut again);
        (again == bytes).then_some(detail)
    }
}

impl EntryFile {
    /// The file's bytes; an error where the entry's `detail` is not the hash of the detail given, or the
    /// entry is of an unknown kind.
    pub fn encode(&self) -> Result<Vec<u8>, EntryFileError> {
        let wanted = self.entry.head().map(|head| head.detail);
        if wanted != Some(self.detail.as_ref().map_or([0; 32], SealedDetail::hash)) {
            return Err(EntryFileError::Detail);
        }
        let mut out = self.entry.encode().ok_or(EntryFileError::Detail)?;
        out.extend_from_slice(&self.tree_index.unwrap_or(NO_INDEX).to_le_bytes());
        out.extend(self.detail.iter().flat_map(SealedDetail::bytes));
        put_crc(&mut out);
        Ok(out)
    }

    /// Reads a file of an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryFileError> {
        let mut fixed = Fixed(without_crc(bytes).ok_or(EntryFileError::Crc)?);
        let [kind, version, ..] = *fixed.0 else { return Err(EntryFileError::Short) };
        let length = Entry::length_of(kind, version).ok_or(EntryFileError::Newer { kind, version })?;
        let entry = Entry::decode(fixed.take(length).ok_or(EntryFileError::Short)?)?;
        let tree_index = fixed.u64().ok_or(EntryFileError::Short)?;
        let hash = entry.head().map_or([0; 32], |head| head.detail);
        let detail = if hash == [0; 32] && fixed.0.is_empty() {
            None
        } else if *blake3::hash(fixed.0).as_bytes() == hash {
            Some(SealedDetail::decode(fixed.0).ok_or(EntryFileError::Detail)?)
        } else {
            return Err(EntryFileError::Detail);
        };
        Ok(Self { entry, tree_index: (tree_index != NO_INDEX).then_some(tree_index), detail })
    }
}
