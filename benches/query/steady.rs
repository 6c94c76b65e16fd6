//! Questions at a steady rate, whatever they take: each is asked when it is due.

use crate::{
    ask::{Answer, ask},
    net::connect,
    questions::Question,
};
use anyhow::Result;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

/// 50 a second.
const EVERY: Duration = Duration::from_millis(20);
const CONNECTIONS: usize = 4;

/// Whoever asks; stopping tells what was answered.
pub(crate) struct Asking {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Result<usize>>,
}

impl Asking {
    /// Asks these in turn until it is stopped. `check` looks at each answer.
    pub(crate) async fn start(
        address: SocketAddr,
        questions: Vec<Question>,
        check: fn(&Question, &Answer) -> Result<()>,
    ) -> Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(address).await?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = tokio::spawn(async move {
            let mut due = interval(EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut answers = JoinSet::new();
            let (mut channels, mut questions) = (channels.iter().cycle(), questions.iter().cycle());
            while let Some((channel, question)) =
                channels.next().zip(questions.next()).filter(|_| !stopped.load(Relaxed))
            {
                due.tick().await;
                let (channel, question) = (channel.clone(), question.clone());
                answers.spawn(async move { check(&question, &ask(&channel, &question).await?) });
            }
            let answered = answers.len();
            while let Some(answer) = answers.join_next().await {
                answer??;
            }
            Ok(answered)
        });
        Ok(Self { stop, asking })
    }

    /// Asks nothing more, and waits for the answers; an error where one was wrong or none.
    pub(crate) async fn stop(self) -> Result<usize> {
        self.stop.store(true, Relaxed);
        self.asking.await?
    }
}
