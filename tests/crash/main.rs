//! SIGKILL under load, again and again: nothing that was acknowledged is lost, doubled or changed (R1, R2, R5).

#[cfg(test)]
#[path = "../support/daemon.rs"]
mod daemon;
#[cfg(test)]
#[path = "../support/http.rs"]
mod http;
#[cfg(test)]
mod kill;
#[cfg(test)]
#[path = "../support/program.rs"]
mod program;
#[cfg(test)]
mod senders;
