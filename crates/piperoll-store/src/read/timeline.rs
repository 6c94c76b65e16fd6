//! Everything that ever touched an artifact, a run or a commit, across pipelines.
//!
//! In rounds: a round finds the events of what is followed, and what these events tell is followed in the next
//! one. [`thing`] says what is followed, and [`trail`] from which events to what. Nothing is kept of an event but
//! its address and why it is there.

mod thing;
mod trail;

pub use thing::{Follows, Thing};

use super::{
    Reader,
    asker::Asker,
    error::ReadError,
    pinned::Record,
    position::{Order, Position},
    query::Query,
};
use crate::disk::Disk;
use piperoll_format::{
    event::EventView,
    names::Name,
    units::{Sequence, UnixNanos},
};
use std::collections::{BTreeMap, HashMap, HashSet};
pub(super) use thing::Facts;
pub(super) use trail::next_things;

/// Most events of a timeline.
pub const TIMELINE_EVENTS_MAX: usize = 10_000;
/// Most things that one timeline follows.
pub const TIMELINE_THINGS_MAX: usize = 5_000;
/// Most steps from what was asked for to what is found.
pub const TIMELINE_ROUNDS_MAX: usize = 8;
/// Most reasons that are told of one event.
pub const TIMELINE_REASONS_MAX: usize = 16;
/// Things that are looked for in one question.
const THINGS_TOGETHER: usize = 500;
/// Events that are looked at in one page.
const PAGE_EVENTS: usize = 1_000;
/// Bytes of events in one page.
const PAGE_BYTES: usize = 1 << 20;

/// What to tell.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Whose logs.
    pub tenant: Name,
    /// What it is about.
    pub of: Thing,
    /// At most this many events, and no more than [`TIMELINE_EVENTS_MAX`].
    pub limit: usize,
}

/// Where an event is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The retention class of its log.
    pub class: Name,
    /// Its place in the log.
    pub sequence: Sequence,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The events, ascending by (received, class, sequence).
    pub entries: Vec<Entry>,
    /// What stopped it before it had found everything; none where it has.
    pub limits_reached: Vec<Limit>,
}

/// An event of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// When the daemon received it.
    pub received: UnixNanos,
    /// Why it is there: the nearest to what was asked for first.
    pub reasons: Vec<Reason>,
}

/// Why an event is in a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it touches.
    pub thing: Thing,
    /// The event through which that came to be followed; `None` for what was asked for.
    pub through: Option<Place>,
}

/// What stops a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The limit that was asked for, or [`TIMELINE_EVENTS_MAX`].
    Events,
    /// [`TIMELINE_THINGS_MAX`].
    Things,
    /// [`TIMELINE_ROUNDS_MAX`].
    Rounds,
}

impl<D: Disk> Reader<D> {
    /// Everything that touched something. `asker` is asked from time to time whether to give up.
    pub fn timeline(&self, timeline: &Timeline, asker: &Asker<'_>) -> Result<Told, ReadError> {
        let mut telling = Telling::new(timeline);
        for _ in 0..TIMELINE_ROUNDS_MAX {
            let round = telling.next_round();
            if round.is_empty() || telling.is_full() {
                break;
            }
            for things in round.chunks(THINGS_TOGETHER) {
                telling.look_for(self, things, asker)?;
            }
        }
        if telling.has_next_round() && !telling.is_full() {
            telling.stop(Limit::Rounds);
        }
        Ok(telling.told())
    }
}

struct Telling<'a> {
    timeline: &'a Timeline,
    /// Everything that is followed, by number, and through which event.
    followed: Vec<(Thing, Option<Place>)>,
    numbers: HashMap<Thing, usize>,
    /// The first one that no round has looked for.
    begun: usize,
    entries: BTreeMap<(UnixNanos, Place), Vec<usize>>,
    limits_reached: Vec<Limit>,
}

impl<'a> Telling<'a> {
    fn new(timeline: &'a Timeline) -> Self {
        let mut telling = Self {
            timeline,
            followed: Vec::new(),
            numbers: HashMap::new(),
            begun: 0,
            entries: BTreeMap::new(),
            limits_reached: Vec::new(),
        };
        telling.follow(timeline.of.clone(), None);
        telling
    }

