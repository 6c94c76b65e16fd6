//! Histories that a seed decides: steps, sizes, crashes after crashes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use piperoll_store::Options;
use piperoll_store::sim::{Crash, Effect, ErrorNumber, Fault, Random};

use crate::exhaustive::comes_back;
use crate::script::{RandomSender, Step, TEN_YEARS_NS, random};
use crate::setting;
use crate::tally::on_all_cores;
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
        // More than a wrong clock is wrong, so that every retry finds its first answer.
        producer_window_ns: 2 * TEN_YEARS_NS.unsigned_abs(),
        ..Options::default()
    }
}

/// All calls to the disks of a history, and the last disk, in a few bytes.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    calls: u64,
    disk: [u8; 16],
}

/// A history that is under way.
struct History {
    chance: Random,
    world: World,
    sender: RandomSender,
    calls: DefaultHasher,
}

impl History {
    fn new(seed: u64, options: impl Fn(&mut Random) -> Options) -> Self {
        let mut chance = Random::new(seed);
        let world = World::new(seed, options(&mut chance));
        world.disk.keep_all_calls();
        Self { chance, world, sender: RandomSender::default(), calls: DefaultHasher::new() }
    }

    /// The machine stops as planned, and maybe a call before that fails.
    fn plan_end(&mut self, calls: u64, faults: (u64, u64)) -> u64 {
        let stop = self.world.disk.calls() + self.chance.below(calls);
        self.world.disk.stop_at(stop);
        if self.chance.chance(faults.0, faults.1) {
            let errno = *self.chance.pick(&[ErrorNumber::IO, ErrorNumber::NOSPC]).expect("not empty");
            self.world.disk.inject(Fault::next(Effect::Fail(errno)).after(self.chance.below(calls)));
        }
        stop
    }

    /// The machine dies, and the disk keeps any part of what was not synced; half of the time the store comes back
    /// and works on before the next life.
    fn crash(&mut self, stop: u64) -> Result<(), String> {
        let world = &mut self.world;
        world.close();
        world.disk.last_calls().hash(&mut self.calls);
        let undecided = world.disk.undecided() as u64 + 1;
        let crash = match self.chance.below(8) {
            0 => Crash::Nothing,
            1 => Crash::Everything,
            2 => Crash::First(self.chance.below(undecided)),
            3 => Crash::AllButFirst(self.chance.below(undecided)),
            _ => Crash::Random(self.chance.number()),
        };
        let disk = world.disk.crash(crash);
        if !self.chance.chance(1, 2) {
            self.world = world.after(disk);
            return Ok(());
        }
        let back = comes_back(world, disk);
        let mut back = back.map_err(|text| {
            format!("{crash:?} before call {stop}: {text}\nbefore the crash:\n{}", last_lines(world))
        })?;
        back.close();
        back.disk.last_calls().hash(&mut self.calls);
        self.world = back;
        Ok(())
    }

    /// The last crash, after which everything is there.
    fn end(self) -> Result<Trace, String> {
        let disk = self.world.disk.crash(Crash::Nothing);
        let mut back = comes_back(&self.world, disk).map_err(|text| format!("at last: {text}"))?;
        back.close();
        let mut calls = self.calls;
        back.disk.last_calls().hash(&mut calls);
        Ok(Trace { calls: calls.finish(), disk: back.disk.fingerprint() })
    }
}

fn last_lines(world: &World) -> String {
    let calls = world.disk.last_calls();
    let lines: Vec<&str> = calls.lines().collect();
    lines[lines.len().saturating_sub(64)..].join("\n")
}

/// One history: several lives, each ended by a crash at some call.
fn history(seed: u64) -> Result<Trace, String> {
    let mut history = History::new(seed, options);
    for life in 0..LIVES {
        let script = random(&mut history.chance, &mut history.sender, 8);
        let stop = history.plan_end(160, (1, 3));
        let world = &mut history.world;
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
            return Err(format!("life {life}: {text}\nlast calls:\n{}", last_lines(world)));
        }
        history.crash(stop).map_err(|text| format!("life {life}: {text}"))?;
    }
    history.end()
}

