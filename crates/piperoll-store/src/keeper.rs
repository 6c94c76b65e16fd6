//! What has to be done behind the appends: follow, roll what is old, mark, seal. Synchronous: whoever calls
//! does the work, in a test in any order.

use crate::catalog::{Log, Trouble};
use crate::core::Core;
use crate::disk::Disk;
use crate::options::Options;
use crate::rounds::{RoundWriteError, Rounds};
use crate::seal::{SealError, SealedSegment};
use crate::segment::{OpenSegment, PinError, Segment, SegmentState};
use crate::stats::StoreCounts;
use crate::timekeeper::{ClockError, ClockReading};
use crate::write::writer::{Obstacle, Writer};
use parking_lot::Mutex;
use piperoll_format::names::Name;
use piperoll_format::units::UnixNanos;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// The capability to do what has to be done behind the appends.
pub struct Keeper<D: Disk> {
    pub(crate) core: Arc<Core<D>>,
    pub(crate) rounds: Mutex<Rounds>,
}

impl<D: Disk> Keeper<D> {
    /// The keeper of an engine.
    pub(crate) fn new(core: Arc<Core<D>>, rounds: Rounds) -> Self {
        Self { core, rounds: Mutex::new(rounds) }
    }

    /// The engine's settings.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// What the engine has counted.
    pub fn counts(&self) -> StoreCounts {
        self.core.stats.counts()
    }

    /// How far the wall clock is ahead of the time that is believed, in nanoseconds (R25); `None` while it
    /// is believed.
    pub fn clock_ahead_ns(&self) -> Option<i64> {
        self.core.clock_ahead_ns()
    }

    /// What the clocks say, and what is believed of it (R24, R25).
    pub fn clock_reading(&self) -> ClockReading {
        self.core.clock_reading()
    }

    /// Whether [`Self::accept_clock`] would accept; changes nothing.
    pub fn may_accept_clock(&self, seen: UnixNanos) -> Result<(), ClockError> {
        self.core.time.lock().may_accept(&*self.core.clock, seen)
    }

    /// Believes the clock from now on because a person says so, who saw it show `seen` (R25).
    pub fn accept_clock(&self, seen: UnixNanos) -> Result<UnixNanos, ClockError> {
        self.core.time.lock().accept(&*self.core.clock, seen)
    }

    /// Segments that are full and not sealed yet.
    pub fn unsealed_segments(&self) -> usize {
        let logs = self.core.catalog.all_logs();
        let snapshots = logs.iter().map(|log| log.snapshot());
        let closed = |segment: &Arc<Segment<D>>| segment.state() == SegmentState::Closed;
        snapshots.map(|snapshot| snapshot.iter().filter(|segment| closed(segment)).count()).sum()
    }

    /// What the ballast holds, in bytes: less than its setting while the disk is full.
    pub fn ballast_bytes(&self) -> u64 {
        self.core.ballast.bytes()
    }

    /// Takes the ballast again where it was lent and there is room.
    pub fn take_ballast_again(&self) -> std::io::Result<()> {
        self.core.ballast.take_again(&*self.core.disk)
    }

    /// What was checked of the indexes of sealed segments is checked once more before it is read again (decision 14).
    pub fn check_indexes_again(&self) {
        self.core.catalog.held().check_again();
    }

    /// Sealed segments that are open for the next question.
    pub fn open_segments(&self) -> u64 {
        self.core.catalog.held().count() as u64
    }

    /// Memory that the terms of sealed segments take, in bytes.
    pub fn term_set_bytes(&self) -> u64 {
        self.core.catalog.held().term_bytes() as u64
    }

    /// Memory that the columns of unsealed segments take, in bytes.
    pub fn columns_bytes(&self) -> u64 {
        let logs = self.core.catalog.all_logs();
        logs.iter().flat_map(|log| log.unsealed()).map(|open| open.columns_bytes()).sum()
    }

    /// Commits what waits in all logs, until nothing does; true if there was anything.
    pub fn commit_all(&self) -> bool {
        let mut any = false;
        loop {
            let logs = self.core.catalog.all_logs();
            if logs.iter().filter(|log| self.core.commit(log)).count() == 0 {
                return any;
            }
            any = true;
        }
    }

    /// Commits one group of one log; true while more may wait.
    pub fn commit(&self, tenant: &Name, class: &Name) -> bool {
        self.core.catalog.log(tenant, class).is_some_and(|log| self.core.commit(&log))
    }

    /// Brings hashes and columns of the active segments up to what is published, and keeps the memory of all
    /// columns within its budget.
    pub fn follow(&self) {
        for log in self.core.catalog.all_logs() {
            let Some(open) = active(&log).filter(|open| open.closed().is_none()) else { continue };
            if let Err(error) = open.root().and_then(|_| open.follow()) {
                log.refuse(Trouble::ReadOnly(error.to_string()));
            }
        }
        self.keep_within_budget();
    }

    /// Full segments give their columns back first: their index is on its way, and until then a question
    /// makes them again. Then the largest active segment is sealed early.
    fn keep_within_budget(&self) {
        let bytes_max = self.core.options.columns_bytes_max;
        if self.columns_bytes() <= bytes_max {
            return;
        }
        let logs = self.core.catalog.all_logs();
        let unsealed = logs.iter().flat_map(|log| log.unsealed());
        unsealed.filter(|open| open.closed().is_some()).for_each(|open| open.forget_columns());
        if self.columns_bytes() <= bytes_max {
            return;
        }
        let bytes = |log: &&Arc<Log<D>>| active(log).map_or(0, |open| open.columns_bytes());
        if let Some(log) = logs.iter().max_by_key(bytes) {
            self.roll(log);
        }
    }

