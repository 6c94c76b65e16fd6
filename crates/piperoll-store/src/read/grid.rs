//! Counts by bucket and value, in bounded memory.

use super::{
    error::ReadError,
    histogram::{Series, Split},
    tally::{GROUP_VALUE_BYTES_MAX, GROUPS_MAX},
};
use std::{cmp::Reverse, collections::HashMap};

/// Most counts, one for each bucket and value, that a histogram holds while it runs.
pub const HISTOGRAM_CELLS_MAX: usize = 500_000;

/// Counts so far.
pub(super) struct Grid {
    /// Of each bucket, the events in it.
    pub(super) counts: Vec<u64>,
    /// Events without the time that the buckets are of.
    pub(super) untimed: u64,
    places: HashMap<Option<String>, usize>,
    value_bytes: usize,
    /// By place of the value, and bucket: both are small numbers, and there are many of these.
    cells: HashMap<(u32, u32), u64>,
}

impl Grid {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            counts: vec![0; buckets],
            untimed: 0,
            places: HashMap::new(),
            value_bytes: 0,
            cells: HashMap::new(),
        }
    }

    /// So many events more are in a bucket.
    pub(super) fn add(&mut self, bucket: usize, count: u64) {
        if let Some(so_far) = self.counts.get_mut(bucket) {
            *so_far = so_far.saturating_add(count);
        }
    }

    /// So many events more are in a bucket and have a value. Fails where there are too many of these.
    pub(super) fn add_value(
        &mut self,
        bucket: usize,
        value: Option<String>,
        count: u64,
    ) -> Result<(), ReadError> {
        // Places are below 100,000, and buckets have been counted before: both fit.
        let key = (cell_part(self.place(value)?), cell_part(bucket));
        if self.cells.len() >= HISTOGRAM_CELLS_MAX && !self.cells.contains_key(&key) {
            let what = "counts, one for each bucket and value,";
            return Err(ReadError::TooManyGroups { max: HISTOGRAM_CELLS_MAX, what });
        }
        let so_far = self.cells.entry(key).or_default();
        *so_far = so_far.saturating_add(count);
        Ok(())
    }

    /// Takes in what another one has.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), ReadError> {
        self.untimed = self.untimed.saturating_add(other.untimed);
        for (bucket, count) in other.counts.into_iter().enumerate() {
            self.add(bucket, count);
        }
        let mut values: Vec<_> = other.places.into_iter().map(|(value, place)| (place, value)).collect();
        values.sort_unstable_by_key(|(place, _)| *place);
        for ((place, bucket), count) in other.cells {
            let value = values.get(place as usize).and_then(|(_, value)| value.clone());
            self.add_value(bucket as usize, value, count)?;
        }
        Ok(())
    }

    fn place(&mut self, value: Option<String>) -> Result<usize, ReadError> {
        if let Some(place) = self.places.get(&value) {
            return Ok(*place);
        }
        self.value_bytes = self.value_bytes.saturating_add(value.as_ref().map_or(0, String::len));
        let place = self.places.len();
        if place >= GROUPS_MAX {
            return Err(ReadError::TooManyGroups { max: GROUPS_MAX, what: "different values" });
        }
        if self.value_bytes > GROUP_VALUE_BYTES_MAX {
            return Err(ReadError::TooManyGroups { max: GROUP_VALUE_BYTES_MAX, what: "bytes of values" });
        }
        self.places.insert(value, place);
        Ok(place)
    }

    /// The largest series, and the rest of them as one.
    pub(super) fn into_split(self, limit: usize) -> Split {
        let mut totals = vec![0_u64; self.places.len()];
        for ((place, _), count) in &self.cells {
            if let Some(total) = totals.get_mut(*place as usize) {
                *total = total.saturating_add(*count);
            }
        }
        let mut values: Vec<_> = self.places.into_iter().collect();
        let total = |place: usize| totals.get(place).copied().unwrap_or(0);
        values.sort_unstable_by(|(a, at), (b, bt)| (Reverse(total(*at)), a).cmp(&(Reverse(total(*bt)), b)));
        let buckets = self.counts.len();
        let mut rank = vec![limit; values.len()];
        for (number, (_, place)) in values.iter().enumerate().take(limit) {
            if let Some(rank) = rank.get_mut(*place) {
                *rank = number;
            }
        }
        let values_omitted = values.len().saturating_sub(limit) as u64;
        values.truncate(limit);
        let mut series: Vec<_> =
            values.into_iter().map(|(value, _)| Series { value, counts: vec![0; buckets] }).collect();
        let mut rest = vec![0_u64; buckets];
        for ((place, bucket), count) in self.cells {
            let number = rank.get(place as usize).copied().unwrap_or(limit);
            let counts = series.get_mut(number).map_or(&mut rest, |series| &mut series.counts);
            if let Some(so_far) = counts.get_mut(bucket as usize) {
                *so_far = so_far.saturating_add(count);
            }
        }
        Split { series, rest, values_omitted }
    }
}

fn cell_part(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_series_come_first_and_the_others_are_the_rest() {
        let mut grid = Grid::new(2);
        for (bucket, value, count) in
            [(0, Some("a"), 1), (1, Some("b"), 5), (0, None, 2), (1, Some("a"), 3), (1, None, 1)]
        {
            grid.add(bucket, count);
            grid.add_value(bucket, value.map(str::to_owned), count).unwrap();
        }
        assert_eq!(grid.counts, [3, 9]);
        let split = grid.into_split(2);
        let series =
            |value: &str, counts: [u64; 2]| Series { value: Some(value.to_owned()), counts: counts.to_vec() };
        assert_eq!(split.series, [series("b", [0, 5]), series("a", [1, 3])]);
        assert_eq!((split.rest, split.values_omitted), (vec![2, 1], 1));
    }

    #[test]
    fn too_many_counts_and_values_are_an_error_and_not_a_shorter_answer() {
        let mut grid = Grid::new(1_000);
        for number in 0..HISTOGRAM_CELLS_MAX {
            grid.add_value(number % 1_000, Some((number / 1_000).to_string()), 1).unwrap();
        }
        grid.add_value(0, Some("0".to_owned()), 1).unwrap();
        let error = grid.add_value(0, Some("one more".to_owned()), 1).unwrap_err();
        assert!(error.to_string().starts_with("more than 500000 counts"), "{error}");

        let mut grid = Grid::new(1);
        for number in 0..GROUPS_MAX {
            grid.add_value(0, Some(number.to_string()), 1).unwrap();
        }
        let error = grid.add_value(0, Some("one more".to_owned()), 1).unwrap_err();
        assert!(error.to_string().starts_with("more than 100000 different values"), "{error}");
    }
}
