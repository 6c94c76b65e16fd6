//! The envelope of a frame: what the daemon says about who sent it.

use crate::event::{EventProblem, check_any_text};
use crate::limits::ENVELOPE_TEXT_BYTES_MAX;
use crate::names::Name;
use crate::wire::{Reader, Value, WireProblem, put_bytes, put_number, put_text, put_varint};

/// What the daemon knows of the sender of a frame's events. A protobuf message, fields ascending, defaults
/// left out:
///
/// | number | field | type |
/// |---|---|---|
/// | 1 | principal | string |
/// | 2 | auth method | uint32 |
/// | 3 | peer | string |
/// | 4 | intake | string |
/// | 5 | split | repeated message: 1 class (string), 2 positions (packed uint32) |
///
/// Numbers above 5 (in a part: above 2) are a later version's; they are stepped over, and not written again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The authenticated sender.
    pub principal: String,
    /// How it had authenticated.
    pub auth_method: u32,
    /// Its address and port.
    pub peer: String,
    /// The way in: `grpc`, `webhook/github`, …
    pub intake: String,
    /// All parts of the message, where it went to several classes; else empty.
    pub split: Vec<SplitPart>,
}

/// The part of a message that went to one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitPart {
    /// The class.
    pub class: Name,
    /// Places in the client's message, from 0, ascending.
    pub positions: Vec<u32>,
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The wire form is not strict protobuf.
    #[error("envelope: {0}")]
    Wire(#[from] WireProblem),
    /// A field has another wire type than its own.
    #[error("envelope: field {0} has a wrong wire type")]
    WireType(u32),
    /// Fields do not ascend, or a singular one is there twice.
    #[error("envelope: field {0} is out of order or there twice")]
    Order(u32),
    /// A field has its default value, which is left out.
    #[error("envelope: field {0} has its default value, which must be left out")]
    Default(u32),
    /// A text breaks the rules of text.
    #[error("envelope: field {0}: {1}")]
    Text(u32, EventProblem),
    /// A text is too long.
    #[error("envelope: field {0} is longer than {ENVELOPE_TEXT_BYTES_MAX} bytes")]
    TooLong(u32),
    /// A number does not fit 32 bits.
    #[error("envelope: a number of field {0} does not fit 32 bits")]
    Number(u32),
    /// The parts are not at least two, sorted by class, each with ascending positions, each position of the
    /// message in one of them.
    #[error("envelope: the split is wrong: {0}")]
    Split(&'static str),
}

impl Envelope {
    /// Appends the envelope's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, 1, &self.principal);
        put_number(out, 2, self.auth_method.into());
        put_text(out, 3, &self.peer);
        put_text(out, 4, &self.intake);
        for part in &self.split {
            let (mut message, mut packed) = (Vec::new(), Vec::new());
            part.positions.iter().for_each(|position| put_varint(&mut packed, (*position).into()));
            put_text(&mut message, 1, part.class.as_str());
            put_bytes(&mut message, 2, &packed);
            put_bytes(out, 5, &message);
        }
    }

    /// Reads an envelope, by every rule of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::default();
        in_order(bytes, 5, |number, value| match number {
            1 => text(number, value).map(|text| envelope.principal = text),
            2 => auth_method(value).map(|method| envelope.auth_method = method),
            3 => text(number, value).map(|text| envelope.peer = text),
            4 => text(number, value).map(|text| envelope.intake = text),
            _ => SplitPart::decode(value).map(|part| envelope.split.push(part)),
        })?;
        check_split(&envelope.split)?;
        Ok(envelope)
    }

    /// The part of a class, where the message was split.
    pub fn part(&self, class: &Name) -> Option<&SplitPart> {
        self.split.iter().find(|part| part.class == *class)
    }
}

impl SplitPart {
    fn decode(value: Value<'_>) -> Result<Self, EnvelopeError> {
        let message = value.bytes().ok_or(EnvelopeError::WireType(5))?;
        let (mut class, mut positions) = (None, Vec::new());
        in_order(message, 2, |number, value| match number {
            1 => text(5, value).map(|text| class = Name::from_disk(&text).ok()),
            _ if !positions.is_empty() => Err(EnvelopeError::Order(5)),
            _ => unpack(value).map(|unpacked| positions = unpacked),
        })?;
        let class = class.ok_or(EnvelopeError::Split("a part has no class, or one that is no name"))?;
        Ok(Self { class, positions })
    }
}

/// Visits the fields of a message that ascend, each at most once but for the one of number `last`; those
/// above `last` are stepped over.
fn in_order<'a>(
    message: &'a [u8],
    last: u32,
    mut visit: impl FnMut(u32, Value<'a>) -> Result<(), EnvelopeError>,
) -> Result<(), EnvelopeError> {
    let mut reader = Reader::new(message);
    let mut before = 0;
    while let Some((number, value)) = reader.field()? {
        if number < before || (number == before && number < last) {
            return Err(EnvelopeError::Order(number));
        }
        before = number;
        if number <= last {
            visit(number, value)?;
        }
    }
    Ok(())
}

fn text(number: u32, value: Value<'_>) -> Result<String, EnvelopeError> {
    let bytes = value.bytes().ok_or(EnvelopeError::WireType(number))?;
    if bytes.is_empty() {
        return Err(EnvelopeError::Default(number));
    }
    if bytes.len() > ENVELOPE_TEXT_BYTES_MAX {
        return Err(EnvelopeError::TooLong(number));
    }
    let text = check_any_text(bytes, false).map_err(|problem| EnvelopeError::Text(number, problem))?;
    Ok(text.to_owned())
}

fn auth_method(value: Value<'_>) -> Result<u32, EnvelopeError> {
    match value.varint().ok_or(EnvelopeError::WireType(2))? {
        0 => Err(EnvelopeError::Default(2)),
        number => u32::try_from(number).map_err(|_| EnvelopeError::Number(2)),
    }
}

fn unpack(value: Value<'_>) -> Result<Vec<u32>, EnvelopeError> {
    let mut packed = Reader::new(value.bytes().ok_or(EnvelopeError::WireType(5))?);
    let mut positions = Vec::new();
    while packed.left() > 0 {
        positions.push(u32::try_from(packed.varint()?).map_err(|_| EnvelopeError::Number(5))?);
    }
    Ok(positions)
}

fn check_split(parts: &[SplitPart]) -> Result<(), EnvelopeError> {
    if parts.len() == 1 {
        return Err(EnvelopeError::Split("one part is no split"));
    }
    if !parts.is_sorted_by(|a, b| a.class < b.class) {
        return Err(EnvelopeError::Split("classes do not ascend"));
    }
    let mut taken = vec![false; parts.iter().map(|part| part.positions.len()).sum()];
    for part in parts {
        if part.positions.is_empty() {
            return Err(EnvelopeError::Split("a part has no positions"));
        }
        if !part.positions.is_sorted_by(|a, b| a < b) {
            return Err(EnvelopeError::Split("positions do not ascend"));
        }
        for position in &part.positions {
            // As many places as positions: when each is taken once, none is left out.
            match taken.get_mut(*position as usize) {
                Some(place) if !*place => *place = true,
                _ => return Err(EnvelopeError::Split("a position is missing or in two parts")),
            }
        }
    }
    Ok(())
}
