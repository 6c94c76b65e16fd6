//! The rest of a payload: every scalar that is no field, under its dotted path.
//!
//! Left out, and covered by the payload's digest: null and empty strings, links into GitHub's API, addresses that
//! follow from a page's own, GraphQL names beside plain ids, the counters and switches of a repository that the
//! event is not about. An object that was there before, member for member, keeps only what names it.

use super::payload::{Payload, scalar};
use crate::{
    EVENT_BYTES_MAX,
    text::{self, ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX},
};
use piperoll_proto::v1::Event;
use prost::Message as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Most attributes of one event.
const ATTRIBUTES_MAX: usize = 1_000;
/// Tells how many attributes and list entries an event had no room for.
const LEFT_OUT: &str = "piperoll.left_out";
/// Kept free for what is put on after the attributes: id, schema, digest, [`LEFT_OUT`].
const HEADROOM_BYTES: usize = 2_048;
/// More than the tags and lengths of an entry of the map.
const ENTRY_BYTES: usize = 16;

/// These say what other things are called, and come first.
const FIRST: [&str; 4] = ["sender", "repository", "organization", "installation"];
/// What names an object that is written out elsewhere.
const NAMES: [&str; 9] = ["login", "id", "full_name", "name", "slug", "type", "email", "username", "number"];
/// Addresses that follow from `html_url`, and pictures.
const DERIVED: [&str; 8] =
    ["avatar_url", "gravatar_id", "git_url", "ssh_url", "clone_url", "svn_url", "diff_url", "patch_url"];
/// A repository's counters and switches.
const REPOSITORY_STATE: [&str; 23] = [
    "allow_forking",
    "disabled",
    "forks",
    "forks_count",
    "has_discussions",
    "has_downloads",
    "has_issues",
    "has_pages",
    "has_projects",
    "has_wiki",
    "homepage",
    "is_template",
    "language",
    "license",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers",
    "stargazers_count",
    "topics",
    "watchers",
    "watchers_count",
    "web_commit_signoff_required",
];
/// Members whose value would be a secret: its name is data, its value never enters.
const SECRETS: [&str; 9] = [
    "secret",
    "token",
    "access_token",
    "refresh_token",
    "password",
    "client_secret",
    "webhook_secret",
    "private_key",
    "pem",
];
/// Stands for a secret's value.
const WITHHELD: &str = "(withheld)";
/// Prose, the first to go when an event is too large.
const PROSE: [&str; 9] = [
    "body",
    "description",
    "diff_hunk",
    "message",
    "summary",
    "text",
    "body_html",
    "bio",
    "short_description",
];

/// What goes first into an event that has not room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Who, what, when.
    Names,
    Other,
    Prose,
}

/// Puts the rest of the payload into the event; `cut` list entries are already left out.
pub(crate) fn fill(payload: &Payload<'_>, cut: usize, event: &mut Event) {
    let mut rest = Rest {
        payload,
        keeps_state: !payload.root().get("repository").is_some_and(is_repository)
            || is_about_repository(event),
        seen: HashSet::new(),
        taken: BTreeSet::new(),
        found: Vec::new(),
        ranks: [0; 3],
    };
    rest.walk_root();
    let uncollected: usize = rest.ranks.iter().map(|count| count.saturating_sub(ATTRIBUTES_MAX)).sum();
    let mut found = rest.found;
    let room = EVENT_BYTES_MAX.saturating_sub(event.encoded_len() + HEADROOM_BYTES);
    let whole: usize = found.iter().map(|(_, key, value)| key.len() + value.len() + ENTRY_BYTES).sum();
    if whole > room || found.len() > ATTRIBUTES_MAX {
        // A stable sort: within a rank the payload's order stays.
        found.sort_by_key(|(rank, _, _)| *rank);
    }
    let (kept, left_out) = fit(found, room);
    event.attributes.extend(kept);
    let left_out = left_out + uncollected + cut;
    if left_out > 0 {
        event.attributes.insert(LEFT_OUT.to_owned(), left_out.to_string());
    }
}

/// Takes what fits, in order; how many do not is the second answer.
fn fit(found: Vec<(Rank, String, String)>, mut room: usize) -> (BTreeMap<String, String>, usize) {
    let count = found.len();
    let mut kept = BTreeMap::new();
    for (_, key, value) in found {
        let bytes = key.len() + value.len() + ENTRY_BYTES;
        if bytes <= room && kept.len() < ATTRIBUTES_MAX {
            room -= bytes;
            kept.insert(key, value);
        }
    }
    let left_out = count - kept.len();
    (kept, left_out)
}

struct Rest<'p, 'a> {
    payload: &'p Payload<'a>,
    /// The event is about a repository, so that its counters and switches count.
    keeps_state: bool,
    /// Digests of the objects that are written out already.
    seen: HashSet<[u8; 32]>,
    /// Keys in use.
    taken: BTreeSet<String>,
    found: Vec<(Rank, String, String)>,
    /// How many there are of each rank: more of one than an event may have are counted, not kept.
    ranks: [usize; 3],
}

