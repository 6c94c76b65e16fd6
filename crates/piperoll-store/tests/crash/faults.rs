//! Every call fails once: the store says so, keeps what it promised, and works again after a restart.

use piperoll_store::sim::{Crash, Effect, ErrorNumber, Fault};

use crate::exhaustive::comes_back;
use crate::script::{Step, tour};
use crate::world::{World, small_options};

/// Does the script with one planned fault, on to the end.
fn run_with(script: &[Step], fault: Fault) -> Result<World, String> {
    let mut world = World::new(2, small_options());
    world.disk.inject(fault);
    if world.open().is_err() {
        // A start that fails says so; the next one has a disk that works.
        world.disk.heal();
        world.open()?;
    }
    for step in script {
        world.step(step)?;
        world.check(true)?;
    }
    world.close();
    world.disk.heal();
    Ok(world)
}

fn check(effect: Effect) {
    check_on("", effect);
}

/// As `check`, for calls on paths that end so.
fn check_on(path_end: &str, effect: Effect) {
    let script = tour();
    let mut calls = u64::MAX;
    let mut call = 0;
    while call < calls {
        let told = |text: String| format!("{effect:?} at call {call} on {path_end:?}: {text}");
        let fault = Fault::next(effect).on(path_end).after(call);
        let world = run_with(&script, fault).map_err(told).expect("promises hold");
        calls = world.disk.calls();
        for crash in [Crash::Nothing, Crash::Random(call)] {
            comes_back(&world, world.disk.crash(crash)).map_err(told).expect("comes back after a crash");
        }
        world.disk.evict(call);
        comes_back(&world, world.disk.clone()).map_err(told).expect("comes back after a kill");
        call += 1;
    }
}

#[test]
fn every_call_fails_once_with_an_error_of_the_device() {
    check(Effect::Fail(ErrorNumber::IO));
}

#[test]
fn every_call_fails_once_for_lack_of_room() {
    check(Effect::Fail(ErrorNumber::NOSPC));
}

#[test]
fn every_call_does_its_work_and_says_that_it_failed() {
    check(Effect::DoneBut(ErrorNumber::IO));
}

#[test]
fn every_call_does_its_work_and_says_that_there_is_no_room() {
    check(Effect::DoneBut(ErrorNumber::NOSPC));
}

#[test]
fn every_write_stops_half_way() {
    check(Effect::ShortWrite(600, ErrorNumber::NOSPC));
    // Less than a sector: of a log only, whose frames have borders anywhere.
    check_on(".log", Effect::ShortWrite(40, ErrorNumber::IO));
    check_on(".log", Effect::ShortWrite(40, ErrorNumber::NOSPC));
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    for capacity in (2_000..60_000).step_by(1_777) {
        let mut world = World::new(3, small_options());
        world.open().expect("opens");
        world.disk.set_capacity(Some(capacity));
        for step in tour() {
            world.step(&step).and_then(|()| world.check(false)).expect("promises hold");
        }
        world.disk.set_capacity(None);
        world.retry_all().and_then(|()| world.check(false)).expect("appends resume by themselves");
        world.close();
        for crash in [Crash::Nothing, Crash::Everything, Crash::Random(capacity)] {
            comes_back(&world, world.disk.crash(crash)).expect("comes back");
        }
    }
}
