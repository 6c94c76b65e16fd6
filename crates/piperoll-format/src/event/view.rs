//! A checked event, seen where it lies: nothing is copied, nothing is decoded before it is asked for.

use super::{EventError, Field, FieldSet, Indexed, Kind, check};
use crate::units::UnixNanos;
use crate::wire::{Elements, Reader, Value, find};

/// The bytes of an event that passed [`check_event`](super::check_event).
///
/// It lends from the bytes that it was made of and costs as much as a slice. A look at a field walks the
/// event's fields from the start; [`EventView::for_each_term`] gives all that an index wants in one walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventView<'a> {
    bytes: &'a [u8],
}

/// A value that an index finds an event by; texts are the bytes of their UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term<'a> {
    /// What the event claims as its time.
    Time(UnixNanos),
    /// A text: of a bitmap or exact field, one of the runner's labels, or a link's id (under
    /// [`Field::Links`]).
    Text(Field, &'a [u8]),
    /// An enum's number, or an exact number.
    Number(Field, u64),
    /// Bytes that are no text.
    Bytes(Field, &'a [u8]),
    /// A digest of an artifact or an attestation: algorithm, then hexadecimal, both as sent.
    Digest(Field, &'a [u8], &'a [u8]),
    /// An attribute: key, then value.
    Attribute(&'a [u8], &'a [u8]),
}

impl<'a> EventView<'a> {
    /// Checks bytes that come from storage: a bit may have changed since they were written.
    pub fn stored(bytes: &'a [u8]) -> Result<Self, EventError> {
        check::check_event(bytes)
    }

    /// The view of bytes that were checked before: in this process, or when the checksum was made by which they
    /// are found unchanged. Wrong bytes would give wrong values or none, and nothing worse.
    pub const fn of_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The event as it was sent and is stored.
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// A text; `None` where it is absent or the field is no single text.
    pub fn text(self, field: Field) -> Option<&'a str> {
        match field.kind() {
            Kind::Text => text_of(find(self.bytes, field.number().into())?),
            _ => None,
        }
    }

    /// An enum's or a number's value; `None` where it is absent or the field is neither.
    pub fn number(self, field: Field) -> Option<u64> {
        match field.kind() {
            Kind::Enum | Kind::Number => find(self.bytes, field.number().into())?.varint(),
            _ => None,
        }
    }

    /// Bytes that are no text; `None` where they are absent or the field has none.
    pub fn blob(self, field: Field) -> Option<&'a [u8]> {
        match field.kind() {
            Kind::Bytes => find(self.bytes, field.number().into())?.bytes(),
            _ => None,
        }
    }

    /// What the source claims as the time.
    pub fn time(self) -> Option<UnixNanos> {
        timestamp(find(self.bytes, Field::Time.number().into())?.bytes()?)
    }

    /// The attributes, in the order of the event's bytes.
    pub fn attributes(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.elements(Field::Attributes).map(entry)
    }

    /// The runner's labels, in the order of the event's bytes.
    pub fn runner_labels(self) -> impl Iterator<Item = &'a str> {
        self.elements(Field::RunnerLabels).filter_map(|text| std::str::from_utf8(text).ok())
    }

    /// The artifacts, in the order of the event's bytes.
    pub fn artifacts(self) -> impl Iterator<Item = ArtifactView<'a>> {
        self.elements(Field::Artifacts).map(ArtifactView)
    }

    /// The attestations, in the order of the event's bytes.
    pub fn attestations(self) -> impl Iterator<Item = AttestationView<'a>> {
        self.elements(Field::Attestations).map(AttestationView)
    }

    /// The links, in the order of the event's bytes.
    pub fn links(self) -> impl Iterator<Item = LinkView<'a>> {
        self.elements(Field::Links).map(LinkView)
    }

    /// Visits every value that an index finds the event by, and its time, in the order of its bytes. A value
    /// that the event has twice (a label, a digest) is visited twice. Returns the fields that the event has.
    pub fn for_each_term(self, visit: &mut impl FnMut(Term<'a>)) -> FieldSet {
        let mut present = FieldSet::default();
        let mut reader = Reader::new(self.bytes);
        while let Ok(Some((number, value))) = reader.field() {
            let Some(field) = Field::from_number(number) else { continue };
            present.insert(field);
            if field.indexed() != Indexed::No {
                terms_of(field, value, visit);
            }
        }
        present
    }

    fn elements(self, field: Field) -> Elements<'a> {
        Elements::new(self.bytes, field.number().into())
    }
}

