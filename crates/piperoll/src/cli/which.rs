//! Which events a command asks for: a filter as text, and flags that build one.

use super::Failure;
use super::complete::values_of;
use anyhow::{Context, anyhow};
use piperoll_filter::{Filter, Operator, ParseError, Subject, parse};
use piperoll_format::units::UnixNanos;
use std::collections::BTreeMap;

/// Which events, by a filter and by flags that build one.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct Which {
    /// A filter such as 'actor = alice AND stage IN (build, deploy) AND NOT outcome = success';
    /// docs/query.md teaches it. Flags narrow it further
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Who acted; given again: any of them, as with the flags that follow. A star at the end of a
    /// value asks for all that begin so
    #[arg(long, value_name = "NAME", help_heading = "Which events", add = values_of("actor"))]
    actor: Vec<String>,
    /// What was done, such as deploy.approved, or deploy.*
    #[arg(long, value_name = "ACTION", help_heading = "Which events", add = values_of("action"))]
    action: Vec<String>,
    /// Part of the pipeline, such as build or deploy
    #[arg(long, value_name = "STAGE", help_heading = "Which events", add = values_of("stage"))]
    stage: Vec<String>,
    /// How it ended: success, failure, error, timeout, cancelled, skipped or denied
    #[arg(long, value_name = "OUTCOME", help_heading = "Which events", add = values_of("outcome"))]
    outcome: Vec<String>,
    /// The pipeline
    #[arg(long, value_name = "NAME", help_heading = "Which events", add = values_of("pipeline"))]
    pipeline: Vec<String>,
    /// The pipeline's run
    #[arg(long, value_name = "RUN", help_heading = "Which events")]
    run: Vec<String>,
    /// The repository
    #[arg(long, value_name = "REPO", help_heading = "Which events", add = values_of("repo"))]
    repo: Vec<String>,
    /// The git reference, such as refs/heads/main
    #[arg(long = "ref", value_name = "REF", help_heading = "Which events")]
    reference: Vec<String>,
    /// The commit, whole
    #[arg(long, value_name = "COMMIT", help_heading = "Which events")]
    commit: Vec<String>,
    /// Where it was deployed
    #[arg(long, value_name = "NAME", help_heading = "Which events", add = values_of("environment"))]
    environment: Vec<String>,
    /// An artifact's digest, whole, such as sha256:9f86d0…
    #[arg(long, value_name = "DIGEST", help_heading = "Which events")]
    artifact: Vec<String>,
    /// An attribute, such as region=eu
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute, help_heading = "Which events")]
    attr: Vec<(String, String)>,
    /// A text that the reason has somewhere in it; given again: all of them
    #[arg(long, value_name = "TEXT", help_heading = "Which events")]
    reason: Vec<String>,
    /// Received at or after this time: -24h, -7d, 2026-11-23, 2026-11-23T08:00:00+01:00,
    /// 2026-11-23T08:00[Europe/Paris]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Which events")]
    since: Option<String>,
    /// Received before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Which events")]
    until: Option<String>,
}

impl Which {
    /// The filter as text for the daemon, checked here first so that a mistake is shown where it is.
    /// Relative times are settled by now: the pages of one answer must not drift.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        let now = now()?;
        let typed = self.filter.join(" ");
        let typed = parse(&typed, now).map_err(|error| Failure::Usage(anyhow!("{}", error.render())))?;
        let filter = self.flags(now)?.into_iter().fold(typed, Filter::and);
        if filter == Filter::all() {
            return Ok(String::new());
        }
        let text = filter.to_string();
        // Each part stands on its own; only together can they be too much, or exclude each other.
        parse(&text, now).map_err(|error| Failure::Usage(anyhow!("{}", error.render())))?;
        Ok(text)
    }

    /// What each flag asks for.
    fn flags(&self, now: UnixNanos) -> Result<Vec<Filter>, Failure> {
        let mut filters = Vec::new();
        for (name, values) in self.fields() {
            let any = Subject::parse(name).and_then(|subject| Filter::any_of(&subject, values, now));
            filters.push(of_flag(name, any)?);
        }
        let mut attributes: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (key, value) in &self.attr {
            attributes.entry(key).or_default().push(value.clone());
        }
        for (key, values) in attributes {
            let any = Filter::any_of(&Subject::Attribute(key.clone()), &values, now);
            filters.push(of_flag("attr", any)?);
        }
        for text in &self.reason {
            let part = Subject::parse("reason").and_then(|subject| Filter::contains(subject, text));
            filters.push(of_flag("reason", part)?);
        }
        for (name, operator, time) in
            [("since", Operator::AtLeast, &self.since), ("until", Operator::Less, &self.until)]
        {
            if let Some(time) = time {
                filters.push(of_flag(name, Filter::compare(Subject::Received, operator, time, now))?);
            }
        }
        Ok(filters)
    }

    /// The flags that are called as their field is.
    fn fields(&self) -> [(&'static str, &[String]); 11] {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("stage", &self.stage),
            ("outcome", &self.outcome),
            ("pipeline", &self.pipeline),
            ("run", &self.run),
            ("repo", &self.repo),
            ("ref", &self.reference),
            ("commit", &self.commit),
            ("environment", &self.environment),
            ("artifact", &self.artifact),
        ]
    }
}

/// `KEY=VALUE`: the key ends at the first `=`.
fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as region=eu")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn of_flag<T>(flag: &str, built: Result<T, ParseError>) -> Result<T, Failure> {
    built.map_err(|error| Failure::Usage(anyhow!("--{flag}: {}", error.render())))
}

/// The time, as filters take it.
pub(crate) fn now() -> Result<UnixNanos, Failure> {
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let nanos =
        i64::try_from(nanos).context("the clock shows a time that does not fit 64 bits of nanoseconds")?;
    Ok(UnixNanos(nanos))
}
