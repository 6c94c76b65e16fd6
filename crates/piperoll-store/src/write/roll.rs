//! How a log begins and how it goes on to its next segment: docs/format.md, "Roll, in this order".

use crate::catalog::{LOGS_DIR, Log, Trouble};
use crate::core::Core;
use crate::disk::{Disk, DiskFile};
use crate::durable::{FileKind, create_temporary, ensure_dir, temporary, write_new};
use crate::follow::ActiveColumns;
use crate::segment::{Closed, Home, OpenSegment, Reach, Segment};
use crate::stats::add;
use crate::write::group::GroupBytes;
use crate::write::part::ProducerName;
use crate::write::writer::{ActiveWriter, Heard, Writer, no_room_for_appends, trouble};
use piperoll_format::entry::{EntryDetail, EntryFile, EntryHead, Open, SealedDetail};
use piperoll_format::limits::SEGMENT_HEADER_BYTES;
use piperoll_format::producers::{ProducerState, encode_producers};
use piperoll_format::segment::{Previous, SegmentHeader};
use piperoll_format::units::{FrameSalt, LogId, Offset, Sequence, UnixNanos};
use std::collections::HashMap;
use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

/// Producers that were silent for more than the window are remembered for so many of them,
const SILENT_WINDOWS_MAX: u64 = 30;
/// and only while a log has no more producers than this.
const SILENT_PRODUCERS_MAX: usize = 50_000;

/// The file that says that a log was made.
pub(crate) const LOG_OPEN: &str = "log.open";

/// How a log goes on behind a segment that a person closed as it is.
pub(crate) struct AfterLoss {
    pub(crate) log_id: LogId,
    /// Above every sequence that may have been acknowledged.
    pub(crate) first: Sequence,
    pub(crate) previous: Previous,
    pub(crate) last_received: UnixNanos,
    pub(crate) heard: HashMap<ProducerName, Heard>,
}

impl<D: Disk> Core<D> {
    /// Begins the segment behind an accepted loss, where the log waits for one. On a disk without room the first
    /// append that finds some does it.
    pub(crate) fn go_on_after_loss(&self, log: &Log<D>, writer: &mut Writer<D>) {
        let Writer::AfterLoss(after) = writer else { return };
        match self.begin_after_loss(log, after) {
            Ok(active) => *writer = Writer::Ready(Box::new(active)),
            Err(trouble) => log.refuse(trouble),
        }
    }

    /// Begins the segment behind an accepted loss.
    pub(crate) fn begin_after_loss(
        &self,
        log: &Log<D>,
        after: &AfterLoss,
    ) -> Result<ActiveWriter<D>, Trouble> {
        self.identity.check(&*self.disk).map_err(Trouble::Stopped)?;
        let home = log.home();
        let created = after.last_received.max(self.now());
        self.write_producers(home, after.first, &after.heard)?;
        let header = self.header(home, after.log_id, after.first, created, Some(after.previous));
        let active = self.begin_segment(home, header, after.heard.clone())?;
        log.push(&Arc::new(Segment::of_open(home, Arc::clone(&active.open))));
        self.work.ring();
        Ok(active)
    }

    /// Makes the directories of a log, its `log.open` and its first segment.
    pub(crate) fn give_birth(
        &self,
        log: &Log<D>,
        log_id: &mut Option<LogId>,
    ) -> Result<ActiveWriter<D>, Trouble> {
        let home = log.home();
        let what = |error: io::Error| trouble(&format!("cannot make {}", home.dir.display()), &error);
        let logs = Path::new(LOGS_DIR);
        let tenant = logs.join(home.tenant.as_str());
        ensure_dir(&*self.disk, logs, &tenant).map_err(what)?;
        ensure_dir(&*self.disk, &tenant, &home.dir).map_err(what)?;
        let now = self.now();
        let log_id = match *log_id {
            Some(known) => known,
            // What follows may fail and be tried again: the log keeps the id that it has now.
            None => *log_id.insert(self.write_log_open(home, LogId(self.random()), now).map_err(what)?),
        };
        let header = self.header(home, log_id, Sequence(0), now, None);
        let active = self.begin_segment(home, header, HashMap::new())?;
        log.push(&Arc::new(Segment::of_open(home, Arc::clone(&active.open))));
        Ok(active)
    }

    /// Writes the entry that says that a log was made.
    pub(crate) fn write_log_open(&self, home: &Home<D>, log_id: LogId, made: UnixNanos) -> io::Result<LogId> {
        let detail = EntryDetail {
            tenant: home.tenant.as_str().to_owned(),
            class: home.class.as_str().to_owned(),
            ..EntryDetail::default()
        };
        let detail = SealedDetail { nonce: self.random(), detail };
        let head = EntryHead { log_id, made, detail: detail.hash(), ..EntryHead::default() };
        let file = EntryFile { entry: Open { head }.into(), tree_index: None, detail: Some(detail) };
        let bytes = file.encode().map_err(io::Error::other)?;
        write_new(&*self.disk, &home.dir.join(LOG_OPEN), &bytes, false)?;
        self.disk.sync_dir(&home.dir)?;
        Ok(log_id)
    }

    fn header(
        &self,
        home: &Home<D>,
        log_id: LogId,
        first: Sequence,
        created: UnixNanos,
        previous: Option<Previous>,
    ) -> SegmentHeader {
        let (tenant, class) = (home.tenant.clone(), home.class.clone());
        SegmentHeader { log_id, salt: FrameSalt(self.random()), first, created, previous, tenant, class }
    }

