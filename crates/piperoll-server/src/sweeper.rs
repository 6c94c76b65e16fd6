//! Retention: the settings' rules, planned and carried out.

use crate::{
    config::RetentionConfig,
    engine::{Engine, EngineError},
};
use parking_lot::Mutex;
use piperoll_format::names::{Name, NameError};
use piperoll_retention::{Keep, PlannedDrop, Policy, plan_sweep, sweep};

/// Who sweeps, in the receipts of what is dropped.
const PRINCIPAL: &str = "piperoll";

/// The rules, and one sweep at a time.
pub(crate) struct Sweeper {
    policy: Policy,
    running: Mutex<()>,
}

/// What a sweep dropped, or would.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// The segments, oldest first within each log.
    pub(crate) segments: Vec<PlannedDrop>,
    /// Bytes of their `.log` files.
    pub(crate) freed_bytes: u64,
}

impl Sweeper {
    /// Of settings that were checked.
    pub(crate) fn new(config: &RetentionConfig) -> Result<Self, NameError> {
        let keep = |keep: crate::Keep| keep.0.map_or(Keep::Forever, |span| Keep::Seconds(span.0.as_secs()));
        let rules =
            config.classes.iter().map(|class| Ok((Name::from_outside(&class.name)?, keep(class.keep))));
        let policy = Policy { keep: rules.collect::<Result<_, _>>()? };
        Ok(Self { policy, running: Mutex::new(()) })
    }

    /// Drops what has expired, or only tells what has. Blocks.
    pub(crate) fn sweep(&self, engine: &Engine, dry_run: bool) -> Result<Swept, EngineError> {
        let _one_at_a_time = self.running.lock();
        let retirer = engine.retirer();
        let plan = plan_sweep(&retirer.sealed()?, &self.policy, retirer.believed_time(), PRINCIPAL);
        if !plan.clock_believed {
            return Err(EngineError::ClockNotBelieved { ahead_s: engine.clock_ahead_ns() / 1_000_000_000 });
        }
        if dry_run {
            return Ok(Swept { freed_bytes: plan.bytes(), segments: plan.drops });
        }
        let outcome = sweep(&plan, retirer);
        let freed_bytes = outcome.freed_bytes();
        for dropped in &outcome.dropped {
            let PlannedDrop { segment, rule, .. } = &dropped.planned;
            let (file, rule) = (segment.path.display(), rule.rule.as_str());
            tracing::info!(%file, events = segment.events, freed_bytes = dropped.freed.bytes, rule, "dropped");
        }
        let dropped = outcome.dropped.len();
        match outcome.failed.into_iter().next() {
            Some(failed) => Err(EngineError::Sweep { dropped, source: failed.error }),
            None => Ok(Swept {
                segments: outcome.dropped.into_iter().map(|it| it.planned).collect(),
                freed_bytes,
            }),
        }
    }
}
