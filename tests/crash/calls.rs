//! Every call of the real binary: each system call of append, roll, seal and sweep fails, once and for ever, or is the
//! last one before SIGKILL.

use crate::check::check_from;
use crate::daemon::{Daemon, PATIENCE, write};
use crate::past;
use crate::points::{Fault, Point, points, tracer};
use crate::program::run_alone;
use crate::senders::{Promises, acknowledged, events_of};
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{AppendRequest, SealRequest};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::tempdir;
use tokio::time::timeout;
use tonic::Code;

const CONFIG: &str = r#"
[storage]
segment_bytes_max = "192KiB"
ballast_bytes = "1MiB"

[retention]
default_class = "standard"
classes = [{ name = "standard", keep = "1h" }, { name = "deploys", keep = "7y" }]
routes = [{ class = "deploys", stage = "deploy*" }]
sweep_interval = "1h"
"#;
/// Longer ago than `standard` is kept, and less than a start believes its clock to be ahead.
const PAST_NS: i64 = 2 * 3_600 * 1_000_000_000;
/// The producer of what is there before the run.
const OLD_PRODUCER: u64 = 13;
/// Its batches: those in a sealed segment that has expired, and those in the active one.
const OLD_BATCHES: [[u64; 2]; 2] = [[1, 2], [4, 5]];
/// Points that are tried, unless `PIPEROLL_TEST_CASES` says otherwise.
const POINTS_TRIED: usize = 10;

/// A directory with a sealed segment that has expired and an active one.
fn make_template(data: &Path) {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let engine = past::engine(data, now - PAST_NS);
    let send = |sequence| {
        let events = events_of(OLD_PRODUCER, sequence);
        let request = AppendRequest { events, producer_id: OLD_PRODUCER, producer_sequence: sequence };
        past::store(&engine, "standard", &request);
    };
    OLD_BATCHES[0].into_iter().for_each(send);
    engine.keeper.seal_now(None, None).unwrap();
    OLD_BATCHES[1].into_iter().for_each(send);
    engine.keeper.round().unwrap();
}

