//! Daemons and events for the tests.

use piperoll_client::{Client, ClientOptions, Query};
use piperoll_proto::v1::{Event, EventRecord, Order, QueryRequest};
use piperoll_server::{ClassRule, Config, Route, Running, StartOptions, start};
use std::{net::SocketAddr, path::Path};
use tempfile::TempDir;

/// A daemon and its directory, which goes with it.
pub(crate) struct Daemon {
    pub(crate) running: Running,
    pub(crate) directory: TempDir,
}

/// Free ports, the given directory; class `short` takes the stage `test`.
pub(crate) fn config(directory: &Path) -> Config {
    let mut config = Config::default();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    config.server.grpc_listen = free;
    config.server.http_listen = free;
    directory.clone_into(&mut config.storage.directory);
    config.retention.classes.push(ClassRule { name: "short".to_owned(), keep: "1s".parse().unwrap() });
    let route = Route { class: "short".to_owned(), stage: Some("test".to_owned()), ..Route::default() };
    config.retention.routes.push(route);
    config
}

/// Makes the data directory.
pub(crate) fn first_start() -> StartOptions {
    StartOptions { create_directory: true, ..StartOptions::default() }
}

impl Daemon {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        change(&mut config);
        Self { running: start(config, first_start()).await.unwrap(), directory }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.running.grpc_address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(ClientOptions::new(self.endpoint())).await.unwrap()
    }

    pub(crate) async fn client_of(&self, tenant: &str) -> Client {
        let options = ClientOptions { tenant: tenant.to_owned(), ..ClientOptions::new(self.endpoint()) };
        Client::connect(options).await.unwrap()
    }

    /// Stops it and starts another one on its directory.
    pub(crate) async fn restart(self) -> Self {
        self.running.stop().await.unwrap();
        let running = start(config(self.directory.path()), StartOptions::default()).await.unwrap();
        Self { running, directory: self.directory }
    }

    /// The body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.running.http_address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

pub(crate) fn event(actor: &str, stage: &str, id: usize) -> Event {
    Event {
        id: Some(id.to_string()),
        actor: Some(actor.to_owned()),
        action: Some("pipeline.run.finished".to_owned()),
        stage: (!stage.is_empty()).then(|| stage.to_owned()),
        ..Event::default()
    }
}

pub(crate) async fn all(mut query: Query) -> Vec<EventRecord> {
    let mut records = Vec::new();
    while let Some(record) = query.next().await.unwrap() {
        records.push(record);
    }
    records
}

pub(crate) async fn find(client: &Client, filter: &str, order: Order, limit: u32) -> Vec<EventRecord> {
    let request =
        QueryRequest { filter: filter.to_owned(), order: order.into(), limit, position: String::new() };
    all(client.query(request).await.unwrap()).await
}

pub(crate) fn ids(records: &[EventRecord]) -> Vec<usize> {
    records.iter().map(|record| record.event.as_ref().unwrap().id().parse().unwrap()).collect()
}
