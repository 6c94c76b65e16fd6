//! Timelines: a story with every kind of trail, limits, and random events against a scan.

use super::{
    events::{Event, SECOND, START, event},
    world::{World, name, tenant},
};
use crate::read::{
    Asker, Follows, Limit, Place, TIMELINE_ROUNDS_MAX, Thing, Timeline, Told,
    timeline::{Facts, next_things},
};
use piperoll_format::{event::EventView, units::Sequence};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn message(parts: &[(u64, &[u8])]) -> Vec<u8> {
    parts.iter().fold(Event::default(), |event, &(number, bytes)| event.bytes(number, bytes)).into_bytes()
}

const A: &str = "aaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccc";

/// An artifact with this digest; role 1 is input, 2 output, 0 unsaid.
fn artifact(event: Event, hex: &str, role: u64) -> Event {
    let digest = message(&[(1, b"sha256"), (2, hex.as_bytes())]);
    let mut artifact = Event::default().bytes(4, &digest);
    if role > 0 {
        artifact = artifact.number(5, role);
    }
    event.bytes(14, &artifact.into_bytes())
}

/// An event of the source `ci` with an id and, where it is not empty, a run.
fn of(id: &str, run: &str) -> Event {
    let event = Event::of("a", "x.y").bytes(1, id.as_bytes()).bytes(2, b"ci");
    if run.is_empty() { event } else { event.bytes(9, run.as_bytes()) }
}

fn link(event: Event, source: &str, id: &str) -> Event {
    let parts: &[(u64, &[u8])] = if source.is_empty() { &[] } else { &[(2, source.as_bytes())] };
    event.bytes(34, &message(&[parts, &[(3, id.as_bytes())]].concat()))
}

fn digest(hex: &str) -> Thing {
    Thing::digest(&format!("sha256:{hex}")).unwrap()
}

fn run(id: &str) -> Thing {
    Thing::Run { source: None, run: id.to_owned(), follows: Follows::Artifacts }
}

fn tell(world: &World, of: Thing, limit: usize) -> Told {
    world.reader().timeline(&Timeline { tenant: tenant(), of, limit }, &Asker::patient()).unwrap()
}

/// The ids of the events that were told, and of each the things it is there for.
fn told(world: &World, of: Thing) -> Vec<(String, Vec<String>)> {
    let told = tell(world, of, 1_000);
    assert_eq!(told.limits_reached, []);
    let describe = |entry: &crate::read::Entry| {
        let Place { class, sequence } = &entry.place;
        let record = world.reader().get(&tenant(), class, *sequence).unwrap();
        let event = EventView::stored(&record.event).unwrap();
        let id = event.text(piperoll_format::event::Field::Id).unwrap_or_default().to_owned();
        let mut things: Vec<_> = entry.reasons.iter().map(|reason| reason.thing.to_string()).collect();
        things.dedup();
        (id, things)
    };
    told.entries.iter().map(describe).collect()
}

fn ids(world: &World, of: Thing) -> Vec<String> {
    told(world, of).into_iter().map(|(id, _)| id).collect()
}

/// A build that makes A, its approval, a promotion of A to B in another run, a deployment of B, and neighbours
/// that have nothing to do with it.
fn story() -> World {
    let world = World::new();
    let events = [
        ("a", of("push", "").bytes(13, b"c0ffee")),
        ("a", link(of("start", "1").bytes(13, b"c0ffee"), "ci", "push")),
        ("a", artifact(artifact(of("built", "1"), A, 2), C, 1)),
        ("a", of("tested", "1")),
        ("b", link(of("approved", ""), "ci", "built")),
        ("a", artifact(of("copying", "2"), A, 1)),
        ("a", artifact(of("copied", "2"), B, 2)),
        ("b", artifact(of("deployed", "3"), B, 0)),
        // Another user of what A was made of, another source's run 1, another source's link, another effect of
        // the push.
        ("a", artifact(artifact(of("other", "9"), C, 1), "dddddddddddddddd", 2)),
        ("a", Event::of("a", "x.y").bytes(1, b"foreign").bytes(2, b"elsewhere").bytes(9, b"1")),
        ("b", link(of("unrelated", ""), "elsewhere", "built")),
        ("a", link(of("sibling", "7"), "ci", "push")),
    ];
    for (class, event) in events {
        world.append(class, &[event.build()]);
        world.tick(1);
        if class == "b" {
            world.roll("a");
        }
    }
    world
}

