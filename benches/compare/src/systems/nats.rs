//! NATS JetStream, in two ways: a message an event, sent in its own atomic batches; and a message a batch, which
//! it takes many times faster, and then knows nothing of the events in it.

use super::{About, Ingest, Lane, System};
use crate::{
    http, place,
    samples::{Sample, encoded},
    server::Server,
};
use anyhow::{Context as _, Result};
use async_nats::{
    Client, HeaderMap,
    header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE},
    jetstream::{
        self, Context,
        stream::{Config, PersistenceMode, StorageType},
    },
};
use bytes::Bytes;
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const PROGRAM: &str = "nats-server";
/// The first version that can sync before it acknowledges, and that has atomic batches.
const VERSION_MIN: [u32; 2] = [2, 12];
const STREAM: &str = "events";
const CONNECTIONS: usize = 2;
/// The server takes 1,000 messages a batch; a longer one is sent as halves.
const BATCH_MAX: usize = 1_000;

/// A running server.
pub(crate) struct Nats<const WHOLE: bool> {
    server: Server,
    http: SocketAddr,
    clients: Vec<Client>,
    lanes: AtomicUsize,
    data: PathBuf,
}

/// The file in which the server tells its addresses.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// The program: that of `benches/compare/setup`, or else the system's.
fn binary() -> Option<PathBuf> {
    let own = place::target().join("compare-venv/bin").join(PROGRAM);
    if own.is_file() { Some(own) } else { place::program(PROGRAM) }
}

fn version(program: &Path) -> Result<String> {
    let answer = String::from_utf8(Command::new(program).arg("--version").output()?.stdout)?;
    Ok(answer.trim().rsplit('v').next().unwrap_or_default().to_owned())
}

impl<const WHOLE: bool> System for Nats<WHOLE> {
    const NAME: &'static str = if WHOLE { "NATS JetStream, whole batches" } else { "NATS JetStream" };

    fn missing() -> Option<String> {
        let Some(program) = binary() else { return Some(format!("{PROGRAM} is not on the PATH")) };
        let Ok(version) = version(&program) else {
            return Some(format!("{} does not run", program.display()));
        };
        let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        let too_old = || format!("{PROGRAM} is {version}, and 2.12 is the first with all that is used here");
        (numbers.as_slice() < VERSION_MIN.as_slice()).then(too_old)
    }

    async fn start(folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        fs::create_dir(&data)?;
        let settings = folder.join("settings.conf");
        write!(
            File::create(&settings)?,
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nports_file_dir: \"{0}\"\n\
             jetstream {{ store_dir: \"{1}\", sync_interval: always }}\n",
            folder.display(),
            data.display(),
        )?;
        let mut command = Command::new(binary().context("NATS is not installed")?);
        command.current_dir(folder).arg("-c").arg(&settings);
        let is_ready = || {
            let files = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
            let ports = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "ports"))?;
            serde_json::from_str::<Ports>(&fs::read_to_string(ports).ok()?).ok()
        };
        let (server, ports) = Server::start(command, folder, Signal::TERM, is_ready)?;
        let address = ports.nats.first().context("the server tells no address")?;
        let page = ports.monitoring.first().context("the server tells no page")?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(async_nats::connect(address).await?);
        }
        let context = jetstream::new(clients.first().context("there are connections")?.clone());
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec![STREAM.to_owned()],
            storage: StorageType::File,
            allow_atomic_publish: true,
            ..Config::default()
        };
        context.create_stream(config).await?;
        let http = page.trim_start_matches("http://").parse()?;
        Ok(Self { server, http, clients, lanes: AtomicUsize::new(0), data })
    }

    async fn about(&self) -> Result<About> {
        let told: Value = serde_json::from_str(&http::get(self.http, "/jsz?config=1")?)?;
        let always = told.pointer("/config/sync_always").and_then(Value::as_bool).unwrap_or_default();
        anyhow::ensure!(always, "sync_always is not on: {told}");
        let varz: Value = serde_json::from_str(&http::get(self.http, "/varz")?)?;
        let version = varz.get("version").and_then(Value::as_str).context("NATS tells no version")?;
        let config = self.context()?.get_stream(STREAM).await?.cached_info().config.clone();
        anyhow::ensure!(config.storage == StorageType::File, "the stream is not in a file");
        let asynchronous = config.persist_mode == Some(PersistenceMode::Async);
        anyhow::ensure!(!asynchronous, "the stream is written after the ack");
        Ok(About {
            version: version.to_owned(),
            durability: format!("sync_always {always}, storage file, persist_mode not async"),
            sent: if WHOLE {
                format!("1 replica; a message a batch; {CONNECTIONS} connections; no index")
            } else {
                format!(
                    "1 replica; a message an event, atomic batches of at most {BATCH_MAX} (1,024 go as two); \
                     {CONNECTIONS} connections; no index"
                )
            },
            asked: String::new(),
        })
    }

    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    async fn stored_bytes(&self) -> Result<u64> {
        place::bytes_below(&self.data)
    }

    fn stop(self) -> Result<()> {
        drop(self.clients);
        self.server.stop()
    }
}

