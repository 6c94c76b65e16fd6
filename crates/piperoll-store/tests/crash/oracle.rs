//! What must hold of a store, whatever happened to its disk: acknowledged ⊆ found ⊆ acknowledged ∪ in
//! flight; no gap, no change; `received` never falls; a retry gives the same address.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use piperoll_store::{AddressRange, AppendError, Receipt};

use crate::message::{CLASSES, Message};

/// An event as a reader found it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    pub(crate) sequence: u64,
    pub(crate) received: i64,
    pub(crate) bytes: Bytes,
}

/// Everything that a reader found, by class, in the order of sequences.
pub(crate) type Content = Vec<Vec<Found>>;

/// What is known of a message that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) message: Arc<Message>,
    /// The first acknowledgement, where one came.
    pub(crate) receipt: Option<Arc<Receipt>>,
}

impl Hash for Sent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.message.producer.hash(state);
        self.message.events.hash(state);
        format!("{:?}", self.receipt).hash(state);
    }
}

/// Knows what was promised, and tells when it does not hold. Clones share what neither has changed.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Oracle {
    pub(crate) sent: Arc<Vec<Sent>>,
    /// Message and position of each event, by its bytes.
    places: Arc<BTreeMap<Bytes, (usize, usize)>>,
    /// Class, sequence and reception of every event that was acknowledged or served.
    served: Arc<BTreeMap<(usize, u64), Found>>,
    /// Class and sequence of each such event, by its bytes.
    addresses: Arc<BTreeMap<Bytes, (usize, u64)>>,
    /// For each class, where it may begin: at 0, and behind each segment that somebody began to drop.
    starts: BTreeMap<usize, BTreeSet<u64>>,
    /// For each class, where it begins at least: behind each segment that was dropped.
    dropped: BTreeMap<usize, u64>,
    /// Classes whose last segment was damaged.
    damaged: BTreeSet<usize>,
    /// For each class, the sequences that a person accepted as lost, but for those that are still found.
    lost: BTreeMap<usize, Vec<Range<u64>>>,
}

impl Oracle {
    /// A message is about to be sent; answers its number.
    pub(crate) fn send(&mut self, message: &Message) -> usize {
        let places = Arc::make_mut(&mut self.places);
        for (position, (_, event)) in message.events.iter().enumerate() {
            places.insert(event.clone(), (self.sent.len(), position));
        }
        let sent = Arc::make_mut(&mut self.sent);
        sent.push(Sent { message: Arc::new(message.clone()), receipt: None });
        sent.len() - 1
    }

    /// The engine answered for a message.
    pub(crate) fn answered(
        &mut self,
        number: usize,
        outcome: &Result<Receipt, AppendError>,
    ) -> Result<(), String> {
        let Ok(receipt) = outcome else { return Ok(()) };
        if let Some(first) = &self.sent[number].receipt {
            // What was lost is stored as if for the first time, at another address.
            let kept = |range: &&AddressRange| !self.is_lost_range(range);
            let first: Vec<&AddressRange> = first.ranges.iter().filter(kept).collect();
            let is_kept = |range: &&AddressRange| first.iter().any(|kept| kept.class == range.class);
            let again: Vec<&AddressRange> = receipt.ranges.iter().filter(is_kept).collect();
            same(&first, &again)
                .map_err(|text| format!("message {number} got another address when sent again: {text}"))?;
            if first.len() == receipt.ranges.len() {
                return Ok(());
            }
        }
        self.acknowledged(number, receipt)?;
        Arc::make_mut(&mut self.sent)[number].receipt = Some(Arc::new(receipt.clone()));
        Ok(())
    }

    fn acknowledged(&mut self, number: usize, receipt: &Receipt) -> Result<(), String> {
        let message = Arc::clone(&self.sent[number].message);
        let mut left: BTreeSet<usize> = (0..message.events.len()).collect();
        for range in &receipt.ranges {
            let index =
                CLASSES.iter().position(|&name| name == range.class.as_str()).ok_or("a foreign class")?;
            let positions: Vec<usize> = if range.positions.is_empty() {
                (0..message.events.len()).collect()
            } else {
                range.positions.iter().map(|&position| position as usize).collect()
            };
            if positions != message.positions(index) {
                return Err(format!("message {number}: {range:?} has not the positions of its class"));
            }
            for (sequence, position) in (range.first.0..range.end.0).zip(&positions) {
                left.remove(position);
                let bytes = message.events[*position].1.clone();
                self.serve(index, &Found { sequence, received: range.received.0, bytes })?;
            }
        }
        if left.is_empty() { Ok(()) } else { Err(format!("message {number}: no address for {left:?}")) }
    }

