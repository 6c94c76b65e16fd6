//! The decision: which segments have expired.

use piperoll_format::names::Name;
use piperoll_format::units::{Sequence, UnixNanos};
use piperoll_store::{DropRule, SealedSegment};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const SECOND_NS: i64 = 1_000_000_000;

/// How long events are kept, counted from when the last one of their segment was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Never dropped.
    #[default]
    Forever,
    /// Dropped after so many seconds.
    Seconds(u64),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Seconds(seconds) = *self else { return f.write_str("for ever") };
        for (unit, length) in [("d", 86_400), ("h", 3_600), ("min", 60)] {
            if seconds > 0 && seconds % length == 0 {
                return write!(f, "{} {unit}", seconds / length);
            }
        }
        write!(f, "{seconds} s")
    }
}

/// How long each retention class keeps its events. A class that is not named keeps them for ever: forgetting
/// by mistake cannot be undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// By class.
    pub keep: BTreeMap<Name, Keep>,
}

impl Policy {
    /// How long a class keeps its events.
    pub fn keep(&self, class: &Name) -> Keep {
        self.keep.get(class).copied().unwrap_or_default()
    }
}

/// One segment that has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDrop {
    /// The segment.
    pub segment: SealedSegment,
    /// Why it goes.
    pub rule: DropRule,
    /// When its retention ended.
    pub expired: UnixNanos,
}

/// What a sweep would do: within each log oldest first, and never past a segment that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepPlan {
    /// The segments to drop, in this order.
    pub drops: Vec<PlannedDrop>,
    /// False when the clock is not believed: then nothing is dropped (R25).
    pub clock_believed: bool,
}

impl SweepPlan {
    /// Bytes that the plan would free.
    pub fn bytes(&self) -> u64 {
        self.drops.iter().fold(0, |sum, drop| sum.saturating_add(drop.segment.bytes))
    }

    /// Events that the plan would drop.
    pub fn events(&self) -> u64 {
        self.drops.iter().fold(0, |sum, drop| sum.saturating_add(drop.segment.events))
    }
}

/// Plans a sweep of `segments` at `now`, which is `None` while the clock is not believed. `principal` is who
/// sweeps: it stands in the receipts.
pub fn plan_sweep(
    segments: &[SealedSegment],
    policy: &Policy,
    now: Option<UnixNanos>,
    principal: &str,
) -> SweepPlan {
    let Some(now) = now else { return SweepPlan::default() };
    let mut sorted: Vec<&SealedSegment> = segments.iter().collect();
    sorted.sort_by_key(|segment| (&segment.tenant, &segment.class, segment.first));
    let mut staying: BTreeSet<(&Name, &Name)> = BTreeSet::new();
    let mut ends: BTreeMap<(&Name, &Name), Sequence> = BTreeMap::new();
    let mut drops = Vec::new();
    for segment in sorted {
        let log = (&segment.tenant, &segment.class);
        // Only a prefix of a log is dropped: what is left stays dense.
        let follows = ends.insert(log, segment.end).is_none_or(|end| end == segment.first);
        match expiry(segment, policy).filter(|expired| *expired <= now && follows && !staying.contains(&log))
        {
            Some(expired) => {
                let rule = rule(&segment.class, policy.keep(&segment.class), principal);
                drops.push(PlannedDrop { segment: segment.clone(), rule, expired });
            }
            None => {
                staying.insert(log);
            }
        }
    }
    SweepPlan { drops, clock_believed: true }
}

/// When the retention of a segment ends; `None` for never.
fn expiry(segment: &SealedSegment, policy: &Policy) -> Option<UnixNanos> {
    let Keep::Seconds(seconds) = policy.keep(&segment.class) else { return None };
    let keep_ns = i64::try_from(seconds).ok()?.checked_mul(SECOND_NS)?;
    segment.latest_received.0.checked_add(keep_ns).map(UnixNanos)
}

fn rule(class: &Name, keep: Keep, principal: &str) -> DropRule {
    let keep_seconds = match keep {
        Keep::Forever => 0,
        Keep::Seconds(seconds) => seconds,
    };
    DropRule { rule: format!("class {class} keeps {keep}"), keep_seconds, principal: principal.to_owned() }
}

#[cfg(test)]
mod tests;
