//! A crash after each call of a script, and every state of the disk, or many drawn by seed, that it may leave.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

use piperoll_store::Options;
use piperoll_store::sim::{CallKind, Crash, Effect, Fault, Random, SimDisk};

use crate::oracle::Oracle;
use crate::script::{Step, tour, tour_with_a_loss};
use crate::setting;
use crate::tally::{Tally, on_all_cores, promises};
use crate::world::{World, small_options};

/// States that are tried at one call, at most.
const STATES_EACH_MAX: u64 = 1 << 20;

/// A script and the sizes it is done with.
struct Plan {
    script: Vec<Step>,
    options: Options,
    seed: u64,
}

/// The scripts: with small groups, with a loss that a person accepts, and with groups of many sectors.
fn plans() -> Vec<Plan> {
    let wide = Options {
        segment_bytes_max: 16_384,
        allocate_bytes_min: 8_192,
        allocate_bytes_max: 16_384,
        group_bytes_max: 8_192,
        ..small_options()
    };
    vec![
        Plan { script: tour(), options: small_options(), seed: 0 },
        Plan { script: tour_with_a_loss(), options: small_options(), seed: 5 },
        Plan { script: tour(), options: wide, seed: 6 },
    ]
}

impl Plan {
    /// Does the script until the machine stops before call `stop`; the oracle knows what was promised by then.
    fn run_until(&self, stop: u64) -> World {
        run_on(SimDisk::new(), self, stop)
    }

    /// Calls that the whole script makes.
    fn calls(&self) -> u64 {
        self.run_until(u64::MAX).disk.calls()
    }
}

fn run_on(disk: SimDisk, plan: &Plan, stop: u64) -> World {
    let mut world = World::over(disk, Oracle::default(), plan.seed, plan.options.clone());
    world.disk.stop_at(stop);
    let done = world.open().and_then(|()| {
        plan.script.iter().try_for_each(|step| {
            world.step(step)?;
            world.check(true)
        })
    });
    // A machine that stops while the engine starts opens nothing.
    if let Err(text) = done
        && world.disk.calls() < stop
    {
        panic!(
            "{text}, before any crash, at call {} of the disk\n{}",
            world.disk.calls(),
            world.disk.last_calls()
        );
    }
    world.close();
    world
}

/// The store comes back on `disk`, and has what it promised; what was sent may be sent again, and what was acknowledged
/// or read has its address.
fn recovers(before: &World, disk: SimDisk) -> Result<World, String> {
    let mut world = before.after(disk);
    world.tick(1_000_000_000);
    let done = world.open().and_then(|()| world.accept_outstanding()).and_then(|()| world.check(false));
    // Until its clock is believed it takes no appends.
    world.set_clock_right();
    let done = done.and_then(|()| world.retry_all());
    done.map_err(|text| told(&world, &text))?;
    Ok(world)
}

/// As [`recovers`]; then it works on.
pub(crate) fn comes_back(before: &World, disk: SimDisk) -> Result<World, String> {
    let mut world = recovers(before, disk)?;
    world.check(false).and_then(|()| works_on(&mut world)).map_err(|text| told(&world, &text))?;
    Ok(world)
}

fn told(world: &World, text: &str) -> String {
    format!("{text}\nlast calls:\n{}", world.disk.last_calls())
}

/// With a healthy disk everything that waits is done at once.
fn works_on(world: &mut World) -> Result<(), String> {
    if !world.seal()? || !world.round()? || !world.sweep()? {
        return Err("seal, round or sweep failed on a healthy disk".to_owned());
    }
    world.check_answers()?;
    world.is_healthy()
}

/// A second crash, somewhere on the way back from the first.
fn comes_back_twice(before: &World, disk: &SimDisk, seed: u64) -> Result<(), String> {
    let whole = comes_back(before, disk.crash(Crash::Everything))?;
    let mut random = Random::new(seed);
    let second = disk.crash(Crash::Everything);
    let stop = random.below(whole.disk.calls());
    second.stop_at(stop);
    let mut world = before.after(second);
    world.tick(1_000_000_000);
    let done = world
        .open()
        .and_then(|()| world.accept_outstanding())
        .and_then(|()| world.check(true))
        .and_then(|()| world.retry_all());
    // What fails later fails because the machine has stopped; what was promised meanwhile the oracle knows.
    if let Err(text) = done
        && world.disk.calls() < stop
    {
        return Err(told(&world, &text));
    }
    world.close();
    let crash = Crash::Random(random.number());
    comes_back(&world, world.disk.crash(crash)).map(drop).map_err(|text| {
        let calls = world.disk.last_calls();
        format!("second crash {crash:?} before call {stop}: {text}\nbefore it:\n{calls}\n")
    })
}

