//! Positions: opaque tokens that say where an answer ended, by one sequence for each log.
//!
//! A sequence never changes its meaning: not when events arrive, not when segments roll, are sealed or
//! dropped. So a position stays right for as long as its logs exist, and needs nothing kept for it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use piperoll_format::{names::Name, units::Sequence};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Longest token that is looked at, in characters: room for 4,096 logs with the longest names.
pub const POSITION_TEXT_BYTES_MAX: usize = 512 * 1024;

const VERSION: u8 = 2;
const CHECK_BYTES: usize = 8;
const DIRECTORY_BYTES: usize = 8;
const FILTER_BYTES: usize = 8;

/// Which end of the history comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Descending by (received, class, sequence).
    #[default]
    NewestFirst,
    /// Ascending by (received, class, sequence).
    OldestFirst,
}

/// What a position belongs to: another question's position is refused rather than misread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The order of the answer.
    pub(crate) order: Order,
    /// Names the data directory: sequences of another one count other events.
    pub(crate) directory: [u8; DIRECTORY_BYTES],
    /// Whose logs.
    pub(crate) tenant: Name,
    /// Names the filter; see `filter_print`.
    pub(crate) filter: u64,
}

/// Where an answer ended.
///
/// Newest first, a log's bound is the sequence that everything still to come lies below; oldest first, the
/// one that everything still to come lies at or above. Its text is opaque and safe in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub(crate) asked: Asked,
    pub(crate) bounds: BTreeMap<Name, Sequence>,
}

/// Why a position is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// The text is no position, or not a whole one.
    #[error("this is no position: {0}; pass one on exactly as an answer gave it")]
    Malformed(&'static str),
    /// A later release made it.
    #[error(
        "this position has version {found}, this program reads version {VERSION}; ask again from the start"
    )]
    Version {
        /// Its version.
        found: u8,
    },
    /// It ended another question's answer.
    #[error(
        "this position belongs to another {what}; use it with the request that it came from, or ask from the start"
    )]
    OtherQuestion {
        /// What differs.
        what: &'static str,
    },
    /// It names a class that the tenant does not have.
    #[error(
        "this position names class {class}, which tenant {tenant} does not have; ask again from the start"
    )]
    NoSuchLog {
        /// The tenant.
        tenant: Name,
        /// The class.
        class: Name,
    },
    /// It lies beyond the end of a log.
    #[error("this position is at {class}@{found}, but that log ends at {end}; ask again from the start")]
    BeyondEnd {
        /// The class.
        class: Name,
        /// Its sequence.
        found: Sequence,
        /// The sequence that the log's next event gets.
        end: Sequence,
    },
}

impl Position {
    /// The order that it goes on in.
    pub fn order(&self) -> Order {
        self.asked.order
    }

    /// The text of the token.
    pub fn encode(&self) -> String {
        let order = match self.asked.order {
            Order::NewestFirst => 0,
            Order::OldestFirst => 1,
        };
        let mut bytes = vec![VERSION, order];
        bytes.extend_from_slice(&self.asked.directory);
        bytes.extend_from_slice(&self.asked.filter.to_le_bytes());
        put_name(&mut bytes, &self.asked.tenant);
        for (class, sequence) in &self.bounds {
            put_name(&mut bytes, class);
            bytes.extend_from_slice(&sequence.0.to_le_bytes());
        }
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; whether it fits a question shows when one is asked with it.
    pub fn decode(text: &str) -> Result<Self, PositionError> {
        if text.len() > POSITION_TEXT_BYTES_MAX {
            return Err(PositionError::Malformed("it is too long"));
        }
        let bytes =
            URL_SAFE_NO_PAD.decode(text).map_err(|_| PositionError::Malformed("it is not base64url"))?;
        let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(CUT)?;
        let (&version, mut rest) = body.split_first().ok_or(CUT)?;
        if check_of(body) != *check {
            return Err(PositionError::Malformed("its checksum is wrong"));
        }
        if version != VERSION {
            return Err(PositionError::Version { found: version });
        }
        let order = match take::<1>(&mut rest)? {
            [0] => Order::NewestFirst,
            [1] => Order::OldestFirst,
            _ => return Err(PositionError::Malformed("its order is unknown")),
        };
        let directory = take::<DIRECTORY_BYTES>(&mut rest)?;
        let filter = u64::from_le_bytes(take::<FILTER_BYTES>(&mut rest)?);
        let tenant = take_name(&mut rest)?;
        let bounds = take_bounds(rest)?;
        Ok(Self { asked: Asked { order, directory, tenant, filter }, bounds })
    }

    /// Whether everything that comes before `other` comes before this one too. Both are oldest first.
    pub fn reaches(&self, other: &Self) -> bool {
        other.bounds.iter().all(|(class, &bound)| self.bound(class) >= bound)
    }

    /// Whether an event comes before it, which is oldest first.
    pub fn is_past(&self, class: &Name, sequence: Sequence) -> bool {
        sequence < self.bound(class)
    }

    /// Goes on to `other` in the logs in which that is further. Both are oldest first, and of one question.
    pub fn advance(&mut self, other: &Self) {
        debug_assert_eq!(self.asked, other.asked, "positions of two questions");
        for (class, &bound) in &other.bounds {
            let own = self.bounds.entry(class.clone()).or_default();
            *own = bound.max(*own);
        }
    }

    /// Where a log without a bound begins.
    fn bound(&self, class: &Name) -> Sequence {
        self.bounds.get(class).copied().unwrap_or_default()
    }

    /// Checks that it ended an answer to this very question.
    pub(crate) fn fits(&self, asked: &Asked) -> Result<(), PositionError> {
        let what = if self.asked.directory != asked.directory {
            "data directory"
        } else if self.asked.tenant != asked.tenant {
            "tenant"
        } else if self.asked.order != asked.order {
            "order"
        } else if self.asked.filter != asked.filter {
            "filter"
        } else {
            return Ok(());
        };
        Err(PositionError::OtherQuestion { what })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode())
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        Self::decode(text)
    }
}

const CUT: PositionError = PositionError::Malformed("it is cut short");

/// Guards against slips, not against forgers: a forged position only ever selects the asker's own events.
fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    blake3::hash(bytes).as_bytes().first_chunk().copied().unwrap_or_default()
}

fn put_name(bytes: &mut Vec<u8>, name: &Name) {
    // A name has at most 63 bytes.
    bytes.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name.as_str().as_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], PositionError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(CUT)?;
    *rest = after;
    Ok(*taken)
}

fn take_name(rest: &mut &[u8]) -> Result<Name, PositionError> {
    let [length] = take::<1>(rest)?;
    let (taken, after) = rest.split_at_checked(usize::from(length)).ok_or(CUT)?;
    *rest = after;
    let text = str::from_utf8(taken).map_err(|_| PositionError::Malformed("a name in it is none"))?;
    Name::from_disk(text).map_err(|_| PositionError::Malformed("a name in it is none"))
}

fn take_bounds(mut rest: &[u8]) -> Result<BTreeMap<Name, Sequence>, PositionError> {
    let mut bounds = BTreeMap::new();
    while !rest.is_empty() {
        let class = take_name(&mut rest)?;
        let sequence = Sequence(u64::from_le_bytes(take::<8>(&mut rest)?));
        if bounds.last_key_value().is_some_and(|(last, _)| *last >= class) {
            return Err(PositionError::Malformed("its classes are out of order"));
        }
        bounds.insert(class, sequence);
    }
    Ok(bounds)
}

#[cfg(test)]
mod tests;
