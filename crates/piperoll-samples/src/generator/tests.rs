//! The generator's stream is fixed: its JSON form hashes to what it always hashed to.

use super::*;

/// `2026-01-01T00:00:00.000000000Z`
fn rfc3339_ns(ns: u64) -> String {
    let (secs, frac) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, sod) = (i64::try_from(secs / 86_400).unwrap(), secs % 86_400);
    // Days to civil date, Howard Hinnant's algorithm.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{frac:09}Z", sod / 3600, sod / 60 % 60, sod % 60)
}

impl RawEvent {
    /// Appends one JSON object, without a line end. No value needs escaping.
    fn write_json(&self, out: &mut String) {
        let _ = write!(
            out,
            r#"{{"time":"{}","id":"{}","tenant":"{}","actor":"{}","actor_type":"{}","auth":"{}","source_ip":"{}","user_agent":"{}","action":"{}""#,
            rfc3339_ns(self.time_ns),
            self.id,
            self.tenant,
            self.actor,
            self.actor_type,
            self.auth,
            self.source_ip,
            self.user_agent,
            self.action
        );
        for (key, value) in [
            ("stage", self.stage),
            ("pipeline", self.pipeline),
            ("run_id", &self.run_id),
            ("job_id", &self.job_id),
            ("repo", &self.repo),
            ("ref", &self.git_ref),
            ("commit", &self.commit),
            ("outcome", self.outcome),
        ] {
            if !value.is_empty() {
                let _ = write!(out, r#","{key}":"{value}""#);
            }
        }
        if !self.artifacts.is_empty() {
            out.push_str(r#","artifacts":["#);
            for (i, a) in self.artifacts.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let _ = write!(out, r#"{comma}{{"uri":"{}","digest":"{}"}}"#, a.uri, a.digest);
            }
            out.push(']');
        }
        out.push_str(r#","attributes":{"#);
        for (i, (k, v)) in self.attributes.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(out, r#"{comma}"{k}":"{v}""#);
        }
        let _ = write!(out, r#"}},"retention":"{}"}}"#, self.retention);
    }
}

#[test]
fn the_stream_of_seed_42_never_changes() {
    let mut generator = RawGenerator::new(42, 1_767_225_600, 20_000, 30.0);
    let mut out = String::new();
    for _ in 0..20_000 {
        generator.next_event().write_json(&mut out);
        out.push('\n');
    }
    let digest = blake3::hash(out.as_bytes()).to_string();
    assert_eq!(digest, "f9714538c1b9aa3ff8f1cdc45f8075d33eadbda97d870c0bf8f1aa3beb6f8246");
}

#[test]
fn dates_are_written_in_utc() {
    assert_eq!(rfc3339_ns(0), "1970-01-01T00:00:00.000000000Z");
    assert_eq!(rfc3339_ns(1_772_236_800_000_000_001), "2026-02-28T00:00:00.000000001Z");
}

#[test]
fn actor_names_are_distinct() {
    let names: std::collections::HashSet<_> = (0..USERS + BOTS).map(actor_name).collect();
    assert_eq!(names.len(), USERS + BOTS);
}
