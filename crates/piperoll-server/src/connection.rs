//! Connections to gRPC: no more at one time than there may be, so that memory has a bound.

use piperoll_store::Sender;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    _counts: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection: its requests share it, and it is stored with their events.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<Sender>);

/// Principal of everybody, until the daemon knows identities.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// By which door they came.
const INTAKE: &str = "grpc";
/// Time to let go of something where the system has no more descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Accepts connections, at most `max` at one time; others wait in the listener's backlog.
pub(crate) fn incoming(listener: TcpListener, max: u32) -> impl Stream<Item = io::Result<Connection>> {
    let free =
        Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
    futures_util::stream::unfold((listener, free), |(listener, free)| async move {
        let permit = Arc::clone(&free).acquire_owned().await.ok()?;
        let connection = accept(&listener, permit).await;
        Some((Ok(connection), (listener, free)))
    })
}

async fn accept(listener: &TcpListener, permit: OwnedSemaphorePermit) -> Connection {
    loop {
        match try_accept(listener).await {
            Ok((stream, peer)) => return Connection { stream, peer, _counts: permit },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn try_accept(listener: &TcpListener) -> io::Result<(TcpStream, Peer)> {
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let sender = Sender::new(ANONYMOUS, 0, &address.to_string(), INTAKE).map_err(io::Error::other)?;
    Ok((stream, Peer(Arc::new(sender))))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
