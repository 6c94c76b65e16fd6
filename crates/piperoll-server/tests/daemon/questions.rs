//! `Values`, `Histogram` and `Timeline`: what is wrong with a request is said with its field and the right status.

use crate::support::{Daemon, event};
use piperoll_client::{Client, ClientError};
use piperoll_proto::v1::{
    CountRequest, Event, HistogramRequest, TimelineRequest, ValuesRequest, timeline_request::Subject,
};
use prost_types::Duration;
use tonic::Code;

fn check<T>(outcome: Result<T, ClientError>, code: Code, field: &str, words: &str) {
    let error = outcome.map(drop).unwrap_err();
    let refusal = if let ClientError::Refused(refusal) = &error { Some(refusal) } else { None }.unwrap();
    assert_eq!(refusal.code, code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let fields: Vec<_> = refusal.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, if field.is_empty() { vec![] } else { vec![field] }, "{error}");
}

const BAD: Code = Code::InvalidArgument;

async fn values(client: &Client, field: &str, filter: &str) -> Result<u64, ClientError> {
    let request =
        ValuesRequest { field: field.to_owned(), filter: filter.to_owned(), ..ValuesRequest::default() };
    client.values(request).await.map(|answer| answer.values.len() as u64)
}

#[tokio::test]
async fn lists_of_values_that_cannot_be_are_refused() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("a", "", 0)]).await.unwrap();
    check(values(&client, "actr", "").await, BAD, "field", "did you mean actor?");
    check(values(&client, "", "").await, BAD, "field", "the name of a field");
    check(values(&client, "time", "").await, BAD, "field", "times hardly ever repeat");
    check(values(&client, "attr.", "").await, BAD, "field", "attr.region");
    check(values(&client, "actor", "stge = a").await, BAD, "filter", "did you mean stage?");
    let reversed = "received > 2026-11-23 AND received < 2026-11-20";
    check(values(&client, "actor", reversed).await, BAD, "filter", "one event can meet");
    assert_eq!(values(&client, "actor", "").await.unwrap(), 1);
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn histograms_that_cannot_be_are_refused() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![event("a", "", 0)]).await.unwrap();
    let ask = async |change: fn(&mut HistogramRequest)| {
        let mut request = HistogramRequest::default();
        change(&mut request);
        client.histogram(request).await
    };
    let seconds = |seconds, nanos| Some(Duration { seconds, nanos });
    check(ask(|it| it.field = "tme".to_owned()).await, BAD, "field", "did you mean time?");
    check(ask(|it| it.field = "actor".to_owned()).await, BAD, "field", "no time");
    for every in [
        seconds(0, 0),
        seconds(-1, 0),
        seconds(0, -1),
        seconds(i64::MAX, 0),
        seconds(i64::MAX / 1_000_000_000, i32::MAX),
    ] {
        let request = HistogramRequest { every, ..HistogramRequest::default() };
        check(client.histogram(request).await, BAD, "every", "longer than nothing");
    }
    check(ask(|it| it.zone = "Europe/Pari".to_owned()).await, BAD, "zone", "Europe/Paris");
    check(ask(|it| it.zone = "\u{1b}[31m/../../etc/passwd".to_owned()).await, BAD, "zone", "\\u{1b}");
    check(ask(|it| it.split_by = "stge".to_owned()).await, BAD, "split_by", "did you mean stage?");
    check(ask(|it| it.split_by = "time".to_owned()).await, BAD, "split_by", "times hardly ever repeat");
    check(ask(|it| it.split_limit = u32::MAX).await, BAD, "split_limit", "at most 100");
    check(
        ask(|it| it.filter = "received > 2026-11-23 AND received < 2026-11-20".to_owned()).await,
        BAD,
        "filter",
        "one event",
    );
    let wide = ask(|it| {
        it.filter = "received >= 1980-01-01".to_owned();
        it.every = Some(Duration { seconds: 3_600, nanos: 0 });
    });
    check(wide.await, BAD, "every", "more than 10000 buckets of 3600 s");
    // All the time there is, in as few buckets as nobody asked for.
    let all =
        ask(|it| it.filter = "received >= 1678-01-01 AND received < 2262-01-01".to_owned()).await.unwrap();
    assert_eq!((all.total, all.buckets.len() < 100), (1, true));
    daemon.running.stop().await.unwrap();
}

