//! Random events, filters, rolls, seals, restarts and sweeps: pages, counts and gets against the scan.

use super::{
    events::{event, filter},
    model::{Entry, Model, SUBJECTS},
    world::{World, name, tenant},
};
use crate::read::{Asker, Count, Order, Position, Query, ReadError};
use piperoll_filter::{Filter, Subject};
use piperoll_format::units::Sequence;
use proptest::prelude::*;

const CLASSES: [&str; 3] = ["a", "ab", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append {
        class: usize,
        events: Vec<Vec<u8>>,
    },
    Tick {
        seconds: i64,
    },
    Roll {
        class: usize,
    },
    Seal,
    Restart,
    Sweep {
        class: usize,
    },
    /// Begins an answer of several pages.
    Ask {
        filter: Filter,
        newest: bool,
    },
    /// The next page of one of the answers that were begun.
    Page {
        answer: usize,
        limit: usize,
        bytes_max: usize,
    },
    Count {
        filter: Filter,
        group_by: Vec<usize>,
        limit: usize,
    },
    Get {
        class: usize,
        sequence: u64,
    },
    Follow {
        class: usize,
        filter: Filter,
        seconds: i64,
    },
}

/// Often one that all events match.
fn some_filter() -> impl Strategy<Value = Filter> {
    prop_oneof![2 => filter(), 1 => Just(Filter::all())]
}

fn step() -> impl Strategy<Value = Step> {
    let class = || 0..CLASSES.len();
    let bytes_max = prop_oneof![Just(usize::MAX), 1_usize..200];
    prop_oneof![
        8 => (class(), prop::collection::vec(event(), 1..6)).prop_map(|(class, events)| Step::Append { class, events }),
        2 => (0_i64..6).prop_map(|seconds| Step::Tick { seconds }),
        2 => class().prop_map(|class| Step::Roll { class }),
        2 => Just(Step::Seal),
        1 => Just(Step::Restart),
        1 => class().prop_map(|class| Step::Sweep { class }),
        3 => (filter(), any::<bool>()).prop_map(|(filter, newest)| Step::Ask { filter, newest }),
        6 => (any::<prop::sample::Index>(), 1_usize..8, bytes_max)
            .prop_map(|(answer, limit, bytes_max)| Step::Page { answer: answer.index(64), limit, bytes_max }),
        4 => (some_filter(), prop::collection::vec(0..SUBJECTS.len(), 0..3), 1_usize..6)
            .prop_map(|(filter, group_by, limit)| Step::Count { filter, group_by, limit }),
        1 => (class(), 0_u64..40).prop_map(|(class, sequence)| Step::Get { class, sequence }),
        1 => (class(), filter(), -2_i64..20).prop_map(|(class, filter, seconds)| Step::Follow { class, filter, seconds }),
    ]
}

/// An answer of several pages, and what it should still bring.
struct Answer {
    query: Query,
    /// Newest first: what is to come. Oldest first: what has come.
    entries: Vec<Entry>,
}

struct Run {
    world: World,
    model: Model,
    answers: Vec<Answer>,
}

fn query(filter: Filter, order: Order) -> Query {
    Query { tenant: tenant(), filter, order, limit: 0, bytes_max: usize::MAX, position: None }
}