#[test]
fn a_timeline_follows_runs_links_and_what_was_made_of_an_artifact() {
    let mut world = story();
    for _ in 0..2 {
        let found = told(&world, digest(A));
        let expected = [
            ("push", vec!["push"]),
            ("start", vec!["1"]),
            ("built", vec!["sha256:aaaaaaaaaaaaaaaa"]),
            ("tested", vec!["1"]),
            ("approved", vec!["built"]),
            ("copying", vec!["sha256:aaaaaaaaaaaaaaaa"]),
            ("copied", vec!["2"]),
            ("deployed", vec!["sha256:bbbbbbbbbbbbbbbb"]),
        ];
        let ids: Vec<_> = found.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, expected.clone().map(|(id, _)| id), "{found:?}");
        for ((_, things), (id, expected)) in found.iter().zip(&expected) {
            assert!(expected.iter().all(|thing| things.contains(&(*thing).to_owned())), "{id}: {things:?}");
        }
        world.seal();
        world.restart();
    }
}

#[test]
fn a_timeline_of_a_run_or_a_commit_leads_to_what_came_out_of_it() {
    let world = story();
    let all = ["push", "start", "built", "tested", "approved", "copying", "copied", "deployed", "foreign"];
    assert_eq!(ids(&world, run("1")), all);
    let of_ci =
        Thing::Run { source: Some("ci".to_owned()), run: "1".to_owned(), follows: Follows::Artifacts };
    assert_eq!(ids(&world, of_ci), &all[..8]);
    let of_commit = ids(&world, Thing::Commit("c0ffee".to_owned()));
    assert_eq!(of_commit, [&all[..8], &["sibling"]].concat());
    assert_eq!(ids(&world, run("3")), ["copying", "copied", "deployed"]);
    assert_eq!(ids(&world, run("9")), ["other"]);
    assert_eq!(ids(&world, Thing::Commit("c0ffe".to_owned())), [""; 0]);
}

#[test]
fn each_event_says_through_which_other_one_it_is_there() {
    let world = story();
    let told = tell(&world, digest(A), 1_000);
    let through = |sequence: u64, class: &str| {
        let place = Place { class: name(class), sequence: Sequence(sequence) };
        let entry = told.entries.iter().find(|entry| entry.place == place).unwrap();
        entry.reasons[0].through.as_ref().map(|place| format!("{}@{}", place.class, place.sequence))
    };
    assert_eq!(through(2, "a"), None, "built names what was asked for");
    assert_eq!(through(3, "a").as_deref(), Some("a@2"), "tested is in the run of built");
    assert_eq!(through(0, "b").as_deref(), Some("a@2"), "approved links to built");
    assert_eq!(through(1, "b").as_deref(), Some("a@5"), "deployed names what copied made");
}

#[test]
fn a_timeline_that_is_cut_says_so() {
    let world = World::new();
    // A chain of copies, longer than it is followed.
    for step in 0..20 {
        let (from, to) = (format!("{step:016x}"), format!("{:016x}", step + 1));
        world.append("a", &[artifact(artifact(of(&step.to_string(), ""), &from, 1), &to, 2).build()]);
    }
    let told = tell(&world, digest(&format!("{:016x}", 0)), 1_000);
    assert_eq!(told.limits_reached, [Limit::Rounds]);
    assert_eq!(told.entries.len(), TIMELINE_ROUNDS_MAX);
    let told = tell(&world, digest(&format!("{:016x}", 0)), 3);
    assert_eq!((told.limits_reached, told.entries.len()), (vec![Limit::Events], 3));
    let told = tell(&world, digest(&format!("{:016x}", 15)), 6);
    assert_eq!((told.limits_reached, told.entries.len()), (vec![], 6));

    let made = (0..6_000).fold(artifact(of("many", ""), A, 1), |event, number| {
        if number % 600 == 0 { artifact(event, &format!("{number:016x}"), 2) } else { event }
    });
    world.append("b", &[made.build()]);
    for number in 0..6_000 {
        world.append("c", &[link(of(&format!("e{number}"), ""), "ci", "many").build()]);
    }
    let told = tell(&world, digest(A), 10_000);
    assert!(told.limits_reached.contains(&Limit::Things), "{:?}", told.limits_reached);
}

