//! The same engine with its threads, on a real directory.

use super::world::{World, name, request};
use crate::os::OsDisk;
use crate::{Classes, Clock, Entropy, Opened, Options};
use std::sync::{Arc, mpsc};

fn open(dir: &std::path::Path) -> Opened<OsDisk> {
    let world = World::new();
    let options = Options { segment_bytes_max: 16 * 1024, unsealed_segments_max: 1, ..Options::default() };
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (world.clock, world.entropy);
    crate::open(OsDisk::open(dir).unwrap(), options, clock, entropy).unwrap()
}

#[test]
fn threads_commit_what_is_submitted_and_stop_finishes_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let threads = engine.keeper.spawn(Arc::new(|text| panic!("{text}"))).unwrap();
    let (sender, outcomes) = mpsc::channel();
    for number in 0..400_u64 {
        let sender = sender.clone();
        let class = ["a", "b"][usize::try_from(number % 2).unwrap()];
        let batch = World::batch(request(&["x"], 1 + number % 2, 1 + number / 2), Classes::One(name(class)));
        engine.appender.submit(batch, Box::new(move |outcome| sender.send(outcome).unwrap()));
    }
    threads.stop().unwrap();
    drop(sender);
    let outcomes: Vec<_> = outcomes.iter().collect();
    assert_eq!(outcomes.len(), 400);
    assert!(outcomes.iter().all(Result::is_ok));
    drop((engine.appender, engine.reader, engine.retirer));
    let again = open(dir.path());
    let ends: Vec<u64> = again.reader.status().iter().map(|log| log.end.0).collect();
    assert_eq!(ends, [200, 200]);
    let sealed: Vec<_> = again.keeper.seal_now(None, None).unwrap();
    for segment in sealed {
        let bytes = std::fs::read(dir.path().join(&segment.path)).unwrap();
        assert_eq!(segment.root.0, *blake3::hash(&bytes).as_bytes());
    }
}

/// Appends that are faster than the sealer would leave ever more segments that a question has to index by itself. And a
/// log that cannot be sealed must still take what comes.
#[test]
fn a_writer_waits_for_the_sealer_and_goes_on_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let threads = engine.keeper.spawn(Arc::new(|text| panic!("{text}"))).unwrap();
    let keeper = threads.keeper();
    let (sender, outcomes) = mpsc::channel();
    let append = |count: usize| {
        for _ in 0..count {
            let sender = sender.clone();
            let batch = World::batch(request(&["x"; 64], 0, 0), Classes::One(name("a")));
            engine.appender.submit(batch, Box::new(move |outcome| sender.send(outcome.map(drop)).unwrap()));
        }
        outcomes.iter().take(count).for_each(|outcome| outcome.unwrap());
    };
    let stuck = keeper.core.sealing.lock();
    while keeper.unsealed_segments() < 3 {
        append(1);
    }
    assert!(keeper.counts().seal_waits >= 1);
    drop(stuck);
    append(100);
    while keeper.unsealed_segments() > 0 {
        std::thread::yield_now();
    }
    let counts = keeper.counts();
    assert!(counts.rolls == counts.seals && counts.seals > 3, "{counts:?}");
    threads.stop().unwrap();
}
