//! `piperoll timeline`: everything that ever touched an artifact, a run or a commit.

use super::connection::Connection;
use super::{Done, Failure, Outcome, printer, say};
use crate::output::{Show, events::Why, text};
use anyhow::anyhow;
use piperoll_proto::v1::{
    EventRecord, TimelineEntry, TimelineLimit, TimelineReason, TimelineReasonKind, TimelineRequest,
    timeline_request::Subject,
};
use serde_json::json;

/// Tell everything that ever touched an artifact, a run or a commit, oldest first
///
/// Across pipelines: what was made of an artifact, the runs that it was in, and what links to all that. Each
/// event says why it is there.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// sha256:9f86d0… (a digest, whole), run:8412 or commit:c0ffee… (whole)
    #[arg(value_name = "SUBJECT", value_parser = subject)]
    subject: Subject,
    /// The source whose run it is, where several have runs of one id
    #[arg(long, value_name = "SOURCE", default_value = "", hide_default_value = true)]
    source: String,
    /// At most this many events, those that are found first
    #[arg(short = 'n', long, default_value_t = 1_000, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where nothing touched it.
pub(crate) async fn run(args: Args) -> Outcome {
    if args.limit == 0 {
        return Err(Failure::Usage(anyhow!("--limit: at least 1")));
    }
    let client = args.connection.open().await?;
    let request = TimelineRequest { subject: Some(args.subject), source: args.source, limit: args.limit };
    let mut answer = client.timeline(request).await?;
    let mut printer = printer(args.show)?.telling_why();
    while let Some(entries) = answer.next().await? {
        printer.print_told(&entries.into_iter().map(told).collect::<Vec<_>>())?;
    }
    printer.finish()?;
    for limit in answer.limits_reached() {
        say(limit_words(*limit));
    }
    if printer.printed() == 0 {
        say("nothing found");
        return Ok(Done::Nothing);
    }
    Ok(Done::Yes)
}

/// `run:ID`, `commit:SHA`, or a digest.
fn subject(text: &str) -> Result<Subject, String> {
    let is_digest =
        |text: &str| text.split_once(':').is_some_and(|(name, hex)| !name.is_empty() && !hex.is_empty());
    match text.split_once(':') {
        Some(("run", run)) if !run.is_empty() => Ok(Subject::Run(run.to_owned())),
        Some(("commit", commit)) if !commit.is_empty() => Ok(Subject::Commit(commit.to_owned())),
        Some(("artifact", digest)) if is_digest(digest) => Ok(Subject::Artifact(digest.to_owned())),
        Some((name, _)) if !matches!(name, "run" | "commit" | "artifact") && is_digest(text) => {
            Ok(Subject::Artifact(text.to_owned()))
        }
        _ => Err("expected a digest such as sha256:9f86d0…, run:ID or commit:SHA".to_owned()),
    }
}

fn limit_words(limit: TimelineLimit) -> &'static str {
    match limit {
        TimelineLimit::Events => "there are more events: --limit, up to 10000",
        TimelineLimit::Things => "not all was followed: more than 5,000 artifacts, runs and links",
        TimelineLimit::Rounds => "not all was followed: more than 8 steps from what was asked for",
        TimelineLimit::Unspecified => "not all was followed",
    }
}

fn told(entry: TimelineEntry) -> (EventRecord, Why) {
    let words: Vec<_> = entry.reasons.iter().map(words).collect();
    let reason = |reason: &TimelineReason| {
        let through = Some(reason.through.as_str()).filter(|through| !through.is_empty());
        json!({ "kind": kind_name(reason.kind()), "value": reason.value, "through": through })
    };
    let reasons = entry.reasons.iter().map(reason).collect();
    (entry.record.unwrap_or_default(), Why { words: words.join("; "), reasons })
}

/// The kind's own part of its name, in small letters.
fn kind_name(kind: TimelineReasonKind) -> String {
    kind.as_str_name().trim_start_matches("TIMELINE_REASON_KIND_").to_lowercase()
}

fn words(reason: &TimelineReason) -> String {
    let TimelineReason { value, through, .. } = reason;
    let what = match reason.kind() {
        TimelineReasonKind::Cause => return format!("{through} links to it"),
        TimelineReasonKind::Effect => return format!("links to {through}"),
        TimelineReasonKind::Artifact => format!("names {}", shortened(value)),
        TimelineReasonKind::Run => format!("run {value}"),
        TimelineReasonKind::Commit => format!("commit {}", shortened(value)),
        TimelineReasonKind::Unspecified => value.clone(),
    };
    if through.is_empty() { what } else { format!("{what}, through {through}") }
}

/// The beginning of a digest or a commit is enough for people.
fn shortened(digest: &str) -> String {
    match digest.split_once(':') {
        Some((name, digits)) => format!("{name}:{}", text::beginning(digits)),
        None => text::beginning(digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_digests_runs_and_commits() {
        assert_eq!(subject("sha256:aa"), Ok(Subject::Artifact("sha256:aa".to_owned())));
        assert_eq!(subject("artifact:sha256:aa"), Ok(Subject::Artifact("sha256:aa".to_owned())));
        assert_eq!(subject("run:a:b"), Ok(Subject::Run("a:b".to_owned())));
        assert_eq!(subject("commit:c0ffee"), Ok(Subject::Commit("c0ffee".to_owned())));
        for wrong in ["", "x", "run:", "commit:", ":", "artifact:x", "artifact:", "sha256:"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }
}