/// How much is done with each disk that is new: one in so many …
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// … crashes again on the way back,
    pub(crate) inside: u64,
    /// … or works on after its recovery.
    pub(crate) on: u64,
}

/// Tries up to `states` crashes of the world as it stands.
pub(crate) fn crash_here(
    world: &World,
    stop: u64,
    states: usize,
    depth: Depth,
    tally: &Tally,
) -> Result<(), String> {
    tally.calls.fetch_add(1, SeqCst);
    let promises = promises(world);
    let mut new = stop;
    let mut wreck = world.disk.wreck();
    for crash in Crash::shapes(wreck.undecided(), states, stop) {
        let found = wreck.after(crash);
        if !tally.is_new(found.fingerprint(), promises) {
            continue;
        }
        let disk = found.disk();
        new += 1;
        let back = if new.is_multiple_of(depth.inside) {
            tally.inside.fetch_add(1, SeqCst);
            comes_back_twice(world, &disk, new)
        } else if new.is_multiple_of(depth.on) {
            tally.worked_on.fetch_add(1, SeqCst);
            comes_back(world, disk).map(drop)
        } else {
            recovers(world, disk).map(drop)
        };
        back.map_err(|text| {
            format!("{crash:?} before call {stop}: {text}\nbefore the crash:\n{}", world.disk.last_calls())
        })?;
    }
    Ok(())
}

/// How many states to try at each stop, so that all together are about `wanted`: the same number at each, where
/// there are so many.
fn states_each(possible: &[u64], wanted: u64) -> u64 {
    let all = |each: u64| possible.iter().map(|&states| states.min(each)).sum::<u64>();
    let (mut low, mut high) = (1, STATES_EACH_MAX);
    while low < high {
        let middle = low.midpoint(high);
        if all(middle) >= wanted { high = middle } else { low = middle + 1 }
    }
    low
}

/// R1, R2, R3, R4, R6: a crash before any call, in every state of the disk, or many.
#[test]
fn every_call_may_be_the_last() {
    let wanted = setting("PIPEROLL_CRASH_STATES", 12_000);
    let depth = if wanted > 100_000 { Depth { inside: 64, on: 8 } } else { Depth { inside: 8, on: 2 } };
    let tally = Tally::new("exhaustive driver");
    let plans = plans();
    let stops: Vec<(&Plan, u64, OnceLock<World>)> = plans
        .iter()
        .flat_map(|plan| (0..=plan.calls()).map(move |stop| (plan, stop, OnceLock::new())))
        .collect();
    let world = |at: u64| {
        let (plan, stop, world) = &stops[usize::try_from(at).expect("few")];
        (world.get_or_init(|| plan.run_until(*stop)), *stop)
    };
    let count = stops.len() as u64;
    on_all_cores(count, |at| {
        world(at);
        Ok(())
    })
    .expect("done");
    let possible: Vec<u64> = (0..count).map(|at| 1 << world(at).0.disk.undecided().min(32)).collect();
    let states = usize::try_from(states_each(&possible, wanted)).expect("fits");
    on_all_cores(count, |at| {
        let (world, stop) = world(at);
        crash_here(world, stop, states, depth, &tally)
    })
    .unwrap_or_else(|text| panic!("{text}"));
    eprintln!("{tally}");
    assert!(tally.distinct() > 1_000, "{tally}");
}

/// The story: a process was killed between the rename of a new segment and the sync of its directory; the next
/// one found the segment, appended to it and acknowledged, and then the power went, and with it the name.
#[test]
fn what_is_built_on_the_work_of_a_killed_process_is_durable() {
    let plan = Plan { script: tour(), options: small_options(), seed: 1 };
    on_all_cores(plan.calls() + 1, |stop| {
        let world = plan.run_until(stop);
        world.disk.heal();
        let told = |text| format!("killed before call {stop}: {text}");
        let mut next = comes_back(&world, world.disk.clone()).map_err(told)?;
        next.close();
        comes_back(&next, next.disk.crash(Crash::Nothing))
            .map(drop)
            .map_err(|text| format!("killed before call {stop}, after the power went too: {text}"))
    })
    .expect("keeps its promises");
}

/// The control: were syncs not needed, or the oracle blind, this would not fail.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    for (kind, path_end) in
        [(CallKind::SyncData, ".log"), (CallKind::SyncDir, "build"), (CallKind::SyncDir, "logs")]
    {
        let disk = SimDisk::new();
        disk.inject(Fault::next(Effect::Lie).kind(kind).on(path_end).forever());
        let plan = Plan { script: tour(), options: small_options(), seed: 2 };
        let world = run_on(disk, &plan, u64::MAX);
        let back = comes_back(&world, world.disk.crash(Crash::Nothing));
        assert!(back.is_err(), "a {kind:?} of {path_end} is not needed");
    }
}
