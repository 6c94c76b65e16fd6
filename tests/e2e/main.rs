//! The program from the outside: its commands, its daemon, and what they do with what is wrong.

#[cfg(test)]
mod accept_loss;
#[cfg(test)]
mod append;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod commands;
#[cfg(test)]
#[path = "../support/daemon.rs"]
mod daemon;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod following;
#[cfg(test)]
#[path = "../support/http.rs"]
mod http;
#[cfg(test)]
mod input;
#[cfg(test)]
mod inspect;
#[cfg(test)]
#[path = "../support/memory.rs"]
mod memory;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod parquet;
#[cfg(test)]
#[path = "../support/past.rs"]
mod past;
#[cfg(test)]
#[path = "../support/program.rs"]
mod program;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod reflection;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod shells;
#[cfg(test)]
mod slow_readers;
#[cfg(test)]
mod summaries;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod timelines;
