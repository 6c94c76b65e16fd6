//! A sweep of half of many small segments, beside a loop that writes and syncs the same receipts, unlinks the
//! same files and syncs the directory.

use crate::{
    Bench,
    clock::now,
    daemon::start_daemon,
    report::{keep, print},
};
use anyhow::{Context as _, Result};
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::{Event, SealRequest};
use piperoll_samples::Events;
use piperoll_server::{ClassRule, Config, Keep, Route, Size, Span};
use rustix::fs::unlink;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

const SEGMENTS: usize = 2_000;
/// Events of a segment.
const EVENTS: usize = 20;
/// What goes with a segment, beside its seal, which stays with the receipt.
const DROPPED: [&str; 4] = ["idx", "producers", "torn", "log"];
/// Small, so that the room kept for it is.
const SEGMENT_BYTES_MAX: u64 = 64 << 10;
const KEPT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The class that expires; the other half of the segments is of the default class, and stays.
const EXPIRING: &str = "steps";
const RATIOS: [f64; 2] = [3.0, 3.0];

/// The bare loop has half of its turn before the sweep and half after it.
pub(crate) fn case(bench: &Bench) -> Result<()> {
    let half = if bench.scale.full { SEGMENTS } else { 8 } / 2;
    let held = tempfile::tempdir_in(&bench.directory)?;
    let data = held.path().join("data");
    let daemon = start_daemon(&bench.servers, &data, settings)?;
    let (copy, swept) = bench.clients.block_on(async {
        let client = Client::connect(ClientOptions::new(format!("http://{}", daemon.grpc_address))).await?;
        fill(&client, half).await?;
        let copy = Copy::of(&data.join("logs/default").join(EXPIRING), &held.path().join("copy"))?;
        anyhow::ensure!(copy.segments.len() == half, "there are {} segments", copy.segments.len());
        while client.sweep(true).await?.segments.len() < half {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok((copy, client))
    })?;
    let (first, second) = copy.segments.split_at(half / 2);
    let mut bare = copy.drop_all(first)?;
    let start = now();
    let dropped = bench.clients.block_on(swept.sweep(false))?.segments.len();
    let sweep = start.elapsed();
    anyhow::ensure!(dropped == half, "the sweep dropped {dropped} of {half} segments");
    bare += copy.drop_all(second)?;
    bench.servers.block_on(daemon.stop())?;

    let ratio = sweep.as_secs_f64() / bare.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / half as f64;
    print(&format!(
        "## Sweep\n\n{half} of {} segments: {:.0} µs a segment, the bare loop {:.0} µs, ratio {ratio:.2}\n",
        2 * half,
        each(sweep),
        each(bare)
    ))?;
    keep(bench.scale, "sweep of half of 2,000 small segments", ratio, "of a bare loop", RATIOS)
}

fn settings(config: &mut Config) {
    config.storage.segment_bytes_max = Size(SEGMENT_BYTES_MAX);
    config.retention.classes.push(ClassRule { name: EXPIRING.to_owned(), keep: Keep(Some(Span(KEPT))) });
    let action = Some("step.*".to_owned());
    config.retention.routes = vec![Route { class: EXPIRING.to_owned(), action, ..Route::default() }];
}

/// Makes `count` sealed segments of each class.
async fn fill(client: &Client, count: usize) -> Result<()> {
    let events = Events::new(1, (4 * count * EVENTS) as u64, 1.0);
    let is_step = |event: &Event| event.action().starts_with("step.");
    let (mut steps, mut others) = (Vec::new(), Vec::new());
    let mut made = 0;
    for event in events {
        let kind = if is_step(&event) { &mut steps } else { &mut others };
        kind.push(event);
        if steps.len() >= EVENTS && others.len() >= EVENTS {
            client.append(steps.drain(..EVENTS).chain(others.drain(..EVENTS)).collect()).await?;
            client.seal(SealRequest::default()).await?;
            made += 1;
        }
        if made == count {
            break;
        }
    }
    Ok(())
}

/// A copy of a log's sealed segments, to be dropped by hand.
struct Copy {
    directory: PathBuf,
    /// Names without their endings.
    segments: Vec<PathBuf>,
}

impl Copy {
    fn of(log: &Path, to: &Path) -> Result<Self> {
        fs::create_dir(to)?;
        let mut segments = Vec::new();
        for entry in fs::read_dir(log)? {
            let from = entry?.path();
            let name = from.file_name().context("a file has a name")?;
            if from.with_extension("seal").exists() {
                fs::copy(&from, to.join(name))?;
            }
            if from.extension().is_some_and(|ending| ending == "seal") {
                segments.push(to.join(name).with_extension(""));
            }
        }
        segments.sort();
        rustix::fs::syncfs(File::open(to)?)?;
        Ok(Self { directory: to.to_owned(), segments })
    }

    /// Drops these; the time that it took.
    fn drop_all(&self, segments: &[PathBuf]) -> Result<Duration> {
        let directory = File::open(&self.directory)?;
        // A receipt has the fields of a seal, and a rule in words.
        let rule = format!("class {EXPIRING} keeps {} s, piperoll", KEPT.as_secs());
        let start = now();
        for segment in segments {
            let mut receipt = fs::read(segment.with_extension("seal"))?;
            receipt.extend_from_slice(rule.as_bytes());
            let mut file = File::create(segment.with_extension("drop"))?;
            file.write_all(&receipt)?;
            file.sync_data()?;
            for ending in DROPPED {
                match unlink(segment.with_extension(ending)) {
                    Err(rustix::io::Errno::NOENT) => {}
                    unlinked => unlinked?,
                }
            }
            directory.sync_all()?;
        }
        Ok(start.elapsed())
    }
}
