//! Verdicts on zones against each event in them, and the names of filters.

use super::*;
use proptest::prelude::*;

const NOW: UnixNanos = UnixNanos(1_000_000_000_000);

fn parse(text: &str) -> Filter {
    piperoll_filter::parse(text, NOW).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn seconds(seconds: i64) -> UnixNanos {
    UnixNanos(NOW.0 + seconds * 1_000_000_000)
}

fn check(text: &str, expected: Verdict) {
    let class = Name::from_outside("audit").unwrap();
    let zone = Zone { class: &class, received: Some((seconds(-20), seconds(-10))), terms: None };
    assert_eq!(zone.judge(parse(text).expression()), expected, "{text}");
}

#[test]
fn zones_are_ruled_out_by_class_and_time_received() {
    use Verdict::{All, None, Perhaps};
    check("actor = alice", Perhaps);
    check("class = audit", All);
    check("class = other", None);
    check("class != audit", None);
    check("class IN (other, audit) AND actor = alice", Perhaps);
    check("class = aud*", All);
    check("class ~ udi", All);
    check("class ~ x", None);
    check("class:*", All);
    check("received >= -20s", All);
    check("received > -20s", Perhaps);
    check("received > -10s", None);
    check("received >= -10s", Perhaps);
    check("received >= -9s", None);
    check("received <= -10s", All);
    check("received < -10s", Perhaps);
    check("received < -20s", None);
    check("received <= -20s", Perhaps);
    check("received = -15s", Perhaps);
    check("received = -25s", None);
    check("received != -25s", All);
    check("NOT received > -10s", All);
    check("class = audit AND NOT received > -10s", All);
    check("class = other OR actor = alice", Perhaps);
    check("class = other OR received >= -5s", None);
    check("class = audit OR actor = alice", All);
}

#[test]
fn the_same_question_has_the_same_name_whenever_it_is_asked() {
    let named = |text, now| filter_print(&piperoll_filter::parse(text, now).unwrap());
    let relative = "actor = alice AND time >= -24h";
    assert_eq!(named(relative, NOW), named(relative, seconds(60)));
    let others = [
        "actor = alice",
        "actor = bob AND time >= -24h",
        "actor = alice OR time >= -24h",
        "actor = alice AND time > -24h",
        "actor = alice AND received >= -24h",
        "NOT (actor = alice AND time >= -24h)",
        "actor = alice* AND time >= -24h",
        "actor ~ alice AND time >= -24h",
        "actor ~ alic AND time >= -24h",
        "",
    ];
    let mut names: Vec<_> = others.iter().map(|text| named(text, NOW)).collect();
    names.push(named(relative, NOW));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), others.len() + 1);
}

fn expression() -> impl Strategy<Value = Expression> {
    let time = || (-3_i64..4).prop_map(|at| Value::Time(UnixNanos(at)));
    let test = prop_oneof![
        time().prop_map(Test::Less),
        time().prop_map(Test::AtMost),
        time().prop_map(Test::More),
        time().prop_map(Test::AtLeast),
        time().prop_map(|value| Test::OneOf(vec![value])),
        time().prop_map(|value| Test::NoneOf(vec![value])),
        Just(Test::Present),
    ];
    let leaf = test.prop_map(|test| Expression::Compare(Comparison { subject: Subject::Received, test }));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expression::Or),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn a_verdict_holds_for_every_event_of_the_zone(expression in expression(), from in -3_i64..3, length in 0_i64..4) {
        let class = Name::from_outside("audit").unwrap();
        let judge = |from, to| Zone { class: &class, received: Some((UnixNanos(from), UnixNanos(to))), terms: None }.judge(&expression);
        // One instant leaves nothing open but for `=`, so ask the tree itself.
        let at = |time| truth(&expression, UnixNanos(time));
        let matching = (from..=from + length).filter(|&time| at(time)).count();
        match judge(from, from + length) {
            Verdict::None => prop_assert_eq!(matching, 0),
            Verdict::All => prop_assert_eq!(matching, usize::try_from(length + 1).unwrap()),
            Verdict::Perhaps => {}
        }
    }
}

fn truth(expression: &Expression, received: UnixNanos) -> bool {
    let facts = piperoll_filter::RecordFacts { received, class: "audit" };
    let bytes = [0x22, 1, b'a', 0x2a, 1, b'b'];
    let event = piperoll_format::event::check_event(&bytes).unwrap();
    match expression {
        Expression::All => true,
        Expression::And(parts) => parts.iter().all(|part| truth(part, received)),
        Expression::Or(parts) => parts.iter().any(|part| truth(part, received)),
        Expression::Not(part) => !truth(part, received),
        Expression::Compare(comparison) => comparison.matches(event, facts),
    }
}