    /// An event was acknowledged or read at this place: from now on it stays there.
    fn serve(&mut self, class: usize, found: &Found) -> Result<(), String> {
        let address = (class, found.sequence);
        match self.addresses.get(&found.bytes) {
            Some(before) if *before == address => {}
            Some(before) if !self.is_lost(before.0, before.1) => {
                return Err(format!("{} is stored twice: {before:?} and {address:?}", text(&found.bytes)));
            }
            _ => {
                Arc::make_mut(&mut self.addresses).insert(found.bytes.clone(), address);
            }
        }
        match self.served.get(&address) {
            Some(before) if before == found => {}
            Some(before) => {
                let (was, is) = (text(&before.bytes), text(&found.bytes));
                return Err(format!("{}@{} was {was} and is {is}", CLASSES[class], found.sequence));
            }
            None => {
                Arc::make_mut(&mut self.served).insert(address, found.clone());
            }
        }
        Ok(())
    }

    /// The class's last segment was damaged: what is lost of it may be accepted.
    pub(crate) fn damaged(&mut self, class: usize) {
        self.damaged.insert(class);
    }

    pub(crate) fn damaged_classes(&self) -> Vec<usize> {
        self.damaged.iter().copied().collect()
    }

    /// A person accepts that these sequences may be lost.
    pub(crate) fn loses(&mut self, class: usize, sequences: Range<u64>) {
        self.lost.entry(class).or_default().push(sequences);
    }

    /// Whether nothing was acknowledged or read yet.
    pub(crate) fn has_served_nothing(&self) -> bool {
        self.served.is_empty()
    }

    /// Whether anything was lost that had been served.
    pub(crate) fn has_losses(&self) -> bool {
        self.served.keys().any(|&(class, sequence)| self.is_lost(class, sequence))
    }

    fn is_lost(&self, class: usize, sequence: u64) -> bool {
        self.lost.get(&class).is_some_and(|lost| lost.iter().any(|range| range.contains(&sequence)))
    }

    fn is_lost_range(&self, range: &AddressRange) -> bool {
        let index = CLASSES.iter().position(|&name| name == range.class.as_str());
        index.is_some_and(|index| self.is_lost(index, range.first.0))
    }

    /// Whether all sequences from `from` to `to` are lost; ranges may touch and overlap.
    fn is_all_lost(&self, class: usize, from: u64, to: u64) -> bool {
        let Some(lost) = self.lost.get(&class) else { return from >= to };
        let mut at = from;
        while let Some(range) = lost.iter().find(|range| range.contains(&at)) {
            at = range.end;
        }
        at >= to
    }

    /// Somebody begins to drop the segment of these sequences.
    pub(crate) fn begins_drop(&mut self, class: usize, end: u64) {
        self.starts.entry(class).or_default().insert(end);
    }

    /// The drop is done.
    pub(crate) fn dropped(&mut self, class: usize, end: u64) {
        let dropped = self.dropped.entry(class).or_default();
        *dropped = end.max(*dropped);
    }

    /// Whether a retry of a message may be answered with `OutOfRange`: where a segment was dropped, only its
    /// producers are known, and whether a message of theirs was in it cannot be told. Nor is it looked for among
    /// what was received before `since`.
    pub(crate) fn may_be_forgotten(&self, number: usize, since: i64) -> bool {
        let is_recent =
            |address: &(usize, u64)| self.served.get(address).is_some_and(|found| found.received >= since);
        // A loss goes with the segment that it is of.
        let is_kept = |address: &&(usize, u64)| {
            address.1 >= self.latest_start(address.0)
                && !self.is_lost(address.0, address.1)
                && is_recent(address)
        };
        let events = &self.sent[number].message.events;
        let kept = events.iter().filter_map(|(_, event)| self.addresses.get(event)).filter(is_kept).count();
        let forgets = !self.starts.is_empty() || self.served.values().any(|found| found.received < since);
        forgets && kept < events.len()
    }

    /// Whether a part of a message was received before `since`.
    pub(crate) fn is_older_than(&self, number: usize, since: i64) -> bool {
        let addresses = self.sent[number].message.events.iter();
        let mut found = addresses.filter_map(|(_, event)| self.served.get(self.addresses.get(event)?));
        found.any(|found| found.received < since)
    }

    /// Whether a part of a message lay in a segment that somebody began to drop.
    pub(crate) fn is_dropped(&self, number: usize) -> bool {
        let addresses = self.sent[number].message.events.iter();
        let mut addresses = addresses.filter_map(|(_, event)| self.addresses.get(event));
        addresses.any(|&(class, sequence)| sequence < self.latest_start(class))
    }

