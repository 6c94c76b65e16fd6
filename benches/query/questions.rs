//! The questions, what must come back, and how long that may take.

use crate::sent::{COMMON, DAY, DEPLOYED, HOUR, NIGHT, Outcomes, Sent};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use piperoll_proto::v1::Outcome;
use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

/// Events that a first page has.
pub(crate) const PAGE_EVENTS: usize = 100;
const UNWRITTEN: &str = "out of memory";
/// Days, of thirty, that the counts with a range of time are about.
const RANGE_DAYS: Range<i64> = 10..20;

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// The newest events, and how many of them.
    Newest(usize),
    /// How many, by these fields.
    Count(&'static [&'static str]),
    /// How many in each hour, by the time that events claim.
    Hours,
}

/// How long an answer may take.
#[derive(Clone, Copy)]
pub(crate) struct AtMost {
    /// So many times as long as an echo of the answer.
    pub(crate) echoes: f64,
    /// And so many milliseconds.
    pub(crate) ms: f64,
    /// And so many microseconds for each segment.
    pub(crate) us_a_segment: f64,
}

/// A question and its answer.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) filter: String,
    pub(crate) ask: Ask,
    pub(crate) at_most: AtMost,
    /// Events found, or counted.
    pub(crate) expected: u64,
    /// Events by group, where they are known: the values with commas between them.
    pub(crate) groups: Option<BTreeMap<String, u64>>,
}

/// A question for which every event is looked at.
pub(crate) struct Search {
    pub(crate) question: Question,
    /// What the matches have as JSON, and no others.
    pub(crate) text: String,
}

const ECHO: AtMost = AtMost { echoes: 1.5, ms: 0.0, us_a_segment: 0.0 };
const ECHO_AND_SEGMENTS: AtMost = AtMost { us_a_segment: 2.0, ..ECHO };
const COMMON_TEXT: AtMost = AtMost { echoes: 2.0, ..ECHO };
const BY_STAGE: AtMost = AtMost { echoes: 0.0, ms: 1.0, us_a_segment: 2.0 };

/// What is asked steadily takes less than this.
const STEADY_MS_MAX: f64 = 20.0;

const fn ms(ms: f64) -> AtMost {
    AtMost { echoes: 0.0, ms, us_a_segment: 0.0 }
}

impl Question {
    /// Whether it may be asked 50 times a second: others are for people who wait.
    pub(crate) fn is_steady(&self) -> bool {
        self.at_most.ms < STEADY_MS_MAX
    }
}

/// All questions about what was sent.
pub(crate) fn questions(sent: &Sent) -> Result<Vec<Question>> {
    let mut questions = events(sent)?;
    questions.extend(counts(sent)?);
    questions.extend(counts_in_time(sent)?);
    Ok(questions)
}

/// A pair of actor and stage.
struct Pair<'a> {
    actor: &'a str,
    stage: &'a str,
    outcomes: &'a Outcomes,
}

impl Pair<'_> {
    fn events(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    fn filter(&self) -> String {
        format!("actor = \"{}\" AND stage = \"{}\"", self.actor, self.stage)
    }
}

/// All pairs, the most frequent first.
fn pairs(sent: &Sent) -> Vec<Pair<'_>> {
    let of_actor = |(actor, stages)| {
        let stages: &std::collections::HashMap<String, Outcomes> = stages;
        let actor: &String = actor;
        stages.iter().map(move |(stage, outcomes)| Pair { actor, stage, outcomes })
    };
    let mut pairs: Vec<_> = sent.actors.iter().flat_map(of_actor).collect();
    pairs.sort_by_key(|pair| (Reverse(pair.events()), pair.actor, pair.stage));
    pairs
}

/// Questions for events.
fn events(sent: &Sent) -> Result<Vec<Question>> {
    let pairs = pairs(sent);
    let (common, rare) = pairs.first().zip(pairs.last()).context("no event has a stage")?;
    // The rarest that fills a page takes the most segments to do so.
    let spread = pairs.iter().rfind(|pair| pair.events() >= PAGE_EVENTS as u64).unwrap_or(common);
    let newest = |name, at_most, filter, expected: u64| Question {
        name,
        filter,
        ask: Ask::Newest(PAGE_EVENTS),
        at_most,
        expected: expected.min(PAGE_EVENTS as u64),
        groups: None,
    };
    let absent = format!("actor = nobody AND stage = \"{}\"", common.stage);
    let digest = sent.digest.as_ref().context("no event has a digest")?;
    let (run, of_run) = sent.run.as_ref().context("no event has a run")?;
    let found = Question {
        ask: Ask::Newest(1),
        ..newest("look-up by digest", ECHO_AND_SEGMENTS, format!("artifact = \"{digest}\""), 1)
    };
    let nowhere = format!("artifact = \"sha256:{}\"", "0".repeat(64));
    Ok(vec![
        newest("newest 100 by actor and stage", ECHO, common.filter(), common.events()),
        newest("newest 100, far apart", ECHO_AND_SEGMENTS, spread.filter(), spread.events()),
        newest("newest 100, rare terms", ECHO_AND_SEGMENTS, rare.filter(), rare.events()),
        newest("newest 100, absent term", ECHO_AND_SEGMENTS, absent, 0),
        found,
        newest("look-up by absent digest", ECHO_AND_SEGMENTS, nowhere, 0),
        newest("look-up by run", ECHO_AND_SEGMENTS, format!("run = \"{run}\""), *of_run),
        newest("newest 100, common text", COMMON_TEXT, format!("reason ~ \"{COMMON}\""), sent.reasons),
    ])
}

