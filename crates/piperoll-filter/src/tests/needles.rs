//! What a filter says that every match has in its bytes.

use super::{NOW, events::deployment};
use crate::{Comparison, Expression, Filter, Needle, RecordFacts, Subject, Test, Value, parse};
use piperoll_format::event::{Field, Kind, check_event};
use proptest::{prelude::*, sample::select};

#[track_caller]
fn check(filter: &str, expected: Option<&str>) {
    let needle = parse(filter, NOW).unwrap().needle();
    assert_eq!(needle.as_ref().map(Needle::as_str), expected, "{filter}");
}

#[test]
fn the_longest_text_that_all_matches_need_is_the_needle() {
    check(r#"reason ~ "timed out""#, Some("timed out"));
    check("reason ~ timed AND attr.region ~ eu AND NOT user_agent ~ something", Some("timed"));
    check("reason = begin*", Some("begin"));
    check("user_agent = curl AND label ~ x64", Some("curl"));
    check("link ~ 4711 AND (reason ~ long-one OR reason ~ other-one)", Some("4711"));
}

#[test]
fn what_is_not_in_the_bytes_or_not_needed_is_no_needle() {
    check("*", None);
    check("class ~ audit", None);
    check("outcome = failure AND run_attempt = 3 AND trace_id = 6162", None);
    check("NOT reason ~ timed", None);
    check("reason ~ a OR reason ~ b", None);
    check("reason IN (a, b) AND reason != c AND actor_name:*", None);
    check(r#"reason = """#, None);
}

#[test]
fn what_bitmaps_decide_is_no_needle() {
    check("actor = somebody-with-a-long-name AND repo ~ something-long", None);
    check("actor = somebody-with-a-long-name AND reason ~ out", Some("out"));
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
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            1 => inner.prop_map(Filter::negate),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

    #[test]
    fn every_match_has_the_needle(filter in filter()) {
        let bytes = deployment();
        let event = check_event(&bytes).unwrap();
        if let Some(needle) = filter.needle() {
            let matches = filter.matches(&event, &RecordFacts { received: NOW, class: "audit" });
            prop_assert!(!matches || needle.is_in(&bytes), "{filter}");
        }
    }
}
