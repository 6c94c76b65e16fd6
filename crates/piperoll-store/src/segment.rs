//! A segment as readers and keepers see it: active, closed, sealed, dropped; and how it is pinned.

mod pinned;

pub(crate) use pinned::{IndexBytes, LogBytes, Pinned, TermSource};

use crate::disk::Disk;
use crate::durable::FileKind;
use crate::follow::{ActiveColumns, RunningHash};
use crate::groups::Groups;
use crate::held::{Held, Known};
use crate::loss::AcceptedLoss;
use crate::mapping::Mapping;
use crate::seal;
use parking_lot::{Mutex, RwLock};
use piperoll_format::entry::Seal;
use piperoll_format::event::Field;
use piperoll_format::names::Name;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{Offset, Root, Sequence, UnixNanos};
use piperoll_index::{TermSet, Terms as _};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Where a log lives, and under whose names. Shared by its segments; never changes.
#[derive(Debug)]
pub(crate) struct Home<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) tenant: Name,
    pub(crate) class: Name,
    pub(crate) dir: PathBuf,
    /// What somebody should know, until the keeper takes it.
    pub(crate) notes: Mutex<Vec<String>>,
    /// Shared by all logs.
    pub(crate) held: Arc<Held>,
}

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its bytes are not what was written.
    #[error("{} is damaged at offset {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: Offset,
        /// What was expected and what is there.
        reason: String,
    },
    /// Retention took it after the snapshot was made.
    #[error("the segment was dropped")]
    Dropped,
    /// Nothing of it is left, and a person accepted that.
    #[error("the segment is lost, which was accepted")]
    Lost,
}

impl PinError {
    /// Says which file an I/O error is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Damage of `path` at `offset`.
    #[expect(clippy::needless_pass_by_value, reason = "the reason is an error that was made for this")]
    pub(crate) fn damaged(path: &Path, offset: Offset, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_path_buf(), offset, reason: reason.to_string() }
    }
}

/// At most about this part of a field's section is terms, where they are many.
const TERMS_SHARE: usize = 4;

/// A segment's state; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// Takes appends.
    Active,
    /// Full, and not sealed yet.
    Closed,
    /// Has its seal.
    Sealed,
    /// Its file is missing or damaged from the start.
    Unreadable,
    /// Nothing of it can be read, and a person accepted that.
    Lost,
    /// Gone, by retention.
    Dropped,
}

/// How far an unsealed segment is published: durable, and therefore served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// End of the last frame.
    pub(crate) length: Offset,
    /// End of its sequences.
    pub(crate) end: Sequence,
    /// When the first and the last frame were received; `None` without a frame.
    pub(crate) received: Option<(UnixNanos, UnixNanos)>,
}

/// What a closed segment's successor says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Length of the file.
    pub(crate) length: Offset,
    /// Its BLAKE3 root.
    pub(crate) root: Root,
}

/// An unsealed segment.
pub(crate) struct OpenSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: Arc<Path>,
    /// Written by the writer, after the sync; read by everybody.
    reach: RwLock<Reach>,
    /// Swapped whole by the writer when the file grows.
    map: RwLock<Arc<Mapping>>,
    /// Set once, when the segment is rolled.
    closed: RwLock<Option<Closed>>,
    /// False for a damaged segment: a new mark would say less than its last one, and hide the damage.
    pub(crate) is_marked: bool,
    pub(crate) hash: Mutex<RunningHash>,
    /// Frames from here on were written by this process.
    own: Offset,
    /// Swapped whole when their memory is wanted back; who holds the old ones goes on with them.
    columns: RwLock<Arc<RwLock<ActiveColumns>>>,
}

impl OpenSegment {
    /// An unsealed segment, published up to `reach`.
    pub(crate) fn new(
        header: SegmentHeader,
        path: PathBuf,
        map: Arc<Mapping>,
        reach: Reach,
        columns: ActiveColumns,
        is_marked: bool,
    ) -> Self {
        Self {
            is_marked,
            header,
            path: path.into(),
            reach: RwLock::new(reach),
            map: RwLock::new(map),
            closed: RwLock::new(None),
            hash: Mutex::new(RunningHash::new()),
            own: reach.length,
            columns: RwLock::new(Arc::new(RwLock::new(columns))),
        }
    }

    /// How far it is published.
    pub(crate) fn reach(&self) -> Reach {
        *self.reach.read()
    }

    /// Publishes up to `reach`, which is durable (R4).
    pub(crate) fn publish(&self, reach: Reach) {
        let mut published = self.reach.write();
        // I2: what was served stays served.
        assert!(published.length <= reach.length && published.end <= reach.end, "a segment never shrinks");
        *published = reach;
    }

