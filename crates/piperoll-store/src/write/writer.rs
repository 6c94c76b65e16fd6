//! The writer of a log: one group at a time into the active segment, one sync, then the acks.
//!
//! Nothing is published before its sync (R4). A sync that fails is never tried again on the same bytes (R9):
//! the log stops, and the next start finds out what is on the disk.

use crate::catalog::{Log, Trouble};
use crate::core::Core;
use crate::disk::{Disk, DiskFile};
use crate::durable::is_full;
use crate::segment::{OpenSegment, Reach};
use crate::stats::add;
use crate::write::batch::{AddressRange, AppendError, Receipt};
use crate::write::group::{GroupBytes, GroupPlace, PlannedFrame, plan_frames};
use crate::write::inbox::{Room, Taken};
use crate::write::part::{Finish, Part, ProducerName};
use crate::write::roll::AfterLoss;
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::names::Name;
use piperoll_format::units::{LogId, Offset, Sequence, UnixNanos};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Bytes after which hash and columns should follow, so that a roll finds little left to do.
const FOLLOW_BYTES: u64 = 4 * 1024 * 1024;

/// What a log remembers of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Greatest sequence.
    pub(crate) last: u64,
    /// When the producer was heard last.
    pub(crate) received: UnixNanos,
    /// The frame that it is in.
    pub(crate) first: Sequence,
    /// Events of that frame.
    pub(crate) events: u32,
}

/// The writer of a log. Owned by whoever holds the log's writer lock.
pub(crate) enum Writer<D: Disk> {
    /// There is no segment yet; the directory may have been made by a start before this one.
    Unborn(Option<LogId>),
    /// A person closed the last segment as it is; the next one is not there yet.
    AfterLoss(Box<AfterLoss>),
    /// There is an active segment.
    Ready(Box<ActiveWriter<D>>),
    /// The log takes no appends until the next start.
    Shut,
}

/// The active segment, from the writer's side.
pub(crate) struct ActiveWriter<D: Disk> {
    pub(crate) file: D::File,
    pub(crate) open: Arc<OpenSegment>,
    /// Room that the file has; all of it is mapped.
    pub(crate) allocated: u64,
    /// The step of the last preallocation.
    pub(crate) step: u64,
    /// Bytes behind the published length that a write without room may have left.
    pub(crate) dirty: bool,
    /// True once a roll has begun: the next segment may be on the disk already and say where this one ends,
    /// so that nothing more is appended to it, whatever became of the roll.
    pub(crate) is_rolling: bool,
    /// When the last frame was received, in this segment or before it.
    pub(crate) last_received: UnixNanos,
    /// Producers of the last 24 hours, for the file that is written at the roll.
    pub(crate) heard: HashMap<ProducerName, Heard>,
    pub(crate) bytes: GroupBytes,
}

/// Why a group was not stored.
pub(crate) enum Obstacle {
    /// The log takes nothing more, for now or for good.
    Log(Trouble),
    /// These parts cannot be stored.
    Parts(String),
}

impl From<Trouble> for Obstacle {
    fn from(trouble: Trouble) -> Self {
        Self::Log(trouble)
    }
}

/// What an I/O error means for a log: a full disk passes, everything else needs a restart.
pub(crate) fn trouble(what: &str, error: &io::Error) -> Trouble {
    let reason = format!("{what}: {error}");
    if is_full(error) { Trouble::NoSpace(reason) } else { Trouble::Stopped(reason) }
}

/// What appends get while the ballast is lent: seals and drops have the room that is left.
pub(crate) fn no_room_for_appends() -> Trouble {
    Trouble::NoSpace("the disk is full; the room that is left is kept for sealing and sweeping".to_owned())
}

