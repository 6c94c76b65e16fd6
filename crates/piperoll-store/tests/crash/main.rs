//! Crashes: the store loses its machine at every call it makes to the disk, and must keep its promises.
//!
//! `PIPEROLL_CRASH_STATES` says how many states of the disk are tried in all, `PIPEROLL_TEST_CASES` how many random
//! histories; `PIPEROLL_TEST_SEED` with a failure's seed repeats that one alone. `PIPEROLL_DAMAGE_STEP=1` damages
//! every byte of every file of a larger store, and not one of some. With `--nocapture` the drivers print what they
//! counted.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod losing;
#[cfg(test)]
mod message;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tally;
#[cfg(test)]
mod world;

/// The daemon's allocator; a million recoveries allocate much.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A number from the environment.
#[cfg(test)]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
