//! The real binary on real disks: SIGKILL under load, power cuts, full disks, pages that cannot be read. Nothing
//! that was acknowledged is lost, doubled or changed.
//!
//! `PIPEROLL_TEST_CASES` says how many kills there are, and a tenth of it how many power cuts. What needs a tool or a
//! right that is missing says so and is skipped.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod check;
#[cfg(test)]
#[path = "../support/daemon.rs"]
mod daemon;
#[cfg(test)]
mod full;
#[cfg(test)]
#[path = "../support/http.rs"]
mod http;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod pages;
#[cfg(test)]
#[path = "../support/past.rs"]
mod past;
#[cfg(test)]
mod points;
#[cfg(test)]
mod power;
#[cfg(test)]
#[path = "../support/program.rs"]
mod program;
#[cfg(test)]
mod senders;
#[cfg(test)]
mod volume;
