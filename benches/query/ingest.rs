//! What questions cost those who append: the rate of one stream, with 50 questions a second and without, in turns.

use crate::{
    alone::Alone,
    batches::batches,
    clock::now,
    net::connect,
    process::Process,
    questions::Question,
    report::{keep, print},
    steady::Asking,
};
use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use piperoll_proto::raw::{RawMessage, event_service_client::EventServiceClient};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const SEED: u64 = 77;
const BATCH_EVENTS: usize = 256;
/// Distinct messages.
const MESSAGES: usize = 200;
/// Messages that wait for their answers: well below what may wait for a log.
const WINDOW: usize = 128;
/// With questions and without, so many times each.
const TURNS: u32 = 4;
/// Of the rate without questions, at least.
const RATIOS_MIN: [f64; 2] = [0.9, 0.9];

/// Appends to the daemon's own history, whose answers change by it: so this comes last.
pub(crate) fn measure(alone: &Alone<'_>, questions: &[Question]) -> Result<()> {
    let Alone { scale, clients, folder, events, time } = *alone;
    let daemon = Process::start(folder)?;
    let messages = batches(SEED, MESSAGES, BATCH_EVENTS);
    let mut rates = [0.0, 0.0];
    let mut asked = 0;
    for _ in 0..TURNS {
        for (with_questions, rate) in (0..).zip(&mut rates) {
            clients.block_on(async {
                let asking = if with_questions == 1 {
                    Some(Asking::start(daemon.address, questions.to_vec(), |_, _| Ok(())).await?)
                } else {
                    None
                };
                *rate += append(daemon.address, &messages, time / TURNS).await? / f64::from(TURNS);
                if let Some(asking) = asking {
                    asked += asking.stop().await?;
                }
                anyhow::Ok(())
            })?;
            daemon.wait_until_quiet()?;
        }
    }
    let [without, with] = rates;
    let ratio = with / without;
    print(&format!(
        "## Ingest\n\n{without:.0} events/s by themselves, {with:.0} while {asked} questions are answered, 50 a second: {ratio:.2}\n"
    ))?;
    keep(scale, &format!("ingest while asked, {events} events"), ratio, "of ingest alone", RATIOS_MIN)
}

/// Appends for `time`, and waits for all answers; events a second.
async fn append(address: SocketAddr, messages: &Arc<[Bytes]>, time: Duration) -> Result<f64> {
    let (window, messages) = (Arc::new(Semaphore::new(WINDOW)), Arc::clone(messages));
    let waits = Arc::clone(&window);
    let start = now();
    let sending = stream::unfold(0, move |number: usize| {
        let (window, messages) = (Arc::clone(&waits), Arc::clone(&messages));
        async move {
            if number > 0 && start.elapsed() >= time {
                return None;
            }
            // Nobody closes the window; forgotten, the permit comes back with the answer.
            window.acquire().await.ok()?.forget();
            Some((RawMessage(messages.get(number % messages.len())?.clone()), number + 1))
        }
    });
    let mut answers =
        EventServiceClient::new(connect(address).await?).append_stream(sending).await?.into_inner();
    let mut count = 0;
    while answers.message().await?.is_some() {
        window.add_permits(1);
        count += BATCH_EVENTS;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
