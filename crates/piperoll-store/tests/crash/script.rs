//! Scripts: what a store is told to do, one step after the other.

use piperoll_store::sim::Random;

use crate::message::{CLASSES, Message};
use crate::world::World;

/// One thing that is done.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These messages wait together and are committed.
    Send(Vec<Message>),
    /// A round of marks.
    Round,
    /// All active segments end.
    Roll,
    /// The active segment of this class ends and is sealed.
    SealNow(usize),
    /// Everything that waits is sealed.
    Seal,
    /// The first segment of each class is dropped, where it is sealed.
    Sweep,
    /// The process ends, the last segment of this class is damaged, the process starts, a person accepts the loss.
    AcceptLoss(usize),
    /// Time goes by, in nanoseconds; backwards too.
    Tick(i64),
    /// The wall clock makes a step, in nanoseconds, and nobody vouches for it any more.
    JumpClock(i64),
    /// The wall clock is set right, and the kernel says so.
    SetClockRight,
    /// The process ends and starts again.
    Restart,
}

impl World {
    /// Does one step. The error is a broken promise; what a disk refuses is none.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(messages) => self.send(messages),
            Step::Round => self.round().map(drop),
            Step::Roll => self.roll_old(),
            Step::SealNow(class) => self.seal_now(*class).map(drop),
            Step::Seal => self.seal().map(drop),
            Step::Sweep => self.sweep().map(drop),
            Step::AcceptLoss(class) => self.damage_and_accept(*class),
            Step::Tick(nanoseconds) => {
                self.tick(*nanoseconds);
                Ok(())
            }
            Step::JumpClock(nanoseconds) => {
                self.step_clock(*nanoseconds);
                Ok(())
            }
            Step::SetClockRight => {
                self.set_clock_right();
                Ok(())
            }
            Step::Restart => {
                self.close();
                self.open()
            }
        }
    }
}

/// A dozen steps that touch everything: single messages, messages that share a frame, a batch that is split
/// over three classes, frames of many sectors, rolls by hand and by size, rounds, seals, a sweep.
pub(crate) fn tour() -> Vec<Step> {
    let mut number = 0;
    let mut message = |producer, classes: &[usize], padding| {
        number += 1;
        Message::new(number, producer, classes, padding)
    };
    vec![
        Step::Send(vec![message(None, &[1], 10)]),
        Step::Send(vec![
            message(Some((7, 1)), &[1, 1], 100),
            message(Some((7, 2)), &[1], 700),
            message(Some((8, 1)), &[1], 20),
        ]),
        Step::Round,
        Step::Send(vec![message(Some((7, 3)), &[1, 0, 2, 1], 30), message(Some((7, 4)), &[1], 10)]),
        Step::Roll,
        Step::Send(vec![message(Some((8, 2)), &[0, 1], 600)]),
        Step::Seal,
        Step::Round,
        Step::Send(vec![message(Some((7, 5)), &[1], 1_500), message(None, &[1], 1_900)]),
        Step::Send(vec![message(Some((7, 6)), &[1, 0], 900)]),
        Step::Seal,
        Step::Sweep,
        Step::Send(vec![message(Some((8, 3)), &[1], 40), message(Some((9, 1)), &[2], 40)]),
        Step::Round,
    ]
}

/// The first steps of the tour, then damage to the class that has most, and what is lost of it accepted; the sweep
/// takes the damaged segment like any other.
pub(crate) fn tour_with_a_loss() -> Vec<Step> {
    let mut script = tour();
    // Between groups, so that a durable end lies above the first frame.
    script.truncate(script.len() - 3);
    script.extend([Step::Round, Step::AcceptLoss(1), Step::Round, Step::Seal, Step::Sweep, Step::Round]);
    script
}

/// Ten years, in nanoseconds.
pub(crate) const TEN_YEARS_NS: i64 = 3_653 * 86_400_000_000_000;

/// Steps that a seed decides.
pub(crate) fn random(random: &mut Random, sender: &mut RandomSender, count: usize) -> Vec<Step> {
    // Frames of equal sizes make old bytes fit where new ones should be; so half of the runs have only such.
    sender.equal = random.chance(1, 2).then(|| random.below(600));
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match random.below(19) {
            0..=8 => Step::Send((0..=random.below(3)).map(|_| sender.message(random)).collect()),
            9 | 10 => Step::Round,
            11 => Step::Roll,
            12 => Step::SealNow(usize::try_from(random.below(CLASSES.len() as u64)).expect("few")),
            13 => Step::Seal,
            14 => Step::Sweep,
            15 => Step::AcceptLoss(usize::try_from(random.below(CLASSES.len() as u64)).expect("few")),
            16 => Step::JumpClock(*random.pick(&[-TEN_YEARS_NS, TEN_YEARS_NS]).expect("not empty")),
            17 => Step::SetClockRight,
            _ if random.chance(1, 2) => Step::Restart,
            _ => Step::Tick(i64::try_from(random.below(4_000_000_000)).expect("small") - 2_000_000_000),
        });
    }
    steps
}

/// Makes messages by chance.
#[derive(Debug, Default)]
pub(crate) struct RandomSender {
    messages: usize,
    /// The last sequence of each producer.
    sequences: [u64; 3],
    /// Padding of all messages, where it is to be the same.
    equal: Option<u64>,
}

impl RandomSender {
    pub(crate) fn message(&mut self, random: &mut Random) -> Message {
        self.messages += 1;
        let padding = self.equal.unwrap_or_else(|| match random.below(4) {
            0 => 1 << random.below(11),
            1 => random.below(3_000),
            _ => random.below(200),
        });
        let index = random.below(4);
        let producer =
            usize::try_from(index).ok().and_then(|at| self.sequences.get_mut(at)).map(|sequence| {
                *sequence += 1;
                (index + 1, *sequence)
            });
        let main = usize::try_from(random.below(2)).expect("few");
        let classes: Vec<usize> = (0..=random.below(3))
            .map(|_| if random.chance(1, 6) { (main + 1) % CLASSES.len() } else { main })
            .collect();
        Message::new(self.messages, producer, &classes, usize::try_from(padding).expect("small"))
    }
}