impl<D: Disk> Core<D> {
    /// Commits one group of what waits for `log`: true while there may be more.
    pub(crate) fn commit(&self, log: &Log<D>) -> bool {
        let mut writer = log.writer.lock();
        if let Some(trouble @ (Trouble::ReadOnly(_) | Trouble::Stopped(_))) = log.trouble_kind() {
            self.fail(log, log.inbox.take_all(), &Obstacle::Log(trouble));
            return false;
        }
        let parts = match self.take(log, &mut writer) {
            Ok(Some(parts)) => parts,
            Ok(None) => return false,
            Err(trouble) => {
                self.obstruct(log, log.inbox.take_all(), &Obstacle::Log(trouble));
                return false;
            }
        };
        let frames = plan_frames(parts);
        let Writer::Ready(active) = &mut *writer else { return false };
        match active.store(self, &frames) {
            Ok(stored) => {
                log.resume();
                self.acknowledge(log, frames, &stored);
                self.catalog.wake();
                active.hash(stored.place.offset);
                true
            }
            Err(obstacle) => {
                let mut parts: Vec<Part> = frames.into_iter().flat_map(|frame| frame.parts).collect();
                if matches!(obstacle, Obstacle::Log(_)) {
                    parts.append(&mut log.inbox.take_all());
                }
                self.obstruct(log, parts, &obstacle);
                false
            }
        }
    }

    /// Takes the next group, in a segment that has room for it.
    fn take(&self, log: &Log<D>, writer: &mut Writer<D>) -> Result<Option<Vec<Part>>, Trouble> {
        loop {
            if !log.inbox.waits() {
                return Ok(None);
            }
            let active = self.ready(log, writer)?;
            if active.is_rolling {
                self.roll(log, writer)?;
                continue;
            }
            let reach = active.open.reach();
            let events = reach.end.0.saturating_sub(active.open.header.first.0);
            let room = Room {
                bytes: self.options.segment_bytes_max.saturating_sub(reach.length.0),
                events: self.options.segment_events_max.saturating_sub(events),
            };
            let group = Room { bytes: room.bytes.min(self.options.group_bytes_max), events: room.events };
            match log.inbox.take(group, room) {
                Taken::Parts(parts) => return Ok(Some(parts)),
                Taken::Nothing => return Ok(None),
                // A frame that fits no segment gets one of its own.
                Taken::NoRoom if events == 0 => return Ok(log.inbox.take_one()),
                Taken::NoRoom => self.roll(log, writer)?,
            }
        }
    }

    /// The active segment, made if there is none yet.
    fn ready<'a>(&self, log: &Log<D>, writer: &'a mut Writer<D>) -> Result<&'a mut ActiveWriter<D>, Trouble> {
        if let Writer::Unborn(log_id) = writer {
            *writer = Writer::Ready(Box::new(self.give_birth(log, log_id)?));
        }
        if let Writer::AfterLoss(after) = writer {
            *writer = Writer::Ready(Box::new(self.begin_after_loss(log, after)?));
        }
        match writer {
            Writer::Ready(active) => Ok(active),
            Writer::Unborn(_) | Writer::AfterLoss(_) | Writer::Shut => {
                Err(Trouble::Stopped("its writer has ended".to_owned()))
            }
        }
    }

    fn acknowledge(&self, log: &Log<D>, frames: Vec<PlannedFrame>, stored: &Stored) {
        let mut first = stored.place.first;
        let mut outcomes = Vec::new();
        add(&self.stats.frames, frames.len() as u64);
        for part in frames.into_iter().flat_map(|frame| frame.parts) {
            let end = first.plus(part.events.into());
            let class = log.class().clone();
            let (received, positions) = (stored.place.received, part.positions);
            outcomes.push((part.finish, Ok(AddressRange { class, first, end, received, positions })));
            first = end;
        }
        add(&self.stats.appends, outcomes.len() as u64);
        add(&self.stats.events, first.0.saturating_sub(stored.place.first.0));
        add(&self.stats.bytes, stored.bytes);
        self.settle(log.tenant(), outcomes);
    }

    /// Refuses parts, and the log itself where that is what the obstacle says.
    pub(crate) fn obstruct(&self, log: &Log<D>, parts: Vec<Part>, obstacle: &Obstacle) {
        if let Obstacle::Log(trouble) = obstacle {
            if matches!(trouble, Trouble::NoSpace(_)) {
                add(&self.stats.no_space, 1);
            }
            log.refuse(trouble.clone());
        }
        self.fail(log, parts, obstacle);
    }

    fn fail(&self, log: &Log<D>, parts: Vec<Part>, obstacle: &Obstacle) {
        let error = refusal(log, obstacle);
        self.settle(log.tenant(), parts.into_iter().map(|part| (part.finish, Err(error.clone()))));
    }

    /// Tells everybody who waits for these parts.
    pub(crate) fn settle(
        &self,
        tenant: &Name,
        outcomes: impl IntoIterator<Item = (Finish, Result<AddressRange, AppendError>)>,
    ) {
        let mut keyed = Vec::new();
        for (finish, outcome) in outcomes {
            let (finish, outcome) = match finish {
                Finish::Split(split) => match split.part(outcome) {
                    Some(whole) => whole,
                    None => continue,
                },
                one => (one, outcome.map(|range| Receipt { ranges: vec![range], repeated: false })),
            };
            match finish {
                Finish::Plain(done) => done(outcome),
                Finish::Keyed(name, sequence) => keyed.push((name, sequence, outcome)),
                // A split's own finish is one of the two above.
                Finish::Split(_) => {}
            }
        }
        if !keyed.is_empty() {
            self.producers(tenant).finish(keyed);
        }
    }

    /// Tells everybody who waits for a whole batch.
    pub(crate) fn conclude(&self, tenant: &Name, finish: Finish, outcome: Result<Receipt, AppendError>) {
        match finish {
            Finish::Plain(done) => done(outcome),
            Finish::Keyed(name, sequence) => self.producers(tenant).finish([(name, sequence, outcome)]),
            // The finish of a batch is never a split's: that belongs to its parts.
            Finish::Split(_) => {}
        }
    }
}

