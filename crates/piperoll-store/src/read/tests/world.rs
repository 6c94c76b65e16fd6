//! A store on a simulated disk, driven from one thread.

use super::events::{Event, SECOND, START};
use crate::{
    Batch, Classes, Clock, DropRule, Entropy, Keeper, Moment, Opened, Options, Sender,
    catalog::Log,
    open,
    read::Reader,
    sim::{Crash, Random, SimDisk},
};
use parking_lot::Mutex;
use piperoll_format::{
    names::Name,
    request::check_batch,
    units::{Sequence, UnixNanos},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
    mpsc,
};

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let passed = self.0.load(SeqCst);
        Moment { wall: UnixNanos(START.0 + passed), monotonic_ns: passed.cast_unsigned() }
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

struct Seeded(Mutex<Random>);

impl Entropy for Seeded {
    fn fill(&self, into: &mut [u8]) {
        let mut random = self.0.lock();
        into.fill_with(|| random.number().to_le_bytes()[0]);
    }
}

/// A store and the disk that it is on.
pub(super) struct World {
    pub(super) disk: SimDisk,
    clock: Arc<TestClock>,
    entropy: Arc<Seeded>,
    opened: Opened<SimDisk>,
    sender: Arc<Sender>,
    crashes: Random,
}

/// The tenant of every log.
pub(super) fn tenant() -> Name {
    name("acme")
}

pub(super) fn name(text: &str) -> Name {
    Name::from_outside(text).unwrap()
}

/// Segments of a few events each, so that rolls come by themselves too.
fn options() -> Options {
    Options {
        segment_bytes_max: 4_096,
        allocate_bytes_min: 1_024,
        allocate_bytes_max: 4_096,
        ballast_bytes: 0,
        open_segments_max: 2,
        ..Options::default()
    }
}

impl World {
    /// An empty store.
    pub(super) fn new() -> Self {
        let disk = SimDisk::new();
        let clock = Arc::new(TestClock(AtomicI64::new(0)));
        let entropy = Arc::new(Seeded(Mutex::new(Random::new(1))));
        let opened = open(disk.clone(), options(), clock.clone(), entropy.clone()).unwrap();
        let sender = Arc::new(Sender::new("anonymous", 0, "127.0.0.1:1", "grpc").unwrap());
        Self { disk, clock, entropy, opened, sender, crashes: Random::new(2) }
    }

    /// What keeps it.
    pub(super) fn keeper(&self) -> &Keeper<SimDisk> {
        &self.opened.keeper
    }

    /// What answers.
    pub(super) fn reader(&self) -> &Reader<SimDisk> {
        &self.opened.reader
    }

    /// Lets time pass.
    pub(super) fn tick(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * SECOND, SeqCst);
    }

    /// Stores one batch; answers the first sequence and when it was received.
    pub(super) fn append(&self, class: &str, events: &[Vec<u8>]) -> (Sequence, UnixNanos) {
        let message = events.iter().fold(Event::default(), |message, event| message.bytes(1, event));
        let request = check_batch(message.into_bytes().into(), &mut |_, _| {}).unwrap();
        let classes = Classes::One(name(class));
        let batch = Batch { tenant: tenant(), sender: Arc::clone(&self.sender), request, classes };
        let (send, receive) = mpsc::channel();
        self.opened.appender.submit(batch, Box::new(move |outcome| send.send(outcome).unwrap()));
        self.opened.keeper.commit_all();
        let range = receive.recv().unwrap().unwrap().ranges.remove(0);
        (range.first, range.received)
    }

    /// The log of a class that has events.
    pub(super) fn log(&self, class: &str) -> Arc<Log<SimDisk>> {
        self.opened.keeper.core.catalog.log(&tenant(), &name(class)).unwrap()
    }

    /// Ends the active segment of a class, if it has events.
    pub(super) fn roll(&self, class: &str) {
        let core = &self.opened.keeper.core;
        if let Some(log) = core.catalog.log(&tenant(), &name(class)) {
            core.roll(&log, &mut log.writer.lock()).unwrap_or_else(|trouble| panic!("{}", trouble.reason()));
        }
    }

    /// Seals every full segment.
    pub(super) fn seal(&self) {
        for outcome in self.opened.keeper.seal_ready() {
            outcome.unwrap();
        }
    }

    /// Drops the oldest segment of a class, if it is sealed; answers where the log begins then.
    pub(super) fn sweep_one(&self, class: &str) -> Option<Sequence> {
        let sealed = self.opened.retirer.sealed().unwrap();
        let oldest = sealed.iter().find(|segment| segment.class == name(class))?;
        let rule = DropRule { rule: "test".to_owned(), keep_seconds: 0, principal: "test".to_owned() };
        match self.opened.retirer.drop_segment(oldest, &rule) {
            Ok(_) => Some(oldest.end),
            Err(crate::DropError::NotOldest(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Loses power, and starts again with what the disk then has.
    pub(super) fn restart(&mut self) {
        let crash = Crash::Random(self.crashes.number());
        self.reopen(crash, |_| {});
    }

    /// Stops as `crash` says, changes the disk, and starts again.
    pub(super) fn reopen(&mut self, crash: Crash, change: impl FnOnce(&SimDisk)) {
        self.disk = self.disk.crash(crash);
        change(&self.disk);
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        self.opened = open(self.disk.clone(), options(), clock, entropy).unwrap();
    }
}