/// Every event that a trail leads to, by looking at all of them again and again.
fn scanned(events: &[(Place, Vec<u8>)], of: &Thing) -> BTreeMap<Place, BTreeSet<Thing>> {
    let mut followed = BTreeSet::from([of.clone()]);
    let mut found = BTreeMap::<Place, BTreeSet<Thing>>::new();
    loop {
        let before = followed.len();
        for (place, event) in events {
            let facts = Facts::of(EventView::stored(event).unwrap());
            let touched: BTreeSet<_> =
                facts.touched().into_iter().filter(|thing| followed.contains(thing)).collect();
            if !touched.is_empty() {
                followed.extend(touched.iter().flat_map(|thing| next_things(thing, &facts)));
                found.insert(place.clone(), touched);
            }
        }
        if followed.len() == before {
            return found;
        }
    }
}

fn trail_event() -> impl Strategy<Value = Vec<u8>> {
    let word = || prop::sample::select(vec!["p", "q", "r", "s*", ""]);
    let hex = || prop::sample::select(vec![A, B, C]);
    let artifacts = prop::collection::vec((hex(), 0_u64..3), 0..3);
    let links = prop::collection::vec(
        (prop::sample::select(vec!["", "ci", "x"]), prop_oneof![word(), Just("sha256:aaaaaaaaaaaaaaaa")]),
        0..2,
    );
    (prop::option::of(word()), prop::option::of(word()), word(), any::<bool>(), artifacts, links).prop_map(
        |(run, commit, id, is_ci, artifacts, links)| {
            let mut event = Event::of("a", "x.y").bytes(1, id.as_bytes());
            event = if is_ci { event.bytes(2, b"ci") } else { event };
            event = run.into_iter().fold(event, |event, run| event.bytes(9, run.as_bytes()));
            event = commit.into_iter().fold(event, |event, commit| event.bytes(13, commit.as_bytes()));
            event = artifacts.into_iter().fold(event, |event, (hex, role)| artifact(event, hex, role));
            links.into_iter().fold(event, |event, (source, id)| link(event, source, id)).build()
        },
    )
}

fn thing() -> impl Strategy<Value = Thing> {
    let word = || prop::sample::select(vec!["p", "q", "s*"]);
    prop_oneof![
        2 => prop::sample::select(vec![A, B, C]).prop_map(digest),
        1 => word().prop_map(run),
        1 => word().prop_map(|commit| Thing::Commit(commit.to_owned())),
    ]
}

fn cases() -> u32 {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_timeline_is_what_a_scan_finds(
        events in prop::collection::vec((any::<bool>(), prop_oneof![4 => trail_event(), 1 => event()]), 1..25),
        of in thing(),
        rolled in 0_usize..25,
    ) {
        let world = World::new();
        let mut stored = Vec::new();
        for (number, (in_a, event)) in events.into_iter().enumerate() {
            let class = if in_a { "a" } else { "b" };
            let (sequence, received) = world.append(class, std::slice::from_ref(&event));
            prop_assert!(received.0 >= START.0 && received.0 < START.0 + 1_000 * SECOND);
            stored.push((Place { class: name(class), sequence }, event));
            world.tick(1);
            if number == rolled {
                world.roll("a");
                world.seal();
            }
        }
        let expected = scanned(&stored, &of);
        let told = tell(&world, of, 1_000);
        let found: Vec<_> = told.entries.iter().map(|entry| entry.place.clone()).collect();
        let mut all: Vec<_> = expected.keys().cloned().collect();
        if told.limits_reached.is_empty() {
            prop_assert!(told.entries.is_sorted_by_key(|entry| entry.received));
            let mut sorted = found;
            sorted.sort();
            all.sort();
            prop_assert_eq!(sorted, all);
        } else {
            prop_assert!(found.iter().all(|place| expected.contains_key(place)));
        }
        for entry in &told.entries {
            prop_assert!(entry.reasons.iter().all(|reason| expected[&entry.place].contains(&reason.thing)));
            prop_assert!(!entry.reasons.is_empty());
        }
    }
}
