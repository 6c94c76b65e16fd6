//! Events to send, and small steps that most tests take.

use crate::daemon::{Daemon, PROGRAM};
use crate::program::{Ended, client_command, run_with};
use piperoll_proto::v1::{Event, Outcome};
use serde_json::Value;
use std::process::Command;

/// Two classes: deployments, and all else.
pub(crate) const CLASSES: &str = r#"
[retention]
default_class = "standard"
classes = [{ name = "standard", keep = "400d" }, { name = "deploys", keep = "7y" }]
routes = [{ class = "deploys", stage = "deploy*" }]
"#;

/// Six events of three people: four of class standard, two of class deploys.
pub(crate) const LINES: &str = r#"{"id":"e1","actor":"alice","action":"build.finished","stage":"build","outcome":"success","repo":"acme/shop","time":"2026-11-23T08:00:00Z"}
{"id":"e2","actor":"bob","action":"build.finished","stage":"build","outcome":"failure","repo":"acme/shop","reason":"a, \"quoted\" one"}
{"id":"e3","actor":"alice","action":"deploy.finished","stage":"deploy-prod","outcome":"success","environment":"production","artifacts":[{"name":"shop","digests":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}]}

{"id":"e4","actor":"carol","action":"test.finished","stage":"test","outcome":"success"}
{"id":"e5","actor":"bob","action":"deploy.finished","stage":"deploy-prod","outcome":"denied","environment":"production","on_behalf_of":"carol"}
{"id":"e6","actor":"bot","action":"scan.finished","attributes":{"tool":"trivy"}}
"#;

/// Sends JSON lines; they must all be taken.
pub(crate) fn append_lines(daemon: &Daemon, lines: &str) {
    run_with(client_command(daemon), &["append"], lines.as_bytes()).with(0);
}

/// The lines of a `-o jsonl` answer.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The ids of the events in a `-o jsonl` answer.
pub(crate) fn ids(text: &str) -> Vec<String> {
    json_lines(text).iter().map(|record| record["event"]["id"].as_str().unwrap().to_owned()).collect()
}

/// An event with this id, which its text repeats so that a changed byte shows.
pub(crate) fn event(id: &str) -> Event {
    Event {
        id: Some(id.to_owned()),
        actor: Some("tester".to_owned()),
        action: Some("test.event".to_owned()),
        stage: Some("test".to_owned()),
        outcome: Some(Outcome::Success.into()),
        reason: Some(format!("this is event {id}")),
        ..Event::default()
    }
}

/// Runs a command at a terminal, with what a person types; `None` where there is nothing to make one with.
pub(crate) fn at_terminal(daemon: &Daemon, arguments: &str, typed: &str) -> Option<Ended> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped, because there is no `script` to make a terminal with");
        return None;
    }
    let mut script = Command::new("script");
    script.env("PIPEROLL_ENDPOINT", daemon.grpc()).current_dir(daemon.data().parent().unwrap());
    Some(run_with(script, &["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"], typed.as_bytes()))
}