/// The error that tells a sender of an obstacle.
pub(crate) fn refusal<D: Disk>(log: &Log<D>, obstacle: &Obstacle) -> AppendError {
    let (tenant, class) = (log.tenant().clone(), log.class().clone());
    match obstacle {
        Obstacle::Log(Trouble::ReadOnly(reason)) => {
            AppendError::ReadOnly { tenant, class, reason: reason.clone() }
        }
        Obstacle::Log(Trouble::Stopped(reason)) => {
            AppendError::Stopped { tenant, class, reason: reason.clone() }
        }
        Obstacle::Log(Trouble::NoSpace(reason)) => {
            AppendError::NoSpace { tenant, class, reason: reason.clone() }
        }
        Obstacle::Parts(reason) => AppendError::Refused(reason.clone()),
    }
}

/// What was stored, and where.
struct Stored {
    place: GroupPlace,
    bytes: u64,
}

impl<D: Disk> ActiveWriter<D> {
    /// Writes frames, syncs them, publishes them.
    fn store(&mut self, core: &Core<D>, frames: &[PlannedFrame]) -> Result<Stored, Obstacle> {
        if self.dirty {
            // Frames that nobody heard of must not come back behind new ones.
            self.trim()?;
        }
        let reach = self.open.reach();
        // I4
        let received = self.last_received.max(core.now());
        let place = GroupPlace { offset: reach.length, first: reach.end, received };
        let encoded = self.bytes.encode(frames, place, &self.open.header.salt);
        encoded.map_err(|error| Obstacle::Parts(error.to_string()))?;
        let end = reach.length.0.saturating_add(self.bytes.length());
        self.make_room(core, end)?;
        self.write(core, reach.length)?;
        self.last_received = received;
        self.hear(frames, place);
        let earliest = reach.received.map_or(received, |(earliest, _)| earliest);
        self.open.publish(Reach {
            length: Offset(end),
            end: reach.end.plus(self.bytes.events()),
            received: Some((earliest, received)),
        });
        if end / FOLLOW_BYTES > reach.length.0 / FOLLOW_BYTES {
            core.behind.ring();
        }
        Ok(Stored { place, bytes: self.bytes.length() })
    }