    fn follow(&mut self, thing: Thing, through: Option<Place>) {
        if self.numbers.contains_key(&thing) {
            return;
        }
        if self.followed.len() >= TIMELINE_THINGS_MAX {
            return self.stop(Limit::Things);
        }
        self.numbers.insert(thing.clone(), self.followed.len());
        self.followed.push((thing, through));
    }

    fn stop(&mut self, limit: Limit) {
        if !self.limits_reached.contains(&limit) {
            self.limits_reached.push(limit);
        }
    }

    fn is_full(&self) -> bool {
        self.limits_reached.contains(&Limit::Events)
    }

    fn has_next_round(&self) -> bool {
        self.begun < self.followed.len()
    }

    /// What was not looked for yet.
    fn next_round(&mut self) -> Vec<Thing> {
        let round = self.followed.iter().skip(self.begun).map(|(thing, _)| thing.clone()).collect();
        self.begun = self.followed.len();
        round
    }

    fn look_for<D: Disk>(
        &mut self,
        reader: &Reader<D>,
        things: &[Thing],
        asker: &Asker<'_>,
    ) -> Result<(), ReadError> {
        let mut position: Option<Position> = None;
        let filter = Thing::filter(things);
        while !self.is_full() {
            let query = Query {
                tenant: self.timeline.tenant.clone(),
                filter: filter.clone(),
                order: Order::OldestFirst,
                limit: PAGE_EVENTS,
                bytes_max: PAGE_BYTES,
                position: position.take(),
            };
            let page = reader.query(&query, asker)?;
            page.records.iter().for_each(|record| self.take(record));
            if page.exhausted || page.records.is_empty() {
                break;
            }
            position = Some(page.position);
        }
        Ok(())
    }

    /// Takes in an event, if it touches what is followed, and follows what it tells.
    fn take(&mut self, record: &Record) {
        // It was checked when it was read: it matched a filter.
        let Ok(event) = EventView::stored(&record.event) else { return };
        let facts = Facts::of(event);
        let place = Place { class: record.class.clone(), sequence: record.sequence };
        let mut touched: Vec<_> =
            facts.touched().into_iter().filter_map(|thing| self.numbers.get(&thing).copied()).collect();
        touched.sort_unstable();
        touched.dedup();
        let key = (record.received, place.clone());
        let limit = self.timeline.limit.min(TIMELINE_EVENTS_MAX);
        if touched.is_empty() || self.is_full() {
            return;
        }
        if self.entries.len() >= limit && !self.entries.contains_key(&key) {
            return self.stop(Limit::Events);
        }
        let known = self.entries.entry(key).or_default();
        let new: Vec<_> = touched.into_iter().filter(|number| !known.contains(number)).collect();
        known.extend(&new);
        for number in new {
            let Some((thing, _)) = self.followed.get(number) else { continue };
            for next in next_things(thing, &facts) {
                self.follow(next, Some(place.clone()));
            }
        }
    }

    fn told(mut self) -> Told {
        self.limits_reached.sort_unstable();
        let followed = self.followed;
        let reason = |number: usize| {
            let (thing, through) = followed.get(number)?;
            Some(Reason { thing: thing.clone(), through: through.clone() })
        };
        let entry = |((received, place), mut numbers): ((UnixNanos, Place), Vec<usize>)| {
            numbers.sort_unstable();
            // Each once: what is followed of a run does not show. And an event is no news about itself.
            let mut told = HashSet::new();
            let reasons = numbers.into_iter().filter_map(reason);
            let reasons = reasons.filter(|reason| told.insert(reason.thing.reading()));
            let reasons = reasons.filter(|reason| reason.through.as_ref() != Some(&place));
            let reasons = reasons.take(TIMELINE_REASONS_MAX).collect();
            Entry { place, received, reasons }
        };
        Told { entries: self.entries.into_iter().map(entry).collect(), limits_reached: self.limits_reached }
    }
}
