//! Every read and every map gives something else than was written, or fails: the answer is an error that names the
//! file, or it is right; and what came wrong once gets into nothing that stays.

use std::collections::BTreeMap;
use std::sync::Mutex;

use piperoll_store::sim::{CallKind, Crash, Effect, ErrorNumber, Fault, Random};

use crate::damage::at_rest;
use crate::exhaustive::comes_back;
use crate::script::tour;
use crate::tally::on_all_cores;
use crate::world::{World, small_options};

/// What a read or map of which nobody knows how long it is may come to.
fn effects(random: &mut Random) -> Vec<Effect> {
    let mut effects = vec![Effect::Fail(ErrorNumber::IO)];
    effects.extend((0..3).map(|_| Effect::FlipBit(random.number())));
    // The first bytes of a file say what it is.
    effects.push(Effect::FlipBit(random.below(64)));
    effects.extend((0..2).map(|_| Effect::Stale(random.number())));
    effects.extend((0..2).map(|_| Effect::Misdirected(random.number())));
    effects
}

/// What came of the faults, by kind.
#[derive(Debug, Default)]
struct Outcomes(Mutex<BTreeMap<&'static str, [u64; 2]>>);

impl Outcomes {
    fn count(&self, effect: Effect, is_told: bool) {
        let name = match effect {
            Effect::FlipBit(_) => "flipped bit",
            Effect::Stale(_) => "stale sector",
            Effect::Misdirected(_) => "misdirected sector",
            _ => "error",
        };
        self.0.lock().expect("no panic before").entry(name).or_default()[usize::from(is_told)] += 1;
    }

    fn print(&self, what: &str) {
        for (name, [harmless, told]) in self.0.lock().expect("no panic before").iter() {
            eprintln!("{what}, {name}: {told} told, {harmless} harmless");
        }
    }
}

/// Every fault at every read and map of `act`, which works on a world from `begin`; it says whether it was told.
fn check(
    what: &str,
    begin: impl Fn() -> World + Sync,
    act: impl Fn(&mut World) -> Result<bool, String> + Sync,
) {
    let mut whole = begin();
    let before = [CallKind::Read, CallKind::Map].map(|kind| whole.disk.calls_of(kind));
    act(&mut whole).expect("nothing is wrong");
    let outcomes = Outcomes::default();
    for (kind, before) in [CallKind::Read, CallKind::Map].into_iter().zip(before) {
        let count = whole.disk.calls_of(kind) - before;
        assert!(count > 10, "{count} calls of {kind:?}");
        on_all_cores(count, |place| {
            for effect in effects(&mut Random::new(place)) {
                let mut world = begin();
                world.disk.inject(Fault::next(effect).kind(kind).after(place));
                let told = |world: &World, text: String| {
                    format!("{effect:?} at {kind:?} {place}: {text}\n{}", world.disk.last_calls())
                };
                let is_told = act(&mut world).map_err(|text| told(&world, text))?;
                outcomes.count(effect, is_told);
                world.close();
                world.disk.heal();
                for disk in [world.disk.clone(), world.disk.crash(Crash::Nothing)] {
                    comes_back(&world, disk).map_err(|text| told(&world, text))?;
                }
            }
            Ok(())
        })
        .expect("promises hold");
    }
    outcomes.print(what);
}

/// R11, R16, R18, R19: while the daemon works.
#[test]
fn no_read_that_comes_wrong_changes_what_is_served_or_written() {
    let begin = || World::new(9, small_options());
    check("at work", begin, |world| {
        if world.open().is_err() {
            world.disk.heal();
            world.open()?;
        }
        let mut is_told = false;
        for step in tour() {
            world.step(&step)?;
            is_told |= world.content().is_err();
            world.check(true)?;
        }
        Ok(is_told || !world.refusals.is_empty() || !world.refused_classes()?.is_empty())
    });
}

/// R11, R16, R18, R19, R20: a start on a store that was closed, and what it does first.
#[test]
fn no_read_that_comes_wrong_at_a_start_changes_what_is_served_or_written() {
    let rest = at_rest();
    let begin = || rest.0.after(rest.0.disk.crash(Crash::Everything));
    check("at a start", begin, |world| {
        if world.open().is_err() {
            return Ok(true);
        }
        let is_told = world.content().is_err();
        world.check_told()?;
        let refused = world.retry_kept()?;
        world.check_told()?;
        let works = world.round()? && world.seal()? && world.sweep()?;
        world.check_told()?;
        Ok(is_told || !works || refused || !world.refused_classes()?.is_empty())
    });
}