    /// Takes the map of a file that has grown.
    pub(crate) fn grow(&self, map: Mapping) {
        *self.map.write() = Arc::new(map);
    }

    /// Ends the segment: no frame follows.
    pub(crate) fn close(&self, closed: Closed) {
        *self.closed.write() = Some(closed);
    }

    /// Its length and root, once it is full.
    pub(crate) fn closed(&self) -> Option<Closed> {
        *self.closed.read()
    }

    /// Its bytes up to `reach`.
    pub(crate) fn bytes(&self, reach: &Reach) -> LogBytes {
        let map = Arc::clone(&self.map.read());
        LogBytes::new(map, reach.length, self.header.salt, Arc::clone(&self.path))
    }

    /// Reach and root of what is published now: the running hash, caught up.
    pub(crate) fn root(&self) -> Result<(Reach, Root), PinError> {
        let mut hash = self.hash.lock();
        let reach = self.reach();
        let root = hash.catch_up(&self.bytes(&reach), &reach)?;
        Ok((reach, root))
    }

    /// Memory that the columns take, in bytes.
    pub(crate) fn columns_bytes(&self) -> u64 {
        self.columns.read().read().columns.memory_bytes() as u64
    }

    /// Gives the memory of the columns back; whoever asks next makes them again. Those of a damaged segment
    /// stay: they alone know what can be read of it.
    pub(crate) fn forget_columns(&self) {
        if self.is_marked {
            *self.columns.write() = Arc::new(RwLock::new(ActiveColumns::new(&self.header)));
        }
    }

    /// Brings the columns up to what is published now, and says how far that is.
    pub(crate) fn follow(&self) -> Result<(Reach, Arc<RwLock<ActiveColumns>>), PinError> {
        let shared = Arc::clone(&self.columns.read());
        let mut reach = self.reach();
        // Who only reads does not wait for others who do.
        if !shared.read().has_reached(reach.length) {
            let mut columns = shared.write();
            reach = self.reach();
            columns.catch_up(&self.bytes(&reach), self.own)?;
        }
        Ok((reach, shared))
    }
}

/// A sealed segment, opened.
pub(crate) struct SealedBody {
    pub(crate) seal: Seal,
    pub(crate) log: LogBytes,
    pub(crate) index: IndexBytes,
    /// Somebody has pinned it since it was last looked at.
    used: AtomicBool,
}

impl SealedBody {
    pub(crate) fn new(seal: Seal, log: LogBytes, index: IndexBytes) -> Self {
        Self { seal, log, index, used: AtomicBool::new(false) }
    }

    /// Whether somebody has pinned it since this was last asked.
    pub(crate) fn was_used(&self) -> bool {
        self.used.swap(false, Relaxed)
    }
}

enum Body {
    Open(Arc<OpenSegment>),
    /// Opened when it is read, so that a start reads no history; closed when others are read.
    Sealed(Weak<SealedBody>),
    /// Nothing of it can be read, and why: whoever asks for it must not get an answer that looks whole.
    Unreadable(String),
    /// Nothing of it can be read, and a person accepted that.
    Lost,
    Dropped,
}

/// A segment of a log.
pub(crate) struct Segment<D: Disk> {
    home: Arc<Home<D>>,
    first: Sequence,
    /// Known for a sealed segment: the first of the next.
    end: RwLock<Sequence>,
    /// The seal, read when it is first asked for.
    seal: Mutex<Option<Seal>>,
    /// What is known of it, where it is sealed and somebody has opened it.
    known: RwLock<Known>,
    /// What a person accepted as lost of it.
    loss: Option<AcceptedLoss>,
    body: Mutex<Body>,
}

impl<D: Disk> Segment<D> {
    fn new(home: &Arc<Home<D>>, sequences: Range<Sequence>, body: Body) -> Self {
        let Range { start: first, end } = sequences;
        let (end, body) = (RwLock::new(end), Mutex::new(body));
        let known = RwLock::default();
        Self { home: Arc::clone(home), first, end, seal: Mutex::new(None), known, loss: None, body }
    }

    /// A segment that is not sealed.
    pub(crate) fn of_open(home: &Arc<Home<D>>, open: Arc<OpenSegment>) -> Self {
        let first = open.header.first;
        Self::new(home, first..first, Body::Open(open))
    }

    /// A sealed segment, which is not read before somebody asks.
    pub(crate) fn sealed(home: &Arc<Home<D>>, first: Sequence, end: Sequence) -> Self {
        Self::new(home, first..end, Body::Sealed(Weak::new()))
    }