    fn write(&mut self, core: &Core<D>, offset: Offset) -> Result<(), Trouble> {
        if let Err(error) = self.file.write_at(&self.bytes.slices(), offset.0) {
            self.dirty = true;
            return Err(trouble(&format!("write failed at offset {offset} of {}", self.name()), &error));
        }
        let before = core.clock.now().monotonic_ns;
        // I1, I6
        if let Err(error) = self.file.sync_data() {
            // Not even a full disk passes here (R9): what a failed sync left behind is unknown.
            let reason = format!("sync failed at offset {offset} of {}: {error}", self.name());
            return Err(Trouble::Stopped(reason));
        }
        core.stats.sync(core.clock.now().monotonic_ns.saturating_sub(before));
        Ok(())
    }

    /// Hashes what was just stored, while the processor has it at hand; or leaves it to whoever is hashing now.
    fn hash(&self, offset: Offset) {
        if let Some(mut hash) = self.open.hash.try_lock() {
            hash.extend(offset, &self.bytes.slices());
        }
    }

    /// Preallocates and maps the file up to `end` at least, in steps that follow its rate.
    fn make_room(&mut self, core: &Core<D>, end: u64) -> Result<(), Trouble> {
        if end <= self.allocated {
            return Ok(());
        }
        if core.ballast.is_lent() {
            return Err(no_room_for_appends());
        }
        let options = &core.options;
        let step = self.step.saturating_mul(2).clamp(options.allocate_bytes_min, options.allocate_bytes_max);
        let wanted = self.allocated.saturating_add(step).min(options.segment_bytes_max).max(end);
        let mut reached = wanted;
        let mut allocated = self.file.allocate(wanted);
        if allocated.as_ref().is_err_and(is_full) {
            // The last room of a disk is for what must be written now.
            reached = end;
            allocated = self.file.allocate(end);
        }
        let what = || format!("cannot make room up to {reached} in {}", self.name());
        allocated.map_err(|error| trouble(&what(), &error))?;
        let map = self.file.map(reached).map_err(|error| trouble(&what(), &error))?;
        self.open.grow(map);
        (self.allocated, self.step) = (reached, step);
        Ok(())
    }

    fn hear(&mut self, frames: &[PlannedFrame], place: GroupPlace) {
        let mut first = place.first;
        for frame in frames {
            let events = frame.parts.iter().fold(0, |sum: u32, part| sum.saturating_add(part.events));
            if let Some((part, key)) = frame.parts.last().and_then(|part| Some((part, part.producer?))) {
                let name = ProducerName { principal: Arc::clone(&part.principal), id: key.id };
                let heard = Heard { last: key.sequence, received: place.received, first, events };
                hear(&mut self.heard, name, heard);
            }
            first = first.plus(events.into());
        }
    }

    /// True while the segment has no frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.reach().length.0 <= SEGMENT_HEADER_BYTES
    }

    /// The file, for messages.
    pub(crate) fn name(&self) -> impl std::fmt::Display + use<'_, D> {
        self.open.path.display()
    }
}

/// Notes that a producer was heard; a retry that was stored late does not lower its last sequence. Who sent it was
/// heard then all the same.
pub(crate) fn hear(all: &mut HashMap<ProducerName, Heard>, name: ProducerName, heard: Heard) {
    let known = all.entry(name).or_insert(heard);
    let received = known.received.max(heard.received);
    if known.last <= heard.last {
        *known = heard;
    }
    known.received = received;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R2: once a producer whose newest message was old by the clock was forgotten at a roll, although a retry of an
    /// earlier one had just been stored.
    #[test]
    fn a_late_retry_counts_as_heard_and_does_not_lower_the_last_sequence() {
        let name = ProducerName { principal: "tester".into(), id: 1 };
        let mut all = HashMap::new();
        let mut check = |last: u64, received: i64, expected: (u64, i64)| {
            let heard = Heard { last, received: UnixNanos(received), first: Sequence(last), events: 1 };
            hear(&mut all, name.clone(), heard);
            assert_eq!((all[&name].last, all[&name].received.0), expected);
        };
        check(6, 10, (6, 10));
        check(3, 20, (6, 20));
        check(7, 15, (7, 20));
    }
}
