//! An engine on a simulated disk, a clock that stands still, and randomness that repeats itself.

use crate::sim::SimDisk;
use crate::{
    AppendError, Batch, Classes, Clock, Entropy, Keeper, Moment, OpenError, Opened, Options, Receipt, Sender,
};
use bytes::Bytes;
use piperoll_format::names::Name;
use piperoll_format::request::{CheckedBatch, check_batch};
use piperoll_format::units::UnixNanos;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3_600 * SECOND;
pub(super) const START: i64 = 1_700_000_000 * SECOND;
/// The first segment of the default log.
pub(super) const FIRST_LOG: &str = "logs/t/a/00000000000000000000.log";

/// Moves only when it is told to.
pub(super) struct TestClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
    is_unsynchronised: AtomicBool,
}

impl TestClock {
    pub(super) fn pass(&self, ns: i64) {
        self.wall.fetch_add(ns, SeqCst);
        self.monotonic.fetch_add(u64::try_from(ns).unwrap(), SeqCst);
    }

    pub(super) fn jump(&self, ns: i64) {
        self.wall.fetch_add(ns, SeqCst);
    }

    pub(super) fn synchronise(&self, is_synchronised: bool) {
        self.is_unsynchronised.store(!is_synchronised, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment { wall: UnixNanos(self.wall.load(SeqCst)), monotonic_ns: self.monotonic.load(SeqCst) }
    }

    fn is_synchronised(&self) -> bool {
        !self.is_unsynchronised.load(SeqCst)
    }
}

/// Counts: no two numbers are the same, and a test repeats itself.
pub(super) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, into: &mut [u8]) {
        let number = self.0.fetch_add(1, SeqCst);
        let bytes = blake3::hash(&number.to_le_bytes());
        into.copy_from_slice(&bytes.as_bytes()[..into.len()]);
    }
}

pub(super) type Outcome = Result<Receipt, AppendError>;

/// An engine and everything around it.
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<TestClock>,
    pub(super) entropy: Arc<TestEntropy>,
    pub(super) options: Options,
    pub(super) engine: Option<Opened<SimDisk>>,
}

pub(super) fn name(text: &str) -> Name {
    Name::from_disk(text).unwrap()
}

pub(super) fn small_options() -> Options {
    Options {
        segment_bytes_max: 8 * 1024,
        allocate_bytes_min: 2 * 1024,
        allocate_bytes_max: 4 * 1024,
        queue_bytes_max: 64 * 1024,
        ballast_bytes: 0,
        ..Options::default()
    }
}

