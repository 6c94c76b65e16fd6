//! How long the parts of an `.idx` are.

use super::SealedIndex;
use crate::layout::Private;

impl SealedIndex<'_> {
    /// Each part with its length in bytes: the exact keys, the bitmap fields, the columns of the private part, and all
    /// that belongs to none of these. Together they are the whole file.
    pub fn parts(&self) -> Vec<(&'static str, u64)> {
        let layout = &self.layout;
        let mut parts = vec![("exact keys", layout.exact.range().len() as u64)];
        parts.extend(layout.fields.iter().map(|(field, range)| (field.name(), range.len() as u64)));
        let ends = Private::ALL.iter().skip(1).map(|part| layout.private.start(*part));
        let ends = ends.chain([layout.private.presence_end]);
        for (part, end) in Private::ALL.into_iter().zip(ends) {
            parts.push((name(part), end.saturating_sub(layout.private.start(part)) as u64));
        }
        let known: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        parts.push(("heads, checksums, padding", (layout.length as u64).saturating_sub(known)));
        parts
    }
}

fn name(part: Private) -> &'static str {
    match part {
        Private::Frames => "frames",
        Private::Offsets => "places of events",
        Private::Checks => "checks of events",
        Private::Times => "claimed times",
        Private::Presence => "which have each field",
    }
}