    /// Rolls active segments that are older than the limit, counted from their first frame.
    pub fn roll_old(&self) {
        let now = self.core.now();
        let age_max = self.core.options.segment_age_max_ns;
        for log in self.core.catalog.all_logs() {
            let first = active(&log).and_then(|open| open.reach().received).map(|(first, _)| first);
            if first.is_some_and(|first| {
                now.0.saturating_sub(first.0) >= i64::try_from(age_max).unwrap_or(i64::MAX)
            }) {
                self.roll(&log);
            }
        }
    }

    /// Rolls the active segment of a log, unless it has no frame or takes no appends.
    fn roll(&self, log: &Log<D>) {
        let mut writer = log.writer.lock();
        if !matches!(log.trouble_kind(), None | Some(Trouble::NoSpace(_))) {
            return;
        }
        if let Err(trouble) = self.core.roll(log, &mut writer) {
            self.core.obstruct(log, Vec::new(), &Obstacle::Log(trouble));
        }
    }

    /// Writes a round of marks if it is time for one; true if it did.
    pub fn round_if_due(&self) -> Result<bool, RoundWriteError> {
        self.rounds.lock().write_if_due(&self.core)
    }

    /// Writes a round of marks.
    pub fn round(&self) -> Result<(), RoundWriteError> {
        self.rounds.lock().write(&self.core)
    }

    /// Seals the segments that are full, and tells of each; stops between two when the daemon is ending.
    pub fn seal_ready(&self) -> Vec<Result<SealedSegment, SealError>> {
        let mut outcomes = Vec::new();
        for log in self.core.catalog.all_logs() {
            for segment in log.snapshot().iter() {
                if self.core.closing.load(SeqCst) {
                    return outcomes;
                }
                outcomes.extend(self.core.seal(&log, segment).transpose());
            }
        }
        outcomes
    }

    /// Rolls and seals: all logs, or those of a tenant, or of a class. Answers what was not sealed before this
    /// call; segments that were full before are sealed too. A log that takes no appends is passed over, unless it
    /// was asked for by tenant and class.
    pub fn seal_now(
        &self,
        tenant: Option<&Name>,
        class: Option<&Name>,
    ) -> Result<Vec<SealedSegment>, SealError> {
        let mut sealed = Vec::new();
        let is_asked = |log: &Arc<Log<D>>| {
            tenant.is_none_or(|it| it == log.tenant()) && class.is_none_or(|it| it == log.class())
        };
        for log in self.core.catalog.all_logs().iter().filter(|log| is_asked(log)) {
            let is_shut = matches!(log.trouble_kind(), Some(Trouble::ReadOnly(_) | Trouble::Stopped(_)));
            if is_shut && (tenant.is_none() || class.is_none()) {
                continue;
            }
            // Before the roll: the sealer's own thread may seal what is rolled before this one comes to it.
            let mut waiting = log.snapshot().as_ref().clone();
            waiting.retain(|segment| segment.unsealed().is_some() && segment.end() > segment.first());
            self.roll(log);
            if let Some(trouble) = log.trouble_kind().filter(|_| is_shut || log.has_active_frames()) {
                return Err(SealError::new(log, &trouble.reason()));
            }
            for segment in waiting {
                self.core.seal(log, &segment)?;
                let seal = segment.seal().map_err(|error| SealError::new(log, &error))?;
                sealed.extend(seal.map(|seal| SealedSegment::new(log.home(), &seal)));
            }
        }
        Ok(sealed)
    }

    /// Looks whether the sealed segments of each log follow each other (R30). A start does not: it reads no
    /// history. A log with a gap serves the rest, and takes no appends.
    pub fn check_history(&self) {
        for log in self.core.catalog.all_logs() {
            check_history(&log);
        }
    }

    /// What somebody should know of what was found and mended since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        let logs = self.core.catalog.all_logs();
        logs.iter().flat_map(|log| std::mem::take(&mut *log.home().notes.lock())).collect()
    }

    /// Takes no more batches. What was taken before is still committed.
    pub fn close(&self) {
        self.core.closing.store(true, SeqCst);
        self.core.catalog.all_logs().iter().for_each(|log| log.inbox.close());
    }
}

/// The active segment of a log.
fn active<D: Disk>(log: &Log<D>) -> Option<Arc<OpenSegment>> {
    log.active().and_then(|segment| segment.unsealed())
}

fn check_history<D: Disk>(log: &Log<D>) {
    let segments = log.snapshot();
    for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
        match segment.seal() {
            // What a person accepted is no gap.
            Ok(Some(seal)) if segment.loss().is_some() => segment.ends_at(seal.head.end),
            Ok(Some(seal)) if seal.head.end < next.first() => {
                let (first, end) = (seal.head.end, next.first());
                let dir = log.home().dir.display();
                let reason = format!("sequences {first} to {end} of {dir} are missing, without a receipt");
                let missing = Segment::unreadable(log.home(), first, end, reason.clone());
                segment.ends_at(first);
                log.insert(&Arc::new(missing));
                log.refuse(Trouble::ReadOnly(reason));
            }
            Ok(_) | Err(PinError::Dropped | PinError::Lost) => {}
            Err(error) => log.refuse(Trouble::ReadOnly(error.to_string())),
        }
    }
}

impl<D: Disk> Log<D> {
    /// Whether the active segment has frames.
    fn has_active_frames(&self) -> bool {
        match &*self.writer.lock() {
            Writer::Ready(active) => !active.is_empty(),
            Writer::Unborn(_) | Writer::AfterLoss(_) | Writer::Shut => false,
        }
    }
}
