//! A store on a simulated disk, with a clock and randomness that a seed decides, watched by an oracle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use piperoll_filter::Filter;
use piperoll_format::units::UnixNanos;
use piperoll_store::sim::{Random, SimDisk};
use piperoll_store::{
    AppendError, Asker, Clock, DropRule, Entropy, Moment, Opened, Options, Order, Query, ReadError,
};

use crate::message::{CLASSES, Message, class, tenant};
use crate::oracle::{Content, Found, Oracle};

/// 2026-01-01T00:00:00Z.
const START_NS: i64 = 1_767_225_600_000_000_000;
/// Between two steps.
const STEP_NS: i64 = 1_000_000;

/// A clock that a test sets.
#[derive(Debug)]
pub(crate) struct TestClock {
    /// What it shows: the right time, but for steps.
    wall: AtomicI64,
    right: AtomicI64,
    monotonic: AtomicI64,
    is_vouched_for: AtomicBool,
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let monotonic_ns = u64::try_from(self.monotonic.load(SeqCst)).expect("not negative");
        Moment { wall: UnixNanos(self.wall.load(SeqCst)), monotonic_ns }
    }

    fn is_synchronised(&self) -> bool {
        self.is_vouched_for.load(SeqCst)
    }
}

/// Randomness from a seed.
struct TestEntropy(Mutex<Random>);

impl Entropy for TestEntropy {
    fn fill(&self, into: &mut [u8]) {
        let mut random = self.0.lock().expect("no panic before");
        into.fill_with(|| random.number().to_le_bytes()[0]);
    }
}

/// A store, its disk, and what was promised.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) oracle: Oracle,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) options: Options,
    seed: u64,
    store: Option<Opened<SimDisk>>,
    /// What was answered to messages that were not acknowledged when they were sent first.
    pub(crate) refusals: Vec<AppendError>,
}

/// Small numbers, so that a few messages fill segments and grow files.
pub(crate) fn small_options() -> Options {
    Options {
        segment_bytes_max: 4_096,
        allocate_bytes_min: 2_048,
        allocate_bytes_max: 4_096,
        group_bytes_max: 2_048,
        segment_age_max_ns: 10_000_000_000,
        ballast_bytes: 2_048,
        // Calls of the disk come in the same order each time.
        read_helpers_max: 0,
        open_helpers_max: 0,
        ..Options::default()
    }
}