    /// A segment that should be there and cannot be read.
    pub(crate) fn unreadable(home: &Arc<Home<D>>, first: Sequence, end: Sequence, reason: String) -> Self {
        Self::new(home, first..end, Body::Unreadable(reason))
    }

    /// A segment of which nothing can be read, as a person accepted.
    pub(crate) fn lost(home: &Arc<Home<D>>, sequences: Range<Sequence>, loss: AcceptedLoss) -> Self {
        Self::new(home, sequences, Body::Lost).with_loss(Some(loss))
    }

    /// The same segment, of which a person accepted that something is lost.
    pub(crate) fn with_loss(mut self, loss: Option<AcceptedLoss>) -> Self {
        self.loss = loss;
        self
    }

    /// What a person accepted as lost of it.
    pub(crate) fn loss(&self) -> Option<&AcceptedLoss> {
        self.loss.as_ref()
    }

    /// Its first sequence.
    pub(crate) fn first(&self) -> Sequence {
        self.first
    }

    /// The end of its published sequences; never shrinks.
    pub(crate) fn end(&self) -> Sequence {
        match &*self.body.lock() {
            Body::Open(open) => open.reach().end,
            Body::Sealed(_) | Body::Unreadable(_) | Body::Lost | Body::Dropped => *self.end.read(),
        }
    }

    /// Its state.
    pub(crate) fn state(&self) -> SegmentState {
        match &*self.body.lock() {
            Body::Open(open) if open.closed().is_none() => SegmentState::Active,
            Body::Open(_) => SegmentState::Closed,
            Body::Sealed(_) => SegmentState::Sealed,
            Body::Unreadable(_) => SegmentState::Unreadable,
            Body::Lost => SegmentState::Lost,
            Body::Dropped => SegmentState::Dropped,
        }
    }

    /// When its first and last published frames were received, where that is known without reading.
    pub(crate) fn received_range(&self) -> Option<(UnixNanos, UnixNanos)> {
        match &*self.body.lock() {
            Body::Open(open) => open.reach().received,
            Body::Sealed(_) => (*self.seal.lock()).map(|seal| (seal.earliest_received, seal.latest_received)),
            Body::Unreadable(_) | Body::Lost | Body::Dropped => None,
        }
    }

    /// Length of its `.log` as far as it is published, where that is known without reading.
    pub(crate) fn length(&self) -> Option<Offset> {
        match &*self.body.lock() {
            Body::Open(open) => Some(open.reach().length),
            Body::Sealed(_) => (*self.seal.lock()).map(|seal| Offset(seal.length)),
            Body::Unreadable(_) | Body::Lost | Body::Dropped => None,
        }
    }

    /// The unsealed segment, while it is one.
    pub(crate) fn unsealed(&self) -> Option<Arc<OpenSegment>> {
        match &*self.body.lock() {
            Body::Open(open) => Some(Arc::clone(open)),
            Body::Sealed(_) | Body::Unreadable(_) | Body::Lost | Body::Dropped => None,
        }
    }

    /// The seal, where it is sealed; neither `.log` nor `.idx` is opened for it.
    pub(crate) fn seal(&self) -> Result<Option<Seal>, PinError> {
        if self.state() != SegmentState::Sealed {
            return Ok(None);
        }
        let mut seal = self.seal.lock();
        if seal.is_none() {
            *seal = Some(self.read_seal()?);
        }
        Ok(*seal)
    }

    /// Its seal, made again where it is damaged and what it says can be confirmed (R20).
    fn read_seal(&self) -> Result<Seal, PinError> {
        let next = *self.end.read();
        seal::read_or_make(&self.home, self.first, next, self.loss.as_ref())
    }

    /// The sealed segment, opened; `None` while it is not sealed.
    pub(crate) fn sealed_body(&self) -> Result<Option<Arc<SealedBody>>, PinError> {
        let mut body = self.body.lock();
        match &*body {
            Body::Open(_) => Ok(None),
            Body::Lost => Err(PinError::Lost),
            Body::Dropped => Err(PinError::Dropped),
            Body::Unreadable(reason) => {
                let path = FileKind::Log.path(&self.home.dir, self.first);
                Err(PinError::damaged(&path, Offset(0), reason))
            }
            Body::Sealed(opened) => {
                if let Some(sealed) = opened.upgrade() {
                    sealed.used.store(true, Relaxed);
                    return Ok(Some(sealed));
                }
                let seal = self.read_seal()?;
                let sealed = Arc::new(seal::load(&self.home, seal, self.loss.is_some())?);
                let (end, expected) = (sealed.seal.head.end, *self.end.read());
                if end < expected && self.loss.is_some() {
                    *self.end.write() = end;
                } else if end != expected {
                    let reason =
                        format!("sequences {end} to {expected} behind it are missing, without a receipt");
                    return Err(PinError::damaged(sealed.log.path(), sealed.log.length(), reason));
                }
                *self.seal.lock() = Some(sealed.seal);
                *body = Body::Sealed(Arc::downgrade(&sealed));
                self.home.held.hold(&sealed);
                self.known.write().try_again();
                self.learn_terms_of(&sealed.index, &[]);
                Ok(Some(sealed))
            }
        }
    }

