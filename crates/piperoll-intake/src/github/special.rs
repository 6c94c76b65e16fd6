//! The kinds that need more than a path: lists, and decisions over several members.

use super::payload::{Payload, scalar};
use crate::text::{self, FIELD_TEXT_BYTES_MAX};
use piperoll_proto::v1::{Artifact, ArtifactRole, AuthMethod, Event, Link, Outcome};
use serde_json::Value;
use std::fmt::Write as _;

/// Nothing more to do.
pub(crate) fn nothing(_: &mut Payload<'_>, _: &mut Event) {}

/// The login of the person at `path`, unless that is who acted.
pub(crate) fn person(payload: &Payload<'_>, path: &str) -> Option<String> {
    let login = payload.peek(&format!("{path}/login"))?;
    let is_person = payload.peek(&format!("{path}/type")).is_none_or(|kind| kind == "User");
    let is_other = payload.peek("/sender/login") != Some(login);
    (is_person && is_other && !login.is_empty()).then(|| text::line(login, FIELD_TEXT_BYTES_MAX))
}

/// A kind that the table does not have: GitHub names an object after its kind, with the usual times.
pub(crate) fn unknown(name: &str, payload: &mut Payload<'_>, event: &mut Event) {
    event.time = ["completed_at", "updated_at", "created_at"]
        .iter()
        .find_map(|member| payload.time(&format!("/{name}/{member}")));
}

/// A check run: the workflow's run, where GitHub Actions made it, and the pull requests.
pub(crate) fn check_run(payload: &mut Payload<'_>, event: &mut Event) {
    run_from_url(payload, "/check_run/details_url", event);
    event.run = event.run.take().or_else(|| payload.take("/check_run/check_suite/id"));
    pull_requests(payload, "/check_run/pull_requests", event);
    suite_link(payload, "/check_run/check_suite/id", event);
}

/// A check suite's pull requests.
pub(crate) fn check_suite(payload: &mut Payload<'_>, event: &mut Event) {
    pull_requests(payload, "/check_suite/pull_requests", event);
}

/// A workflow's run: a later attempt was set off by a rerun, and points to the one before.
pub(crate) fn workflow_run(payload: &mut Payload<'_>, event: &mut Event) {
    rerun(payload, event);
    pull_requests(payload, "/workflow_run/pull_requests", event);
    suite_link(payload, "/workflow_run/check_suite_id", event);
}

/// A job that deploys points to its deployment.
pub(crate) fn workflow_job(payload: &mut Payload<'_>, event: &mut Event) {
    deployment_link(payload, event);
}

/// A deployment and what is said about it point to the deployment and to the pull requests of its run.
pub(crate) fn deployment(payload: &mut Payload<'_>, event: &mut Event) {
    deployment_link(payload, event);
    pull_requests(payload, "/workflow_run/pull_requests", event);
    rerun(payload, event);
}

/// The rule is asked about a run, which only its callback names.
pub(crate) fn protection_rule(payload: &mut Payload<'_>, event: &mut Event) {
    deployment_link(payload, event);
    run_from_url(payload, "/deployment_callback_url", event);
    pull_requests(payload, "/pull_requests", event);
}

/// A review of a deployment: the decision is its action.
pub(crate) fn deployment_review(payload: &mut Payload<'_>, event: &mut Event) {
    pull_requests(payload, "/workflow_run/pull_requests", event);
    event.outcome = match payload.peek("/action") {
        Some("approved") => Some(Outcome::Success.into()),
        Some("rejected") => Some(Outcome::Denied.into()),
        _ => None,
    };
}

/// A closed pull request was merged, or not.
pub(crate) fn pull_request(payload: &mut Payload<'_>, event: &mut Event) {
    if payload.peek("/action") == Some("closed") {
        let merged = payload.at("/pull_request/merged").and_then(Value::as_bool).unwrap_or(false);
        event.outcome = Some(if merged { Outcome::Success } else { Outcome::Cancelled }.into());
    }
}

/// GitHub calls a pull request's conversation an issue.
pub(crate) fn issue(payload: &mut Payload<'_>, event: &mut Event) {
    if payload.at("/issue/pull_request").is_some() {
        event.change = payload.take("/issue/number");
    }
}

/// A reference that was made or removed, by a person or with a deploy key.
pub(crate) fn reference(payload: &mut Payload<'_>, event: &mut Event) {
    if payload.peek("/pusher_type") == Some("deploy_key") {
        event.auth_method = Some(AuthMethod::DeployKey.into());
    }
}

/// A commit's status, whose page may be a run of GitHub Actions.
pub(crate) fn status(payload: &mut Payload<'_>, event: &mut Event) {
    run_from_url(payload, "/target_url", event);
}

/// A release's assets.
pub(crate) fn release(payload: &mut Payload<'_>, event: &mut Event) {
    let gone = payload.peek("/action") == Some("deleted");
    for asset in payload.items("/release/assets") {
        event.artifacts.push(Artifact {
            name: member(asset, "name"),
            uri: member(asset, "browser_download_url"),
            digests: member(asset, "digest").iter().filter_map(|digest| digest_of(digest)).collect(),
            role: (!gone).then(|| ArtifactRole::Output.into()),
            media_type: member(asset, "content_type"),
            ..Artifact::default()
        });
    }
}

/// A package's version and its files; `registry_package` is the older name of the same kind.
pub(crate) fn package(payload: &mut Payload<'_>, event: &mut Event) {
    for root in ["/package", "/registry_package"] {
        let Some(package) = payload.at(root) else { continue };
        let Some(version) = package.get("package_version").filter(|version| version.is_object()) else {
            continue;
        };
        // What it was made from: a commit, or for an image its own digest.
        if payload.peek(&format!("{root}/package_version/target_oid")).is_some_and(|id| id.len() == 40) {
            let made_from = payload.commit(&format!("{root}/package_version/target_oid"));
            event.commit = event.commit.take().or(made_from);
        }
        let manifest = version.pointer("/container_metadata/manifest");
        let digests: Vec<String> = [
            member(version, "version"),
            manifest.and_then(|manifest| member(manifest, "digest")),
            version.pointer("/container_metadata/tag").and_then(|tag| member(tag, "digest")),
        ]
        .into_iter()
        .flatten()
        .collect();
        event.artifacts.push(Artifact {
            name: member(package, "name"),
            uri: member(version, "package_url").or_else(|| member(version, "html_url")),
            purl: purl(package, version),
            // One digest for each algorithm: the version's own is the first.
            digests: digests.iter().rev().filter_map(|digest| digest_of(digest)).collect(),
            role: Some(ArtifactRole::Output.into()),
            media_type: manifest.and_then(|manifest| member(manifest, "media_type")),
        });
        let files = version.get("package_files").and_then(Value::as_array);
        event.artifacts.extend(files.into_iter().flatten().map(package_file));
    }
}

fn package_file(file: &Value) -> Artifact {
    let digest = |name: &str| {
        let hex = member(file, name)?;
        digest_of(&format!("{name}:{hex}"))
    };
    Artifact {
        name: member(file, "name"),
        uri: member(file, "download_url"),
        digests: ["sha256", "sha1", "md5"].into_iter().filter_map(digest).collect(),
        role: Some(ArtifactRole::Output.into()),
        media_type: member(file, "content_type"),
        ..Artifact::default()
    }
}

/// The package URL of a version, for the ecosystems whose names GitHub keeps as they are there.
fn purl(package: &Value, version: &Value) -> Option<String> {
    let ecosystem = member(package, "package_type").or_else(|| member(package, "ecosystem"))?;
    let (name, version) = (member(package, "name")?, member(version, "version")?);
    let kind = match ecosystem.to_ascii_lowercase().as_str() {
        "npm" => "npm",
        "nuget" => "nuget",
        "rubygems" => "gem",
        "docker" | "container" => "oci",
        _ => return None,
    };
    Some(format!("pkg:{kind}/{}@{}", purl_text(&name), purl_text(&version)))
}

/// A part of a package URL: everything but letters, digits and `.-_~/` as `%XX`.
fn purl_text(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' => {
                out.push(byte.into());
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    text::line(&out, FIELD_TEXT_BYTES_MAX)
}

/// `algorithm:hex` in parts, if the hexadecimal is as long as the algorithm's digest.
fn digest_of(text: &str) -> Option<(String, String)> {
    let (algorithm, digest) = text.split_once(':')?;
    let length = match algorithm {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return None,
    };
    let digest = digest.to_ascii_lowercase();
    let is_digest = digest.len() == length && digest.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| (algorithm.to_owned(), digest))
}

