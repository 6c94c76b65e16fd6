//! The deed: a plan, carried out.

use crate::plan::{PlannedDrop, SweepPlan};
use piperoll_format::names::Name;
use piperoll_store::disk::Disk;
use piperoll_store::{DropError, Freed, Retirer};
use std::collections::BTreeSet;

/// A segment that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// What was planned.
    pub planned: PlannedDrop,
    /// What it freed.
    pub freed: Freed,
}

/// A segment that could not be dropped.
#[derive(Debug)]
pub struct FailedDrop {
    /// What was planned.
    pub planned: PlannedDrop,
    /// Why it failed.
    pub error: DropError,
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct SweepOutcome {
    /// The segments that are gone, with a receipt each.
    pub dropped: Vec<Dropped>,
    /// Those that failed; the rest of their logs was left alone, and the next sweep tries again.
    pub failed: Vec<FailedDrop>,
}

impl SweepOutcome {
    /// Bytes that the sweep freed.
    pub fn freed_bytes(&self) -> u64 {
        self.dropped.iter().fold(0, |sum, dropped| sum.saturating_add(dropped.freed.bytes))
    }
}

/// Carries a plan out. A log whose drop fails is left alone from there on; the others go on.
pub fn sweep<D: Disk>(plan: &SweepPlan, retirer: &Retirer<D>) -> SweepOutcome {
    let mut outcome = SweepOutcome::default();
    let mut stuck: BTreeSet<(&Name, &Name)> = BTreeSet::new();
    for planned in &plan.drops {
        let log = (&planned.segment.tenant, &planned.segment.class);
        if stuck.contains(&log) {
            continue;
        }
        let planned = planned.clone();
        match retirer.drop_segment(&planned.segment, &planned.rule) {
            Ok(freed) => outcome.dropped.push(Dropped { planned, freed }),
            Err(error) => {
                stuck.insert(log);
                outcome.failed.push(FailedDrop { planned, error });
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
