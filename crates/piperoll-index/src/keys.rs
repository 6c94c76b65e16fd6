//! Keys of the exact section: the upper 32 bits of XXH3-64 of a value, seeded with the number of its field.
//!
//! Each key is that of many values. Whoever finds an event by its key looks at the event.

use piperoll_format::{
    event::{Field, Term},
    frame::ProducerKey,
};
use twox_hash::XxHash3_64;

/// The field number that producer keys stand under.
pub const PRODUCER_FIELD_NUMBER: u16 = u16::MAX;

/// The key of a value under a field.
fn key(field_number: u16, value: &[u8]) -> u32 {
    upper(XxHash3_64::oneshot_with_seed(field_number.into(), value))
}

/// The key of a value in two parts: the hash of the first is the seed of the second.
fn pair_key(field_number: u16, first: &[u8], second: &[u8]) -> u32 {
    let seed = XxHash3_64::oneshot_with_seed(field_number.into(), first);
    upper(XxHash3_64::oneshot_with_seed(seed, second))
}

fn upper(hash: u64) -> u32 {
    let [.., a, b, c, d] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The key of an exact text, of a label, or of a link's id.
pub fn text_key(field: Field, text: &str) -> u32 {
    bytes_key(field, text.as_bytes())
}

/// The key of an exact number.
pub fn number_key(field: Field, number: u64) -> u32 {
    bytes_key(field, &number.to_le_bytes())
}

/// The key of exact bytes.
pub fn bytes_key(field: Field, bytes: &[u8]) -> u32 {
    key(field.number(), bytes)
}

/// The key of a digest of an artifact or an attestation.
pub fn digest_key(field: Field, algorithm: &str, hex: &str) -> u32 {
    pair_key(field.number(), algorithm.as_bytes(), hex.as_bytes())
}

/// The key of an attribute.
pub fn attribute_key(name: &str, value: &str) -> u32 {
    pair_key(Field::Attributes.number(), name.as_bytes(), value.as_bytes())
}

/// The key of a producer's message.
pub fn producer_key(principal: &str, producer: ProducerKey) -> u32 {
    let mut message = [0; 16];
    let (id, sequence) = message.split_at_mut(8);
    id.copy_from_slice(&producer.id.to_le_bytes());
    sequence.copy_from_slice(&producer.sequence.to_le_bytes());
    pair_key(PRODUCER_FIELD_NUMBER, principal.as_bytes(), &message)
}

/// The key of a term of an exact field; `None` of a time, which is in no exact field.
pub fn exact_key(term: &Term<'_>) -> Option<u32> {
    match *term {
        Term::Time(_) => None,
        Term::Text(field, bytes) | Term::Bytes(field, bytes) => Some(bytes_key(field, bytes)),
        Term::Number(field, number) => Some(number_key(field, number)),
        Term::Digest(field, algorithm, hex) => Some(pair_key(field.number(), algorithm, hex)),
        Term::Attribute(name, value) => Some(pair_key(Field::Attributes.number(), name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published XXH3 value of the empty input. The keys are by the reference implementation, version 0.8.4, by the
    /// definition in docs/format.md; it hashes inputs of different lengths in different ways.
    #[test]
    fn keys_are_the_upper_half_of_xxh3_of_the_value_seeded_with_the_field() {
        assert_eq!(XxHash3_64::oneshot(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(upper(0x2D06_8005_38D3_94C2), 0x2D06_8005);
        assert_eq!(text_key(Field::Id, "x"), 0xAB53_7149);
        assert_eq!(text_key(Field::Id, ""), 0x4DC5_B0CC);
        assert_eq!(text_key(Field::Links, "e-1"), 0xBCF3_B8A7);
        assert_eq!(number_key(Field::RunAttempt, 2), 0x89A6_1FC1);
        assert_eq!(bytes_key(Field::TraceId, b"\xAB\xCD"), 0x3EE0_8A10);
        assert_eq!(digest_key(Field::Artifacts, "sha256", "9f86"), 0x3D5E_B558);
        assert_eq!(attribute_key("k", "val"), 0xC4B1_FF73);
        assert_eq!(producer_key("ci", ProducerKey { id: 7, sequence: 9 }), 0x1FCA_AC3C);
        let lengths = [
            (1, 0xAB53_7149),
            (3, 0xEC49_698C),
            (8, 0x3FFC_27D0),
            (16, 0x0560_B048),
            (17, 0x8B45_E9A6),
            (128, 0x64A7_4195),
            (129, 0xED72_16CF),
            (240, 0x2237_DB6B),
            (241, 0x036D_9B14),
            (1_024, 0xAF72_39CF),
            (1_025, 0x4F0E_5308),
        ];
        for (length, expected) in lengths {
            assert_eq!(text_key(Field::Id, &"x".repeat(length)), expected, "{length} bytes");
        }
    }
}