fn member(object: &Value, name: &str) -> Option<String> {
    let text = scalar(object.get(name)?)?;
    (!text.is_empty()).then(|| text::line(&text, FIELD_TEXT_BYTES_MAX))
}

fn rerun(payload: &Payload<'_>, event: &mut Event) {
    if let (Some(attempt @ 2..), Some(run)) = (event.run_attempt, event.run.clone()) {
        event.trigger = Some("rerun".to_owned());
        link(event, "rerun_of", payload, &format!("actions/runs/{run}/attempts/{}", attempt - 1));
    }
}

fn suite_link(payload: &Payload<'_>, path: &str, event: &mut Event) {
    if let Some(suite) = payload.at(path).and_then(scalar) {
        link(event, "check_suite", payload, &format!("checks?check_suite_id={suite}"));
    }
}

fn deployment_link(payload: &Payload<'_>, event: &mut Event) {
    if let Some(id) = payload.at("/deployment/id").and_then(scalar) {
        link(event, "deployment", payload, &format!("deployments/{id}"));
    }
}

fn pull_requests(payload: &Payload<'_>, path: &str, event: &mut Event) {
    for number in payload.items(path).filter_map(|request| scalar(request.get("number")?)) {
        link(event, "pull_request", payload, &format!("pull/{number}"));
    }
}

/// A link's id is the other thing's page, so that it is the same wherever it is named.
fn link(event: &mut Event, kind: &str, payload: &Payload<'_>, page: &str) {
    let source = payload.source();
    let id = text::line(&format!("{source}/{page}"), FIELD_TEXT_BYTES_MAX);
    event.links.push(Link { kind: Some(kind.to_owned()), source: Some(source), id: Some(id) });
}

/// Takes the run out of `…/actions/runs/NUMBER/…`.
fn run_from_url(payload: &Payload<'_>, path: &str, event: &mut Event) {
    let run = payload.peek(path).and_then(|url| url.split_once("/actions/runs/")).map(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    if let Some(run) = run.filter(|run| (1..=20).contains(&run.len())) {
        event.run = Some(run.to_owned());
    }
}