impl Run {
    fn new() -> Self {
        Self { world: World::new(), model: Model::default(), answers: Vec::new() }
    }

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
            Step::Sweep { class } => {
                if let Some(first) = self.world.sweep_one(CLASSES[class]) {
                    self.model.drop_below(CLASSES[class], first);
                }
            }
            Step::Ask { filter, newest } => self.ask(filter, newest),
            Step::Page { answer, limit, bytes_max } => self.page(answer, limit, bytes_max),
            Step::Count { filter, group_by, limit } => self.count(&filter, &group_by, limit),
            Step::Get { class, sequence } => self.get(CLASSES[class], Sequence(sequence)),
            Step::Follow { class, filter, seconds } => self.follow(CLASSES[class], &filter, seconds),
        }
    }

    fn ask(&mut self, filter: Filter, newest: bool) {
        let answer = if newest {
            let entries = self.model.scan(&filter, Order::NewestFirst);
            let mut answer = Answer { query: query(filter, Order::NewestFirst), entries };
            // The first page fixes what the answer is about.
            self.turn(&mut answer, 1, usize::MAX);
            answer
        } else {
            Answer { query: query(filter, Order::OldestFirst), entries: Vec::new() }
        };
        self.answers.push(answer);
    }

    fn page(&mut self, answer: usize, limit: usize, bytes_max: usize) {
        let Some(place) = answer.checked_rem(self.answers.len()) else { return };
        let mut answer = self.answers.swap_remove(place);
        self.turn(&mut answer, limit, bytes_max);
        self.answers.push(answer);
    }

    /// Takes a page and compares it with what should come.
    fn turn(&mut self, answer: &mut Answer, limit: usize, bytes_max: usize) {
        let expected = match answer.query.order {
            Order::NewestFirst => {
                answer.entries.retain(|entry| self.model.holds(entry));
                answer.entries.clone()
            }
            Order::OldestFirst => {
                let mut all = self.model.scan(&answer.query.filter, Order::OldestFirst);
                all.retain(|entry| !answer.entries.contains(entry));
                all
            }
        };
        let question = Query { limit, bytes_max, ..answer.query.clone() };
        let page = self.world.reader().query(&question, &Asker::patient()).unwrap();
        let found: Vec<_> = page.records.iter().map(Entry::of).collect();
        let mut bytes = 0;
        let fitting = expected.iter().take(limit).take_while(|entry| {
            let fits = bytes < bytes_max;
            bytes += entry.event.len();
            fits
        });
        assert_eq!(found, fitting.cloned().collect::<Vec<_>>(), "{} {question:?}", question.filter);
        if page.exhausted {
            assert_eq!(found.len(), expected.len(), "{question:?}");
        } else {
            assert!(!found.is_empty(), "an answer that goes on has something");
        }
        match answer.query.order {
            Order::NewestFirst => drop(answer.entries.drain(..found.len())),
            Order::OldestFirst => answer.entries.extend(found),
        }
        answer.query.position = Some(Position::decode(&page.position.encode()).unwrap());
    }

    fn count(&self, filter: &Filter, group_by: &[usize], limit: usize) {
        let group_by = group_by.iter().map(|&at| Subject::parse(SUBJECTS[at]).unwrap()).collect();
        let count = Count { tenant: tenant(), filter: filter.clone(), group_by, limit };
        let expected = self.model.count(&count);
        // The second time what the first one has found may be known.
        for _ in 0..2 {
            let found = self.world.reader().count(&count, &Asker::patient()).unwrap();
            assert_eq!(found, expected, "{} {count:?}", count.filter);
        }
    }

    fn get(&self, class: &str, sequence: Sequence) {
        let found = self.world.reader().get(&tenant(), &name(class), sequence);
        let expected =
            self.model.entries.iter().find(|entry| entry.class == class && entry.sequence == sequence);
        let (first, end) = self.model.logs.get(class).copied().unwrap_or_default();
        match (found, expected) {
            (Ok(found), Some(expected)) => assert_eq!(&Entry::of(&found), expected),
            (Err(ReadError::Dropped { first: found, .. }), None) if sequence < end => {
                assert_eq!(found, first);
            }
            (Err(ReadError::NotFound { end: found, .. }), None) if sequence >= end => assert_eq!(found, end),
            (found, expected) => panic!("{class}@{sequence}: found {found:?}, expected {expected:?}"),
        }
    }

    /// A tail that begins now brings what comes then; one that begins at a time brings what came since.
    fn follow(&mut self, class: &str, filter: &Filter, seconds: i64) {
        let from = super::events::START.0 + seconds * super::events::SECOND;
        let reader = self.world.reader();
        let now = reader.position_now(&tenant(), filter);
        assert!(!reader.is_behind(&now));
        let since =
            reader.position_at_received(&tenant(), filter, piperoll_format::units::UnixNanos(from)).unwrap();
        let events = [super::events::Event::of("a", "x.y").build()];
        let (first, received) = self.world.append(class, &events);
        self.model.append(class, first, received, &events);
        let reader = self.world.reader();
        assert!(reader.is_behind(&now));

        let all = self.model.scan(filter, Order::OldestFirst);
        let is_new = |entry: &&Entry| entry.class == class && entry.sequence == first;
        self.followed(filter, now, &all.iter().filter(is_new).cloned().collect::<Vec<_>>());
        let is_since = |entry: &&Entry| entry.received.0 >= from;
        let mut expected: Vec<_> = all.iter().filter(is_since).cloned().collect();
        // The position was made before this one came, and takes it whenever it came.
        if received.0 < from {
            expected.extend(all.iter().find(is_new).cloned());
        }
        self.followed(filter, since, &expected);
    }

    fn followed(&self, filter: &Filter, position: Position, expected: &[Entry]) {
        let question = Query {
            limit: usize::MAX,
            position: Some(position),
            ..query(filter.clone(), Order::OldestFirst)
        };
        let page = self.world.reader().query(&question, &Asker::patient()).unwrap();
        assert_eq!(page.records.iter().map(Entry::of).collect::<Vec<_>>(), expected, "{question:?}");
        assert!(page.exhausted);
        assert!(!self.world.reader().is_behind(&page.position));
    }
}

fn cases() -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_answer_equals_that_of_a_scan(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        // Whatever was begun comes to its end.
        while let Some(mut answer) = run.answers.pop() {
            run.turn(&mut answer, usize::MAX, usize::MAX);
            let limit = 1;
            run.turn(&mut answer, limit, usize::MAX);
        }
    }
}
