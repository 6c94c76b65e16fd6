//! Answers that go out one by one, and what may end them.

use crate::daemon::Daemon;
use futures_util::{StreamExt as _, stream};
use std::pin::Pin;
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::Status;

/// Answers on their way to a reader.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers as they come, and then, where `giving` ends with one, a status: behind the answers and not among them,
/// since the queue of a reader that takes nothing is full.
pub(super) fn answers_and_end<T: Send + 'static>(
    daemon: &Daemon,
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    giving: impl Future<Output = Option<Status>> + Send + 'static,
) -> Answers<T> {
    let (end, ended) = oneshot::channel();
    daemon.tasks.spawn(async move {
        // Fails where the reader has gone.
        let _ = end.send(giving.await);
    });
    let last = stream::once(ended).filter_map(|status| async { status.ok().flatten().map(Err) });
    Box::pin(answers.chain(last))
}