fn events_in(batches: &[[u64; 2]]) -> u64 {
    batches.iter().flatten().map(|sequence| events_of(OLD_PRODUCER, *sequence).len() as u64).sum()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Makes `data` a copy of the template.
fn begin_again(template: &Path, data: &Path) {
    if data.exists() {
        fs::remove_dir_all(data).unwrap();
    }
    for path in files_below(template) {
        let target = data.join(path.strip_prefix(template).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
    }
}

/// What a run was told when something went wrong.
#[derive(Default)]
struct Told {
    refused: Vec<(Code, String)>,
    acknowledged: usize,
    /// The retry of an old batch was told that retention may have taken it.
    old_is_gone: bool,
}

impl Told {
    fn keep<T>(&mut self, answer: Result<T, tonic::Status>) -> Option<T> {
        answer.map_err(|status| self.refused.push((status.code(), status.message().to_owned()))).ok()
    }
}

/// Append, roll, seal, sweep, append; nothing is tried twice.
async fn work(endpoint: &str, promises: &Promises) -> Told {
    let mut told = Told::default();
    let Ok(mut events) = EventServiceClient::connect(endpoint.to_owned()).await else { return told };
    let Ok(client) = Client::connect(ClientOptions::new(endpoint.to_owned())).await else { return told };
    let first_half: [(u64, u64); 6] = [(11, 1), (12, 1), (11, 2), (11, 3), (12, 2), (12, 3)];
    let second_half: [(u64, u64); 6] = [(11, 4), (12, 4), (11, 2), (OLD_PRODUCER, 5), (11, 6), (12, 5)];
    for (half, batches) in [first_half, second_half].into_iter().enumerate() {
        for (producer_id, producer_sequence) in batches {
            let request = AppendRequest {
                events: events_of(producer_id, producer_sequence),
                producer_id,
                producer_sequence,
            };
            let answer = events.append(request).await;
            if producer_id == OLD_PRODUCER
                && answer.as_ref().is_err_and(|status| status.code() == Code::OutOfRange)
            {
                told.old_is_gone = true;
            } else if let Some(answer) = told.keep(answer) {
                promises.keep(producer_id, producer_sequence, answer.into_inner().ranges);
                told.acknowledged += 1;
            }
        }
        if half == 0 {
            let refused = [client.seal(SealRequest::default()).await.err(), client.sweep(false).await.err()];
            for error in refused.into_iter().flatten() {
                told.refused.push((error.code().unwrap_or(Code::Unknown), error.to_string()));
            }
        }
    }
    told
}

/// Starts a daemon without faults on what a run left behind, and compares it with what was promised.
async fn check_what_is_left(folder: &Path, promises: &Promises, old_is_gone: bool) {
    let daemon = tokio::task::block_in_place(|| Daemon::start(folder, CONFIG, &["--log-level", "warn"]));
    let client = Client::connect(ClientOptions::new(daemon.grpc().to_owned())).await.unwrap();
    let there = begins(&client).await;
    if old_is_gone {
        assert!(there["standard"] >= events_in(&OLD_BATCHES), "the old batch is there: {there:?}");
    }
    check_from(&client, promises, &there).await;
    let mut events = EventServiceClient::connect(daemon.grpc().to_owned()).await.unwrap();
    // What was acknowledged keeps its addresses; the rest is stored now, or was.
    for producer in [11, 12] {
        for sequence in 1..=6 {
            promises.keep(producer, sequence, acknowledged(&mut events, producer, sequence).await);
        }
    }
    // With the faults over, all is sealed, and what has expired goes.
    client.seal(SealRequest::default()).await.unwrap();
    client.sweep(false).await.unwrap();
    let begins = begins(&client).await;
    assert!(begins["standard"] >= events_in(&OLD_BATCHES[..1]), "what expired is gone: {begins:?}");
    check_from(&client, promises, &begins).await;
    drop(client);
    tokio::task::block_in_place(|| check_files(daemon));
}

/// Where each class begins.
async fn begins(client: &Client) -> BTreeMap<String, u64> {
    let status = client.status().await.unwrap();
    for log in &status.logs {
        assert_eq!(log.read_only_reason, "", "{} takes appends after a restart", log.class);
    }
    status.logs.into_iter().map(|log| (log.class, log.first_sequence)).collect()
}

/// Every file checks; a segment is gone with a receipt only.
fn check_files(mut daemon: Daemon) {
    assert!(daemon.terminate().0.success(), "{}", daemon.log());
    let logs = daemon.data().join("logs/default");
    let files = files_below(&logs);
    assert!(files.iter().any(|path| path.ends_with("standard/00000000000000000000.drop")), "{files:?}");
    for path in files {
        let ending = path.extension().unwrap_or_default().to_str().unwrap();
        assert_ne!(ending, "tmp", "a start removes {}", path.display());
        if ["log", "seal", "drop"].contains(&ending) {
            run_alone(&logs, &["inspect", path.to_str().unwrap(), "--frames", "0"]).with(0);
        }
    }
}

/// What the points came to.
#[derive(Default)]
struct Counts {
    kills: usize,
    failures: usize,
    refused: usize,
    ended: usize,
    unmet: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.failures += other.failures;
        self.refused += other.refused;
        self.ended += other.ended;
        self.unmet += other.unmet;
    }
}

/// What every run begins with.
struct Runs {
    folder: PathBuf,
    template: PathBuf,
    /// What was acknowledged before.
    old: Promises,
}

impl Runs {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn trace(&self) -> PathBuf {
        self.folder.join("trace")
    }

    /// Starts a daemon on the template.
    fn start(&self, wrapper: &[String]) -> Result<Daemon, String> {
        begin_again(&self.template, &self.data());
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let start = || Daemon::start_under(&wrapper, &self.folder, CONFIG, &["--log-level", "warn"]);
        tokio::task::block_in_place(start)
    }

    /// One run with one fault, and everything that must hold after it.
    async fn try_point(self: Arc<Self>, point: Point) -> Counts {
        let promises = Promises::default();
        promises.batches.lock().unwrap().extend(self.old.batches.lock().unwrap().clone());
        let mut told = Told::default();
        let (log, ended) = match self.start(&point.wrapper(&self.data(), &self.trace())) {
            Ok(mut daemon) => {
                let work = timeout(PATIENCE, work(daemon.grpc(), &promises)).await;
                told = work.unwrap_or_else(|_| panic!("a call has no answer"));
                let ended = !Path::new(&format!("/proc/{}", daemon.pid())).exists();
                tokio::task::block_in_place(|| daemon.kill());
                (daemon.log(), ended)
            }
            Err(log) => (log, true),
        };
        let trace = fs::read_to_string(self.trace()).unwrap();
        let was_met = trace.contains("INJECTED") || trace.contains("killed by SIGKILL");
        let mut counts = Counts::default();
        match point.fault {
            _ if !was_met => counts.unmet = 1,
            Fault::Kill => counts.kills = 1,
            Fault::Once(error) | Fault::ForEver(error) => {
                counts.failures = 1;
                counts.refused = usize::from(!told.refused.is_empty());
                counts.ended = usize::from(ended);
                check_words(error, &told, ended.then_some(&log));
            }
        }
        check_what_is_left(&self.folder, &promises, told.old_is_gone).await;
        counts
    }
}

/// A call that failed is either nothing to anybody, or is told: by a refusal, or as the last words of the daemon; with
/// the file, and what the system said.
fn check_words(error: &str, told: &Told, last_words: Option<&String>) {
    let said = if error == "EIO" { "os error 5" } else { "os error 28" };
    for (code, words) in told.refused.iter().filter(|_| last_words.is_none()) {
        let codes = [Code::Unavailable, Code::ResourceExhausted, Code::FailedPrecondition, Code::DataLoss];
        assert!(codes.contains(code), "{code:?} {words}");
        let kept_back = words.contains("the disk is full");
        assert!(kept_back || (words.contains(said) && names_a_file(words)), "{code:?} {words}");
    }
    if let Some(log) = last_words {
        let is_told = |line: &str| line.contains(said) && names_a_file(line);
        assert!(log.lines().any(is_told), "its last words name no file:\n{log}");
    }
}

fn names_a_file(words: &str) -> bool {
    ["logs/", "logs:", "tree", "piperoll.dir", "ballast", "data:"].iter().any(|name| words.contains(name))
}

/// R1, R2, R3, R4, R5, R9, R10, R11, R14, R26: each call of append, roll, seal and sweep of the real binary fails, once and for
/// ever, with EIO and ENOSPC, or is its last one. What was acknowledged is found at its address, nothing is there twice,
/// retries get their addresses, what failed is told with file and reason, and a start without the fault goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_daemon_may_fail_or_be_its_last() {
    let folder = tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap();
    let runs = Runs { template: home.join("template"), folder: home, old: Promises::default() };
    make_template(&runs.template);
    write(&runs.trace(), "");
    let mut daemon = match runs.start(&tracer(&runs.trace())) {
        Ok(daemon) => daemon,
        Err(reason) => return println!("skipped, because {reason}"),
    };
    let mut events = EventServiceClient::connect(daemon.grpc().to_owned()).await.unwrap();
    for sequence in OLD_BATCHES.into_iter().flatten() {
        runs.old.keep(OLD_PRODUCER, sequence, acknowledged(&mut events, OLD_PRODUCER, sequence).await);
    }
    let told = work(daemon.grpc(), &Promises::default()).await;
    assert_eq!((told.refused.len(), told.acknowledged), (0, 12), "{:?}", told.refused);
    tokio::task::block_in_place(|| daemon.terminate());
    drop(daemon);

    let points = points(&fs::read_to_string(runs.trace()).unwrap(), &runs.data());
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|text| text.parse().ok());
    let tried = cases.unwrap_or(POINTS_TRIED).min(points.len());
    let runs = Arc::new(runs);
    let (mut sum, mut wrong) = (Counts::default(), Vec::new());
    for number in 0..tried {
        let point = &points[number * points.len() / tried];
        // A task of its own, so that one that fails does not hide the others.
        match tokio::spawn(Arc::clone(&runs).try_point(point.clone())).await {
            Ok(counts) => sum.add(&counts),
            Err(error) => wrong.push(format!("{point:?}: {error}")),
        }
    }
    let Counts { kills, failures, refused, ended, unmet } = sum;
    println!(
        "{tried} of {} points: {kills} kills, {failures} failures ({refused} refused something, {ended} ended the \
         daemon), {unmet} not met",
        points.len()
    );
    assert!(wrong.is_empty(), "{} points went wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(unmet * 4 <= tried, "most points are met");
}
