//! Plans are prefixes of logs, of expired segments only.

use super::*;
use piperoll_format::units::Root;
use proptest::prelude::*;
use std::path::PathBuf;

fn name(text: &str) -> Name {
    Name::from_disk(text).unwrap()
}

fn segment(class: &str, first: u64, latest_seconds: i64) -> SealedSegment {
    let latest = UnixNanos(latest_seconds * SECOND_NS);
    SealedSegment {
        tenant: name("t"),
        class: name(class),
        first: Sequence(first),
        end: Sequence(first + 10),
        bytes: 100,
        root: Root([1; 32]),
        events: 10,
        earliest_received: latest,
        latest_received: latest,
        path: PathBuf::from("x.log"),
    }
}

fn policy() -> Policy {
    let keep = [("short", Keep::Seconds(60)), ("long", Keep::Seconds(3_600)), ("ever", Keep::Forever)];
    Policy { keep: keep.map(|(class, keep)| (name(class), keep)).into() }
}

fn check(segments: &[SealedSegment], now_seconds: i64, expected: &[(&str, u64)]) {
    let plan = plan_sweep(segments, &policy(), Some(UnixNanos(now_seconds * SECOND_NS)), "sweeper");
    let found: Vec<(&str, u64)> =
        plan.drops.iter().map(|drop| (drop.segment.class.as_str(), drop.segment.first.0)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_segment_expires_when_its_last_event_does() {
    let segments = [segment("short", 0, 1_000), segment("short", 10, 1_030), segment("long", 0, 1_000)];
    check(&segments, 1_059, &[]);
    check(&segments, 1_060, &[("short", 0)]);
    check(&segments, 1_090, &[("short", 0), ("short", 10)]);
    check(&segments, 4_600, &[("long", 0), ("short", 0), ("short", 10)]);
}

#[test]
fn classes_without_a_limit_keep_for_ever() {
    check(&[segment("ever", 0, 0), segment("unnamed", 0, 0)], i64::MAX / SECOND_NS, &[]);
}

#[test]
fn nothing_is_dropped_past_a_segment_that_stays_or_is_missing() {
    check(&[segment("short", 10, 500), segment("short", 0, 1_000)], 1_010, &[]);
    check(&[segment("short", 0, 500), segment("short", 20, 500)], 1_010, &[("short", 0)]);
}

#[test]
fn a_clock_that_is_not_believed_drops_nothing() {
    let plan = plan_sweep(&[segment("short", 0, 0)], &policy(), None, "sweeper");
    assert!(plan.drops.is_empty() && !plan.clock_believed);
}

#[test]
fn a_plan_says_rule_and_sums() {
    let now = Some(UnixNanos(1_000_000 * SECOND_NS));
    let plan = plan_sweep(&[segment("short", 0, 0), segment("long", 0, 0)], &policy(), now, "sweeper");
    let rules: Vec<&str> = plan.drops.iter().map(|drop| drop.rule.rule.as_str()).collect();
    assert_eq!(rules, ["class long keeps 1 h", "class short keeps 1 min"]);
    assert_eq!((plan.bytes(), plan.events()), (200, 20));
    assert_eq!(plan.drops[0].expired, UnixNanos(3_600 * SECOND_NS));
    assert_eq!((Keep::Seconds(90).to_string(), Keep::Seconds(0).to_string()), ("90 s".into(), "0 s".into()));
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(256))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn plans_are_prefixes_and_grow_with_time(
        latest in prop::collection::vec((0_usize..4, 0_i64..5_000), 0..30),
        now in 0_i64..10_000,
        later in 0_i64..10_000,
    ) {
        let classes = ["short", "long", "ever", "unnamed"];
        let mut counts = [0_u64; 4];
        let segments: Vec<SealedSegment> = latest.iter().map(|&(class, latest)| {
            counts[class] += 1;
            segment(classes[class], (counts[class] - 1) * 10, latest)
        }).collect();
        let plan = |seconds: i64| plan_sweep(&segments, &policy(), Some(UnixNanos(seconds * SECOND_NS)), "s");
        let (early, late) = (plan(now), plan(now + later));
        for class in classes {
            let of = |plan: &SweepPlan| -> Vec<u64> {
                let own = plan.drops.iter().filter(|drop| drop.segment.class.as_str() == class);
                own.map(|drop| drop.segment.first.0).collect()
            };
            let (early, late) = (of(&early), of(&late));
            prop_assert!(late.starts_with(&early));
            prop_assert!(late.iter().enumerate().all(|(at, first)| *first == at as u64 * 10));
        }
        prop_assert!(late.drops.iter().all(|drop| drop.expired.0 <= (now + later) * SECOND_NS));
    }
}
