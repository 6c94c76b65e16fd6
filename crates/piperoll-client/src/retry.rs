//! When to try again.

use crate::error::{ClientError, Refusal};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Waits longer each time, until something succeeds, and not for ever.
#[derive(Debug)]
pub(crate) struct Retry {
    patience: Duration,
    wait: Duration,
    failing_since: Option<Instant>,
}

impl Retry {
    /// Gives up after `patience` without success.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, wait: FIRST_WAIT, failing_since: None }
    }

    /// Something worked.
    pub(crate) fn succeeded(&mut self) {
        self.wait = FIRST_WAIT;
        self.failing_since = None;
    }

    /// Something failed. Returns when it is time to try again, or why not to.
    pub(crate) async fn failed(&mut self, refusal: Refusal) -> Result<(), ClientError> {
        if !refusal.may_pass() {
            return Err(ClientError::Refused(Box::new(refusal)));
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.patience {
            return Err(ClientError::GaveUp { after: self.patience, last: Box::new(refusal) });
        }
        let left = self.patience.saturating_sub(since.elapsed());
        sleep(self.next_wait(refusal.retry_after).min(left)).await;
        Ok(())
    }

    /// At least what the daemon asks for, else between half and all of the current wait: a fleet that lost its
    /// daemon must not come back in step.
    fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let part = wait / 2 + (wait / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
        part + asked.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Code, Status};

    fn refusal(code: Code) -> Refusal {
        Refusal::from(&Status::new(code, "x"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_until_patience_ends_and_success_renews_it() {
        let mut retry = Retry::new(Duration::from_secs(10));
        let began = Instant::now();
        while retry.failed(refusal(Code::Unavailable)).await.is_ok() {}
        assert_eq!(began.elapsed().as_secs(), 10);
        retry.succeeded();
        assert!(retry.failed(refusal(Code::Unavailable)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_pass_is_not_tried_again() {
        let mut retry = Retry::new(Duration::from_secs(10));
        for code in [Code::InvalidArgument, Code::AlreadyExists, Code::OutOfRange, Code::FailedPrecondition] {
            assert!(matches!(retry.failed(refusal(code)).await, Err(ClientError::Refused(_))), "{code:?}");
        }
    }

    /// A tail that looks for something in too much is told so, and does not look for it again and again.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_took_too_long_is_not_asked_again() {
        let mut retry = Retry::new(Duration::from_secs(10));
        let mut late = refusal(Code::DeadlineExceeded);
        assert!(retry.failed(late.clone()).await.is_ok());
        late.reason = "ANSWER_TOO_LATE".to_owned();
        assert!(matches!(retry.failed(late).await, Err(ClientError::Refused(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_at_least_what_the_daemon_asks_for() {
        let mut retry = Retry::new(Duration::from_mins(1));
        let mut full = refusal(Code::ResourceExhausted);
        full.retry_after = Some(Duration::from_secs(3));
        let began = Instant::now();
        retry.failed(full).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(3));
    }
}