    /// Moves on to sealed: its files are there, durably.
    pub(crate) fn become_sealed(&self, seal: Seal) {
        let mut body = self.body.lock();
        *self.end.write() = seal.head.end;
        *self.seal.lock() = Some(seal);
        *body = Body::Sealed(Weak::new());
    }

    /// Takes its own word for its end, where a segment behind it turned out to be missing.
    pub(crate) fn ends_at(&self, end: Sequence) {
        *self.end.write() = end;
    }

    /// Moves on to dropped; whoever pinned it before goes on reading.
    pub(crate) fn become_dropped(&self) {
        let before = std::mem::replace(&mut *self.body.lock(), Body::Dropped);
        if let Body::Sealed(opened) = before
            && let Some(sealed) = opened.upgrade()
        {
            self.home.held.forget(&sealed);
        }
        self.known.write().forget(&self.home.held);
    }

    /// Which terms it has; `None` where nobody knows.
    pub(crate) fn terms(&self) -> Option<Arc<TermSet>> {
        self.known.read().terms().cloned()
    }

    /// How many of its events have each value of a field; `None` where nobody knows, or the values are many.
    pub(crate) fn counts(&self, field: Field) -> Option<Arc<Groups>> {
        self.known.read().counts(field).cloned()
    }

    /// Keeps how many of all its events have each value of a field.
    pub(crate) fn learn_counts(&self, field: Field, groups: &Arc<Groups>) {
        self.known.write().keep_counts(field, groups, &self.home.held);
    }

    /// Keeps which terms of these fields it has, if it is sealed and whole. An index that cannot be read is found out
    /// when it is asked.
    pub(crate) fn learn_terms(&self, pinned: &Pinned, fields: &[Field]) {
        if let TermSource::Sealed(index) = &pinned.terms {
            self.learn_terms_of(index, fields);
        }
    }

    /// Whether nothing more can be learnt of it: it is not sealed, or its terms of these fields are known.
    pub(crate) fn has_learnt(&self, fields: &[Field]) -> bool {
        self.has_learnt_sealed(fields) || self.unsealed().is_some()
    }

    fn has_learnt_sealed(&self, fields: &[Field]) -> bool {
        let has_all = |terms: &TermSet| fields.iter().all(|field| terms.has(*field));
        self.loss.is_some() || self.known.read().needs_no_more(has_all)
    }

    fn learn_terms_of(&self, index: &IndexBytes, fields: &[Field]) {
        if self.has_learnt_sealed(fields) {
            return;
        }
        let mut known = self.known.write();
        let learnt = index.open().and_then(|view| {
            let before = known.terms().map(|terms| (**terms).clone());
            let Some(mut terms) = before.or_else(|| TermSet::of(view.summary())) else { return Ok(None) };
            for &field in fields {
                if !terms.has(field) {
                    index.expect_reads_of(|layout| {
                        let section = layout.range_of(field);
                        section.start..section.start + section.len() / TERMS_SHARE
                    });
                    terms.learn(&view, field)?;
                }
            }
            Ok(Some(terms))
        });
        if let Some(terms) = learnt.ok().flatten() {
            known.keep_terms(terms, &self.home.held);
        }
    }

    /// Pins what is published of it: the answer stays readable when the segment is sealed or dropped.
    pub(crate) fn pin(&self) -> Result<Pinned, PinError> {
        let (end, log, terms) = if let Some(open) = self.unsealed() {
            let (reach, columns) = open.follow()?;
            (reach.end, open.bytes(&reach), TermSource::Active(columns))
        } else if let Some(sealed) = self.sealed_body()? {
            let terms = TermSource::Sealed(sealed.index.clone());
            (sealed.seal.head.end, sealed.log.clone(), terms)
        } else {
            return Err(PinError::Dropped);
        };
        let (class, first, known) = (self.home.class.clone(), self.first, self.terms());
        Ok(Pinned { class, first, end, has_loss: self.loss.is_some(), log, terms, known })
    }
}

impl<D: Disk> Drop for Segment<D> {
    fn drop(&mut self) {
        self.known.get_mut().forget(&self.home.held);
    }
}
