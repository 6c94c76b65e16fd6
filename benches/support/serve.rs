//! Servers that answer without doing anything, with the daemon's own windows and frame sizes, so that an echo
//! pays exactly the transport that the daemon pays.

use crate::net::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use anyhow::Result;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

/// The daemon's.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Serves `routes` on a free port, in the current runtime, for as long as that lives.
pub(crate) async fn serve(routes: Routes) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::builder()
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_routes(routes);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok(address)
}
