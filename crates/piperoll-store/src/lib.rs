//! The engine: append, recover, seal, query and retire segments.
//!
//! [`open`] gives out one capability each to append, to read, to drop and to keep. Everything is a synchronous
//! state machine that owns no thread, clock or randomness; [`Keeper::spawn`] adds threads that only carry
//! inputs to it. All file access goes through the [`disk::Disk`] trait: [`os::OsDisk`] in the daemon,
//! [`sim::SimDisk`] in tests.

mod ballast;
mod catalog;
mod core;
pub mod disk;
mod durable;
mod follow;
mod groups;
mod held;
mod identity;
mod keeper;
pub mod kernel_clock;
mod loss;
pub mod mapping;
mod options;
pub mod os;
mod read;
mod recover;
mod retire;
mod rounds;
mod seal;
mod segment;
pub mod sim;
mod stats;
#[cfg(test)]
mod tests;
mod threads;
mod timekeeper;
mod write;

pub use keeper::Keeper;
pub use loss::{Acceptance, AcceptedLoss, Loss, LossError};
pub use options::{Clock, Entropy, Moment, Options};
pub use read::*;
pub use recover::{Cut, OpenError, ReadOnlyLog, RecoveryReport, open};
pub use retire::{DropError, DropRule, Freed, Retirer};
pub use rounds::RoundWriteError;
pub use seal::{SealError, SealedSegment};
pub use stats::{SYNC_BUCKET_BORDERS_NS, StoreCounts};
pub use threads::{Complain, Threads};
pub use timekeeper::{ClockError, ClockReading};
pub use write::appender::Appender;
pub use write::batch::{AddressRange, AppendError, Batch, Classes, Done, Receipt, Sender, SenderError};
pub use write::inbox::SHARE_OF_QUEUE;

use disk::Disk;

/// What [`open`] gives out: one capability each, and what it found.
pub struct Opened<D: Disk> {
    /// The capability to append.
    pub appender: Appender<D>,
    /// The capability to read; it may be cloned.
    pub reader: Reader<D>,
    /// The capability to drop sealed segments.
    pub retirer: Retirer<D>,
    /// The capability to follow, roll, mark and seal.
    pub keeper: Keeper<D>,
    /// What was found and done.
    pub report: RecoveryReport,
}
