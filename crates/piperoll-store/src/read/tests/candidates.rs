//! Values that share an exact key: no answer takes one for the other.

use super::{
    events::{Event, START},
    world::{World, tenant},
};
use crate::read::{Asker, Count, Follows, Thing, Timeline};
use piperoll_filter::Subject;
use piperoll_format::event::Field;
use piperoll_index::text_key;
use std::collections::HashMap;

/// Two runs whose key is the same: among some hundred thousand there are.
fn runs_of_one_key() -> [String; 2] {
    let mut found = HashMap::new();
    let mut names = (0..).map(|number| format!("run-{number}"));
    let pair = names.find_map(|run| {
        let before = found.insert(text_key(Field::Run, &run), run.clone());
        before.map(|before| [before, run])
    });
    pair.unwrap()
}

fn count(world: &World, filter: &str) -> u64 {
    let filter = piperoll_filter::parse(filter, START).unwrap();
    let group_by = vec![Subject::parse("actor").unwrap()];
    let count = Count { tenant: tenant(), filter, group_by, limit: 99 };
    world.reader().count(&count, &Asker::patient()).unwrap().total
}

fn timeline(world: &World, run: &str) -> usize {
    let of = Thing::Run { source: None, run: run.to_owned(), follows: Follows::Artifacts };
    let told = world.reader().timeline(&Timeline { tenant: tenant(), of, limit: 99 }, &Asker::patient());
    told.unwrap().entries.len()
}

#[test]
fn values_that_share_a_key_are_told_apart() {
    let runs = runs_of_one_key();
    let [one, other] = runs.each_ref().map(String::as_str);
    let world = World::new();
    let event = |run: &str| Event::of("a", "x.y").bytes(9, run.as_bytes()).build();
    world.append("a", &[event(one), event(other), event(other), event("run-1")]);
    let check = |when: &str| {
        assert_eq!([one, other].map(|run| count(&world, &format!("run = {run}"))), [1, 2], "{when}");
        assert_eq!(count(&world, &format!("run IN ({one}, run-1)")), 2, "{when}");
        assert_eq!(count(&world, &format!("NOT run = {one}")), 3, "{when}");
        assert_eq!([one, other].map(|run| timeline(&world, run)), [1, 2], "{when}");
    };
    check("active");
    world.roll("a");
    world.seal();
    check("sealed");
}
