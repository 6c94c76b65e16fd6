//! Lists of values against a scan, on random events, filters, rolls, seals and restarts.

use super::{
    events::{event, filter},
    model::{Model, SUBJECTS},
    world::{World, tenant},
};
use crate::read::{Count, ListValues, Listed};
use piperoll_filter::{Filter, Subject};
use proptest::prelude::*;

const CLASSES: [&str; 3] = ["a", "ab", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append { class: usize, events: Vec<Vec<u8>> },
    Tick { seconds: i64 },
    Roll { class: usize },
    Seal,
    Restart,
    Values { filter: Filter, subject: usize, begins: &'static str, limit: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let class = || 0..CLASSES.len();
    let begins = prop::sample::select(vec!["", "", "a", "ab", "s"]);
    prop_oneof![
        8 => (class(), prop::collection::vec(event(), 1..6)).prop_map(|(class, events)| Step::Append { class, events }),
        2 => (0_i64..6).prop_map(|seconds| Step::Tick { seconds }),
        2 => class().prop_map(|class| Step::Roll { class }),
        2 => Just(Step::Seal),
        1 => Just(Step::Restart),
        6 => (filter(), 0..SUBJECTS.len(), begins, 1_usize..6)
            .prop_map(|(filter, subject, begins, limit)| Step::Values { filter, subject, begins, limit }),
    ]
}

struct Run {
    world: World,
    model: Model,
}

impl Run {
    fn step(&mut self, step: Step) {
        match step {
            Step::Append { class, events } => {
                let (first, received) = self.world.append(CLASSES[class], &events);
                self.model.append(CLASSES[class], first, received, &events);
            }
            Step::Tick { seconds } => self.world.tick(seconds),
            Step::Roll { class } => self.world.roll(CLASSES[class]),
            Step::Seal => self.world.seal(),
            Step::Restart => self.world.restart(),
            Step::Values { filter, subject, begins, limit } => self.values(filter, subject, begins, limit),
        }
    }

    fn values(&self, filter: Filter, subject: usize, begins: &str, limit: usize) {
        let subject = Subject::parse(SUBJECTS[subject]).unwrap();
        let group_by = vec![subject.clone()];
        let count = Count { tenant: tenant(), filter: filter.clone(), group_by, limit: usize::MAX };
        let groups = self.model.count(&count).groups.into_iter();
        let mut values: Vec<_> =
            groups.filter_map(|group| Some((group.values[0].clone()?, group.count))).collect();
        values.retain(|(value, _)| value.starts_with(begins));
        let values_omitted = values.len().saturating_sub(limit) as u64;
        values.truncate(limit);
        let list = ListValues { tenant: tenant(), filter, subject, begins: begins.to_owned(), limit };
        let found = self.world.reader().values(&list, &|| false).unwrap();
        assert_eq!(found, Listed { values, values_omitted }, "{} {list:?}", list.filter);
    }
}

fn cases() -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_summary_equals_that_of_a_scan(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run { world: World::new(), model: Model::default() };
        for step in steps {
            run.step(step);
        }
    }
}