async fn timeline(client: &Client, subject: Option<Subject>, limit: u32) -> Result<usize, ClientError> {
    let request = TimelineRequest { subject, limit, ..TimelineRequest::default() };
    let mut answer = client.timeline(request).await?;
    let mut entries = 0;
    while let Some(some) = answer.next().await? {
        entries += some.len();
    }
    Ok(entries)
}

#[tokio::test]
async fn timelines_that_cannot_be_are_refused_and_those_of_nothing_are_empty() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    client.append(vec![Event { run: Some("41".to_owned()), ..event("a", "", 0) }]).await.unwrap();
    let artifact = |digest: String| Some(Subject::Artifact(digest));
    let hex = "0123456789abcdef".repeat(4);
    check(timeline(&client, None, 0).await, BAD, "subject", "an artifact, a run or a commit");
    check(timeline(&client, artifact(hex.clone()), 0).await, BAD, "artifact", "is no digest");
    check(timeline(&client, artifact(format!("sha256:{hex}00")), 0).await, BAD, "artifact", "has 66 digits");
    check(
        timeline(&client, artifact(format!("sha256:{}", hex.replace('0', "x"))), 0).await,
        BAD,
        "artifact",
        "is no digest",
    );
    check(timeline(&client, artifact("x".repeat(900_000)), 0).await, BAD, "artifact", "is no digest");
    check(timeline(&client, Some(Subject::Run(String::new())), 0).await, BAD, "run", "it is empty");
    check(
        timeline(&client, Some(Subject::Commit("c".repeat(70_000))), 0).await,
        BAD,
        "commit",
        "longer than",
    );
    check(
        timeline(&client, Some(Subject::Run("41".to_owned())), 10_001).await,
        BAD,
        "limit",
        "at most 10000",
    );
    assert_eq!(timeline(&client, artifact(format!("sha256:{hex}")), 0).await.unwrap(), 0);
    assert_eq!(timeline(&client, Some(Subject::Run("41".to_owned())), 10_000).await.unwrap(), 1);
    assert_eq!(
        timeline(&client, Some(Subject::Run("4*".to_owned())), 0).await.unwrap(),
        0,
        "a star is a star"
    );
    daemon.running.stop().await.unwrap();
}

#[tokio::test]
async fn long_values_never_make_an_answer_too_long() {
    let daemon = Daemon::new().await;
    let client = daemon.client().await;
    let long =
        |number: usize| Event { repo: Some(format!("{number}{}", "x".repeat(60_000))), ..event("a", "", 0) };
    for first in [0, 50] {
        client.append((first..first + 50).map(long).collect()).await.unwrap();
    }
    let listed = ValuesRequest { field: "repo".to_owned(), ..ValuesRequest::default() };
    let listed = client.values(listed).await.unwrap();
    assert_eq!(listed.values.len() as u64 + listed.values_omitted, 100);
    assert!(listed.values_omitted > 0);
    let counted = CountRequest { group_by: vec!["repo".to_owned()], ..CountRequest::default() };
    let counted = client.count(counted).await.unwrap();
    assert_eq!((counted.total, counted.groups.len() as u64 + counted.groups_omitted), (100, 100));
    let split =
        HistogramRequest { split_by: "repo".to_owned(), split_limit: 100, ..HistogramRequest::default() };
    let split = client.histogram(split).await.unwrap();
    assert_eq!(split.split_values.len() as u64 + split.values_omitted, 100);
    let rest: u64 = split.buckets.iter().map(|bucket| bucket.split_rest).sum();
    assert_eq!(rest, split.values_omitted, "what does not fit is counted with the rest");
    daemon.running.stop().await.unwrap();
}
