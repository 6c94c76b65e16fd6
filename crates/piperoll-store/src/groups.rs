//! Groups of events by their values, as bytes, so that sums over many segments copy no text.

/// The values of a group, one for each subject, and how many events have them; each group once.
///
/// What a whole sealed segment has by one field is held in memory, where it is little.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// The keys one behind the other.
    keys: Vec<u8>,
    /// Where each key ends, and how many events it has.
    ends: Vec<(u32, u32)>,
}

impl Groups {
    /// One more group, whose values these are. A segment has less than 2³² events and bytes of values.
    pub(crate) fn push<'a>(&mut self, values: impl IntoIterator<Item = Option<&'a [u8]>>, count: u64) {
        put_key(values, &mut self.keys);
        self.end(count);
    }

    /// One more group, which has this key.
    pub(crate) fn push_key(&mut self, key: &[u8], count: u64) {
        self.keys.extend_from_slice(key);
        self.end(count);
    }

    fn end(&mut self, count: u64) {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.ends.push((small(self.keys.len() as u64), small(count)));
    }

    /// The key of each group, and how many events it has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, count)| {
            let key = self.keys.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            (key, count.into())
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.keys.capacity() + size_of::<(u32, u32)>() * self.ends.capacity()
    }

    /// Gives memory back that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// Appends the key that these values have: for each a length, which is one more than the text has bytes, and the text;
/// zero for none.
pub(crate) fn put_key<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>, key: &mut Vec<u8>) {
    for value in values {
        // Values are parts of events, whose length a u32 counts.
        let length = value.map_or(0, |text| u32::try_from(text.len()).unwrap_or(u32::MAX).saturating_add(1));
        key.extend_from_slice(&length.to_le_bytes());
        key.extend_from_slice(value.unwrap_or_default());
    }
}

/// The values that have this key.
pub(crate) fn values_of(mut key: &[u8]) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((length, rest)) = key.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length.saturating_sub(1)).unwrap_or((rest, &[]));
        values.push((length > 0).then(|| String::from_utf8_lossy(text).into_owned()));
        key = rest;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_put() {
        let long = "x".repeat(70_000);
        let all = [
            vec![],
            vec![None],
            vec![Some("")],
            vec![Some("a"), None],
            vec![None, Some(&*long)],
            vec![Some("é"), Some("\0")],
        ];
        let mut groups = Groups::default();
        for (values, count) in all.iter().zip(1..) {
            groups.push(values.iter().map(|value| value.map(str::as_bytes)), count);
        }
        groups.shrink();
        for ((key, count), (values, number)) in groups.iter().zip(all.iter().zip(1..)) {
            let expected: Vec<_> = values.iter().map(|value| value.map(str::to_owned)).collect();
            assert_eq!((values_of(key), count), (expected, number));
        }
        assert_eq!(groups.len(), all.len());
        assert!(groups.memory_bytes() > 70_000);
    }
}