impl Rest<'_, '_> {
    fn walk_root(&mut self) {
        let Some(root) = self.payload.root().as_object() else { return };
        for name in FIRST {
            if let Some(value) = root.get(name) {
                self.value(name, name, value);
            }
        }
        for (name, value) in root.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
            if !is_noise(name, value, root) {
                self.value(&text::line(name, ATTRIBUTE_KEY_BYTES_MAX), name, value);
            }
        }
    }

    /// `path` is dotted, `name` its last named part.
    fn value(&mut self, path: &str, name: &str, value: &Value) {
        match value {
            Value::Null => {}
            _ if SECRETS.contains(&name) => self.push(path, name, WITHHELD),
            Value::Object(object) => self.object(path, value, object),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&below(path, &index.to_string()), name, item);
                }
            }
            Value::Bool(switch) => self.push(path, name, &switch.to_string()),
            _ => {
                if let Some(text) = scalar(value).filter(|text| !text.is_empty()) {
                    self.push(path, name, &text);
                }
            }
        }
    }

    fn object(&mut self, path: &str, value: &Value, object: &Map<String, Value>) {
        let repeated = is_named(object) && !self.seen.insert(Sha256::digest(value.to_string()).into());
        let state = is_repository(value) && !self.keeps_state;
        for (name, value) in object {
            let left_out = is_noise(name, value, object)
                || (repeated && !NAMES.contains(&name.as_str()) && !value.is_object())
                || (state && (REPOSITORY_STATE.contains(&name.as_str()) || name.starts_with("allow_")));
            if !left_out {
                self.value(&below(path, name), name, value);
            }
        }
    }

    fn push(&mut self, path: &str, name: &str, value: &str) {
        if self.payload.is_used(path) {
            return;
        }
        let rank = rank(name);
        let Some(count) = self.ranks.get_mut(rank as usize) else { return };
        *count += 1;
        if *count > ATTRIBUTES_MAX {
            return;
        }
        let key = self.free_key(text::line(path, ATTRIBUTE_KEY_BYTES_MAX));
        self.found.push((rank, key, text::lines(value, ATTRIBUTE_VALUE_BYTES_MAX)));
    }

    /// `{"a.b": 1, "a": {"b": 2}}` and cut keys: no value may hide another.
    fn free_key(&mut self, key: String) -> String {
        if self.taken.insert(key.clone()) {
            return key;
        }
        let number = self.found.len();
        let key = format!("{key}'{number}");
        self.taken.insert(key.clone());
        key
    }
}

/// The path of a member. It stops growing where keys are cut, so that long keys above many members cost little.
fn below(path: &str, name: &str) -> String {
    if path.len() > ATTRIBUTE_KEY_BYTES_MAX {
        return path.to_owned();
    }
    format!("{path}.{}", text::line(name, ATTRIBUTE_KEY_BYTES_MAX))
}

fn rank(name: &str) -> Rank {
    let ends = ["_at", "_on", "_id", "_sha", "_name", "_date", "_type", "_login", "_by"];
    let words = [
        "login",
        "id",
        "name",
        "full_name",
        "slug",
        "type",
        "email",
        "username",
        "number",
        "timestamp",
        "date",
        "sha",
        "oid",
        "ref",
        "before",
        "after",
        "action",
        "state",
        "status",
        "conclusion",
        "environment",
        "event",
        "key",
        "since",
        "title",
        "digest",
        "sha256",
        "version",
    ];
    if PROSE.contains(&name) {
        Rank::Prose
    } else if words.contains(&name) || ends.iter().any(|end| name.ends_with(end)) {
        Rank::Names
    } else {
        Rank::Other
    }
}

/// An account, a repository or an app: something that comes again and again.
fn is_named(object: &Map<String, Value>) -> bool {
    ["login", "full_name", "slug", "username"].iter().any(|name| object.contains_key(*name))
}

fn is_repository(value: &Value) -> bool {
    value.get("full_name").is_some() && value.get("owner").is_some()
}

fn is_about_repository(event: &Event) -> bool {
    let kind = event.action.as_deref().and_then(|action| action.split('.').next());
    matches!(kind, Some("repository" | "public" | "fork"))
}

/// Says nothing of who, what or when that is not said elsewhere.
fn is_noise(name: &str, value: &Value, beside: &Map<String, Value>) -> bool {
    let plain = name.strip_suffix("node_id").map(|front| format!("{front}id"));
    let is_graph_name = plain.is_some_and(|plain| beside.get(&plain).is_some_and(|id| !id.is_null()));
    is_graph_name || name == "_links" || DERIVED.contains(&name) || (is_address(name) && is_api_link(value))
}

fn is_address(name: &str) -> bool {
    name == "url" || name == "href" || name.ends_with("_url")
}

/// A link into the API, or the template of one.
fn is_api_link(value: &Value) -> bool {
    value.as_str().is_some_and(|url| {
        ["https://api.", "http://api."].iter().any(|start| url.starts_with(start))
            || url.contains("/api/v3/")
            || url.contains('{')
    })
}