impl World {
    /// An empty disk, not opened yet.
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        Self::over(SimDisk::new(), Oracle::default(), seed, options)
    }

    pub(crate) fn over(disk: SimDisk, oracle: Oracle, seed: u64, options: Options) -> Self {
        let [wall, right, monotonic] = [START_NS, START_NS, 0].map(AtomicI64::new);
        let clock = Arc::new(TestClock { wall, right, monotonic, is_vouched_for: AtomicBool::new(true) });
        Self { disk, oracle, clock, options, seed, store: None, refusals: Vec::new() }
    }

    /// The world after the machine died and `disk` was found: same promises, same wall clock.
    pub(crate) fn after(&self, disk: SimDisk) -> Self {
        // Never the randomness of a life before: ids and salts are not drawn twice.
        let seed = Random::new(self.seed).number();
        let world = Self::over(disk, self.oracle.clone(), seed, self.options.clone());
        world.clock.wall.store(self.clock.wall.load(SeqCst), SeqCst);
        world.clock.right.store(self.clock.right.load(SeqCst), SeqCst);
        world.clock.is_vouched_for.store(self.clock.is_vouched_for.load(SeqCst), SeqCst);
        world
    }

    /// Lets time go by; the wall clock may also go back.
    pub(crate) fn tick(&self, nanoseconds: i64) {
        self.clock.wall.fetch_add(nanoseconds, SeqCst);
        self.clock.right.fetch_add(nanoseconds.max(0), SeqCst);
        self.clock.monotonic.fetch_add(nanoseconds.max(0), SeqCst);
    }

    /// The wall clock makes a step to so many nanoseconds off the right time; nobody vouches for it any more.
    pub(crate) fn step_clock(&self, nanoseconds: i64) {
        self.clock.is_vouched_for.store(false, SeqCst);
        self.clock.wall.store(self.clock.right.load(SeqCst) + nanoseconds, SeqCst);
    }

    /// The wall clock is set right, and the kernel says that it is.
    pub(crate) fn set_clock_right(&self) {
        self.clock.wall.store(self.clock.right.load(SeqCst), SeqCst);
        self.clock.is_vouched_for.store(true, SeqCst);
    }

    /// The right time, in nanoseconds since the beginning.
    pub(crate) fn elapsed_ns(&self) -> i64 {
        self.clock.right.load(SeqCst) - START_NS
    }

    /// Starts the engine.
    pub(crate) fn open(&mut self) -> Result<(), String> {
        self.store = None;
        if self.oracle.has_served_nothing() {
            // Where there is no entry to compare with, a clock is taken at its word.
            self.set_clock_right();
        }
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        self.seed = self.seed.wrapping_add(1);
        let entropy = Arc::new(TestEntropy(Mutex::new(Random::new(self.seed))));
        let opened = piperoll_store::open(self.disk.clone(), self.options.clone(), clock, entropy);
        self.store = Some(opened.map_err(|error| format!("does not open: {error}"))?);
        Ok(())
    }

    /// Ends the engine, as kill does.
    pub(crate) fn close(&mut self) {
        self.store = None;
    }

    pub(crate) fn store(&self) -> Result<&Opened<SimDisk>, String> {
        self.store.as_ref().ok_or_else(|| "the store is not open".to_owned())
    }

    /// Sends new messages, which wait together, and commits them. Each is answered once, whatever happens.
    pub(crate) fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let numbers: Vec<usize> = messages.iter().map(|message| self.oracle.send(message)).collect();
        let refused = self.submit(&numbers)?;
        self.refusals.extend(refused.into_iter().map(|(_, error)| error));
        Ok(())
    }

    /// Sends messages, new or not, commits them, and says which were refused.
    fn submit(&mut self, numbers: &[usize]) -> Result<Vec<(usize, AppendError)>, String> {
        self.tick(STEP_NS);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let store = self.store.as_ref().ok_or("the store is not open")?;
        // As the keeper's thread does, several times a second; where it fails, the next time may not.
        let _ = store.keeper.take_ballast_again();
        for &number in numbers {
            let answers = Arc::clone(&answers);
            let done = move |outcome| answers.lock().expect("no panic before").push((number, outcome));
            store.appender.submit(self.oracle.sent[number].message.batch(), Box::new(done));
        }
        while store.keeper.commit_all() {}
        let mut answers = std::mem::take(&mut *answers.lock().expect("no panic before"));
        answers.sort_by_key(|(number, _)| *number);
        if !answers.iter().map(|(number, _)| number).eq(numbers) {
            return Err(format!("sent {numbers:?}, answered {answers:?}"));
        }
        let mut refused = Vec::new();
        for (number, outcome) in &answers {
            self.oracle.answered(*number, outcome)?;
        }
        refused.extend(answers.into_iter().filter_map(|(number, outcome)| Some((number, outcome.err()?))));
        Ok(refused)
    }

    /// The messages with a key, but for those that nobody sends again after so long: the window is 24 hours, and
    /// a producer that was silent for 30 of them is not known any more. With a wrong clock that is soon.
    fn with_keys(&self) -> Result<Vec<usize>, String> {
        let window = i64::try_from(self.options.producer_window_ns).expect("small");
        let since = self.store()?.keeper.clock_reading().believed.0.saturating_sub(window.saturating_mul(29));
        let oracle = &self.oracle;
        let has_key = |at: &usize| oracle.sent[*at].message.producer.is_some();
        Ok((0..oracle.sent.len()).filter(has_key).filter(|&at| !oracle.is_older_than(at, since)).collect())
    }

    /// Sends every message with a key again of which all is there still; true if any was refused.
    pub(crate) fn retry_kept(&mut self) -> Result<bool, String> {
        let mut again = self.with_keys()?;
        again.retain(|&number| !self.oracle.is_dropped(number));
        self.submit(&again).map(|refused| !refused.is_empty())
    }

    /// Sends every message with a key again, and expects an acknowledgement for each.
    pub(crate) fn retry_all(&mut self) -> Result<(), String> {
        let again = self.with_keys()?;
        let mut refused = self.submit(&again)?;
        let window = i64::try_from(self.options.producer_window_ns).expect("small");
        let since = self.store()?.keeper.clock_reading().believed.0.saturating_sub(window);
        refused.retain(|(number, error)| {
            !matches!(error, AppendError::OutOfRange { .. }) || !self.oracle.may_be_forgotten(*number, since)
        });
        if refused.is_empty() { Ok(()) } else { Err(format!("retries were refused: {refused:?}")) }
    }
}

