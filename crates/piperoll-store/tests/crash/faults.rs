//! Every call fails, once or from then on: the store says so, keeps what it promised, and works again after a
//! restart.

use piperoll_store::AppendError;
use piperoll_store::sim::{CallKind, Crash, Effect, ErrorNumber, Fault};

use crate::exhaustive::comes_back;
use crate::script::{Step, tour};
use crate::setting;
use crate::tally::on_all_cores;
use crate::world::{World, small_options};

/// All kinds of calls.
const KINDS: [CallKind; 16] = [
    CallKind::Open,
    CallKind::MakeDir,
    CallKind::List,
    CallKind::Rename,
    CallKind::Unlink,
    CallKind::SyncDir,
    CallKind::Free,
    CallKind::Lock,
    CallKind::Write,
    CallKind::Read,
    CallKind::Allocate,
    CallKind::Truncate,
    CallKind::SyncData,
    CallKind::Length,
    CallKind::Protect,
    CallKind::Map,
];

/// A world in which nothing goes wrong, to count its calls.
fn healthy() -> World {
    let mut world = World::new(2, small_options());
    world.disk.keep_all_calls();
    run(&mut world, &tour()).expect("promises hold");
    world
}

fn run(world: &mut World, script: &[Step]) -> Result<(), String> {
    if let Err(text) = world.open() {
        // A start that fails says what the system refused; the next one has a disk that works.
        if !text.contains("os error") {
            return Err(format!("a start failed without a word on what was refused: {text}"));
        }
        world.disk.heal();
        world.disk.set_capacity(None);
        world.open()?;
    }
    script.iter().try_for_each(|step| {
        world.step(step)?;
        world.check(true)
    })
}

/// What was refused was refused for the disk, in words that say so.
fn refusals_are_told(world: &World, effect: Effect) -> Result<(), String> {
    let is_full = matches!(
        effect,
        Effect::Fail(ErrorNumber::NOSPC)
            | Effect::DoneBut(ErrorNumber::NOSPC)
            | Effect::ShortWrite(_, ErrorNumber::NOSPC)
            | Effect::Room(_)
    );
    let is_told = |error: &&AppendError| match error {
        AppendError::NoSpace { reason, .. } => is_full && !reason.is_empty(),
        AppendError::Stopped { reason, .. }
        | AppendError::ReadOnly { reason, .. }
        | AppendError::Unknown { reason, .. } => !reason.is_empty(),
        _ => false,
    };
    match world.refusals.iter().find(|error| !is_told(error)) {
        Some(error) => Err(format!("refused with {error:?}")),
        None => Ok(()),
    }
}

/// After the machine or the process died, on a disk that works.
fn comes_back_whole(world: &World, seed: u64) -> Result<(), String> {
    for crash in [Crash::Nothing, Crash::Random(seed)] {
        comes_back(world, world.disk.crash(crash)).map_err(|text| format!("after {crash:?}: {text}"))?;
    }
    world.disk.evict(seed);
    comes_back(world, world.disk.clone()).map(drop).map_err(|text| format!("after a kill: {text}"))
}

/// Does the tour with `effect` as planned, at each of `count` places.
fn check(count: u64, effect: Effect, plan: impl Fn(Fault, u64) -> Fault + Sync) {
    let script = tour();
    on_all_cores(count, |place| {
        let fault = plan(Fault::next(effect), place);
        let told = |text: String| format!("{fault:?}: {text}");
        let mut world = World::new(2, small_options());
        world.disk.inject(fault.clone());
        run(&mut world, &script).map_err(told)?;
        refusals_are_told(&world, effect).map_err(told)?;
        world.close();
        world.disk.heal();
        comes_back_whole(&world, place).map_err(told)
    })
    .expect("promises hold");
    eprintln!("{effect:?}: {count} calls");
}

fn at_every_call(effect: Effect) {
    check(healthy().disk.calls(), effect, Fault::after);
}

#[test]
fn every_call_fails_once_with_an_error_of_the_device() {
    at_every_call(Effect::Fail(ErrorNumber::IO));
}

#[test]
fn every_call_fails_once_for_lack_of_room() {
    at_every_call(Effect::Fail(ErrorNumber::NOSPC));
}

#[test]
fn every_call_does_its_work_and_says_that_it_failed() {
    at_every_call(Effect::DoneBut(ErrorNumber::IO));
}

#[test]
fn every_call_does_its_work_and_says_that_there_is_no_room() {
    at_every_call(Effect::DoneBut(ErrorNumber::NOSPC));
}

/// R9, R10: a disk that is gone, from any call on.
#[test]
fn from_any_call_on_every_call_fails() {
    check(healthy().disk.calls(), Effect::Fail(ErrorNumber::IO), |fault, place| fault.after(place).forever());
}

