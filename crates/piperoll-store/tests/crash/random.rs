//! Histories that a seed decides: steps, sizes, crashes after crashes.

use piperoll_store::Options;
use piperoll_store::sim::{Crash, Effect, ErrorNumber, Fault, Random};

use crate::exhaustive::comes_back;
use crate::script::{RandomSender, random};
use crate::setting;
use crate::world::World;

/// Lives of one history.
const LIVES: usize = 6;

fn options(random: &mut Random) -> Options {
    let segment_bytes_max = 2_048 << random.below(4);
    let allocate_bytes_min = 512 << random.below(4);
    Options {
        segment_bytes_max,
        allocate_bytes_min,
        allocate_bytes_max: allocate_bytes_min * 2,
        group_bytes_max: 256 << random.below(5),
        segment_events_max: 4 + random.below(40),
        segment_age_max_ns: 10_000_000_000,
        ..Options::default()
    }
}

/// One history: several lives, each ended by a crash at some call.
fn history(seed: u64) -> Result<(), String> {
    let mut chance = Random::new(seed);
    let mut world = World::new(seed, options(&mut chance));
    let mut sender = RandomSender::default();
    for life in 0..LIVES {
        let script = random(&mut chance, &mut sender, 8);
        let stop = chance.below(160);
        world.disk.stop_at(stop);
        if chance.chance(1, 3) {
            let errno = *chance.pick(&[ErrorNumber::IO, ErrorNumber::NOSPC]).expect("not empty");
            world.disk.inject(Fault::next(Effect::Fail(errno)).after(chance.below(160)));
        }
        let done = world.open().and_then(|()| {
            script.iter().try_for_each(|step| {
                world.step(step)?;
                world.check(true)
            })
        });
        let alive = world.disk.calls() < stop;
        if let Err(text) = done
            && alive
            && !text.starts_with("does not open")
        {
            return Err(format!("life {life}: {text}\nlast calls:\n{}", world.disk.last_calls()));
        }
        world.close();
        let crash = match chance.below(8) {
            0 => Crash::Nothing,
            1 => Crash::Everything,
            2 => Crash::First(chance.below(world.disk.undecided() as u64 + 1)),
            3 => Crash::AllButFirst(chance.below(world.disk.undecided() as u64 + 1)),
            _ => Crash::Random(chance.number()),
        };
        let calls = world.disk.last_calls();
        let told =
            |text| format!("life {life}, {crash:?} before call {stop}: {text}\nbefore the crash:\n{calls}");
        let disk = world.disk.crash(crash);
        if chance.chance(1, 2) {
            world = comes_back(&world, disk).map_err(told)?;
            world.close();
        } else {
            world = world.after(disk);
        }
    }
    let disk = world.disk.crash(Crash::Nothing);
    comes_back(&world, disk).map(drop).map_err(|text| format!("at last: {text}"))
}

fn check(seed: u64) {
    if let Err(text) = history(seed) {
        panic!("seed {seed}: {text}");
    }
}

#[test]
fn histories_of_many_crashes_keep_every_promise() {
    let first = setting("PIPEROLL_TEST_SEED", 0);
    let is_one = std::env::var_os("PIPEROLL_TEST_SEED").is_some();
    let cases = if is_one { 1 } else { setting("PIPEROLL_TEST_CASES", 200) };
    (first..first + cases).for_each(check);
}
