//! What a filter says that every match has in its bytes.

use super::{NOW, events::deployment};
use crate::{Comparison, Expression, Filter, Needle, RecordFacts, Subject, Test, Value, parse};
use piperoll_format::event::{Field, Kind, check_event};
use proptest::{prelude::*, sample::select};

/// The texts of which one is needed, none where there are none.
#[track_caller]
fn check(filter: &str, expected: &[&str]) {
    let needles = parse(filter, NOW).unwrap().needles();
    let found: Vec<_> = needles.iter().flat_map(|needles| &needles.0).map(Needle::as_str).collect();
    assert_eq!(found, expected, "{filter}");
}

#[test]
fn of_what_all_matches_need_the_longest_is_searched_for() {
    check(r#"reason ~ "timed out""#, &["timed out"]);
    check("reason ~ timed AND attr.region ~ eu AND NOT user_agent ~ something", &["timed"]);
    check("reason = begin*", &["begin"]);
    check("user_agent = curl AND label ~ x64", &["curl"]);
    check("reason IN (first, second)", &["first", "second"]);
    check("link ~ 4711 AND (reason ~ one OR reason ~ another)", &["4711"]);
    check("link ~ 47 AND (reason ~ one OR reason ~ another)", &["one", "another"]);
}

#[test]
fn each_part_of_an_or_has_its_text() {
    check("reason ~ a OR user_agent ~ b AND label ~ cd", &["a", "cd"]);
    check("reason ~ a OR actor = alice", &["a", "alice"]);
    check("reason ~ a OR outcome = success", &[]);
    check("label IN (a, b, c, d, e, f, g, h)", &["a", "b", "c", "d", "e", "f", "g", "h"]);
    check("label IN (a, b, c, d, e, f, g, h, i)", &[]);
    check("label IN (a, b, c, d, e, f, g, h) OR reason ~ i", &[]);
}

#[test]
fn what_is_not_in_the_bytes_or_not_needed_is_not_searched_for() {
    check("*", &[]);
    check("class ~ audit", &[]);
    check("outcome = failure AND run_attempt = 3 AND trace_id = 6162", &[]);
    check("NOT reason ~ timed", &[]);
    check("reason != c AND actor_name:*", &[]);
    check(r#"reason IN (a, "")"#, &[]);
}

#[test]
fn what_bitmaps_decide_is_not_searched_for() {
    check("actor = somebody-with-a-long-name AND repo ~ something-long", &[]);
    check("actor = somebody-with-a-long-name AND reason ~ out", &["out"]);
    check("(actor = somebody OR actor = another) AND reason ~ out", &["out"]);
}

const WORDS: [&str; 16] = [
    "alice",
    "deploy",
    "deploy.finished",
    "curl/8",
    "curl",
    "linux",
    "x64",
    "run-7",
    "eu",
    "audit",
    "region",
    "a",
    "e",
    "",
    "sha256",
    "ab",
];

fn comparison() -> impl Strategy<Value = Expression> {
    let subject = prop_oneof![
        select(Field::ALL).prop_map(Subject::Field),
        select(vec!["region", "any key", "absent"]).prop_map(|key| Subject::Attribute(key.to_owned())),
        Just(Subject::Class),
    ];
    let is_text = |subject: &Subject| matches!(subject.kind(), Kind::Text | Kind::Texts | Kind::Links);
    let word = || select(WORDS.to_vec()).prop_map(str::to_owned);
    let some = || word().prop_filter("not empty", |word| !word.is_empty());
    let value = || word().prop_map(Value::Text);
    let test = prop_oneof![
        some().prop_map(|part| Test::Contains(Needle::new(part))),
        some().prop_map(Test::Prefix),
        proptest::collection::vec(value(), 1..3).prop_map(Test::one_of),
        value().prop_map(|value| Test::none_of(vec![value])),
        Just(Test::Present),
    ];
    (subject.prop_filter("text", is_text), test)
        .prop_map(|(subject, test)| Expression::Compare(Comparison { subject, test }))
}

fn filter() -> impl Strategy<Value = Filter> {
    comparison().prop_map(Filter).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            1 => inner.prop_map(Filter::negate),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

    #[test]
    fn every_match_has_one_of_the_texts(filter in filter()) {
        let bytes = deployment();
        let event = check_event(&bytes).unwrap();
        if let Some(needles) = filter.needles() {
            let matches = filter.matches(&event, &RecordFacts { received: NOW, class: "audit" });
            prop_assert!(!matches || needles.any_is_in(&bytes), "{filter}");
        }
    }
}
