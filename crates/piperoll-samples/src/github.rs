//! Real GitHub webhook payloads, from the MIT-licensed examples of octokit/webhooks (`github-webhooks/LICENSE`).

use include_dir::{Dir, include_dir};

static PAYLOADS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/github-webhooks");

/// A webhook delivery's payload.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// The event kind, as the `X-GitHub-Event` header has it.
    pub kind: &'static str,
    /// Name of the sample, such as `push/00.json`.
    pub name: &'static str,
    /// The JSON body.
    pub body: &'static [u8],
}

/// Every payload, sorted by name.
pub fn github_payloads() -> Vec<Payload> {
    let mut payloads: Vec<_> = PAYLOADS.dirs().flat_map(Dir::files).filter_map(payload).collect();
    payloads.sort_unstable_by_key(|payload| payload.name);
    payloads
}

fn payload(file: &'static include_dir::File<'static>) -> Option<Payload> {
    let kind = file.path().parent()?.to_str()?;
    Some(Payload { kind, name: file.path().to_str()?, body: file.contents() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_is_shipped_under_its_kind() {
        let payloads = github_payloads();
        assert_eq!(payloads.len(), 240);
        assert!(payloads.iter().all(|p| p.name.starts_with(p.kind) && p.body.starts_with(b"{")));
        assert_eq!(payloads.iter().map(|p| p.kind).collect::<std::collections::BTreeSet<_>>().len(), 39);
    }
}
