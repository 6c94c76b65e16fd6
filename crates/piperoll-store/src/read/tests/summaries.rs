//! Lists of values and histograms against a scan, on random events, filters, rolls, seals and restarts.

use super::{
    events::{SECOND, START, event, filter},
    model::{Entry, Model, SUBJECTS, values},
    world::{World, tenant},
};
use crate::read::{Asker, Bars, Count, Histogram, ListValues, Listed, Order, Series, Split, Time};
use piperoll_filter::{Filter, Subject};
use piperoll_format::{event::EventView, units::UnixNanos};
use proptest::prelude::*;
use std::collections::BTreeMap;

const CLASSES: [&str; 3] = ["a", "ab", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append { class: usize, events: Vec<Vec<u8>> },
    Tick { seconds: i64 },
    Roll { class: usize },
    Seal,
    Restart,
    Values { filter: Filter, subject: usize, begins: &'static str, limit: usize },
    Histogram { filter: Filter, claimed: bool, borders: Vec<i64>, split_by: Option<usize>, limit: usize },
}

/// Often one that all events match.
fn some_filter() -> impl Strategy<Value = Filter> {
    prop_oneof![2 => filter(), 1 => Just(Filter::all())]
}

/// Seconds; none, few or many borders.
fn borders() -> impl Strategy<Value = Vec<i64>> {
    let some = prop::collection::btree_set(-25_i64..60, 0..6).prop_map(|set| set.into_iter().collect());
    prop_oneof![some, Just((-25..75).collect())]
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
        6 => (some_filter(), any::<bool>(), borders(), prop::option::of(0..SUBJECTS.len()), 1_usize..4)
            .prop_map(|(filter, claimed, borders, split_by, limit)| Step::Histogram { filter, claimed, borders, split_by, limit }),
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
            Step::Histogram { filter, claimed, borders, split_by, limit } => {
                let time = if claimed { Time::Claimed } else { Time::Received };
                let borders =
                    borders.into_iter().map(|second| UnixNanos(START.0 + second * SECOND)).collect();
                let split_by = split_by.map(|at| Subject::parse(SUBJECTS[at]).unwrap());
                let tenant = tenant();
                self.histogram(&Histogram { tenant, filter, time, borders, split_by, split_limit: limit });
            }
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
        let found = self.world.reader().values(&list, &Asker::patient()).unwrap();
        assert_eq!(found, Listed { values, values_omitted }, "{} {list:?}", list.filter);
    }

    fn histogram(&self, histogram: &Histogram) {
        let entries = self.model.scan(&histogram.filter, Order::OldestFirst);
        let found = self.world.reader().histogram(histogram, &Asker::patient()).unwrap();
        assert_eq!(found, bars(histogram, &entries), "{} {histogram:?}", histogram.filter);
        let times: Vec<_> = match histogram.time {
            Time::Received => entries.iter().map(|entry| entry.received).collect(),
            Time::Claimed => {
                entries.iter().filter_map(|entry| EventView::stored(&entry.event).unwrap().time()).collect()
            }
        };
        let (from, until) = histogram.time.bounds(&histogram.filter);
        let reader = self.world.reader();
        let extent =
            reader.extent(&histogram.tenant, &histogram.filter, histogram.time, &Asker::patient()).unwrap();
        for time in times {
            assert!(from.is_none_or(|from| from <= time), "{}", histogram.filter);
            assert!(until.is_none_or(|until| time < until), "{}", histogram.filter);
            assert!(extent.as_ref().is_some_and(|extent| extent.contains(&time)), "{}", histogram.filter);
        }
    }
}

/// The counts of a histogram, one event at a time.
fn bars(histogram: &Histogram, entries: &[Entry]) -> Bars {
    let Histogram { time, borders, split_by, split_limit, .. } = histogram;
    let buckets = borders.len().saturating_sub(1);
    let (mut counts, mut untimed) = (vec![0; buckets], 0);
    let mut series = BTreeMap::<Option<String>, Vec<u64>>::new();
    for entry in entries {
        let at = match time {
            Time::Received => Some(entry.received),
            Time::Claimed => EventView::stored(&entry.event).unwrap().time(),
        };
        untimed += u64::from(at.is_none());
        let is_in = |bucket: &usize| at.is_some_and(|at| borders[*bucket] <= at && at < borders[bucket + 1]);
        let Some(bucket) = (0..buckets).find(is_in) else { continue };
        counts[bucket] += 1;
        for value in split_by.iter().flat_map(|by| values(by, entry)) {
            series.entry(value).or_insert_with(|| vec![0; buckets])[bucket] += 1;
        }
    }
    let mut series: Vec<_> = series.into_iter().map(|(value, counts)| Series { value, counts }).collect();
    series.sort_by_key(|series| std::cmp::Reverse(series.counts.iter().sum::<u64>()));
    let omitted = series.split_off((*split_limit).min(series.len()));
    let rest = (0..buckets).map(|bucket| omitted.iter().map(|series| series.counts[bucket]).sum()).collect();
    let split = Split { series, rest, values_omitted: omitted.len() as u64 };
    Bars { counts, untimed, split: split_by.is_some().then_some(split) }
}

fn cases() -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
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
