//! The benches' one clock, and the median of what it reads.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time, and this is its one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The median; zero of nothing.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The median time of `runs` runs.
pub(crate) fn timed<E>(runs: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = now();
        run()?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}
