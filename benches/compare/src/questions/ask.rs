//! The questions, in the filter language and in SQL.

use crate::row::COLUMNS;

/// Events that a first page has.
pub(crate) const PAGE: usize = 100;
/// Events that the answer about an artifact has at most.
pub(crate) const ALL: usize = 1_000;
/// When a night begins and ends, in hours of its first day.
const NIGHT_HOURS: [i64; 2] = [18, 30];
const START_SECONDS: i64 = 1_767_225_600;
const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3_600;
const NANOS: i64 = 1_000_000_000;

/// A question, with what it is about.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Who deployed to production in the night after this day of January 2026, and how often?
    Deployed { day: i64 },
    /// The newest page of one actor in one stage.
    Newest { actor: String, stage: String },
    /// How much did one actor?
    Count { actor: String },
    /// How much happened in each stage?
    Stages,
    /// Everything about an artifact, newest first.
    Artifact { digest: String },
    /// The newest page of those whose reason has this text.
    Reason { text: String },
}

/// What is asked for: events, groups, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Events, newest first, and at most so many.
    Events(usize),
    /// Numbers by the values of a field.
    Groups(&'static str),
    Number,
}

/// Where SQL is not the same everywhere.
pub(crate) struct Dialect {
    /// That an event has a digest.
    pub(crate) has_digest: fn(&str) -> String,
    /// That a reason has a text.
    pub(crate) has_text: fn(&str) -> String,
    /// What JSON is read as text with.
    pub(crate) body: &'static str,
}

impl Ask {
    /// What comes back.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Deployed { .. } => Form::Groups("actor"),
            Self::Newest { .. } | Self::Reason { .. } => Form::Events(PAGE),
            Self::Count { .. } => Form::Number,
            Self::Stages => Form::Groups("stage"),
            Self::Artifact { .. } => Form::Events(ALL),
        }
    }

    /// As piperoll's filter.
    pub(crate) fn filter(&self) -> String {
        match self {
            Self::Deployed { day } => {
                let [from, until] = NIGHT_HOURS.map(|hour| day * 24 + hour);
                let time = |hour: i64| format!("2026-01-{:02}T{:02}:00:00Z", hour / 24, hour % 24);
                format!(
                    "environment = production AND stage = deploy-prod AND action = job.finished \
                     AND time >= {} AND time < {}",
                    time(from),
                    time(until)
                )
            }
            Self::Newest { actor, stage } => format!("actor = \"{actor}\" AND stage = \"{stage}\""),
            Self::Count { actor } => format!("actor = \"{actor}\""),
            Self::Stages => String::new(),
            Self::Artifact { digest } => format!("artifact = \"{digest}\""),
            Self::Reason { text } => format!("reason ~ \"{text}\""),
        }
    }

    /// As SQL. The values come from the sample events, which have no quotes in them.
    pub(crate) fn sql(&self, dialect: &Dialect) -> String {
        let condition = match self {
            Self::Deployed { day } => {
                let [from, until] = NIGHT_HOURS.map(|hour| nanos_of_hour(*day, hour));
                format!(
                    "environment = 'production' AND stage = 'deploy-prod' AND action = 'job.finished' \
                     AND time >= {from} AND time < {until}"
                )
            }
            Self::Newest { actor, stage } => format!("actor = '{actor}' AND stage = '{stage}'"),
            Self::Count { actor } => format!("actor = '{actor}'"),
            Self::Stages => String::new(),
            Self::Artifact { digest } => (dialect.has_digest)(digest),
            Self::Reason { text } => (dialect.has_text)(text),
        };
        let columns = COLUMNS.replace("body", dialect.body);
        let (what, order) = match self.form() {
            Form::Events(limit) => (columns, format!(" ORDER BY time DESC LIMIT {limit}")),
            Form::Groups(field) => (format!("{field}, count(*)"), format!(" GROUP BY {field}")),
            Form::Number => ("count(*)".to_owned(), String::new()),
        };
        let condition = if condition.is_empty() { condition } else { format!(" WHERE {condition}") };
        format!("SELECT {what} FROM events{condition}{order}")
    }
}

/// Nanoseconds since 1970 at this hour of a day of January 2026, counted from 1.
fn nanos_of_hour(day: i64, hour: i64) -> i64 {
    (START_SECONDS + (day - 1) * DAY_SECONDS + hour * HOUR_SECONDS) * NANOS
}
