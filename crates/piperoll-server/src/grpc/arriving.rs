//! The bodies of requests: a message that has not arrived whole takes up its bytes of a budget before they are
//! taken from the connection or is refused, and arrives in time, so that callers who send slowly, or much, cannot
//! fill memory.

use crate::{
    refusal::Refusal,
    room::{Place, Room},
};
use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status, body::Body};

/// How long a message may take from its first byte to its last.
pub(super) const ARRIVAL_MAX: Duration = Duration::from_mins(1);
/// Bytes before each message: whether it is compressed, and its length (gRPC over HTTP/2, Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;

/// A request's body, taken in as room allows.
pub(super) struct Arriving {
    body: Body,
    framing: Framing,
    /// Room for messages that have not arrived whole.
    room: Arc<Room>,
    /// The place of the message that is arriving.
    place: Option<Place>,
    /// What arrived together with the end of a message, of the one behind it.
    rest: Option<Bytes>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Where the messages of a body begin and end.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there.
    prefixed: usize,
    /// Bytes of the message after its prefix, and those of them that are to come; 0 between messages.
    length: usize,
    left: usize,
}

impl Framing {
    /// Goes over `bytes`; how many of them end the last message that ends in them.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let (mut rest, mut whole) = (bytes, 0);
        while !rest.is_empty() {
            if self.left == 0 {
                let wanted = PREFIX_BYTES.saturating_sub(self.prefixed).min(rest.len());
                let (head, tail) = rest.split_at(wanted);
                let place = self.prefix.iter_mut().skip(self.prefixed);
                place.zip(head).for_each(|(to, from)| *to = *from);
                (self.prefixed, rest) = (self.prefixed.saturating_add(wanted), tail);
                if self.prefixed < PREFIX_BYTES {
                    break;
                }
                let mut prefix = self.prefix.as_slice();
                prefix.advance(1);
                self.length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
                (self.left, self.prefixed) = (self.length, 0);
            }
            let skipped = self.left.min(rest.len());
            rest = rest.get(skipped..).unwrap_or_default();
            self.left = self.left.saturating_sub(skipped);
            if self.left == 0 {
                whole = bytes.len().saturating_sub(rest.len());
            }
        }
        whole
    }
}

impl Arriving {
    /// A body whose messages take their places in `room`.
    pub(super) fn new(body: Body, room: Arc<Room>) -> Self {
        Self { body, framing: Framing::default(), room, place: None, rest: None, deadline: None }
    }

    /// An error once the message that arrives has taken too long, or has lost its place.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(Err(lost)) = self.place.as_ref().map(|place| place.waits(cx)) {
            return Poll::Ready(lost);
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(ARRIVAL_MAX)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(self.room.refusals.status(too_slow()))
    }

    /// A place for the message that arrives, or the one that it has.
    fn take_place(&mut self) -> Result<(), Status> {
        match &mut self.place {
            Some(place) => place.moved(),
            none => {
                *none = Some(self.room.take(self.framing.length)?);
                Ok(())
            }
        }
    }

    /// What may go on of bytes that have arrived.
    fn take(&mut self, mut bytes: Bytes) -> Result<Bytes, Status> {
        let whole = self.framing.take(&bytes);
        if whole > 0 {
            self.deadline = None;
        }
        // The transport refuses a message that is too long by its prefix alone.
        let arriving = self.framing.left > 0 && self.framing.length <= super::REQUEST_BYTES_MAX;
        if arriving && whole > 0 {
            // What is whole is not refused with what follows it.
            self.rest = Some(bytes.split_off(whole));
        } else if arriving {
            self.take_place()?;
        }
        Ok(bytes)
    }
}

