//! Which daemon a command speaks to, and which events it asks for.

use super::Failure;
use anyhow::{Context, anyhow};
use piperoll_client::{Client, ClientOptions};
use piperoll_filter::{Filter, Operator, ParseError, Subject, parse};
use piperoll_format::units::UnixNanos;

/// The daemon and the tenant.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Connection {
    /// The daemon's gRPC address
    #[arg(
        long,
        env = "PIPEROLL_ENDPOINT",
        default_value = "http://127.0.0.1:7421",
        value_name = "URL",
        help_heading = "Connection"
    )]
    endpoint: String,
    /// Whose events: every tenant has logs of its own
    #[arg(
        long,
        env = "PIPEROLL_TENANT",
        default_value = "default",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    tenant: String,
}

impl Connection {
    /// The tenant.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Connects.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.endpoint);
        options.tenant.clone_from(&self.tenant);
        Ok(Client::connect(options).await?)
    }
}

/// Which events, by a filter and by flags that build one.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct Which {
    /// A filter such as 'actor = alice AND stage IN (build, deploy) AND NOT outcome = success';
    /// docs/query.md teaches it. Flags narrow it further
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Who acted (several: any of them)
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    actor: Vec<String>,
    /// What was done, such as deploy.approved, or deploy.* for all that begin so
    #[arg(long, value_name = "ACTION", help_heading = "Which events")]
    action: Vec<String>,
    /// Part of the pipeline, such as build or deploy
    #[arg(long, value_name = "STAGE", help_heading = "Which events")]
    stage: Vec<String>,
    /// How it ended: success, failure, error, timeout, cancelled, skipped or denied
    #[arg(long, value_name = "OUTCOME", help_heading = "Which events")]
    outcome: Vec<String>,
    /// The repository
    #[arg(long, value_name = "REPO", help_heading = "Which events")]
    repo: Vec<String>,
    /// Where it was deployed
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    environment: Vec<String>,
    /// The pipeline's run
    #[arg(long, value_name = "RUN", help_heading = "Which events")]
    run: Vec<String>,
    /// An artifact's digest, such as sha256:9f86d0…
    #[arg(long, value_name = "DIGEST", help_heading = "Which events")]
    artifact: Vec<String>,
    /// Received at or after this time: 2026-11-23, 2026-11-23T08:00:00+01:00, -24h, -7d
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
        let mut filter = if typed.trim().is_empty() { Filter::all() } else { checked(parse(&typed, now))? };
        for (name, values) in self.flags() {
            let each: Result<Vec<_>, _> = values.iter().map(|value| one(name, value, now)).collect();
            if let Some(any) = each?.into_iter().reduce(Filter::or) {
                filter = filter.and(any);
            }
        }
        for (operator, time) in [(Operator::AtLeast, &self.since), (Operator::Less, &self.until)] {
            if let Some(time) = time {
                filter = filter.and(checked(Filter::compare(Subject::Received, operator, time, now))?);
            }
        }
        Ok(if filter == Filter::all() { String::new() } else { filter.to_string() })
    }

    fn flags(&self) -> [(&'static str, &[String]); 8] {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("stage", &self.stage),
            ("outcome", &self.outcome),
            ("repo", &self.repo),
            ("environment", &self.environment),
            ("run", &self.run),
            ("artifact", &self.artifact),
        ]
    }
}

/// One flag's value; a star at its end asks for all that begin so.
fn one(name: &str, value: &str, now: UnixNanos) -> Result<Filter, Failure> {
    let subject = checked(Subject::parse(name))?;
    if value.ends_with('*') {
        return checked(parse(&format!("{name} = {value}"), now));
    }
    checked(Filter::equals(subject, value, now))
}

fn checked<T>(parsed: Result<T, ParseError>) -> Result<T, Failure> {
    parsed.map_err(|error| Failure::Usage(anyhow!("{}", error.render())))
}

/// The time, as filters take it.
pub(crate) fn now() -> Result<UnixNanos, Failure> {
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let nanos =
        i64::try_from(nanos).context("the clock shows a time that does not fit 64 bits of nanoseconds")?;
    Ok(UnixNanos(nanos))
}
