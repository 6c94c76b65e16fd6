//! Protobuf's wire form, read strictly and written in shortest form.
//!
//! Ordinary decoders forgive: long varints, groups, repeated singular fields. Whoever forgives may read
//! something else than the next reader; so everything that is stored is read by this module first.

/// What is wrong with the wire form itself, whatever the fields mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireProblem {
    /// The bytes end inside a tag, a number or a fixed-width value.
    #[error("the bytes end inside a field")]
    Ends,
    /// A length reaches beyond the bytes that hold it.
    #[error("a length of {length} reaches beyond the {left} bytes that are left")]
    Overrun {
        /// The length found.
        length: u64,
        /// Bytes that were left.
        left: usize,
    },
    /// A varint has more bytes than it needs.
    #[error("a varint is not in shortest form")]
    LongVarint,
    /// A varint is 2⁶⁴ or more.
    #[error("a varint does not fit 64 bits")]
    BigVarint,
    /// A field number is not between 1 and 2²⁹ − 1.
    #[error("field numbers are 1 to 536870911, found tag {0}")]
    FieldNumber(u64),
    /// A group, which no current writer makes.
    #[error("groups are refused")]
    Group,
    /// A wire type that protobuf does not have.
    #[error("there is no wire type {0}")]
    WireType(u8),
}

/// A field's value as far as the wire form knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1 or 5; no known field has one.
    Fixed,
    /// Wire type 2.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn varint(self) -> Option<u64> {
        match self {
            Self::Varint(number) => Some(number),
            _ => None,
        }
    }
}

/// Reads one message, field after field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Bytes not yet read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireProblem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number) if (1..1 << 29).contains(&number) => number,
            _ => return Err(WireProblem::FieldNumber(tag)),
        };
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => Value::Bytes(self.delimited()?),
            5 => self.fixed(4)?,
            3 | 4 => return Err(WireProblem::Group),
            other => return Err(WireProblem::WireType(u8::try_from(other).unwrap_or(u8::MAX))),
        };
        Ok(Some((number, value)))
    }

    /// A varint in shortest form.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireProblem> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireProblem> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(WireProblem::Ends)?;
            self.rest = rest;
            if shift == 63 && byte > 1 {
                return Err(WireProblem::BigVarint);
            }
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(WireProblem::LongVarint) } else { Ok(number) };
            }
        }
        Err(WireProblem::BigVarint)
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], WireProblem> {
        let length = self.varint()?;
        let overrun = WireProblem::Overrun { length, left: self.rest.len() };
        let length = usize::try_from(length).map_err(|_| overrun)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(overrun)?;
        self.rest = rest;
        Ok(value)
    }

    fn fixed(&mut self, width: usize) -> Result<Value<'a>, WireProblem> {
        self.rest = self.rest.get(width..).ok_or(WireProblem::Ends)?;
        Ok(Value::Fixed)
    }
}

/// The values of one length-delimited field of a message, in order. Ends where the wire form does.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    reader: Reader<'a>,
    number: u32,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(message: &'a [u8], number: u32) -> Self {
        Self { reader: Reader::new(message), number }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Ok(Some((number, value))) = self.reader.field() {
            if let (true, Value::Bytes(bytes)) = (number == self.number, value) {
                return Some(bytes);
            }
        }
        None
    }
}

/// The first value of a field of a message.
pub(crate) fn find(message: &[u8], wanted: u32) -> Option<Value<'_>> {
    let mut reader = Reader::new(message);
    while let Ok(Some((number, value))) = reader.field() {
        if number == wanted {
            return Some(value);
        }
    }
    None
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let [low, ..] = number.to_le_bytes();
        out.push(low | 0x80);
        number >>= 7;
    }
    let [low, ..] = number.to_le_bytes();
    out.push(low);
}

/// Appends a number's field, or nothing where it is 0: proto3 leaves defaults out.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, number);
    }
}

/// Appends the field of a string, bytes or a message, empty ones too.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string's field, or nothing where it is empty.
pub(crate) fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<u64, WireProblem>) {
        assert_eq!(Reader::new(bytes).varint(), expected, "{bytes:02x?}");
    }

    #[test]
    fn varints_are_read_in_shortest_form_only() {
        check(&[0], Ok(0));
        check(&[0x7F], Ok(127));
        check(&[0x80, 1], Ok(128));
        check(&[0x80, 0], Err(WireProblem::LongVarint));
        check(&[0xFF, 0x80, 0], Err(WireProblem::LongVarint));
        check(&[0x80], Err(WireProblem::Ends));
        check(&[], Err(WireProblem::Ends));
        check(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], Ok(u64::MAX));
        check(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], Err(WireProblem::BigVarint));
        check(&[0x80; 11], Err(WireProblem::BigVarint));
        check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], Err(WireProblem::LongVarint));
    }

    #[test]
    fn every_power_of_two_and_its_neighbours_come_back() {
        for number in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX])
        {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            check(&out, Ok(number));
        }
    }

    #[test]
    fn tags_with_groups_unknown_wire_types_or_wrong_numbers_are_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).field().map(|_| ());
        assert_eq!(read(&[0x0B]), Err(WireProblem::Group));
        assert_eq!(read(&[0x0C]), Err(WireProblem::Group));
        assert_eq!(read(&[0x0E]), Err(WireProblem::WireType(6)));
        assert_eq!(read(&[0x0F]), Err(WireProblem::WireType(7)));
        assert_eq!(read(&[0x02, 0]), Err(WireProblem::FieldNumber(2)));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Err(WireProblem::FieldNumber(1 << 32)));
        assert_eq!(read(&[0x0A, 2, 0]), Err(WireProblem::Overrun { length: 2, left: 1 }));
        assert_eq!(read(&[0x09, 0, 0, 0]), Err(WireProblem::Ends));
        assert_eq!(read(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(read(&[0x0D, 0, 0, 0, 0]), Ok(()));
    }
}
