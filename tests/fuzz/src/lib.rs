//! Fuzz targets for whatever parses: each takes any bytes, asks everything that can be asked of them, and asserts
//! what must hold of the answer.
//!
//! `cargo test` runs every target over its seeds and over changed seeds, the same ones each time;
//! `tests/fuzz/run` runs the same functions under libFuzzer. Where a checksum would keep the fuzzer outside, the
//! target puts the right one in: a checksum is no secret to whoever writes wrong bytes.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "these are tests, and fail as tests do")]

pub mod chosen;
pub mod mutate;
mod targets;

use targets::{events, files, index, store, text};

/// One thing to fuzz.
pub struct Target {
    /// Its name, for the command line.
    pub name: &'static str,
    /// Runs it once; a panic is a finding.
    pub run: fn(&[u8]),
    /// Real inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("event", events::event, events::event_seeds),
    target("request", events::request, events::request_seeds),
    target("json", events::json, events::json_seeds),
    target("github", events::github, events::github_seeds),
    target("filter", text::filter, text::filter_seeds),
    target("config", text::config, text::config_seeds),
    target("position", text::position, text::position_seeds),
    target("frame", files::frame, files::frame_seeds),
    target("walk", files::walk, files::walk_seeds),
    target("segment_header", files::segment_header, files::segment_header_seeds),
    target("envelope", files::envelope, files::envelope_seeds),
    target("entry", files::entry, files::entry_seeds),
    target("round", files::round, files::round_seeds),
    target("producers", files::producers, files::producers_seeds),
    target("directory", files::directory, files::directory_seeds),
    target("index", index::index, index::index_seeds),
    target("store", store::store, store::store_seeds),
];
