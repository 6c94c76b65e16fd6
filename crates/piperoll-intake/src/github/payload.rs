//! A payload, read by path, which remembers what became a field as it stands: the rest becomes attributes.

use crate::text::{self, FIELD_TEXT_BYTES_MAX, REASON_BYTES_MAX};
use jiff::Timestamp;
use prost_types::Timestamp as ProtoTime;
use serde_json::Value;
use std::collections::BTreeSet;

/// GitHub's own site, the source of events that name no owner.
const SITE: &str = "https://github.com";

/// A payload and what of it is used.
pub(crate) struct Payload<'a> {
    root: &'a Value,
    used: BTreeSet<String>,
}

impl<'a> Payload<'a> {
    /// `root` is an object.
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, used: BTreeSet::new() }
    }

    pub(crate) fn root(&self) -> &'a Value {
        self.root
    }

    /// Whether the value at this dotted path is a field of the event, as it stands.
    pub(crate) fn is_used(&self, dotted: &str) -> bool {
        self.used.contains(dotted)
    }

    /// The value at a JSON pointer; null is absent.
    pub(crate) fn at(&self, path: &str) -> Option<&'a Value> {
        self.root.pointer(path).filter(|value| !value.is_null())
    }

    /// The string at a JSON pointer, which stays an attribute too.
    pub(crate) fn peek(&self, path: &str) -> Option<&'a str> {
        self.at(path)?.as_str()
    }

    /// The string at a JSON pointer, or the word itself when it is none.
    pub(crate) fn literal_or_text(&self, path: &'static str) -> Option<&'a str> {
        if path.starts_with('/') { self.peek(path) } else { Some(path) }
    }

    /// The first that is there, to be a field; a path that is no JSON pointer is a word that is always there.
    pub(crate) fn first(&mut self, paths: &[&str]) -> Option<String> {
        paths
            .iter()
            .find_map(|path| if path.starts_with('/') { self.take(path) } else { Some((*path).to_owned()) })
    }

    /// The string or number at a JSON pointer, to be a field.
    pub(crate) fn take(&mut self, path: &str) -> Option<String> {
        let found = scalar(self.at(path)?)?;
        let field = text::line(&found, FIELD_TEXT_BYTES_MAX);
        self.used_as(path, &found, field)
    }

    /// The text at a JSON pointer, of several lines, to be a field.
    pub(crate) fn take_lines(&mut self, path: &str) -> Option<String> {
        let found = self.peek(path)?;
        let field = text::lines(found, REASON_BYTES_MAX);
        self.used_as(path, found, field)
    }

    fn used_as(&mut self, path: &str, found: &str, field: String) -> Option<String> {
        if field.is_empty() {
            return None;
        }
        if field == found {
            self.used.insert(dotted(path));
        }
        Some(field)
    }

    /// The strings of an array.
    pub(crate) fn texts(&mut self, path: &str) -> Vec<String> {
        let count = self.at(path).and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).filter_map(|index| self.take(&format!("{path}/{index}"))).collect()
    }

    /// The members of an array.
    pub(crate) fn items(&self, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.at(path).and_then(Value::as_array).into_iter().flatten()
    }

    /// A git reference by its short name, as most kinds have it: `refs/heads/main` is `main`.
    pub(crate) fn reference(&mut self, path: &str) -> Option<String> {
        let full = self.peek(path)?;
        let short = full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/"));
        match short {
            Some(short) if !short.is_empty() => Some(text::line(short, FIELD_TEXT_BYTES_MAX)),
            _ => self.take(path),
        }
    }

    /// A commit's hash. All zeros is how GitHub says none.
    pub(crate) fn commit(&mut self, path: &str) -> Option<String> {
        let hash = self.peek(path)?;
        let is_hash = matches!(hash.len(), 40 | 64) && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash && hash.bytes().any(|b| b != b'0') { self.take(path) } else { None }
    }

    /// A time: RFC 3339, or seconds since 1970. A time that does not fit 64 bits of nanoseconds, such as the
    /// year 1 that GitHub sends for "never", is none.
    pub(crate) fn time(&self, path: &str) -> Option<ProtoTime> {
        let time = match self.at(path)? {
            Value::String(text) => text.parse::<Timestamp>().ok()?,
            Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok()?,
            _ => return None,
        };
        let nanos = time.as_nanosecond();
        i64::try_from(nanos).ok()?;
        Some(ProtoTime {
            seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
            nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
        })
    }

    /// Who sent it, as a URI: the repository, else the organisation or account, else the site.
    pub(crate) fn source(&self) -> String {
        let whole =
            ["/repository/html_url", "/installation/account/html_url"].iter().find_map(|p| self.peek(p));
        let source = whole.map(str::to_owned).or_else(|| {
            let owner = self.peek("/organization/login").or_else(|| self.peek("/repository/owner/login"))?;
            Some(format!("{}/{owner}", self.site()))
        });
        text::line(&source.unwrap_or_else(|| self.site().to_owned()), FIELD_TEXT_BYTES_MAX)
    }

    /// The GitHub that sent it: its own site, or an enterprise's, as the sender's page tells.
    fn site(&self) -> &'a str {
        let page = self.peek("/sender/html_url").unwrap_or(SITE);
        let start = page.find("://").map_or(0, |at| at + 3);
        let end = page.get(start..).and_then(|rest| rest.find('/')).map_or(page.len(), |at| start + at);
        page.get(..end).filter(|site| site.len() > start && start > 0).unwrap_or(SITE)
    }
}

/// A string or a number, as text.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}