/// An event with this actor and action, as a field of a request.
pub(super) fn event(actor: &str, action: &str) -> Vec<u8> {
    let mut event = vec![0x22, u8::try_from(actor.len()).unwrap()];
    event.extend_from_slice(actor.as_bytes());
    event.extend_from_slice(&[0x2A, u8::try_from(action.len()).unwrap()]);
    event.extend_from_slice(action.as_bytes());
    let mut field = vec![0x0A, u8::try_from(event.len()).unwrap()];
    field.extend_from_slice(&event);
    field
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

/// A request of these actors' events, with a producer's key where the sequence is not 0.
pub(super) fn request(actors: &[&str], producer: u64, sequence: u64) -> CheckedBatch {
    let mut message: Vec<u8> = actors.iter().flat_map(|actor| event(actor, "test.done")).collect();
    if sequence > 0 {
        message.push(0x10);
        varint(producer, &mut message);
        message.push(0x18);
        varint(sequence, &mut message);
    }
    check_batch(Bytes::from(message), &mut |_, _| ()).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(small_options())
    }

    pub(super) fn with(options: Options) -> Self {
        let clock = TestClock {
            wall: AtomicI64::new(START),
            monotonic: AtomicU64::new(0),
            is_unsynchronised: AtomicBool::new(false),
        };
        let (clock, entropy) = (Arc::new(clock), Arc::new(TestEntropy(AtomicU64::new(0))));
        let mut world = Self { disk: SimDisk::new(), clock, entropy, options, engine: None };
        world.open().unwrap();
        world
    }

    pub(super) fn open(&mut self) -> Result<(), OpenError> {
        self.engine = None;
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        self.engine = Some(crate::open(self.disk.clone(), self.options.clone(), clock, entropy)?);
        Ok(())
    }

    /// The same world with another disk: after a crash, or after somebody changed it.
    pub(super) fn on(&self, disk: SimDisk) -> Self {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Self { disk, clock, entropy, options: self.options.clone(), engine: None }
    }

    pub(super) fn engine(&self) -> &Opened<SimDisk> {
        self.engine.as_ref().unwrap()
    }

    pub(super) fn keeper(&self) -> &Keeper<SimDisk> {
        &self.engine().keeper
    }

    pub(super) fn batch(request: CheckedBatch, classes: Classes) -> Batch {
        let sender = Arc::new(Sender::new("anonymous", 0, "127.0.0.1:9", "grpc").unwrap());
        Batch { tenant: name("t"), sender, request, classes }
    }

    /// Submits without committing; the outcome comes into the answer.
    pub(super) fn submit(&self, request: CheckedBatch, classes: Classes) -> Arc<Mutex<Vec<Outcome>>> {
        self.submit_batch(Self::batch(request, classes))
    }

    pub(super) fn submit_batch(&self, batch: Batch) -> Arc<Mutex<Vec<Outcome>>> {
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&outcomes);
        let done = Box::new(move |outcome| into.lock().unwrap().push(outcome));
        self.engine().appender.submit(batch, done);
        outcomes
    }

    pub(super) fn append_to(&self, request: CheckedBatch, classes: Classes) -> Outcome {
        let outcomes = self.submit(request, classes);
        self.keeper().commit_all();
        let mut outcomes = outcomes.lock().unwrap();
        assert_eq!(outcomes.len(), 1, "one outcome for one request");
        outcomes.pop().unwrap()
    }

    pub(super) fn append(&self, request: CheckedBatch) -> Outcome {
        self.append_to(request, Classes::One(name("a")))
    }

    /// Appends one event of this actor, which must succeed; answers its sequence.
    pub(super) fn put(&self, actor: &str) -> u64 {
        self.append(request(&[actor], 0, 0)).unwrap().ranges[0].first.0
    }

    /// Appends events until the log has rolled so many times more.
    pub(super) fn fill_segments(&self, segments: u64) {
        let before = self.keeper().counts().rolls;
        while self.keeper().counts().rolls < before + segments {
            self.put("filler");
        }
    }

    /// The actors of a class, in order of their sequences, which must be dense from the log's first.
    pub(super) fn actors(&self, class: &str) -> Vec<String> {
        let log = self.keeper().core.catalog.log(&name("t"), &name(class)).unwrap();
        let mut actors = Vec::new();
        let mut expected = log.first();
        for segment in log.snapshot().iter() {
            let pinned = segment.pin().unwrap();
            assert_eq!(pinned.first, expected, "no gap between segments");
            let mut at = 1_024;
            while at < pinned.log.length().0 {
                let frame = pinned.log.frame(piperoll_format::units::Offset(at)).unwrap();
                assert_eq!(frame.header().first_sequence, expected);
                frame.validate(&name(class)).unwrap();
                actors.extend(frame.events().map(|event| {
                    String::from_utf8(event.bytes[2..2 + usize::from(event.bytes[1])].to_vec()).unwrap()
                }));
                expected = frame.header().end_sequence();
                at += u64::from(frame.header().length);
            }
            assert_eq!(pinned.end, expected);
        }
        actors
    }

    pub(super) fn names(&self) -> Vec<String> {
        use crate::disk::Disk;
        let entries = self.disk.list(std::path::Path::new("logs/t/a")).unwrap();
        entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
    }

    /// The names of the default log's directory that end so.
    pub(super) fn names_with(&self, ending: &str) -> Vec<String> {
        let ends = |name: &String| name.rsplit('.').next() == Some(ending);
        self.names().into_iter().filter(ends).collect()
    }
}
