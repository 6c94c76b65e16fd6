//! A GET over HTTP/1.1, which needs no client crate.

use crate::daemon::Daemon;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Status code and body of what the daemon answers on its HTTP port.
pub(crate) fn get(daemon: &Daemon, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(daemon.http()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", daemon.http()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
