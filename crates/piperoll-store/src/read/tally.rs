//! Groups of a count, in bounded memory.

use super::{
    count::{Counted, Group},
    error::ReadError,
};
use crate::groups::{Groups, put_key, values_of};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Most groups that one count holds while it runs.
pub const GROUPS_MAX: usize = 100_000;
/// Most bytes of values that one count holds while it runs.
pub const GROUP_VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The values of a group, one for each subject.
pub(super) type Values = Vec<Option<String>>;

/// Groups so far.
#[derive(Default)]
pub(super) struct Tally {
    total: u64,
    /// By the key of their values.
    groups: HashMap<Box<[u8]>, u64, RandomState>,
    key_bytes: usize,
    /// For the key that is being made.
    key: Vec<u8>,
}

impl Tally {
    /// So many events more match.
    pub(super) fn add_total(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
    }

    /// So many events more are in a group. Fails where there are too many groups.
    pub(super) fn add(&mut self, values: &[Option<String>], count: u64) -> Result<(), ReadError> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        put_key(values.iter().map(|value| value.as_ref().map(String::as_bytes)), &mut key);
        let added = self.add_key(&key, count);
        self.key = key;
        added
    }

    /// Takes in the groups of a segment.
    pub(super) fn add_all(&mut self, groups: &Groups) -> Result<(), ReadError> {
        groups.iter().try_for_each(|(key, count)| self.add_key(key, count))
    }

    fn add_key(&mut self, key: &[u8], count: u64) -> Result<(), ReadError> {
        if let Some(so_far) = self.groups.get_mut(key) {
            *so_far = so_far.saturating_add(count);
            return Ok(());
        }
        self.key_bytes = self.key_bytes.saturating_add(key.len());
        if self.groups.len() >= GROUPS_MAX {
            return Err(ReadError::TooManyGroups { max: GROUPS_MAX, what: "different values" });
        }
        if self.key_bytes > GROUP_VALUE_BYTES_MAX {
            return Err(ReadError::TooManyGroups { max: GROUP_VALUE_BYTES_MAX, what: "bytes of values" });
        }
        self.groups.insert(key.into(), count);
        Ok(())
    }

    /// Its groups in a row: those of a segment.
    pub(super) fn into_groups(self) -> Groups {
        let mut groups = Groups::default();
        for (key, count) in &self.groups {
            groups.push_key(key, *count);
        }
        groups
    }

    /// The largest groups.
    pub(super) fn into_counted(self, limit: usize) -> Counted {
        let group = |(key, count): (Box<[u8]>, u64)| Group { values: values_of(&key), count };
        let mut groups: Vec<_> = self.groups.into_iter().map(group).collect();
        groups.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.values.cmp(&b.values)));
        let groups_omitted = groups.len().saturating_sub(limit) as u64;
        groups.truncate(limit);
        Counted { total: self.total, groups, groups_omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Values {
        vec![Some(text.to_owned())]
    }

    #[test]
    fn groups_come_largest_first_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        for (values, count) in
            [(value("b"), 2), (vec![None], 1), (value("a"), 2), (value("c"), 1), (value("c"), 4)]
        {
            tally.add_total(count);
            tally.add(&values, count).unwrap();
        }
        let counted = tally.into_counted(3);
        let found: Vec<_> = counted.groups.iter().map(|group| (group.values.clone(), group.count)).collect();
        assert_eq!(found, [(value("c"), 5), (value("a"), 2), (value("b"), 2)]);
        assert_eq!((counted.total, counted.groups_omitted), (10, 1));
    }

    #[test]
    fn too_many_groups_are_an_error_and_not_a_shorter_answer() {
        let mut tally = Tally::default();
        for number in 0..GROUPS_MAX {
            tally.add(&value(&number.to_string()), 1).unwrap();
        }
        tally.add(&value("0"), 1).unwrap();
        let error = tally.add(&value("one more"), 1).unwrap_err();
        assert!(error.to_string().starts_with("more than 100000 different values"), "{error}");

        let mut tally = Tally::default();
        let long = "x".repeat(64 * 1024);
        let error = (0..).find_map(|number| tally.add(&value(&format!("{long}{number}")), 1).err()).unwrap();
        assert!(error.to_string().starts_with("more than 33554432 bytes of values"), "{error}");
    }
}