/// Questions that look at the text of every event. How long they may take, ripgrep says.
pub(crate) fn searches(sent: &Sent) -> Result<Vec<Search>> {
    let rarest = sent.tickets.iter().min_by_key(|(ticket, count)| (**count, *ticket));
    let (ticket, count) = rarest.context("no event has a reason")?;
    let search = |name, filter, ask, expected: u64, text: &str| {
        let question = Question { name, filter, ask, at_most: ms(f64::MAX), expected, groups: None };
        Search { question, text: text.to_owned() }
    };
    let newest = Ask::Newest(PAGE_EVENTS);
    let found = (*count).min(PAGE_EVENTS as u64);
    let filter = |text: &str| format!("reason ~ \"{text}\"");
    Ok(vec![
        search("newest 100 with a rare text", filter(ticket), newest, found, ticket),
        search("count with a text that nobody wrote", filter(UNWRITTEN), Ask::Count(&[]), 0, UNWRITTEN),
        search("count with any reason", "reason:*".to_owned(), Ask::Count(&[]), sent.reasons, "\"reason\":"),
    ])
}

/// Counts over everything.
fn counts(sent: &Sent) -> Result<Vec<Question>> {
    let pairs = pairs(sent);
    let pair = pairs.first().context("no event has a stage")?;
    let staged = sent.actors.get(pair.actor).into_iter().flat_map(|stages| stages.values().flatten());
    let of_actor = staged.sum::<u64>() + sent.unstaged.get(pair.actor).copied().unwrap_or_default();
    let succeeded = pair.outcomes.get(Outcome::Success as usize).copied().unwrap_or_default();
    let mut stages = BTreeMap::new();
    for (stage, outcomes) in sent.days.iter().flatten() {
        *stages.entry(or_absent(stage)).or_default() += outcomes.iter().sum::<u64>();
    }
    let count = |name, at_most, filter, expected| Question {
        name,
        filter,
        ask: Ask::Count(&[]),
        at_most,
        expected,
        groups: None,
    };
    Ok(vec![
        count("count by one actor", ms(5.0), format!("actor = \"{}\"", pair.actor), of_actor),
        count(
            "count with three filters",
            ms(5.0),
            format!("{} AND outcome = success", pair.filter()),
            succeeded,
        ),
        Question {
            ask: Ask::Count(&["stage"]),
            groups: Some(stages),
            ..count("count of everything by stage", BY_STAGE, String::new(), sent.events)
        },
    ])
}

/// Counts of a night, of ten days by two fields, and of a day by hour: by the time that events claim, whose column is
/// scanned.
fn counts_in_time(sent: &Sent) -> Result<Vec<Question>> {
    let begin = sent.begin.context("nothing was sent")?;
    let between = |Range { start, end }: &Range<i64>, unit: i64| {
        let at = |number: i64| anyhow::Ok(Timestamp::from_second(begin + number * unit)?.to_string());
        anyhow::Ok(format!("time >= \"{}\" AND time < \"{}\"", at(*start)?, at(*end)?))
    };
    let within = |days: &Range<i64>| between(days, DAY);
    let place = |number: i64| usize::try_from(number).unwrap_or_default();
    let mut groups = BTreeMap::new();
    for (stage, outcomes) in
        sent.days.get(place(RANGE_DAYS.start)..place(RANGE_DAYS.end)).into_iter().flatten().flatten()
    {
        for (outcome, count) in (0..).zip(outcomes).filter(|(_, count)| **count > 0) {
            let name = Outcome::try_from(outcome)?.as_str_name();
            let name = name.trim_start_matches("OUTCOME_").to_lowercase();
            *groups.entry(format!("{}, {name}", or_absent(stage))).or_default() += count;
        }
    }
    let day = RANGE_DAYS.start..RANGE_DAYS.start + 1;
    let first = day.start * DAY / HOUR;
    let hours: BTreeMap<_, _> = (first..first + DAY / HOUR)
        .map(|hour| {
            let count = sent.hours.get(place(hour)).copied().unwrap_or_default();
            ((begin + hour * HOUR).to_string(), count)
        })
        .collect();
    let by_two = Question {
        name: "ten days by stage and outcome",
        filter: within(&RANGE_DAYS)?,
        ask: Ask::Count(&["stage", "outcome"]),
        at_most: ms(200.0),
        expected: groups.values().sum(),
        groups: Some(groups),
    };
    let by_actor = Question {
        name: "ten days by actor and outcome",
        ask: Ask::Count(&["actor", "outcome"]),
        groups: None,
        ..by_two.clone()
    };
    let (action, stage, environment) = DEPLOYED;
    let deployed = Question {
        name: "who deployed to production last night",
        filter: format!(
            "environment = {environment} AND stage = {stage} AND action = {action} AND {}",
            between(&NIGHT, HOUR)?
        ),
        ask: Ask::Count(&["actor"]),
        at_most: ms(5.0),
        expected: sent.deployed.values().sum(),
        groups: Some(sent.deployed.clone()),
    };
    let histogram = Question {
        name: "histogram of a day",
        filter: within(&day)?,
        ask: Ask::Hours,
        at_most: ms(20.0),
        expected: hours.values().sum(),
        groups: Some(hours),
    };
    Ok(vec![deployed, by_two, by_actor, histogram])
}

/// How an answer calls it.
fn or_absent(stage: &str) -> String {
    if stage.is_empty() { "–".to_owned() } else { stage.to_owned() }
}
