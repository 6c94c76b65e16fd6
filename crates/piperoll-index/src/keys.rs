//! Keys of the exact section: the upper 32 bits of XXH64, seed 0, of a field's number and a value.
//!
//! Each key is that of many values. Whoever finds an event by its key looks at the event.

use piperoll_format::{
    event::{Field, Term},
    frame::ProducerKey,
};
use std::{hash::Hasher, iter};
use twox_hash::XxHash64;

/// The field number that producer keys stand under.
pub const PRODUCER_FIELD_NUMBER: u16 = u16::MAX;

/// What is hashed is most often shorter than this, and hashed faster in one piece.
const SHORT_BYTES: usize = 128;

fn key(field_number: u16, parts: &[&[u8]]) -> u32 {
    let mut bytes = [0; SHORT_BYTES];
    let number = field_number.to_le_bytes();
    let mut left = bytes.as_mut_slice();
    for part in iter::once(&number.as_slice()).chain(parts) {
        let Some((place, rest)) = left.split_at_mut_checked(part.len()) else {
            return long_key(field_number, parts);
        };
        place.copy_from_slice(part);
        left = rest;
    }
    let length = SHORT_BYTES - left.len();
    upper(XxHash64::oneshot(0, bytes.get(..length).unwrap_or_default()))
}

fn upper(hash: u64) -> u32 {
    let [.., a, b, c, d] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn long_key(field_number: u16, parts: &[&[u8]]) -> u32 {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(&field_number.to_le_bytes());
    for part in parts {
        hasher.write(part);
    }
    upper(hasher.finish())
}

/// The key of an exact text, of a label, or of a link's id.
pub fn text_key(field: Field, text: &str) -> u32 {
    key(field.number(), &[text.as_bytes()])
}

/// The key of an exact number.
pub fn number_key(field: Field, number: u64) -> u32 {
    key(field.number(), &[&number.to_le_bytes()])
}

/// The key of exact bytes.
pub fn bytes_key(field: Field, bytes: &[u8]) -> u32 {
    key(field.number(), &[bytes])
}

/// The key of a digest of an artifact or an attestation.
pub fn digest_key(field: Field, algorithm: &str, hex: &str) -> u32 {
    key(field.number(), &[algorithm.as_bytes(), b":", hex.as_bytes()])
}

/// The key of an attribute; `None` where the attribute's key is longer than that of any event.
pub fn attribute_key(name: &str, value: &str) -> Option<u32> {
    pair_key(name.as_bytes(), value.as_bytes())
}

fn pair_key(name: &[u8], value: &[u8]) -> Option<u32> {
    let length = u16::try_from(name.len()).ok()?;
    Some(key(Field::Attributes.number(), &[&length.to_le_bytes(), name, value]))
}

/// The key of a producer's message; `None` where the principal is longer than that of any frame.
pub fn producer_key(principal: &str, producer: ProducerKey) -> Option<u32> {
    let length = u16::try_from(principal.len()).ok()?;
    let parts: [&[u8]; 4] = [
        &length.to_le_bytes(),
        principal.as_bytes(),
        &producer.id.to_le_bytes(),
        &producer.sequence.to_le_bytes(),
    ];
    Some(key(PRODUCER_FIELD_NUMBER, &parts))
}

/// The key of a term of an exact field.
pub fn exact_key(term: &Term<'_>) -> Option<u32> {
    match *term {
        Term::Time(_) => None,
        Term::Text(field, text) => Some(bytes_key(field, text)),
        Term::Number(field, number) => Some(number_key(field, number)),
        Term::Bytes(field, bytes) => Some(bytes_key(field, bytes)),
        Term::Digest(field, algorithm, hex) => Some(key(field.number(), &[algorithm, b":", hex])),
        Term::Attribute(name, value) => pair_key(name, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published XXH64 values of the empty input and of `xxhash`, and a key by its definition.
    #[test]
    fn keys_are_the_upper_half_of_xxh64_of_number_and_value() {
        assert_eq!(XxHash64::oneshot(0, b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(XxHash64::oneshot(0, b"xxhash"), 0x32DD_3895_2C4B_C720);
        assert_eq!(upper(0xEF46_DB37_51D8_E999), 0xEF46_DB37);
        let check = |key: u32, bytes: &[u8]| {
            assert_eq!(u64::from(key), XxHash64::oneshot(0, bytes) >> 32, "{bytes:?}");
        };
        check(text_key(Field::Id, "x"), b"\x01\0x");
        check(text_key(Field::Id, ""), b"\x01\0");
        check(text_key(Field::Links, "e-1"), b"\x22\0e-1");
        check(number_key(Field::RunAttempt, 2), b"\x16\0\x02\0\0\0\0\0\0\0");
        check(bytes_key(Field::TraceId, b"\xAB\xCD"), b"\x20\0\xAB\xCD");
        check(digest_key(Field::Artifacts, "sha256", "9f86"), b"\x0E\0sha256:9f86");
        check(attribute_key("k", "val").unwrap(), b"\x0F\0\x01\0kval");
        let producer = ProducerKey { id: 7, sequence: 9 };
        check(producer_key("ci", producer).unwrap(), b"\xFF\xFF\x02\0ci\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0");
        assert_eq!(attribute_key(&"a".repeat(65_536), ""), None);
        for length in 0..=2 * SHORT_BYTES {
            let text = "x".repeat(length);
            check(text_key(Field::Id, &text), &[b"\x01\0", text.as_bytes()].concat());
        }
    }
}
