//! Answers in one form, so that those of two systems can be told equal.

use crate::row::Row;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a system answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Events, each with all that it has, in order.
    Events(Vec<Value>),
    /// A number for each value; the empty one is that of events without the field.
    Groups(BTreeMap<Option<String>, u64>),
    Number(u64),
}

impl Answer {
    /// Of rows.
    pub(crate) fn of_rows(rows: impl IntoIterator<Item = Row>) -> Result<Self> {
        let event = |row: Row| {
            let Row { id, time, actor, action, stage, outcome, environment, reason, digests, body } = row;
            let body: Value = serde_json::from_str(&body).context("the body is no JSON")?;
            Ok(json!([id, time, actor, action, stage, outcome, environment, reason, digests, body]))
        };
        rows.into_iter().map(event).collect::<Result<_>>().map(Self::Events)
    }

    /// Its size, for people.
    pub(crate) fn size(&self) -> String {
        match self {
            Self::Events(events) => format!("{} events", events.len()),
            Self::Groups(groups) => format!("{} in {} groups", groups.values().sum::<u64>(), groups.len()),
            Self::Number(number) => number.to_string(),
        }
    }

    /// An error that shows the first difference, where there is one.
    pub(crate) fn check(&self, wanted: &Self) -> Result<()> {
        if self == wanted {
            return Ok(());
        }
        if let (Self::Events(own), Self::Events(wanted)) = (self, wanted) {
            let differ = own.iter().zip(wanted).find(|(own, wanted)| own != wanted);
            if let Some((own, wanted)) = differ {
                anyhow::bail!("an event is\n{own}\nand not\n{wanted}");
            }
        }
        anyhow::bail!("the answer has {}, and not {}", self.size(), wanted.size())
    }
}
