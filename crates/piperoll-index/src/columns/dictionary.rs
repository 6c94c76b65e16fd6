//! A column of a bitmap field: an id for each ordinal, and the terms that the ids stand for.

use crate::{bits::Bits, group::Labels};
use foldhash::fast::RandomState;
use piperoll_format::event::Field;
use roaring::RoaringBitmap;
use std::{collections::HashMap, sync::Arc};

/// Ids are counted from 1; 0 stands for an absent value.
pub(crate) struct Interned {
    pub(crate) field: Field,
    /// Of each ordinal, the id.
    pub(crate) ids: Vec<u32>,
    /// The terms, by id − 1.
    pub(crate) terms: Vec<Arc<[u8]>>,
    id_of: HashMap<Arc<[u8]>, u32, RandomState>,
    term_bytes: usize,
    /// The id that was put last: events that come together are alike.
    last: u32,
}

impl Interned {
    pub(crate) fn new(field: Field) -> Self {
        Self { field, ids: Vec::new(), terms: Vec::new(), id_of: HashMap::default(), term_bytes: 0, last: 0 }
    }

    pub(crate) fn put(&mut self, ordinal: u32, term: &[u8]) {
        self.last = match self.term(self.last) {
            Some(last) if last == term => self.last,
            _ => self.intern(term),
        };
        if let Some(id) = self.ids.get_mut(ordinal as usize) {
            *id = self.last;
        }
    }

    fn intern(&mut self, term: &[u8]) -> u32 {
        if let Some(&id) = self.id_of.get(term) {
            return id;
        }
        let shared: Arc<[u8]> = term.into();
        self.terms.push(Arc::clone(&shared));
        // A segment has fewer events, and so fewer terms, than a u32 counts.
        let id = u32::try_from(self.terms.len()).unwrap_or(0);
        self.id_of.insert(shared, id);
        self.term_bytes += term.len();
        id
    }

    fn term(&self, id: u32) -> Option<&[u8]> {
        self.terms.get((id as usize).checked_sub(1)?).map(AsRef::as_ref)
    }

    pub(crate) fn with_terms(&self, terms: &[&[u8]]) -> RoaringBitmap {
        let ids: Vec<u32> = terms.iter().filter_map(|term| self.id_of.get(*term).copied()).collect();
        match ids.as_slice() {
            [] => RoaringBitmap::new(),
            [only] => Bits::scan(&self.ids, |id| id == *only).to_bitmap(),
            _ => self.with_ids(ids),
        }
    }

    pub(crate) fn has_any(&self, terms: &[&[u8]]) -> bool {
        terms.iter().any(|term| self.id_of.contains_key(*term))
    }

    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> RoaringBitmap {
        let terms = (1..).zip(&self.terms).filter(|(_, term)| term.starts_with(prefix));
        self.with_ids(terms.map(|(id, _)| id))
    }

    fn with_ids(&self, ids: impl IntoIterator<Item = u32>) -> RoaringBitmap {
        let mut chosen = vec![false; self.terms.len() + 1];
        for id in ids {
            if let Some(chosen) = chosen.get_mut(id as usize) {
                *chosen = true;
            }
        }
        Bits::scan(&self.ids, |id| chosen.get(id as usize).is_some_and(|chosen| *chosen)).to_bitmap()
    }

    pub(crate) fn count(&self, among: &RoaringBitmap, each: &mut dyn FnMut(&[u8], u64)) {
        let mut counts = vec![0_u64; self.terms.len() + 1];
        let mut count = |id: u32| {
            if let Some(count) = counts.get_mut(id as usize) {
                *count += 1;
            }
        };
        if among.len() == self.ids.len() as u64 {
            self.ids.iter().for_each(|id| count(*id));
        } else {
            among.iter().for_each(|ordinal| count(self.ids.get(ordinal as usize).copied().unwrap_or(0)));
        }
        let counted = self.terms.iter().zip(counts.iter().skip(1)).filter(|(_, count)| **count > 0);
        counted.for_each(|(term, count)| each(term, *count));
    }

    pub(crate) fn labels(&self) -> Labels {
        Labels { terms: self.terms.iter().map(|term| term.to_vec()).collect(), of: self.ids.clone() }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // Of a term: its bytes behind two counters, a pointer to them here and in the map, the id, and the
        // map's own byte and slack.
        const TERM_BYTES: usize = 16 + 2 * size_of::<Arc<[u8]>>() + 16;
        size_of::<u32>() * self.ids.capacity() + self.term_bytes + TERM_BYTES * self.terms.capacity()
    }
}