    /// Checks what a reader found, and holds the store to it from now on.
    pub(crate) fn check(&mut self, content: &Content) -> Result<(), String> {
        self.check_but(content, &[])
    }

    /// As [`Self::check`]; of the classes in `refused` there may be less.
    pub(crate) fn check_but(&mut self, content: &Content, refused: &[String]) -> Result<(), String> {
        let mut parts: BTreeMap<(usize, usize), Vec<(u64, usize)>> = BTreeMap::new();
        for (index, found) in content.iter().enumerate() {
            if !refused.iter().any(|refused| refused == CLASSES[index]) {
                self.check_class(index, found)?;
            }
            for event in found {
                let Some(&(number, position)) = self.places.get(&event.bytes) else {
                    return Err(format!("{}@{} was never sent", CLASSES[index], event.sequence));
                };
                parts.entry((number, index)).or_default().push((event.sequence, position));
            }
        }
        for ((number, index), places) in parts {
            self.check_part(number, index, &places)?;
        }
        for (index, found) in content.iter().enumerate() {
            found.iter().try_for_each(|event| self.serve(index, event))?;
        }
        Ok(())
    }

    /// Dense from an allowed beginning, nothing served is missing, `received` never falls.
    fn check_class(&self, index: usize, found: &[Found]) -> Result<(), String> {
        let name = CLASSES[index];
        let mut expected = self.served.range((index, 0)..=(index, u64::MAX)).map(|(key, _)| key.1);
        let least = self.dropped.get(&index).copied().unwrap_or(0);
        let Some(first) = found.first().map(|event| event.sequence) else {
            let is_gone =
                |sequence: u64| sequence < self.latest_start(index) || self.is_lost(index, sequence);
            let lost = expected.find(|&sequence| !is_gone(sequence));
            return lost.map_or(Ok(()), |lost| Err(format!("{name} is empty and has lost {lost}")));
        };
        let mut starts = self.starts.get(&index).into_iter().flatten().copied().chain([0]);
        let may_begin = starts.any(|start| start <= first && self.is_all_lost(index, start, first));
        if first < least || !may_begin {
            return Err(format!(
                "{name} begins at {first}, expected {least} or the end of a dropped segment"
            ));
        }
        let gap =
            found.windows(2).find(|pair| !self.is_all_lost(index, pair[0].sequence + 1, pair[1].sequence));
        if let Some(pair) = gap {
            return Err(format!("{name} has a gap: {} follows {}", pair[1].sequence, pair[0].sequence));
        }
        if let Some(pair) = found.windows(2).find(|pair| pair[0].sequence >= pair[1].sequence) {
            return Err(format!("{name}: {} follows {}", pair[1].sequence, pair[0].sequence));
        }
        let is_gone = |sequence: u64| sequence < first || self.is_lost(index, sequence);
        // They ascend, as was just seen.
        let is_there = |sequence: u64| found.binary_search_by_key(&sequence, |event| event.sequence).is_ok();
        if let Some(lost) = expected.find(|&sequence| !is_there(sequence) && !is_gone(sequence)) {
            return Err(format!("{name} has lost {lost}"));
        }
        match found.windows(2).find(|pair| pair[0].received > pair[1].received) {
            Some(pair) => Err(format!("{name}: received falls at {}", pair[1].sequence)),
            None => Ok(()),
        }
    }

    fn latest_start(&self, index: usize) -> u64 {
        self.starts.get(&index).and_then(|starts| starts.last().copied()).unwrap_or(0)
    }

    /// What is found of a message in one class is its whole part, once, in order and without a gap.
    fn check_part(&self, number: usize, index: usize, places: &[(u64, usize)]) -> Result<(), String> {
        let expected = self.sent[number].message.positions(index);
        let found: Vec<usize> = places.iter().map(|&(_, position)| position).collect();
        let dense = places.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
        // The front of a part may have been dropped with its segment only as a whole, since a frame lies in
        // one segment.
        if found == expected && dense {
            return Ok(());
        }
        Err(format!(
            "message {number} in {}: expected positions {expected:?}, found {places:?}",
            CLASSES[index]
        ))
    }
}

fn same(first: &[&AddressRange], second: &[&AddressRange]) -> Result<(), String> {
    // Positions are left out where all events go to one class, whichever way that is said.
    let is_same = |(a, b): (&&AddressRange, &&AddressRange)| {
        (&a.class, a.first, a.end, a.received) == (&b.class, b.first, b.end, b.received)
    };
    let equal = first.len() == second.len() && first.iter().zip(second).all(is_same);
    if equal { Ok(()) } else { Err(format!("{first:?}, then {second:?}")) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..40.min(bytes.len())).unwrap_or_default()).escape_debug().to_string()
}
