//! The values of an event that a count groups by.

use super::tally::Values;
use piperoll_filter::Subject;
use piperoll_format::{
    event::{ArtifactView, AttestationView, EventView, Field, Kind, LinkView},
    names::Name,
};
use std::{collections::BTreeSet, fmt::Write as _};

/// Every choice of one value of the event for each subject.
pub(super) fn combinations(subjects: &[Subject], class: &Name, event: EventView<'_>) -> Vec<Values> {
    subjects.iter().fold(vec![Vec::new()], |combined, subject| {
        let values = values_of(subject, class, event);
        let with = |begin: &Values| {
            let begin = begin.clone();
            values.iter().map(move |value| [begin.as_slice(), std::slice::from_ref(value)].concat())
        };
        combined.iter().flat_map(with).collect()
    })
}

/// The distinct values of a subject in an event, as people write them; `None` alone where it has none.
fn values_of(subject: &Subject, class: &Name, event: EventView<'_>) -> BTreeSet<Option<String>> {
    let values: Vec<String> = match subject {
        Subject::Class => vec![class.as_str().to_owned()],
        Subject::Received => Vec::new(),
        Subject::Attribute(key) => {
            event.attributes().filter(|(name, _)| name == key).map(|(_, value)| value.to_owned()).collect()
        }
        Subject::Field(field) => values_of_field(*field, event),
    };
    if values.is_empty() { BTreeSet::from([None]) } else { values.into_iter().map(Some).collect() }
}

fn values_of_field(field: Field, event: EventView<'_>) -> Vec<String> {
    let digest = |(algorithm, hex): (&str, &str)| format!("{algorithm}:{hex}");
    match field.kind() {
        Kind::Text => event.text(field).map(str::to_owned).into_iter().collect(),
        Kind::Enum | Kind::Number => {
            event.number(field).map(|number| named(field, number)).into_iter().collect()
        }
        Kind::Bytes => event.blob(field).map(hexadecimal).into_iter().collect(),
        Kind::Texts => event.runner_labels().map(str::to_owned).collect(),
        Kind::Artifacts => event.artifacts().flat_map(ArtifactView::digests).map(digest).collect(),
        Kind::Attestations => event.attestations().flat_map(AttestationView::digests).map(digest).collect(),
        Kind::Links => event.links().filter_map(LinkView::id).map(str::to_owned).collect(),
        Kind::Time | Kind::Map => Vec::new(),
    }
}

fn named(field: Field, number: u64) -> String {
    let name = usize::try_from(number).ok().and_then(|number| field.enum_names().get(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
