//! Which sealed segments have expired, as a plan, and the sweep that carries it out.
//!
//! Deciding is pure: [`plan_sweep`] makes a [`SweepPlan`] that can be printed (`--dry-run`). Doing is small:
//! [`sweep`] hands the plan, oldest first, to the store's one [`Retirer`].

mod plan;
mod sweep;

pub use plan::{Keep, PlannedDrop, Policy, SweepPlan, plan_sweep};
pub use sweep::{Dropped, FailedDrop, SweepOutcome, sweep};

#[cfg(doc)]
use piperoll_store::Retirer;
