//! What a comparison looks at, and the names of it.

use crate::{
    error::{ParseError, Wrong},
    lexer::Lexer,
    print,
};
use piperoll_format::event::{Field, Kind};
use std::fmt;

/// What a comparison looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A field of the event. `artifacts` and `attestations` are looked at by digest, `links` by id.
    Field(Field),
    /// The attribute with this key.
    Attribute(String),
    /// When the daemon received the event.
    Received,
    /// The retention class that the event was put into.
    Class,
}

/// The prefixes that make the rest an attribute's key; the first is the canonical one.
const ATTRIBUTE_PREFIXES: [&str; 2] = ["attr.", "attributes."];

/// Other names of fields.
const ALIASES: &[(&str, Field)] = &[
    ("artifact", Field::Artifacts),
    ("attestation", Field::Attestations),
    ("link", Field::Links),
    ("label", Field::RunnerLabels),
];

/// Words that people use for a field that is called otherwise; they only make hints.
const MEANT: &[(&str, &str)] = &[
    ("author", "actor"),
    ("branch", "ref"),
    ("conclusion", "outcome"),
    ("date", "time"),
    ("digest", "artifact"),
    ("env", "environment"),
    ("event", "action"),
    ("host", "runner"),
    ("ip", "address"),
    ("message", "reason"),
    ("mr", "change"),
    ("pr", "change"),
    ("project", "repo"),
    ("repository", "repo"),
    ("result", "outcome"),
    ("sha", "commit"),
    ("since", "time"),
    ("status", "outcome"),
    ("tag", "ref"),
    ("timestamp", "time"),
    ("type", "action"),
    ("user", "actor"),
    ("who", "actor"),
    ("workflow", "pipeline"),
];

impl Subject {
    /// The subject with this name or alias, as `count --by` takes it: `stage`, `attr.region`,
    /// `attr."any key"`, `received`. Fails on every other text, with the nearest name as a hint.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(text);
        let subject = lexer.subject()?;
        match lexer.peek() {
            None => Ok(subject),
            Some(_) => Err(lexer.error(Wrong::expected("nothing after the field's name"))),
        }
    }

    /// The canonical name: what [`Subject::parse`] reads as this subject again.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The subject that a bare word names.
    pub(crate) fn from_word(word: &str) -> Result<Self, Wrong> {
        let attribute = ATTRIBUTE_PREFIXES.iter().find_map(|prefix| word.strip_prefix(prefix));
        match (attribute, word) {
            (Some(""), _) => {
                Err(Wrong::expected(r#"the attribute's key, as in attr.region or attr."any key""#))
            }
            (Some(key), _) => Ok(Self::Attribute(key.to_owned())),
            (None, "attr") => Err(Wrong::expected("the name of a field").hint("attributes are attr.KEY")),
            (None, "received") => Ok(Self::Received),
            (None, "class") => Ok(Self::Class),
            (None, name) => field(name).map(Self::Field).ok_or_else(|| unknown(name)),
        }
    }

    /// Whether a quote behind the word begins an attribute's key.
    pub(crate) fn takes_quoted_key(word: &str) -> bool {
        ATTRIBUTE_PREFIXES.contains(&word)
    }

    /// How the subject's values are written.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind(),
            Self::Received => Kind::Time,
            Self::Attribute(_) | Self::Class => Kind::Text,
        }
    }

    /// Whether one event can have several values of it.
    pub(crate) fn is_repeated(&self) -> bool {
        matches!(self.kind(), Kind::Texts | Kind::Artifacts | Kind::Attestations | Kind::Links | Kind::Map)
    }
}

fn field(name: &str) -> Option<Field> {
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|&(_, field)| field);
    Field::from_name(name).or_else(alias)
}

fn unknown(name: &str) -> Wrong {
    let wrong = Wrong::expected("the name of a field");
    if name.starts_with('-') {
        return wrong.hint("write NOT to negate");
    }
    if let Some((_, meant)) = MEANT.iter().find(|(word, _)| name.eq_ignore_ascii_case(word)) {
        return wrong.hint(format!("did you mean {meant}? (attr.{name} is the attribute)"));
    }
    let fields = Field::ALL.iter().map(|field| field.name());
    let aliases = ALIASES.iter().map(|&(alias, _)| alias);
    wrong.nearest(name, fields.chain(aliases).chain(["received", "class"]))
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field.name()),
            Self::Attribute(key) => {
                f.write_str("attr.")?;
                print::word(key, print::Place::Key, f)
            }
            Self::Received => f.write_str("received"),
            Self::Class => f.write_str("class"),
        }
    }
}