/// The message came too slowly.
fn too_slow() -> Refusal {
    let message = format!("the request did not arrive whole within {} s", ARRIVAL_MAX.as_secs());
    Refusal::new(Code::DeadlineExceeded, "slow_request", message)
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let arriving = self.get_mut();
        if let Some(rest) = arriving.rest.take() {
            // Whoever asks for more has dealt with the message before.
            arriving.place = None;
            return Poll::Ready(Some(arriving.take_place().map(|()| Frame::data(rest))));
        }
        if arriving.framing.left == 0 {
            arriving.place = None;
        }
        match Pin::new(&mut arriving.body).poll_frame(cx) {
            Poll::Pending if arriving.framing.left > 0 => arriving.wait(cx).map(|status| Some(Err(status))),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(match frame.into_data() {
                Ok(bytes) => arriving.take(bytes).map(Frame::data),
                Err(frame) => Ok(frame),
            })),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Refusals;
    use bytes::BufMut as _;
    use std::{collections::VecDeque, future::poll_fn};
    use tokio::time::Instant;

    /// A body of these pieces, which then says nothing more, or ends.
    struct Pieces {
        pieces: VecDeque<Bytes>,
        ends: bool,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.pieces.pop_front() {
                None if !self.ends => Poll::Pending,
                piece => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
            }
        }
    }

    fn prefix(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.put_u32(length);
        bytes
    }

    /// Messages of these lengths, one behind the other.
    fn messages(lengths: &[u32]) -> Vec<u8> {
        let message =
            |&length: &u32| prefix(length).into_iter().chain((0..=u8::MAX).cycle().take(length as usize));
        lengths.iter().flat_map(message).collect()
    }

    fn arriving(bytes: &[u8], piece: usize, ends: bool, room: &Arc<Room>) -> Arriving {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Arriving::new(Body::new(Pieces { pieces, ends }), Arc::clone(room))
    }

    async fn next(body: &mut Arriving) -> Option<Result<Bytes, Status>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }

    #[tokio::test]
    async fn what_arrives_is_what_was_sent_however_it_is_cut() {
        let bytes = messages(&[0, 1, 300, 0, 0, 5, 70, 1]);
        for piece in 1..=bytes.len() {
            let room = Room::new(300, Refusals::default());
            let mut body = arriving(&bytes, piece, true, &room);
            let mut found = Vec::new();
            while let Some(piece) = next(&mut body).await {
                found.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(found, bytes, "in pieces of {piece}");
            drop(body);
            assert_eq!(room.free(), 300, "in pieces of {piece}");
        }
    }

    /// R39: what has not arrived whole never takes more than the room for it.
    #[tokio::test]
    async fn a_message_for_which_there_is_no_room_is_refused_and_not_what_came_before_it() {
        let room = Room::new(100, Refusals::default());
        let bytes = messages(&[80]);
        let mut one = arriving(&bytes, 50, true, &room);
        next(&mut one).await.unwrap().unwrap();
        assert_eq!(room.free(), 20);
        let behind = messages(&[10, 80]);
        let mut two = arriving(&behind, 50, true, &room);
        assert_eq!(next(&mut two).await.unwrap().unwrap(), behind[..15]);
        let status = next(&mut two).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        next(&mut one).await.unwrap().unwrap();
        assert!(next(&mut one).await.is_none());
        let mut three = arriving(&bytes, 50, true, &room);
        assert_eq!(next(&mut three).await.unwrap().unwrap(), bytes[..50], "the room is free again");
    }

    /// R39: a message that never ends does not keep its room.
    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_arrive_whole_ends_in_an_error_that_says_so() {
        let room = Room::new(100, Refusals::default());
        let bytes = messages(&[80]);
        let mut slow = arriving(&bytes[..70], 50, false, &room);
        next(&mut slow).await.unwrap().unwrap();
        next(&mut slow).await.unwrap().unwrap();
        let begun = Instant::now();
        let status = next(&mut slow).await.unwrap().unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), ARRIVAL_MAX.as_secs());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(status.message().contains("60 s"), "{status}");
        drop(slow);
        assert_eq!(room.free(), 100);
    }

    /// The transport refuses it by its prefix; here it must not wait for room that there never is.
    #[tokio::test]
    async fn a_message_that_is_too_long_goes_on_at_once() {
        let room = Room::new(100, Refusals::default());
        let long = u32::try_from(super::super::REQUEST_BYTES_MAX).unwrap() + 1;
        let bytes = [prefix(long), vec![1, 2, 3]].concat();
        let mut body = arriving(&bytes, 5, false, &room);
        assert_eq!(next(&mut body).await.unwrap().unwrap(), bytes[..5]);
        assert_eq!(next(&mut body).await.unwrap().unwrap(), bytes[5..]);
        assert_eq!(room.free(), 100);
    }
}
