//! Overload: what a daemon holds in memory while its callers ask for all that they can, and what it keeps of its
//! promises meanwhile.
//!
//! `PIPEROLL_TEST_CASES` says how large the loads are; at 1,000, figures are kept too, of which none is asserted
//! but memory. `PIPEROLL_TEST_LOADS` may name some of the loads: `Tails,Giants`.

mod loads;
mod probe;
mod run;

use self::loads::Load;
use self::run::{Outcome, allow_many_connections, run, sizes};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

/// Anonymous memory of the daemon, whatever is asked of it.
const ANONYMOUS_BYTES_MAX: u64 = 512 << 20;
/// Cases, unless `PIPEROLL_TEST_CASES` says otherwise.
const CASES: usize = 20;
/// Cases from which on figures are kept.
const CASES_OF_FIGURES: usize = 1_000;

/// R39: idle connections, tails and queries that nobody reads, the longest and the shortest messages, messages that
/// never end, and values that are never the same: each by itself and all at once, memory has a bound, what was
/// acknowledged is there, and what was refused was refused for overload.
#[test]
fn memory_has_a_bound_and_promises_are_kept_under_overload() {
    allow_many_connections();
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let time = Duration::from_millis(200 + 10 * cases as u64);
    let each = Load::ALL.iter().map(|load| (format!("{load:?}"), std::slice::from_ref(load), cases));
    let all = ("all, a quarter of each".to_owned(), Load::ALL.as_slice(), cases / 4);
    println!("{:?}", sizes(cases));
    let chosen = std::env::var("PIPEROLL_TEST_LOADS").unwrap_or_default();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.split(',').any(|load| name.starts_with(load));
    for (name, loads, cases) in each.chain([all]).filter(|(name, ..)| is_chosen(name)) {
        let outcome = run(loads, sizes(cases), time);
        let (seen, mib) = (&outcome.loaded, outcome.anonymous >> 20);
        let ratio = tell(&name, &outcome);
        assert!(outcome.anonymous <= ANONYMOUS_BYTES_MAX, "{name}: {mib} MiB");
        assert!(!seen.acknowledged.is_empty(), "{name}: {:?}", seen.refused.first());
        let other = seen.refused.iter().find(|status| status.code() != Code::ResourceExhausted);
        assert!(other.is_none(), "{name}: {other:?}");
        if cases >= CASES_OF_FIGURES {
            keep(&format!("overload {name} p99"), ratio, "of unloaded", 3.0);
            keep(&format!("overload {name} memory"), mib as f64, "MiB anonymous", 512.0);
        }
    }
}

/// Prints a row; how much longer the slowest acknowledgements took beside the load.
fn tell(name: &str, outcome: &Outcome) -> f64 {
    let [alone, beside] = [&outcome.unloaded, &outcome.loaded]
        .map(|seen| [50, 99].map(|percent| seen.percentile(percent).as_secs_f64() * 1e3));
    let ratio = beside[1] / alone[1];
    println!(
        "| {name} | {} MiB | {:.1}, {:.1} ms | {:.1}, {:.1} ms | {ratio:.1} | {} | {} |",
        outcome.anonymous >> 20,
        alone[0],
        alone[1],
        beside[0],
        beside[1],
        outcome.loaded.acknowledged.len(),
        outcome.loaded.refused.len(),
    );
    ratio
}

/// Appends a figure to `target/figures.jsonl`.
fn keep(figure: &str, value: f64, unit: &str, goal: f64) {
    let line = json!({ "figure": figure, "value": value, "unit": unit, "baseline": goal, "goal": goal });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("figures.jsonl");
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}
