//! A daemon on a temporary directory and free ports, asked through the client and through bare gRPC.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod bad_input;
mod follow;
mod main_path;
mod produce;
mod questions;
mod reflect;
mod start_stop;
mod streams;
mod support;
