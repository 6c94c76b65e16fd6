//! A sweep of a real store, on the simulated disk.

use super::*;
use crate::{Keep, Policy, plan_sweep};
use bytes::Bytes;
use piperoll_format::request::check_batch;
use piperoll_format::units::UnixNanos;
use piperoll_store::sim::{CallKind, Effect, Fault, SimDisk};
use piperoll_store::{Batch, Classes, Clock, Entropy, Moment, Opened, Options, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const HOUR_NS: u64 = 3_600 * 1_000_000_000;

#[derive(Default)]
struct World {
    now_ns: AtomicU64,
    random: AtomicU64,
}

impl Clock for World {
    fn now(&self) -> Moment {
        let now = self.now_ns.load(SeqCst);
        Moment { wall: UnixNanos(i64::try_from(now).unwrap()), monotonic_ns: now }
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

impl Entropy for World {
    fn fill(&self, into: &mut [u8]) {
        into.fill_with(|| u8::try_from(self.random.fetch_add(1, SeqCst) % 251).unwrap());
    }
}

fn name(text: &str) -> Name {
    Name::from_disk(text).unwrap()
}

fn append(engine: &Opened<SimDisk>, class: &str) {
    // actor "a", action "b"
    let event = [0x0A, 6, 0x22, 1, b'a', 0x2A, 1, b'b'];
    let request = check_batch(Bytes::copy_from_slice(&event), &mut |_, _| ()).unwrap();
    let sender = Arc::new(Sender::new("anonymous", 0, "", "test").unwrap());
    let batch = Batch { tenant: name("t"), sender, request, classes: Classes::One(name(class)) };
    engine.appender.submit(batch, Box::new(|outcome| assert!(outcome.is_ok())));
    engine.keeper.commit_all();
}

/// Two logs with three sealed segments each, an hour between them.
fn swept_world(disk: &SimDisk) -> (Arc<World>, Opened<SimDisk>) {
    let world = Arc::new(World::default());
    let (clock, entropy) = (Arc::clone(&world), Arc::clone(&world));
    let engine = piperoll_store::open(disk.clone(), Options::default(), clock, entropy).unwrap();
    for _ in 0..3 {
        append(&engine, "a");
        append(&engine, "b");
        assert_eq!(engine.keeper.seal_now(None, None).unwrap().len(), 2);
        world.now_ns.fetch_add(HOUR_NS, SeqCst);
    }
    (world, engine)
}

fn policy() -> Policy {
    Policy { keep: ["a", "b"].map(|class| (name(class), Keep::Seconds(2 * 3_600))).into() }
}

#[test]
fn a_sweep_drops_what_has_expired_and_nothing_else() {
    let (_, engine) = swept_world(&SimDisk::new());
    let sealed = engine.retirer.sealed().unwrap();
    let plan = plan_sweep(&sealed, &policy(), engine.retirer.believed_time(), "sweeper");
    let firsts: Vec<u64> = plan.drops.iter().map(|drop| drop.segment.first.0).collect();
    assert_eq!(firsts, [0, 1, 0, 1]);
    let outcome = sweep(&plan, &engine.retirer);
    assert_eq!((outcome.dropped.len(), outcome.failed.len()), (4, 0));
    assert_eq!(outcome.freed_bytes(), plan.bytes());
    let left: Vec<u64> = engine.retirer.sealed().unwrap().iter().map(|segment| segment.first.0).collect();
    assert_eq!(left, [2, 2]);
    let again = plan_sweep(&engine.retirer.sealed().unwrap(), &policy(), engine.retirer.believed_time(), "s");
    assert!(again.drops.is_empty());
}

#[test]
fn a_log_that_fails_is_left_alone_and_the_others_go_on() {
    let disk = SimDisk::new();
    let (_, engine) = swept_world(&disk);
    let sealed = engine.retirer.sealed().unwrap();
    let plan = plan_sweep(&sealed, &policy(), engine.retirer.believed_time(), "sweeper");
    let error = rustix::io::Errno::IO;
    disk.inject(Fault::next(Effect::Fail(error)).kind(CallKind::Write).on("a/00000000000000000000.drop.tmp"));
    let outcome = sweep(&plan, &engine.retirer);
    let dropped: Vec<&str> =
        outcome.dropped.iter().map(|dropped| dropped.planned.segment.class.as_str()).collect();
    assert_eq!((dropped, outcome.failed.len()), (vec!["b", "b"], 1));
    let plan = plan_sweep(&engine.retirer.sealed().unwrap(), &policy(), engine.retirer.believed_time(), "s");
    assert_eq!(sweep(&plan, &engine.retirer).dropped.len(), 2);
}