impl<const WHOLE: bool> Nats<WHOLE> {
    fn context(&self) -> Result<Context> {
        Ok(jetstream::new(self.clients.first().context("there are connections")?.clone()))
    }
}

/// A sender.
pub(crate) struct Sender {
    client: Client,
    context: Context,
    /// Begins the names of its batches.
    name: String,
    batches: u64,
}

impl<const WHOLE: bool> Ingest for Nats<WHOLE> {
    type Batch = Vec<Bytes>;
    type Lane = Sender;
    const IN_FLIGHT: usize = 16;

    fn batch(samples: &[Arc<Sample>]) -> Vec<Bytes> {
        if WHOLE {
            return vec![encoded(samples)];
        }
        samples.iter().map(|sample| sample.event.clone()).collect()
    }

    fn takes(batch: usize) -> bool {
        // One event is a message either way.
        batch > usize::from(WHOLE)
    }

    fn counted(batch: usize) -> u64 {
        if WHOLE { 1 } else { batch as u64 }
    }

    async fn lane(&self) -> Result<Sender> {
        let number = self.lanes.fetch_add(1, Relaxed);
        let client = self.clients.get(number % CONNECTIONS).context("there are connections")?.clone();
        Ok(Sender {
            context: jetstream::new(client.clone()),
            client,
            name: format!("sender-{number}"),
            batches: 0,
        })
    }

    async fn stored(&self) -> Result<u64> {
        Ok(self.context()?.get_stream(STREAM).await?.cached_info().state.messages)
    }
}

impl Lane<Vec<Bytes>> for Sender {
    async fn send(&mut self, batch: &Vec<Bytes>) -> Result<()> {
        if let [one] = batch.as_slice() {
            self.context.publish(STREAM, one.clone()).await?.await?;
            return Ok(());
        }
        let parts = batch.len().div_ceil(BATCH_MAX);
        for part in batch.chunks(batch.len().div_ceil(parts)) {
            self.send_atomically(part).await?;
        }
        Ok(())
    }
}

impl Sender {
    async fn send_atomically(&mut self, events: &[Bytes]) -> Result<()> {
        self.batches += 1;
        let name = format!("{}-{}", self.name, self.batches);
        for (number, event) in (1..).zip(events) {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_BATCH_ID, name.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            if number < events.len() {
                self.client.publish_with_headers(STREAM, headers, event.clone()).await?;
                continue;
            }
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            let ack = self.context.publish_with_headers(STREAM, headers, event.clone()).await?.await?;
            anyhow::ensure!(ack.batch_size == Some(number as u64), "a batch came in parts: {ack:?}");
        }
        Ok(())
    }
}