/// What can be read.
impl World {
    /// Everything that a reader finds, by class, in the order of sequences.
    pub(crate) fn content(&self) -> Result<Content, ReadError> {
        let mut content: Content = vec![Vec::new(); CLASSES.len()];
        for record in self.find("", Order::OldestFirst, 1_000)? {
            let index = CLASSES.iter().position(|&name| name == record.class.as_str()).expect("our classes");
            let (sequence, received) = (record.sequence.0, record.received.0);
            assert_eq!(record.envelope.principal, "tester");
            content[index].push(Found { sequence, received, bytes: record.event });
        }
        Ok(content)
    }

    /// All events that match, in pages of `limit`.
    fn find(
        &self,
        filter: &str,
        order: Order,
        limit: usize,
    ) -> Result<Vec<piperoll_store::Record>, ReadError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let filter = match filter {
            "" => Filter::all(),
            text => piperoll_filter::parse(text, UnixNanos(START_NS)).expect("a filter"),
        };
        let mut query = Query { tenant: tenant(), filter, order, limit, bytes_max: 1 << 20, position: None };
        let mut records = Vec::new();
        loop {
            let page = store.reader.query(&query, &Asker::patient())?;
            records.extend(page.records);
            query.position = Some(page.position);
            if page.exhausted {
                return Ok(records);
            }
        }
    }

    /// Checks what can be read now against what was promised. An error that names a file is an answer too, where
    /// it `may_fail`; a shorter answer never is.
    pub(crate) fn check(&mut self, may_fail: bool) -> Result<(), String> {
        match self.content() {
            Err(ReadError::Io { path, .. } | ReadError::DataLoss { path, .. })
                if may_fail && path.extension().is_some() =>
            {
                Ok(())
            }
            content => {
                let content = content.map_err(|error| format!("cannot be read: {error}"))?;
                // R25: a clock that nobody vouches for gets into no byte.
                let right = self.clock.right.load(SeqCst);
                match content.iter().flatten().find(|event| event.received > right) {
                    Some(event) => {
                        Err(format!("{} was received {} ns ahead", event.sequence, event.received - right))
                    }
                    None => self.oracle.check(&content),
                }
            }
        }
    }

    /// As [`Self::check`]; a log that takes no appends, and says why, may have less.
    pub(crate) fn check_told(&mut self) -> Result<(), String> {
        let refused = self.refused_classes()?;
        match self.content() {
            Ok(content) => self.oracle.check_but(&content, &refused),
            Err(_) => self.check(true),
        }
    }

    /// As [`Self::check`], and what is asked for in other ways is the same.
    pub(crate) fn check_answers(&mut self) -> Result<(), String> {
        let content = self.content().map_err(|error| format!("cannot be read: {error}"))?;
        self.oracle.check(&content)?;
        self.check_queries(&content).map_err(|error| error.to_string())
    }

    /// Queries equal a scan.
    fn check_queries(&self, content: &Content) -> Result<(), ReadError> {
        let newest = self.find("", Order::NewestFirst, 7)?;
        assert_eq!(newest.len(), content.iter().map(Vec::len).sum::<usize>());
        assert!(newest.windows(2).all(|pair| pair[0].received >= pair[1].received), "not newest first");
        for (index, found) in content.iter().enumerate() {
            let filter = format!("action = \"{}\"", CLASSES[index]);
            let records = self.find(&filter, Order::OldestFirst, 1_000)?;
            let sequences: Vec<u64> = records.iter().map(|record| record.sequence.0).collect();
            assert_eq!(sequences, found.iter().map(|event| event.sequence).collect::<Vec<_>>());
        }
        Ok(())
    }
}

