//! Connections: no more at one time than there may be, and none that only takes up a place, so that memory has a
//! bound.

use axum::serve::Listener;
use piperoll_store::Sender;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

/// Principal of everybody, until the daemon knows identities.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// By which door they came.
const INTAKE: &str = "grpc";
/// Time to let go of something where the system has no more descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Bytes of an HTTP/2 client's greeting: its preface and the header of its settings (RFC 9113, section 3.4).
const GREETING_BYTES: usize = 24 + 9;
/// How long a client may take to greet; later silence is found out by pings.
const GREETING_MAX: Duration = Duration::from_secs(20);
/// How long an HTTP connection may live: a scrape is one request.
const HTTP_MAX: Duration = Duration::from_secs(30);
/// HTTP connections at one time.
const HTTP_CONNECTIONS_MAX: usize = 64;

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    patience: Option<Patience>,
    _place: OwnedSemaphorePermit,
    /// Its share of what several connections have in common.
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

/// When a connection is given up.
#[derive(Debug)]
struct Patience {
    ends: Pin<Box<Sleep>>,
    /// Bytes after which it is not given up any more; all that there are for never.
    wanted: usize,
}

/// Who is at the other end of a connection: its requests share it, and it is stored with their events.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<Sender>);

/// Where connections come in; those for which there is no place wait in the system's backlog.
pub(crate) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: fn() -> Patience,
}

impl Door {
    /// To gRPC, with `places` connections at one time.
    pub(crate) fn grpc(listener: TcpListener, places: u32) -> Self {
        let places = usize::try_from(places).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let patience = || Patience { ends: Box::pin(sleep(GREETING_MAX)), wanted: GREETING_BYTES };
        Self { listener, places: Arc::new(Semaphore::new(places)), patience }
    }

    /// To HTTP.
    pub(crate) fn http(listener: TcpListener) -> Self {
        let patience = || Patience { ends: Box::pin(sleep(HTTP_MAX)), wanted: usize::MAX };
        Self { listener, places: Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX)), patience }
    }

    /// The next connection for which there is a place.
    pub(crate) async fn next(&self) -> Connection {
        let place = loop {
            // Nobody closes the semaphore.
            if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                break place;
            }
        };
        loop {
            match self.try_accept().await {
                Ok((stream, peer)) => {
                    let patience = Some((self.patience)());
                    return Connection { stream, peer, patience, _place: place, share: None };
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let sender = Sender::new(ANONYMOUS, 0, &address.to_string(), INTAKE).map_err(io::Error::other)?;
        Ok((stream, Peer(Arc::new(sender))))
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        (self.next().await, ())
    }

    fn local_addr(&self) -> io::Result<()> {
        self.listener.local_addr().map(drop)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connection {
    /// Fails once patience has ended.
    fn look_at_clock(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let ended = self.patience.as_mut().is_some_and(|patience| patience.ends.as_mut().poll(cx).is_ready());
        if ended { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn has_read(&mut self, bytes: usize) {
        if let Some(patience) = &mut self.patience {
            patience.wanted = patience.wanted.saturating_sub(bytes);
            if patience.wanted == 0 {
                self.patience = None;
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look_at_clock(cx)?;
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.has_read(buf.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.look_at_clock(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_at_clock(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn pair(door: impl FnOnce(TcpListener) -> Door) -> (Door, Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let door = door(listener);
        let connection = door.next().await;
        (door, connection, caller)
    }

    /// After how many seconds a read failed for lack of time; none where it still waits after ten times the longest
    /// patience. Time passes by itself where nothing else happens.
    async fn given_up(connection: &mut Connection) -> Option<u64> {
        let begun = tokio::time::Instant::now();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(10 * HTTP_MAX, connection.read_to_end(&mut bytes)).await.ok()?;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        Some(begun.elapsed().as_secs())
    }

    /// R39: a place is not for those who say nothing.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_greet_is_given_up() {
        let (_door, mut connection, mut caller) = pair(|listener| Door::grpc(listener, 1)).await;
        caller.write_all(b"PRI * HTTP/2.0").await.unwrap();
        assert_eq!(given_up(&mut connection).await, Some(GREETING_MAX.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_greeted_may_be_silent() {
        let (_door, mut connection, mut caller) = pair(|listener| Door::grpc(listener, 1)).await;
        caller.write_all(&[b'x'; GREETING_BYTES]).await.unwrap();
        connection.read_exact(&mut [0; GREETING_BYTES]).await.unwrap();
        assert_eq!(given_up(&mut connection).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http_connection_has_an_end() {
        let (_door, mut connection, mut caller) = pair(Door::http).await;
        caller.write_all(&[b'x'; 1_000]).await.unwrap();
        assert_eq!(given_up(&mut connection).await, Some(HTTP_MAX.as_secs()));
    }
}
