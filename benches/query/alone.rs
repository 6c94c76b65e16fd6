//! The real program by itself: cold answers, and its memory while it is asked.

use crate::{
    answers::readable,
    ask::{ask, check},
    clock::now,
    net::connect,
    process::Process,
    questions::Question,
    report::{Scale, keep, print},
    steady::Asking,
};
use anyhow::Result;
use std::{fs::File, io::Write as _, path::Path, time::Duration};
use tokio::runtime::Runtime;

const COLD_MS_MAX: [f64; 2] = [500.0, 500.0];
const MEMORY_MIB_MAX: [f64; 2] = [512.0, 512.0];
const MIB: f64 = 1_048_576.0;
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// On what it is measured.
#[derive(Clone, Copy)]
pub(crate) struct Alone<'a> {
    pub(crate) scale: Scale,
    pub(crate) clients: &'a Runtime,
    /// The daemon's files are in `data` of it.
    pub(crate) folder: &'a Path,
    /// How many events these have.
    pub(crate) events: u64,
    /// How long questions are asked steadily.
    pub(crate) time: Duration,
}

/// The first answer of a fresh daemon to each question, nothing of its files being in memory.
pub(crate) fn measure_cold(alone: &Alone<'_>, questions: &[Question]) -> Result<()> {
    let Alone { scale, clients, folder, events, .. } = *alone;
    if let Err(error) = drop_page_cache(scale) {
        return print(&format!("## Cold answers: not measured, {DROP_CACHES} cannot be written: {error}\n"));
    }
    print("## Cold answers\n\n| question | answer | ready | ready and answered |\n|---|---|---|---|")?;
    for question in questions {
        drop_page_cache(scale)?;
        let mut daemon = Process::start(folder)?;
        let (answer, took) = clients.block_on(async {
            let channel = connect(daemon.address).await?;
            let start = now();
            anyhow::Ok((ask(&channel, question).await?, start.elapsed()))
        })?;
        let [ready, since_start] = [daemon.ready, daemon.begun.elapsed()].map(readable);
        check(question, &answer)?;
        print(&format!("| {} | {} | {ready} | {since_start} |", question.name, readable(took)))?;
        daemon.kill()?;
        let figure = format!("cold query {}, {events} events", question.name);
        keep(scale, &figure, took.as_secs_f64() * 1e3, "ms", COLD_MS_MAX)?;
    }
    print("")
}

/// As `sync; echo 3 > /proc/sys/vm/drop_caches` does. A tiny run leaves the machine alone.
fn drop_page_cache(scale: Scale) -> Result<(), std::io::Error> {
    if scale.full {
        rustix::fs::sync();
        File::options().write(true).open(DROP_CACHES)?.write_all(b"3")?;
    }
    Ok(())
}

/// The most anonymous memory of a daemon that answers 50 questions a second.
pub(crate) fn measure_memory(alone: &Alone<'_>, questions: &[Question]) -> Result<()> {
    let Alone { scale, clients, folder, events, time } = *alone;
    let daemon = Process::start(folder)?;
    let watch = daemon.watch_memory();
    let asked = clients.block_on(async {
        let asking = Asking::start(daemon.address, questions.to_vec(), |question, answer| {
            check(question, answer).map(drop)
        })
        .await?;
        tokio::time::sleep(time).await;
        asking.stop().await
    })?;
    let most = watch.most()? as f64 / MIB;
    print(&format!(
        "## Memory\n\nanonymous memory, the most of it: {most:.0} MiB while {asked} questions are answered, 50 a second\n"
    ))?;
    keep(scale, &format!("anonymous memory while asked, {events} events"), most, "MiB", MEMORY_MIB_MAX)
}