/// R9, R10, R11, R13: a disk that does everything but one thing, from any call on.
#[test]
fn from_any_call_on_every_call_of_its_kind_fails() {
    let disk = healthy().disk;
    for kind in KINDS {
        for errno in [ErrorNumber::IO, ErrorNumber::NOSPC] {
            check(disk.calls_of(kind), Effect::Fail(errno), |fault, place| {
                fault.kind(kind).after(place).forever()
            });
        }
    }
}

/// Number, offset and length of each write of the tour.
fn writes() -> Vec<[u64; 3]> {
    let report = healthy().disk.last_calls();
    let calls = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let number = |text: &str| text.parse().expect("a number");
    let writes: Vec<[u64; 3]> = calls
        .filter(|call| call[1] == "Write")
        .map(|call| [number(call[0]), number(call[3]), number(call[4])])
        .collect();
    assert!(writes.len() > 20, "{writes:?}");
    writes
}

/// Bytes of a write after which it stops: at its ends, and around the sectors that it crosses.
fn places([_, offset, length]: [u64; 3]) -> Vec<u64> {
    let to_sector = (512 - offset % 512) % 512;
    let borders = (to_sector..length).step_by(512).flat_map(|at| [at.saturating_sub(1), at, at + 1]);
    let mut places: Vec<u64> = borders.chain([0, 1, 40, 511, 512, 513, length.saturating_sub(1)]).collect();
    places.retain(|place| *place < length);
    places.sort_unstable();
    places.dedup();
    places
}

/// R10, R13: a write finds room for a part of its bytes, whatever part; when there is room again appends resume by
/// themselves. An error of the device stops the log until the next start.
#[test]
fn every_write_stops_half_way() {
    // Every place in the long form, else one of some at each write.
    let is_long = setting("PIPEROLL_CRASH_STATES", 0) > 100_000;
    let mut cases = Vec::new();
    for write in writes() {
        let mut places = places(write);
        if !is_long {
            let number = usize::try_from(write[0]).expect("few");
            places = places.into_iter().skip(number % 3).step_by(3).collect();
        }
        cases.extend(places.into_iter().map(|place| (write[0], place)));
    }
    on_all_cores(cases.len() as u64, |case| {
        let (call, place) = cases[usize::try_from(case).expect("few")];
        for errno in [ErrorNumber::NOSPC, ErrorNumber::IO] {
            let told = |text: String| format!("{place} bytes of call {call}, then {errno}: {text}");
            let mut world = World::new(2, small_options());
            let effect = Effect::ShortWrite(place, errno);
            world.disk.inject(Fault::next(effect).after(call));
            run(&mut world, &tour()).map_err(told)?;
            refusals_are_told(&world, effect).map_err(told)?;
            if errno == ErrorNumber::NOSPC {
                world.retry_all().and_then(|()| world.check(false)).map_err(told)?;
            }
            world.close();
            comes_back_whole(&world, call).map_err(told)?;
        }
        Ok(())
    })
    .expect("promises hold");
    eprintln!("{} writes cut at {} places, twice", writes().len(), cases.len());
}

/// R13, R14, R15: the disk is full from any call on, but for a few bytes; when there is room again appends resume by
/// themselves.
#[test]
fn from_any_call_on_the_disk_is_full() {
    let is_long = setting("PIPEROLL_CRASH_STATES", 0) > 100_000;
    let mut rooms = vec![0, 1, 511, 512, 513, 1_500];
    if is_long {
        // Around each sector up to the length of a segment.
        rooms.extend(
            (1..=8).flat_map(|sectors| [-1, 0, 1].map(|by| (sectors * 512_u64).saturating_add_signed(by))),
        );
        rooms.sort_unstable();
        rooms.dedup();
    }
    let calls = healthy().disk.calls();
    on_all_cores(calls, |call| {
        let one = usize::try_from(call).expect("few") % rooms.len();
        for room in if is_long { &rooms[..] } else { &rooms[one..=one] } {
            let told = |text: String| format!("room for {room} bytes from call {call} on: {text}");
            let mut world = World::new(3, small_options());
            let effect = Effect::Room(*room);
            world.disk.inject(Fault::next(effect).after(call));
            run(&mut world, &tour()).map_err(told)?;
            refusals_are_told(&world, effect).map_err(told)?;
            world.disk.set_capacity(None);
            world.retry_all().and_then(|()| world.check(false)).map_err(told)?;
            world.close();
            comes_back_whole(&world, call).map_err(told)?;
        }
        Ok(())
    })
    .expect("promises hold");
    eprintln!(
        "full from each of {calls} calls on, but for {} of {rooms:?} bytes",
        if is_long { "each" } else { "one" }
    );
}

/// R13: as above, by what the disk holds in all.
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