/// A day of a daemon that has little to do, second by second: rounds when they are due, rolls by age, seals, sweeps,
/// a clock that makes steps of ten years, and every hour or so a crash.
fn day(seed: u64, hours: i64) -> Result<Trace, String> {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let mut history = History::new(seed, |chance| Options {
        segment_age_max_ns: 1_000_000_000 * (60 + chance.below(3_600)),
        ..options(chance)
    });
    let mut next_sweep = HOUR_NS;
    while history.world.elapsed_ns() < hours * HOUR_NS {
        if let Err(text) = history.world.open() {
            return Err(format!("at {} s: {text}", history.world.elapsed_ns() / 1_000_000_000));
        }
        let until = history.world.elapsed_ns() + HOUR_NS;
        let mut stop = u64::MAX;
        while history.world.disk.calls() < stop && history.world.elapsed_ns() < until + HOUR_NS {
            if history.world.elapsed_ns() > until && stop == u64::MAX {
                stop = history.plan_end(40, (0, 1));
            }
            let at = history.world.elapsed_ns();
            history.moment(&mut next_sweep).map_err(|text| {
                format!("at {} s: {text}\n{}", at / 1_000_000_000, last_lines(&history.world))
            })?;
        }
        history.crash(stop)?;
    }
    history.end()
}

impl History {
    /// What a daemon does in some seconds.
    fn moment(&mut self, next_sweep: &mut i64) -> Result<(), String> {
        let Self { chance, world, sender, .. } = self;
        world.tick(1_000_000 * (1 + i64::try_from(chance.below(40_000)).expect("small")));
        match chance.below(24) {
            0..8 => {
                let message = sender.message(chance);
                world.step(&Step::Send(vec![message]))?;
            }
            8 => world.step(&Step::JumpClock(*chance.pick(&[-TEN_YEARS_NS, TEN_YEARS_NS]).expect("two")))?,
            9 => world.set_clock_right(),
            10 => world.check(true)?,
            _ => {}
        }
        world.work()?;
        if world.elapsed_ns() > *next_sweep {
            *next_sweep = world.elapsed_ns() + 600_000_000_000;
            world.sweep()?;
        }
        Ok(())
    }
}

/// R1 to R9, R24, R25.
#[test]
fn histories_of_many_crashes_keep_every_promise() {
    let first = setting("PIPEROLL_TEST_SEED", 0);
    let is_one = std::env::var_os("PIPEROLL_TEST_SEED").is_some();
    let cases = if is_one { 1 } else { setting("PIPEROLL_TEST_CASES", 200) };
    on_all_cores(cases, |case| {
        let seed = first + case;
        history(seed).map(drop).map_err(|text| format!("seed {seed}: {text}"))
    })
    .unwrap_or_else(|text| panic!("{text}"));
}

/// R24, R25: 24 simulated hours.
#[test]
fn a_day_of_crashes_and_clock_steps_keeps_every_promise() {
    let first = setting("PIPEROLL_TEST_SEED", 0);
    let days = setting("PIPEROLL_TEST_CASES", 200).div_ceil(200);
    on_all_cores(days, |day_number| {
        let seed = first + day_number;
        day(seed, 24).map(drop).map_err(|text| format!("seed {seed}: {text}"))
    })
    .unwrap_or_else(|text| panic!("{text}"));
}

#[test]
fn the_same_seed_makes_the_same_calls_and_the_same_disk() {
    on_all_cores(12, |seed| {
        let run = || if seed == 0 { day(seed, 3) } else { history(1_000 + seed) };
        match (run()?, run()?) {
            (first, second) if first == second => Ok(()),
            (first, second) => Err(format!("seed {seed}: {first:?}, then {second:?}")),
        }
    })
    .unwrap_or_else(|text| panic!("{text}"));
    assert_ne!(history(1), history(2));
}