    /// Makes the file of a new segment, durably.
    fn begin_segment(
        &self,
        home: &Home<D>,
        header: SegmentHeader,
        heard: HashMap<ProducerName, Heard>,
    ) -> Result<ActiveWriter<D>, Trouble> {
        if self.ballast.is_lent() {
            return Err(no_room_for_appends());
        }
        let path = FileKind::Log.path(&home.dir, header.first);
        let what = |error: io::Error| trouble(&format!("cannot make {}", path.display()), &error);
        let file = create_temporary(&*self.disk, &path).map_err(what)?;
        let encoded = header.encode();
        let made = file
            .write_at(&[IoSlice::new(&encoded)], 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| self.disk.rename(&temporary(&path), &path))
            .and_then(|()| self.disk.sync_dir(&home.dir))
            .and_then(|()| file.map(SEGMENT_HEADER_BYTES));
        let map = Arc::new(made.map_err(what)?);
        let columns = ActiveColumns::new(&header);
        let last_received = header.created;
        let reach = Reach { length: Offset(SEGMENT_HEADER_BYTES), end: header.first, received: None };
        let open = Arc::new(OpenSegment::new(header, path.clone(), map, reach, columns, true));
        open.hash.lock().extend(Offset(0), &[IoSlice::new(&encoded)]);
        let allocated = SEGMENT_HEADER_BYTES;
        let bytes = GroupBytes::default();
        Ok(ActiveWriter {
            file,
            open,
            allocated,
            step: 0,
            dirty: false,
            is_rolling: false,
            last_received,
            heard,
            bytes,
        })
    }

    /// Ends the active segment and begins the next one. Nothing happens to one without a frame.
    pub(crate) fn roll(&self, log: &Log<D>, writer: &mut Writer<D>) -> Result<(), Trouble> {
        let Writer::Ready(active) = writer else { return Ok(()) };
        if active.is_empty() {
            return Ok(());
        }
        if !active.is_rolling {
            active.trim()?;
            active.is_rolling = true;
        }
        let (reach, root) = active.open.root().map_err(|error| Trouble::ReadOnly(error.to_string()))?;
        // Another daemon on a copy or a second mount would make the same sequences again (R27).
        self.identity.check(&*self.disk).map_err(Trouble::Stopped)?;
        let home = log.home();
        let created = active.last_received.max(self.now());
        let since = forget(&mut active.heard, created, self.options.producer_window_ns);
        self.producers(log.tenant()).forget(since);
        self.write_producers(home, reach.end, &active.heard)?;
        let old = &active.open.header;
        // I10
        let previous = Previous { first: old.first, length: reach.length.0, root };
        let header = self.header(home, old.log_id, reach.end, created, Some(previous));
        let mut next = self.begin_segment(home, header, HashMap::new())?;
        next.heard = std::mem::take(&mut active.heard);
        active.open.close(Closed { length: reach.length, root });
        log.push(&Arc::new(Segment::of_open(home, Arc::clone(&next.open))));
        **active = next;
        add(&self.stats.rolls, 1);
        self.work.ring();
        Ok(())
    }

    /// Writes what the log remembers of its producers, durably before the segment has its name: once the
    /// segments before are dropped, nothing else knows.
    fn write_producers(
        &self,
        home: &Home<D>,
        first: Sequence,
        heard: &HashMap<ProducerName, Heard>,
    ) -> Result<(), Trouble> {
        let mut states: Vec<ProducerState> = heard
            .iter()
            .map(|(name, heard)| ProducerState {
                principal: name.principal.to_string(),
                id: name.id,
                last_sequence: heard.last,
                received: heard.received,
                first_sequence: heard.first,
                event_count: heard.events,
            })
            .collect();
        states.sort_by(|a, b| (&a.principal, a.id).cmp(&(&b.principal, b.id)));
        let path = FileKind::Producers.path(&home.dir, first);
        let written = write_new(&*self.disk, &path, &encode_producers(&states), false);
        let written = written.and_then(|()| self.disk.sync_dir(&home.dir));
        written.map_err(|error| trouble(&format!("cannot write {}", path.display()), &error))
    }
}

/// Forgets producers that were silent for long, and tells since when the others were not. Those silent for
/// more than the window stay while they are few: a retry of theirs is then refused, and not stored twice.
fn forget(heard: &mut HashMap<ProducerName, Heard>, now: UnixNanos, window_ns: u64) -> UnixNanos {
    let before = |windows: u64| UnixNanos(now.0.saturating_sub_unsigned(window_ns.saturating_mul(windows)));
    let long = before(SILENT_WINDOWS_MAX);
    heard.retain(|_, heard| heard.received >= long);
    if heard.len() <= SILENT_PRODUCERS_MAX {
        return long;
    }
    heard.retain(|_, heard| heard.received >= before(1));
    before(1)
}

impl<D: Disk> ActiveWriter<D> {
    /// Cuts the file to its last frame and syncs it. Its length is not asked: a full disk may have made it
    /// longer than was told.
    pub(crate) fn trim(&mut self) -> Result<(), Trouble> {
        let length = self.open.reach().length.0;
        let cut = self.file.truncate(length).and_then(|()| self.file.sync_data());
        cut.map_err(|error| {
            Trouble::Stopped(format!("cannot cut {} to its end at {length}: {error}", self.name()))
        })?;
        (self.allocated, self.dirty) = (length, false);
        Ok(())
    }
}
