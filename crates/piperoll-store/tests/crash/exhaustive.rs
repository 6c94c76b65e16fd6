//! A crash after each call of a script, and every state of the disk, or many drawn by seed, that it may leave.

use piperoll_store::sim::{CallKind, Crash, Effect, Fault, Random, SimDisk};

use crate::oracle::Oracle;
use crate::script::{Step, tour};
use crate::setting;
use crate::world::{World, small_options};

/// Does the script until the machine stops before call `stop`; the oracle knows what was promised by then.
fn run_until(script: &[Step], stop: u64, seed: u64) -> World {
    run_on(SimDisk::new(), script, stop, seed)
}

fn run_on(disk: SimDisk, script: &[Step], stop: u64, seed: u64) -> World {
    let mut world = World::over(disk, Oracle::default(), seed, small_options());
    world.disk.stop_at(stop);
    let done = world.open().and_then(|()| {
        script.iter().try_for_each(|step| {
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

/// The store comes back on `disk`, and has what it promised; then it works on.
pub(crate) fn comes_back(before: &World, disk: SimDisk) -> Result<World, String> {
    let mut world = before.after(disk);
    world.tick(1_000_000_000);
    let told = |world: &World, text: String| format!("{text}\nlast calls:\n{}", world.disk.last_calls());
    let done = world.open().and_then(|()| world.accept_outstanding()).and_then(|()| world.check(false));
    let done = done.and_then(|()| world.retry_all()).and_then(|()| world.check(false));
    let done = done.and_then(|()| works_on(&mut world));
    match done {
        Ok(()) => Ok(world),
        Err(text) => Err(told(&world, text)),
    }
}

/// With a healthy disk everything that waits is done at once.
fn works_on(world: &mut World) -> Result<(), String> {
    if !world.seal()? || !world.round()? || !world.sweep()? {
        return Err("seal, round or sweep failed on a healthy disk".to_owned());
    }
    world.check(false)?;
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
    // Whatever fails here fails because the machine stops; what was promised meanwhile the oracle knows.
    let _ = world
        .open()
        .and_then(|()| world.accept_outstanding())
        .and_then(|()| world.check(true))
        .and_then(|()| world.retry_all());
    world.close();
    let crash = Crash::Random(random.number());
    comes_back(&world, world.disk.crash(crash)).map(drop).map_err(|text| {
        let calls = world.disk.last_calls();
        format!("second crash {crash:?} before call {stop}: {text}\nbefore it:\n{calls}\n")
    })
}

/// Tries crashes of the world as it stands.
pub(crate) fn crash_here(world: &World, stop: u64, states: usize) {
    for (at, crash) in world.disk.crashes(states, stop).into_iter().enumerate() {
        let disk = world.disk.crash(crash);
        let twice = (at as u64 + stop).is_multiple_of(4);
        let back =
            if twice { comes_back_twice(world, &disk, stop) } else { comes_back(world, disk).map(drop) };
        if let Err(text) = back {
            panic!("{crash:?} before call {stop}: {text}\nbefore the crash:\n{}", world.disk.last_calls());
        }
    }
}

#[test]
fn every_call_may_be_the_last() {
    let script = tour();
    let states = usize::try_from(setting("PIPEROLL_CRASH_STATES", 8)).expect("fits");
    let calls = run_until(&script, u64::MAX, 0).disk.calls();
    for stop in 0..=calls {
        crash_here(&run_until(&script, stop, 0), stop, states);
    }
}

/// The story: a process was killed between the rename of a new segment and the sync of its directory; the next
/// one found the segment, appended to it and acknowledged, and then the power went, and with it the name.
#[test]
fn what_is_built_on_the_work_of_a_killed_process_is_durable() {
    let script = tour();
    let calls = run_until(&script, u64::MAX, 1).disk.calls();
    for stop in 0..=calls {
        let world = run_until(&script, stop, 1);
        world.disk.heal();
        let told = |text| format!("killed before call {stop}: {text}");
        let mut next = comes_back(&world, world.disk.clone()).map_err(told).expect("keeps its promises");
        next.close();
        comes_back(&next, next.disk.crash(Crash::Nothing)).map_err(told).expect("after the power went too");
    }
}

/// The control: were syncs not needed, or the oracle blind, this would not fail.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    for (kind, path_end) in
        [(CallKind::SyncData, ".log"), (CallKind::SyncDir, "build"), (CallKind::SyncDir, "logs")]
    {
        let disk = SimDisk::new();
        disk.inject(Fault::next(Effect::Lie).kind(kind).on(path_end).forever());
        let world = run_on(disk, &tour(), u64::MAX, 2);
        let back = comes_back(&world, world.disk.crash(Crash::Nothing));
        assert!(back.is_err(), "a {kind:?} of {path_end} is not needed");
    }
}
