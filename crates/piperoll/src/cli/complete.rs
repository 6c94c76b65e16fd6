//! What a shell is offered while somebody types: the program itself answers it, and asks the daemon for values.

use super::Cli;
use crate::output::text;
use clap::CommandFactory as _;
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
};
use piperoll_client::{Client, ClientError, ClientOptions};
use piperoll_filter::Subject;
use piperoll_format::event::Field;
use piperoll_proto::v1::{FieldValue, ValuesRequest};
use std::{env, ffi::OsStr, time::Duration};

/// Set by the scripts that `piperoll completion` prints: names the shell that asks.
pub(crate) const VARIABLE: &str = "PIPEROLL_COMPLETE";
/// How long somebody who types waits for values, all in all.
const PATIENCE: Duration = Duration::from_millis(400);
/// Values that are offered.
const VALUES: u32 = 50;
/// Values of these days are asked for first: they are near, and most often meant.
const RECENT: &str = "received >= -30d";

/// Answers the shell, where a shell asks, and ends the program then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// Completes the values of a field, `--actor al`, from the daemon.
pub(crate) fn values_of(field: &'static str) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let begins = current.to_str().unwrap_or_default();
        let values = values(field, begins).unwrap_or_default();
        let candidate = |FieldValue { value, count }: FieldValue| {
            CompletionCandidate::new(value).help(Some(format!("{} events", text::count(count)).into()))
        };
        values.into_iter().filter(|found| is_harmless(&found.value)).map(candidate).collect()
    })
}

/// Completes names of fields, the last one of a list too.
pub(crate) fn fields() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let typed = current.to_str().unwrap_or_default();
        let (before, last) = typed.rsplit_once(',').map_or(("", typed), |(before, last)| (before, last));
        let names = Field::ALL.iter().map(|field| field.name()).chain(["class"]);
        let countable = names.filter(|name| !matches!(*name, "time" | "attributes" | "original"));
        let with = |name: &str| if before.is_empty() { name.to_owned() } else { format!("{before},{name}") };
        countable
            .filter(|name| name.starts_with(last))
            .map(|name| CompletionCandidate::new(with(name)))
            .collect()
    })
}

/// Completes names of time zones.
pub(crate) fn zones() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let begins = current.to_str().unwrap_or_default();
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        let names = zones.available().map(|name| name.to_string());
        names.filter(|name| name.starts_with(begins)).map(CompletionCandidate::new).collect()
    })
}

/// Some shells insert a value as it is: only one that does nothing there is offered, whoever made it up.
fn is_harmless(value: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || "._@/:+%,=-[]".contains(c);
    !value.is_empty() && !value.starts_with(['-', '[', '=']) && value.chars().all(is_safe)
}

/// What the daemon knows, if it answers in time: whoever types is not told of errors.
fn values(field: &str, begins: &str) -> Option<Vec<FieldValue>> {
    Subject::parse(field).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asking = async { tokio::time::timeout(PATIENCE, ask(field, begins)).await };
    runtime.block_on(asking).ok()?.ok()
}

async fn ask(field: &str, begins: &str) -> Result<Vec<FieldValue>, ClientError> {
    let typed: Vec<_> = env::args().collect();
    let mut options = ClientOptions::new(option(&typed, "endpoint", "http://127.0.0.1:7421"));
    options.tenant = option(&typed, "tenant", "default");
    options.connect_timeout = PATIENCE;
    let client = Client::connect(options).await?;
    let request = |filter: &str| ValuesRequest {
        filter: filter.to_owned(),
        field: field.to_owned(),
        begins: begins.to_owned(),
        limit: VALUES,
    };
    let recent = client.values(request(RECENT)).await?.values;
    if recent.is_empty() { Ok(client.values(request("")).await?.values) } else { Ok(recent) }
}

/// An option as it was typed, else from the environment, else its default.
fn option(typed: &[String], name: &str, default: &str) -> String {
    let flag = format!("--{name}");
    let joined = format!("{flag}=");
    let after = typed.iter().position(|word| *word == flag).and_then(|at| typed.get(at + 1));
    let within = typed.iter().find_map(|word| word.strip_prefix(&joined));
    let variable = format!("PIPEROLL_{}", name.to_uppercase());
    let found = after.map(String::as_str).or(within).map(str::to_owned);
    found.or_else(|| env::var(variable).ok()).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_shell_would_read_as_something_else_are_not_offered() {
        for harmless in ["alice", "ci[bot]", "acme/shop", "a@b.example", "Zoë", "https://ci.example:8/x"] {
            assert!(is_harmless(harmless), "{harmless}");
        }
        for harmful in [
            "",
            "-n",
            "a b",
            "$(id)",
            "`id`",
            "a;b",
            "a|b",
            "a&b",
            "a>b",
            "a'b",
            "a\"b",
            "a\\b",
            "a*",
            "~x",
            "!x",
            "x\u{202e}y",
            "x\ny",
        ] {
            assert!(!is_harmless(harmful), "{harmful}");
        }
    }

    #[test]
    fn options_are_taken_as_they_were_typed() {
        let typed = ["piperoll", "--", "piperoll", "query", "--tenant=acme", "--endpoint", "http://x:1"];
        let typed = typed.map(str::to_owned);
        assert_eq!(option(&typed, "endpoint", "d"), "http://x:1");
        assert_eq!(option(&typed, "tenant", "d"), "acme");
        assert_eq!(option(&typed[..4], "nothing", "d"), "d");
    }
}
