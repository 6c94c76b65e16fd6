//! A simulated directory: names that are durable, names that are seen, and what lies between.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use super::file::Stamped;

/// Where a file or directory stands in the disk's table.
pub(super) type NodeId = usize;

/// A change of names that a crash may keep or lose, each as a whole.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    /// The name now stands for the node.
    Link(OsString, NodeId),
    /// The name is gone.
    Unlink(OsString),
    /// The node bears the second name in place of the first, whoever bore the second before.
    Rename(OsString, OsString, NodeId),
}

/// Names and what they stand for.
pub(super) type Names = BTreeMap<OsString, NodeId>;

/// A simulated directory. Disks that came out of a crash share what they have in common.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) stored: Arc<Names>,
    pub(super) seen: Arc<Names>,
    pub(super) unsynced: Vec<Stamped<NameChange>>,
}

impl Directory {
    /// A directory whose `names` are durable.
    pub(super) fn at_rest(names: Arc<Names>) -> Self {
        Self { stored: Arc::clone(&names), seen: names, unsynced: Vec::new() }
    }

    pub(super) fn change(&mut self, change: NameChange, stamp: &mut u64) {
        apply(Arc::make_mut(&mut self.seen), &change);
        self.unsynced.push(Stamped { stamp: super::file::next(stamp), change });
    }

    pub(super) fn sync(&mut self) {
        self.stored = Arc::clone(&self.seen);
        self.unsynced.clear();
    }

    /// Every node that some crash could find here.
    pub(super) fn possible(&self) -> impl Iterator<Item = NodeId> {
        let waiting = self.unsynced.iter().filter_map(|stamped| match &stamped.change {
            NameChange::Link(_, node) | NameChange::Rename(_, _, node) => Some(*node),
            NameChange::Unlink(_) => None,
        });
        self.stored.values().chain(self.seen.values()).copied().chain(waiting)
    }
}

/// Makes one change of names.
pub(super) fn apply(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Link(name, node) => {
            names.insert(name.clone(), *node);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, node) => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
    }
}
