//! Whatever is typed, nothing panics; whatever is printed is read as the same filter.

use super::NOW;
use crate::{Comparison, Expression, Filter, Needle, Operator, Subject, Test, Value, parse};
use piperoll_format::{
    event::{Field, Kind},
    units::UnixNanos,
};
use proptest::{collection::vec, prelude::*};

fn config() -> ProptestConfig {
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        proptest::sample::select(Field::ALL).prop_map(Subject::Field),
        any::<String>().prop_map(Subject::Attribute),
        Just(Subject::Received),
        Just(Subject::Class),
    ]
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z:*=()<> \"'\\\\]{0,6}", Just("and".to_owned()), Just("*".to_owned())]
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Text | Kind::Texts | Kind::Links | Kind::Map => words().prop_map(Value::Text).boxed(),
        Kind::Enum => (0_u64..12).prop_map(Value::Number).boxed(),
        Kind::Number => any::<u64>().prop_map(Value::Number).boxed(),
        Kind::Time => any::<i64>().prop_map(|nanos| Value::Time(UnixNanos(nanos))).boxed(),
        Kind::Bytes => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        Kind::Artifacts | Kind::Attestations => {
            ("[a-z]{0,6}", words()).prop_map(|(algorithm, hex)| Value::Digest { algorithm, hex }).boxed()
        }
    }
}

fn test(subject: &Subject) -> BoxedStrategy<Test> {
    let kind = subject.kind();
    if kind == Kind::Map && matches!(subject, Subject::Field(_)) {
        return Just(Test::Present).boxed();
    }
    let values = || vec(value(kind), 1..4);
    let listed =
        prop_oneof![values().prop_map(Test::one_of), values().prop_map(Test::none_of), Just(Test::Present)];
    match kind {
        Kind::Text | Kind::Texts | Kind::Links | Kind::Map => {
            let begin = words().prop_filter("a prefix is not empty", |begin| !begin.is_empty());
            let part = words().prop_filter("a needle is not empty", |part| !part.is_empty());
            let part = part.prop_map(|part| Test::Contains(Needle::new(part)));
            prop_oneof![listed, begin.prop_map(Test::Prefix), part].boxed()
        }
        Kind::Number | Kind::Time => {
            let ordered = prop_oneof![
                value(kind).prop_map(Test::Less),
                value(kind).prop_map(Test::AtMost),
                value(kind).prop_map(Test::More),
                value(kind).prop_map(Test::AtLeast),
            ];
            prop_oneof![listed, ordered].boxed()
        }
        _ => listed.boxed(),
    }
}

fn comparison() -> impl Strategy<Value = Expression> {
    let comparison = subject().prop_flat_map(|subject| (Just(subject.clone()), test(&subject)));
    comparison.prop_map(|(subject, test)| Expression::Compare(Comparison { subject, test }))
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![1 => Just(Expression::All), 20 => comparison()].prop_map(Filter);
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            inner.prop_map(Filter::negate),
        ]
    })
}

/// Pieces of filters in any order: many are filters, most are nearly so.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "actor",
        "stage",
        "time",
        "run_attempt",
        "outcome",
        "artifact",
        "label",
        "attr.k",
        "attr.\"a b\"",
        "=",
        "!=",
        "<",
        ">=",
        "IN",
        "NOT",
        "AND",
        "OR",
        "(",
        ")",
        ",",
        "*",
        ":*",
        ":",
        "~",
        "alice",
        "success",
        "sha256:ab",
        "-24h",
        "now",
        "3",
        "2026-11-23T00:00:00Z",
        "2026-11-23T09:00[Europe/Paris]",
        "2026-10-25[Europe/",
        "\"q \\\" q\"",
        "'s'",
        "x*",
        "\u{202e}",
        "é",
    ];
    vec((proptest::sample::select(pieces.to_vec()), any::<bool>()), 0..14).prop_map(|parts| {
        parts.into_iter().flat_map(|(piece, spaced)| [piece, if spaced { " " } else { "" }]).collect()
    })
}

fn harmless_whatever(text: &str) -> Result<(), TestCaseError> {
    match parse(text, NOW) {
        Ok(filter) => prop_assert_eq!(parse(&filter.to_string(), UnixNanos(0)), Ok(filter)),
        Err(error) => {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error);
            let rendered = error.render();
            prop_assert!(!rendered.chars().any(|c| c != '\n' && c.is_control()), "{}", rendered);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn printed_filters_are_read_as_the_same(filter in filter()) {
        let text = filter.to_string();
        match parse(&text, NOW) {
            Ok(read) => prop_assert_eq!(read, filter, "{}", text),
            // A built filter may be a contradiction, which only the parser looks for.
            Err(error) => prop_assert!(error.expected.starts_with("conditions on"), "{}", error.render()),
        }
    }

    #[test]
    fn any_text_is_a_filter_or_an_error(text in any::<String>()) {
        harmless_whatever(&text)?;
    }

    #[test]
    fn any_pieces_of_filters_are_a_filter_or_an_error(text in soup()) {
        harmless_whatever(&text)?;
    }

    #[test]
    fn any_value_of_any_subject_is_a_filter_or_an_error(subject in subject(), text in words()) {
        for operator in [Operator::Equal, Operator::NotEqual, Operator::More] {
            if let Ok(filter) = Filter::compare(subject.clone(), operator, &text, NOW) {
                prop_assert_eq!(parse(&filter.to_string(), NOW), Ok(filter));
            }
        }
        let built = [Filter::contains(subject.clone(), &text), Filter::any_of(&subject, &[text], NOW)];
        for filter in built.into_iter().flatten() {
            prop_assert_eq!(parse(&filter.to_string(), NOW), Ok(filter));
        }
        prop_assert_eq!(Subject::parse(&subject.name()), Ok(subject));
    }
}
