//! Damage between two lives of the process, and its acceptance: the one way in which something acknowledged may go.

use std::path::PathBuf;

use piperoll_store::Acceptance;
use piperoll_store::disk::Disk as _;

use crate::exhaustive::{Depth, comes_back, crash_here};
use crate::message::{CLASSES, class, tenant};
use crate::script::{Step, tour_with_a_loss};
use crate::tally::{Tally, on_all_cores};
use crate::world::{World, small_options};

/// States that are tried at each call.
const STATES: usize = 8;
/// Where the first frame of a segment begins; this far in lies its principal.
const IN_FIRST_FRAME: usize = 1_024 + 76;

impl World {
    /// The process ends; a bit of the first frame of the class's last segment flips; the process starts and a person
    /// accepts what is lost.
    pub(crate) fn damage_and_accept(&mut self, index: usize) -> Result<(), String> {
        // With a mark above the damage: a flipped bit in a last group without one is the double fault that nobody can
        // tell from a torn tail. A log that takes no appends has no mark of its own.
        let is_open = !self.refused_classes()?.iter().any(|refused| refused == CLASSES[index]);
        let is_marked = self.round()? && is_open;
        self.close();
        if let Some(at) = self.last_segment(index)
            && is_marked
            && self.disk.contents(&at).is_ok_and(|bytes| bytes.len() > IN_FIRST_FRAME)
        {
            // Whether it is lost turns out at the start: until then nothing of the class is sure.
            self.oracle.damaged(index);
            let flipped = self.disk.corrupt(&at, |bytes| bytes[IN_FIRST_FRAME] ^= 1);
            flipped.map_err(|error| format!("cannot be damaged: {error}"))?;
        }
        self.open()?;
        self.accept_outstanding()
    }

    fn last_segment(&self, index: usize) -> Option<PathBuf> {
        let dir = PathBuf::from(format!("logs/{}/{}", tenant(), CLASSES[index]));
        let names = self.disk.list(&dir).ok()?.into_iter().map(|entry| dir.join(entry.name));
        names.filter(|at| at.extension().is_some_and(|ending| ending == "log")).max()
    }

    /// Accepts what is lost of the classes that were damaged. What a disk refuses is no broken promise.
    pub(crate) fn accept_outstanding(&mut self) -> Result<(), String> {
        for index in self.oracle.damaged_classes() {
            let store = self.store()?;
            let losses = match store.keeper.find_losses(&tenant(), &class(index)) {
                Ok(losses) => losses,
                // Cut as a torn tail, for no durable end lay above it: nothing is lost that was acknowledged before
                // the last mark. What was, is the one double fault.
                Err(piperoll_store::LossError::Healthy(..)) => continue,
                Err(_) => return Ok(()),
            };
            let acceptance = Acceptance {
                roots: losses.iter().map(|loss| loss.root).collect(),
                principal: "person".to_owned(),
                text: String::new(),
            };
            for loss in &losses {
                self.oracle.loses(index, loss.first.0..loss.end.0);
            }
            // Whether it was written before a crash shows after the next start, where the same is accepted again.
            if self.store()?.keeper.accept_losses(&tenant(), &class(index), &acceptance).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// R8: a crash before any call of a start on damage and of its acceptance, in every state of the disk, keeps all
/// that was not damaged, and the log goes on; then the sweep takes the damaged segment like any other.
#[test]
fn an_acceptance_may_be_the_last_thing() {
    let script = tour_with_a_loss();
    let run = |stop: u64| {
        let mut world = World::new(7, small_options());
        world.disk.stop_at(u64::MAX);
        world.open().expect("opens");
        let mut begins = 0;
        for step in &script {
            if matches!(step, Step::AcceptLoss(_)) {
                begins = world.disk.calls();
                world.disk.stop_at(stop);
            }
            // With a machine that stops, anything may fail; what was promised the oracle knows.
            let done = world.step(step).and_then(|()| world.check(true));
            assert!(done.is_ok() || world.disk.calls() >= stop, "{done:?}");
        }
        (world, begins)
    };
    let (whole, begins) = run(u64::MAX);
    assert!(whole.oracle.has_losses(), "something is lost");
    let tally = Tally::new("acceptance of a loss");
    on_all_cores(whole.disk.calls() - begins + 1, |at| {
        let (mut world, _) = run(begins + at);
        world.close();
        crash_here(&world, begins + at, STATES, Depth { inside: 8, on: 2 }, &tally)
    })
    .expect("keeps its promises");
    eprintln!("{tally}");
    comes_back(&whole, whole.disk.crash(piperoll_store::sim::Crash::Nothing)).expect("comes back");
}
