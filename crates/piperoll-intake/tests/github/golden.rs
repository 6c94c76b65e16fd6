//! `tests/golden/github.tsv`: one line a payload, to be read by people. `PIPEROLL_BLESS=1` writes it anew.

use super::support::samples;
use piperoll_intake::{Event, event_json};
use serde_json::Value;
use std::{env, fmt::Write as _, fs, path::Path};

const COLUMNS: [&str; 18] = [
    "who",
    "for",
    "what",
    "stage",
    "outcome",
    "pipeline",
    "run",
    "job",
    "trigger",
    "from where",
    "ref",
    "commit",
    "change",
    "environment",
    "runner",
    "artifacts and links",
    "time",
    "reason",
];

#[test]
fn every_payload_maps_to_what_the_golden_table_says() {
    let mut table = format!("payload\t{}\tattributes\n", COLUMNS.join("\t"));
    for sample in samples() {
        let event = sample.event();
        let cells = row(&event).join("\t");
        writeln!(table, "{}\t{cells}\t{}", sample.name, event.attributes.len()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/github.tsv");
    if env::var_os("PIPEROLL_BLESS").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test blesses its own golden file")]
        fs::write(&path, &table).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    for (expected, found) in golden.lines().zip(table.lines()) {
        assert_eq!(expected, found, "read the line; if it is right now, PIPEROLL_BLESS=1 writes the table");
    }
    assert_eq!(golden.lines().count(), table.lines().count(), "PIPEROLL_BLESS=1 writes the table");
}

fn row(event: &Event) -> Vec<String> {
    let json = event_json(event);
    let text = |key: &str| match json.get(key) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.replace(['\n', '\r', '\t'], " "),
        Some(other) => other.to_string(),
    };
    let with = |key: &str, detail: &str| match text(detail).as_str() {
        "-" => text(key),
        detail => format!("{} ({detail})", text(key)),
    };
    vec![
        with("actor", "actor_type"),
        text("on_behalf_of"),
        text("action"),
        text("stage"),
        text("outcome"),
        text("pipeline"),
        with("run", "run_attempt"),
        text("job"),
        text("trigger"),
        format!("{} {}", text("source"), text("repo")),
        text("ref"),
        text("commit"),
        text("change"),
        text("environment"),
        with("runner", "runner_labels"),
        things(event),
        text("time"),
        text("reason").chars().take(40).collect(),
    ]
}

fn things(event: &Event) -> String {
    let artifacts = event.artifacts.iter().map(|artifact| {
        let mut digests: Vec<_> =
            artifact.digests.iter().map(|(name, hex)| format!("{name}:{hex}")).collect();
        digests.sort();
        let name = artifact.name.as_deref().unwrap_or("?");
        format!("{name} {} [{}]", artifact.purl.as_deref().unwrap_or("-"), digests.join(" "))
    });
    let links = event
        .links
        .iter()
        .map(|link| format!("{}={}", link.kind.as_deref().unwrap_or("?"), link.id.as_deref().unwrap_or("?")));
    let all: Vec<_> = artifacts.chain(links).collect();
    if all.is_empty() { "-".to_owned() } else { all.join("; ") }
}