/// What the daemon does by itself. What a disk refuses is no broken promise: the next try may work.
impl World {
    /// Makes a round of marks.
    pub(crate) fn round(&self) -> Result<bool, String> {
        self.tick(STEP_NS);
        Ok(self.store()?.keeper.round().is_ok())
    }

    /// What the daemon's threads do several times a second.
    pub(crate) fn work(&self) -> Result<(), String> {
        let keeper = &self.store()?.keeper;
        // What a disk refuses is no broken promise.
        let _ = keeper.take_ballast_again();
        keeper.follow();
        keeper.roll_old();
        let _ = keeper.round_if_due();
        keeper.seal_ready();
        Ok(())
    }

    /// Ends all active segments, for their age.
    pub(crate) fn roll_old(&self) -> Result<(), String> {
        self.tick(i64::try_from(self.options.segment_age_max_ns).expect("small"));
        self.store()?.keeper.roll_old();
        Ok(())
    }

    /// Ends and seals what a person asked for; true if that worked.
    pub(crate) fn seal_now(&self, index: usize) -> Result<bool, String> {
        self.tick(STEP_NS);
        Ok(self.store()?.keeper.seal_now(Some(&tenant()), Some(&class(index))).is_ok())
    }

    /// Seals whatever waits to be sealed; true if all of it could be.
    pub(crate) fn seal(&self) -> Result<bool, String> {
        self.tick(STEP_NS);
        Ok(self.store()?.keeper.seal_ready().iter().all(Result::is_ok))
    }

    /// Drops the first segment of each class, where it is sealed; true if that worked.
    pub(crate) fn sweep(&mut self) -> Result<bool, String> {
        self.tick(STEP_NS);
        let store = self.store.as_ref().ok_or("the store is not open")?;
        let Ok(sealed) = store.retirer.sealed() else { return Ok(false) };
        let mut all = true;
        for (index, name) in CLASSES.iter().enumerate() {
            let Some(segment) = sealed.iter().find(|segment| segment.class.as_str() == *name) else {
                continue;
            };
            self.oracle.begins_drop(index, segment.end.0);
            let rule = DropRule { rule: "test".to_owned(), keep_seconds: 1, principal: "sweeper".to_owned() };
            match store.retirer.drop_segment(segment, &rule) {
                Ok(_) => self.oracle.dropped(index, segment.end.0),
                Err(_) => all = false,
            }
        }
        Ok(all)
    }

    /// What was found and mended since the start.
    pub(crate) fn take_notes(&self) -> Result<Vec<String>, String> {
        let store = self.store()?;
        let mut notes = store.report.notes.clone();
        notes.extend(store.keeper.take_notes());
        Ok(notes)
    }

    /// The classes whose logs say that they are not as they should be.
    pub(crate) fn refused_classes(&self) -> Result<Vec<String>, String> {
        Ok(self.refusals_of_classes()?.into_keys().collect())
    }

    /// What they say.
    pub(crate) fn refusals_of_classes(&self) -> Result<BTreeMap<String, String>, String> {
        let refusing = self.store()?.reader.refusing();
        Ok(refusing.into_iter().map(|log| (log.class.to_string(), log.reason)).collect())
    }

    /// Whether every log takes appends, every closed segment is sealed, and no receipt waits for its file.
    pub(crate) fn is_healthy(&self) -> Result<(), String> {
        let status = self.store()?.reader.status();
        match status
            .iter()
            .find(|log| log.refusal.is_some() || log.unreadable.is_some() || log.unsealed_segments > 0)
        {
            Some(log) => Err(format!("not healthy with a healthy disk: {log:?}")),
            None => Ok(()),
        }
    }
}
