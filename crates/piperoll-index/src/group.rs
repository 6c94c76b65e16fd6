//! Counts events by the values of a field, from the index alone.

use crate::{error::IndexError, terms::Terms, wire::u64_at};
use piperoll_format::event::{Field, Indexed, Kind};
use roaring::RoaringBitmap;

/// A value, or `None` for events without one, and how many events have it.
pub type Group = (Option<String>, u64);

/// How many of the events have each value of the field, by value, the ones without a value first; values
/// that none has are left out. Enum values have their names, or numbers where they have none. Events that
/// cannot be read count as without a value.
///
/// `None` where the field is no bitmap field: then the events have to be read.
pub fn group(
    terms: &dyn Terms,
    field: Field,
    events: &RoaringBitmap,
) -> Result<Option<Vec<Group>>, IndexError> {
    if field.indexed() != Indexed::Bitmap {
        return Ok(None);
    }
    let mut groups = Vec::new();
    let mut present = 0;
    terms.count_terms(field, events, &mut |term, count| {
        present += count;
        groups.push((Some(value_text(field, term)), count));
    })?;
    let absent = events.len().saturating_sub(present);
    if absent > 0 {
        groups.push((None, absent));
    }
    groups.sort_unstable();
    Ok(Some(groups))
}

/// A term as people read it.
fn value_text(field: Field, term: &[u8]) -> String {
    if field.kind() != Kind::Enum {
        return String::from_utf8_lossy(term).into_owned();
    }
    let number = u64_at(term, 0).unwrap_or(0);
    let name = usize::try_from(number).ok().and_then(|number| field.enum_names().get(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}
