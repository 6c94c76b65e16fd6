//! The codec of the daemon's side: requests that are stored arrive as their bytes, all others are decoded, and
//! bytes that are no message are the caller's mistake (`INVALID_ARGUMENT`), not the daemon's.

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use std::marker::PhantomData;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A message as it came from the wire: its encoding, not checked at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage(pub Bytes);

/// What can be made from the bytes of a message.
pub trait FromWire: Sized {
    /// Takes the bytes of one message; the status says why they are none.
    fn from_wire(bytes: Bytes) -> Result<Self, Status>;
}

/// What can be written as the bytes of a message.
pub trait ToWire {
    /// Writes the message to the end of `buf`; the status says why it cannot.
    fn to_wire(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

impl FromWire for RawMessage {
    fn from_wire(bytes: Bytes) -> Result<Self, Status> {
        Ok(Self(bytes))
    }
}

impl<M: Message + Default> FromWire for M {
    fn from_wire(bytes: Bytes) -> Result<Self, Status> {
        M::decode(bytes)
            .map_err(|error| Status::invalid_argument(format!("the request is malformed: {error}")))
    }
}

impl ToWire for RawMessage {
    fn to_wire(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(self.0);
        Ok(())
    }
}

impl<M: Message> ToWire for M {
    fn to_wire(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Encodes `E` and decodes `D`; see the module.
#[derive(Clone, Copy, Debug)]
pub struct RawCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for RawCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Encoder of [`RawCodec`].
#[derive(Clone, Copy, Debug)]
pub struct RawEncoder<E>(PhantomData<E>);

/// Decoder of [`RawCodec`].
#[derive(Clone, Copy, Debug)]
pub struct RawDecoder<D>(PhantomData<D>);

impl<E: ToWire + Send + 'static, D: FromWire + Send + 'static> Codec for RawCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = RawEncoder<E>;
    type Decoder = RawDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        RawEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder(PhantomData)
    }
}

impl<E: ToWire> Encoder for RawEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.to_wire(buf)
    }
}

impl<D: FromWire> Decoder for RawDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::from_wire(buf.copy_to_bytes(buf.remaining())).map(Some)
    }
}
