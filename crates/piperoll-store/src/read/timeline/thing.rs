//! What a timeline follows, and which of it an event touches.

use piperoll_filter::{Filter, Subject, Value};
use piperoll_format::event::{EventView, Field};
use std::{
    collections::BTreeMap,
    fmt,
    mem::{Discriminant, discriminant},
};

/// Something that events touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// An artifact, or an attestation, by a digest of it.
    Artifact {
        /// Such as `sha256`.
        algorithm: String,
        /// As the producers send it.
        hex: String,
    },
    /// A run of a pipeline; runs of different sources may have one id.
    Run {
        /// Whose run; `None` for every source's.
        source: Option<String>,
        /// Its id.
        run: String,
        /// What of it is followed beside its events.
        follows: Follows,
    },
    /// A commit.
    Commit(String),
    /// The event that another one links to.
    Cause {
        /// Its source; `None` where the link does not say.
        source: Option<String>,
        /// Its id.
        id: String,
    },
    /// Events that link to an event.
    Effect {
        /// The event's source; `None` for links that do not say one.
        source: Option<String>,
        /// The event's id.
        id: String,
    },
}

/// What is followed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Follows {
    /// No artifacts.
    Events,
    /// Artifacts that came out of it: something that is followed went into it.
    Outputs,
    /// Artifacts that came out of it, and those of which nobody says whether they came out or went in.
    Artifacts,
}

impl Follows {
    const ALL: [Self; 3] = [Self::Events, Self::Outputs, Self::Artifacts];
}

/// What an artifact was to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Unsaid,
    Input,
    Output,
}

/// What an event says that matters here.
pub(in crate::read) struct Facts {
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) run: Option<String>,
    pub(super) commit: Option<String>,
    /// The digests of each artifact, and what it was.
    pub(super) artifacts: Vec<(Role, Vec<Thing>)>,
    attestations: Vec<Thing>,
    /// Source and id of what it links to.
    pub(super) links: Vec<(Option<String>, String)>,
}

impl Facts {
    pub(in crate::read) fn of(event: EventView<'_>) -> Self {
        let text = |field| event.text(field).filter(|text| !text.is_empty()).map(str::to_owned);
        let role = |role| match role {
            Some(1) => Role::Input,
            Some(2) => Role::Output,
            _ => Role::Unsaid,
        };
        let artifacts = event.artifacts();
        let artifacts =
            artifacts.map(|artifact| (role(artifact.role()), digests(artifact.digests()))).collect();
        let attestations =
            event.attestations().flat_map(|attestation| digests(attestation.digests())).collect();
        let link = |link: piperoll_format::event::LinkView<'_>| {
            let source = link.source().filter(|source| !source.is_empty()).map(str::to_owned);
            Some((source, link.id().filter(|id| !id.is_empty())?.to_owned()))
        };
        Self {
            source: text(Field::Source),
            id: text(Field::Id),
            run: text(Field::Run),
            commit: text(Field::Commit),
            artifacts,
            attestations,
            links: event.links().filter_map(link).collect(),
        }
    }

    /// Everything that it touches and that may be followed.
    pub(in crate::read) fn touched(&self) -> Vec<Thing> {
        let mut things: Vec<_> = self.artifacts.iter().flat_map(|(_, digests)| digests).cloned().collect();
        things.extend(self.attestations.iter().cloned());
        things.extend(self.links.iter().filter_map(|(_, id)| Thing::digest(id)));
        if let Some(run) = &self.run {
            for source in both(self.source.as_ref()) {
                let run = |follows| Thing::Run { source: source.clone(), run: run.clone(), follows };
                things.extend(Follows::ALL.map(run));
            }
        }
        things.extend(self.commit.iter().cloned().map(Thing::Commit));
        if let Some(id) = &self.id {
            let causes = both(self.source.as_ref()).map(|source| Thing::Cause { source, id: id.clone() });
            things.extend(causes);
        }
        let effects = self.links.iter().cloned().map(|(source, id)| Thing::Effect { source, id });
        things.extend(effects);
        things
    }

    /// Its run, as something to follow.
    pub(super) fn run(&self, follows: Follows) -> Option<Thing> {
        let (source, run) = (self.source.clone(), self.run.clone()?);
        Some(Thing::Run { source, run, follows })
    }
}

/// A thing of a source may be followed by its source, and without.
fn both(source: Option<&String>) -> impl Iterator<Item = Option<String>> {
    [None].into_iter().chain(source.map(|source| Some(source.clone())))
}

fn digests<'a>(digests: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Thing> {
    let thing = |(algorithm, hex): (&str, &str)| Thing::Artifact {
        algorithm: algorithm.to_owned(),
        hex: hex.to_owned(),
    };
    digests.filter(|(algorithm, hex)| !algorithm.is_empty() && !hex.is_empty()).map(thing).collect()
}

/// Values of a field, by the source that they must be of.
type BySource<'a> = BTreeMap<Option<&'a String>, Vec<Value>>;

impl Thing {
    /// The artifact that a text names as `algorithm:hexadecimal`.
    pub fn digest(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.');
        let is_digest = !algorithm.is_empty()
            && algorithm.chars().all(is_name)
            && hex.len() >= 16
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| Self::Artifact { algorithm: algorithm.to_owned(), hex: hex.to_owned() })
    }

    /// What people see of it.
    pub(super) fn reading(&self) -> (Discriminant<Self>, String) {
        (discriminant(self), self.to_string())
    }

    /// Events that may touch one of these.
    pub(super) fn filter(things: &[Self]) -> Filter {
        let (mut digests, mut commits) = (Vec::new(), Vec::new());
        let (mut runs, mut causes) = (BySource::new(), BySource::new());
        let mut links = Vec::new();
        for thing in things {
            let text = Value::Text(thing.to_string());
            match thing {
                Self::Artifact { algorithm, hex } => {
                    digests.push(Value::Digest { algorithm: algorithm.clone(), hex: hex.clone() });
                    links.push(text);
                }
                Self::Run { source, .. } => runs.entry(source.as_ref()).or_default().push(text),
                Self::Commit(_) => commits.push(text),
                Self::Cause { source, .. } => causes.entry(source.as_ref()).or_default().push(text),
                Self::Effect { .. } => links.push(text),
            }
        }
        let mut filters = vec![
            any_of(Field::Artifacts, digests.clone()),
            any_of(Field::Attestations, digests),
            any_of(Field::Commit, commits),
            any_of(Field::Links, links),
        ];
        for (field, by_source) in [(Field::Run, runs), (Field::Id, causes)] {
            for (source, values) in by_source {
                let of_source =
                    source.and_then(|source| any_of(Field::Source, vec![Value::Text(source.clone())]));
                filters.push(any_of(field, values).map(|any| of_source.into_iter().fold(any, Filter::and)));
            }
        }
        // There is at least one thing.
        filters.into_iter().flatten().reduce(Filter::or).unwrap_or_else(|| Filter::all().negate())
    }
}

/// Events of which the field is one of the values; `None` without one.
fn any_of(field: Field, values: Vec<Value>) -> Option<Filter> {
    (!values.is_empty()).then(|| Filter::one_of(Subject::Field(field), values))
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { algorithm, hex } => write!(f, "{algorithm}:{hex}"),
            Self::Run { run: name, .. } | Self::Commit(name) => f.write_str(name),
            Self::Cause { id, .. } | Self::Effect { id, .. } => f.write_str(id),
        }
    }
}