#[inline]
fn terms_of<'a, V: FnMut(Term<'a>)>(field: Field, value: Value<'a>, visit: &mut V) {
    let message = value.bytes().unwrap_or_default();
    let digests = |digests: Elements<'a>, visit: &mut V| {
        digests.map(raw_entry).for_each(|(algorithm, hex)| visit(Term::Digest(field, algorithm, hex)));
    };
    let term = match field.kind() {
        Kind::Text | Kind::Texts => value.bytes().map(|text| Term::Text(field, text)),
        Kind::Enum | Kind::Number => value.varint().map(|number| Term::Number(field, number)),
        Kind::Bytes => value.bytes().map(|bytes| Term::Bytes(field, bytes)),
        Kind::Time => timestamp(message).map(Term::Time),
        Kind::Links => find(message, LinkView::ID).and_then(Value::bytes).map(|id| Term::Text(field, id)),
        Kind::Artifacts => return digests(Elements::new(message, ArtifactView::DIGESTS), visit),
        Kind::Attestations => return digests(Elements::new(message, AttestationView::DIGESTS), visit),
        Kind::Map => {
            let (key, value) = raw_entry(message);
            Some(Term::Attribute(key, value))
        }
    };
    if let Some(term) = term {
        visit(term);
    }
}

/// An artifact of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactView<'a>(&'a [u8]);

impl<'a> ArtifactView<'a> {
    const DIGESTS: u32 = 4;

    /// Its name, for people.
    pub fn name(self) -> Option<&'a str> {
        text_of(find(self.0, 1)?)
    }

    /// Where it is or was.
    pub fn uri(self) -> Option<&'a str> {
        text_of(find(self.0, 2)?)
    }

    /// Its package URL.
    pub fn purl(self) -> Option<&'a str> {
        text_of(find(self.0, 3)?)
    }

    /// Its digests: algorithm and hexadecimal, as sent.
    pub fn digests(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Elements::new(self.0, Self::DIGESTS).map(entry)
    }

    /// Whether it went in (1) or came out (2).
    pub fn role(self) -> Option<u64> {
        find(self.0, 5)?.varint()
    }

    /// Its media type.
    pub fn media_type(self) -> Option<&'a str> {
        text_of(find(self.0, 6)?)
    }
}

/// An attestation of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttestationView<'a>(&'a [u8]);

impl<'a> AttestationView<'a> {
    const DIGESTS: u32 = 3;

    /// Its in-toto predicate type.
    pub fn predicate_type(self) -> Option<&'a str> {
        text_of(find(self.0, 1)?)
    }

    /// Where it is.
    pub fn uri(self) -> Option<&'a str> {
        text_of(find(self.0, 2)?)
    }

    /// Its digests: algorithm and hexadecimal, as sent.
    pub fn digests(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Elements::new(self.0, Self::DIGESTS).map(entry)
    }
}

/// A link of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView<'a>(&'a [u8]);

impl<'a> LinkView<'a> {
    const ID: u32 = 3;

    /// What the relation is.
    pub fn kind(self) -> Option<&'a str> {
        text_of(find(self.0, 1)?)
    }

    /// The other one's source.
    pub fn source(self) -> Option<&'a str> {
        text_of(find(self.0, 2)?)
    }

    /// The other one's id.
    pub fn id(self) -> Option<&'a str> {
        text_of(find(self.0, Self::ID)?)
    }
}

fn text_of(value: Value<'_>) -> Option<&str> {
    std::str::from_utf8(value.bytes()?).ok()
}

/// A map's entry; what is absent in it is the empty text.
fn entry(message: &[u8]) -> (&str, &str) {
    let (key, value) = raw_entry(message);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    (text(key), text(value))
}

fn raw_entry(message: &[u8]) -> (&[u8], &[u8]) {
    one_and_two(message, Value::bytes)
}

/// The values of the fields 1 and 2, in one walk; the default where one is absent.
fn one_and_two<'a, T: Default>(message: &'a [u8], read: impl Fn(Value<'a>) -> Option<T>) -> (T, T) {
    let (mut one, mut two) = (T::default(), T::default());
    let mut reader = Reader::new(message);
    while let Ok(Some((number, value))) = reader.field() {
        match (number, read(value)) {
            (1, Some(found)) => one = found,
            (2, Some(found)) => two = found,
            _ => {}
        }
    }
    (one, two)
}

/// A `google.protobuf.Timestamp`; `None` where it does not fit.
pub(super) fn timestamp(message: &[u8]) -> Option<UnixNanos> {
    let (seconds, nanos) = one_and_two(message, Value::varint);
    let (seconds, nanos) = (i128::from(seconds.cast_signed()), i128::from(nanos));
    i64::try_from(seconds * 1_000_000_000 + nanos).ok().map(UnixNanos)
}
