//! What an index answers is what a scan of the events finds: random logs, random filters.

use super::support::{CLASS, FrameSpec, Kind, Log, Message, cases};
use crate::{
    Matches, Share, TermSet, count_matches, cross, evaluate, group, term_text, terms::bitmap_fields,
};
use piperoll_filter::{Comparison, Expression, Filter, RecordFacts, Subject, parse};
use piperoll_format::{
    event::{EventView, Field, Indexed, Kind as ValueKind},
    frame::ProducerKey,
    units::UnixNanos,
};
use proptest::{collection::vec, prelude::*};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, ops::Range};

const NOW: i64 = 1_795_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;
const TEXTS: [&str; 8] = ["alice", "", "al", "alina", "b", "é", "deploy.approved", "0123456789abcdef"];
const NUMBERS: [u64; 5] = [0, 1, 2, 7, 300];
const HEXES: [&str; 3] = ["aa", "AA", "ab"];
const HOURS: [i64; 5] = [0, -1, 1, -2, 2];
const TIMES: [&str; 5] = ["now", "-1h", "+1h", "-2h", "+2h"];
/// A choice for each field.
const CHOICES: usize = 40;

/// What a choice picks: the first is nothing, so that shrinking takes fields away.
fn pick<T: Copy>(from: &[T], choice: u8) -> Option<T> {
    let place = usize::from(choice) % (from.len() + 3);
    place.checked_sub(1).and_then(|place| from.get(place)).copied()
}

fn event(choices: &[u8]) -> Message {
    let choice = |field: Field| choices[usize::from(field.number()) % CHOICES];
    let actor = pick(&TEXTS, choice(Field::Actor)).filter(|actor| !actor.is_empty()).unwrap_or("alice");
    let mut event = Message::event(actor, "run");
    for &field in Field::ALL {
        let text = pick(&TEXTS, choice(field));
        let number = pick(&NUMBERS, choice(field));
        event = match field.kind() {
            _ if [Field::Actor, Field::Action, Field::Original].contains(&field) => event,
            ValueKind::Text => text.map_or(event.clone(), |text| event.text(field, text)),
            ValueKind::Enum | ValueKind::Number => number.map_or(event.clone(), |n| event.number(field, n)),
            ValueKind::Bytes => text.map_or(event.clone(), |_| event.bytes(field.number(), trace(field))),
            ValueKind::Time => {
                pick(&HOURS, choice(field)).map_or(event.clone(), |h| event.time(NOW + h * HOUR))
            }
            ValueKind::Texts => text.map_or(event.clone(), |text| event.text(field, text).text(field, "b")),
            ValueKind::Artifacts => pick(&HEXES, choice(field)).map_or(event.clone(), |hex| {
                event.clone().artifact(&[("oci", hex), ("sha512", "ab")]).artifact(&[("oci", "aa")])
            }),
            ValueKind::Attestations => {
                pick(&HEXES, choice(field)).map_or(event.clone(), |hex| event.attestation("oci", hex))
            }
            ValueKind::Links => text.map_or(event.clone(), |text| event.link(Some(text)).link(None)),
            ValueKind::Map => {
                text.map_or(event.clone(), |text| event.attribute("k", text).attribute("", "b"))
            }
        };
    }
    event
}

fn trace(field: Field) -> &'static [u8] {
    if field == Field::TraceId { &[0xAB; 16] } else { &[0xCD; 8] }
}

fn frames() -> impl Strategy<Value = Vec<FrameSpec>> {
    let event = vec(any::<u8>(), CHOICES).prop_map(|choices| event(&choices).0);
    let messages = vec(vec(event, 1..4), 1..4);
    let kind = prop_oneof![8 => Just(Kind::Good), 1 => Just(Kind::Malformed), 1 => Just(Kind::Newer)];
    let frame = (
        messages,
        kind,
        prop_oneof![40 => Just(0_u32), 10 => 1_u32..20, 1 => 60_000_u32..70_000],
        0_usize..5,
        0_u64..3,
    );
    vec(frame, 0..6).prop_map(|frames| {
        let frame = |(mut messages, kind, gap, hour, id): (Vec<_>, _, _, usize, u64)| {
            let producer = (id > 0).then_some(ProducerKey { id, sequence: 5 });
            messages.truncate(if producer.is_some() { messages.len() } else { 1 });
            FrameSpec { gap, received: NOW + HOURS[hour] * HOUR, kind, producer, messages }
        };
        frames.into_iter().map(frame).collect()
    })
}

/// A condition as text: a subject, a test, and values.
fn condition((subject, test, one, two): (usize, u8, usize, usize)) -> Filter {
    let fields: Vec<&str> = Field::ALL
        .iter()
        .map(|field| field.name())
        .chain(["attr.k", r#"attr."""#, "attr.other", "received", "class"])
        .collect();
    let name = fields[subject % fields.len()];
    let kind = match Field::from_name(name) {
        Some(field) => field.kind(),
        None if name == "received" => ValueKind::Time,
        None => ValueKind::Text,
    };
    let value = |n: usize| match kind {
        ValueKind::Text | ValueKind::Texts | ValueKind::Links if name == "class" => {
            format!("{:?}", [CLASS, "forensic"][n % 2])
        }
        ValueKind::Text | ValueKind::Texts | ValueKind::Links => format!("{:?}", TEXTS[n % TEXTS.len()]),
        ValueKind::Enum | ValueKind::Number => NUMBERS[n % NUMBERS.len()].to_string(),
        ValueKind::Bytes => ["ab".repeat(16), "cd".repeat(8), "00".into()][n % 3].clone(),
        ValueKind::Time => TIMES[n % TIMES.len()].into(),
        ValueKind::Artifacts | ValueKind::Attestations => format!("oci:{}", HEXES[n % HEXES.len()]),
        ValueKind::Map => String::new(),
    };
    let (one, two) = (value(one), value(two));
    let text = match (test % 8, kind) {
        (0, _) | (_, ValueKind::Map) => format!("{name}:*"),
        (1, _) => format!("{name} = {one}"),
        (2, _) => format!("{name} != {one}"),
        (3, _) => format!("{name} IN ({one}, {two})"),
        (4, _) => format!("{name} NOT IN ({one}, {two})"),
        (5, ValueKind::Text | ValueKind::Texts | ValueKind::Links) if one != r#""""# => {
            format!("{name} ~ {one}")
        }
        (_, ValueKind::Text | ValueKind::Texts | ValueKind::Links) if one != r#""""# => {
            format!("{name} = {one}*")
        }
        (_, ValueKind::Time | ValueKind::Number) => {
            format!("{name} {} {one}", ["<", "<=", ">", ">="][subject % 4])
        }
        _ => format!("{name} = {two}"),
    };
    parse(&text, UnixNanos(NOW)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn filters() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        12 => (any::<usize>(), any::<u8>(), any::<usize>(), any::<usize>()).prop_map(condition),
        1 => Just(Filter::all()),
    ];
    leaf.prop_recursive(3, 12, 2, |part| {
        prop_oneof![
            part.clone().prop_map(Filter::negate),
            (part.clone(), part.clone()).prop_map(|(one, two)| one.and(two)),
            (part.clone(), part).prop_map(|(one, two)| one.or(two)),
        ]
    })
}

/// Ordinals of the events that can be read, of all that match, and of the ones that cannot be read.
fn scan(log: &Log, filter: &Filter, range: &Range<u32>) -> (Vec<u32>, Vec<u32>) {
    let (mut matching, mut unreadable) = (Vec::new(), Vec::new());
    for event in log.events.iter().filter(|event| range.contains(&event.ordinal)) {
        let facts = RecordFacts { received: UnixNanos(event.received), class: CLASS };
        match &event.bytes {
            Some(bytes) if filter.matches(&EventView::stored(bytes).unwrap(), &facts) => {
                matching.push(event.ordinal);
            }
            Some(_) => {}
            None => unreadable.push(event.ordinal),
        }
    }
    (matching, unreadable)
}

/// What a reader gets: the sure ones, and of the others those whose bytes say so.
fn verified(log: &Log, filter: &Filter, matches: &Matches) -> Vec<u32> {
    let (truth, _) = scan(log, filter, &(0..u32::MAX));
    let picked = &matches.sure | (&matches.maybe & truth.into_iter().collect::<RoaringBitmap>());
    picked.iter().collect()
}

fn ordinals(set: &RoaringBitmap) -> Vec<u32> {
    set.iter().collect()
}

fn without(set: &[u32], minus: &[u32]) -> Vec<u32> {
    set.iter().copied().filter(|ordinal| !minus.contains(ordinal)).collect()
}

fn is_bitmap_only(filter: &Filter) -> bool {
    let text = filter.to_string();
    let not_exact = |field: &&Field| !matches!(field.indexed(), Indexed::Bitmap);
    !text.contains("attr.") && !Field::ALL.iter().filter(not_exact).any(|field| text.contains(field.name()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn an_index_answers_as_a_scan_of_the_events_does(
        frames in frames(),
        filters in vec(filters(), 1..8),
        start in 0_u32..20,
        length in prop_oneof![Just(u32::MAX / 2), 0_u32..20],
    ) {
        let log = Log::new(&frames);
        let range = start..start + length;
        for filter in &filters {
            let (truth, unreadable) = scan(&log, filter, &range);
            let (sure, maybe) = log.ask(|terms| {
                let matches = evaluate(filter, CLASS, terms, range.clone()).unwrap();
                (ordinals(&matches.sure), ordinals(&matches.maybe))
            });
            let matches = Matches { sure: sure.iter().collect(), maybe: maybe.iter().collect() };
            prop_assert!(matches.sure.is_disjoint(&matches.maybe), "{filter}");
            prop_assert_eq!(without(&verified(&log, filter, &matches), &unreadable), truth, "{}", filter);
            prop_assert_eq!(without(&without(&sure, &unreadable), &verified(&log, filter, &matches)), [0_u32; 0]);
            prop_assert!((&matches.sure | &matches.maybe).iter().all(|ordinal| range.contains(&ordinal)));
            if is_bitmap_only(filter) {
                prop_assert_eq!(without(&maybe, &unreadable), [0_u32; 0], "{} is answered by the index alone", filter);
            }
        }
    }

    #[test]
    fn counts_by_a_field_are_those_of_a_scan(frames in frames(), filter in filters()) {
        let log = Log::new(&frames);
        let (truth, _) = scan(&log, &filter, &(0..u32::MAX));
        let among: RoaringBitmap = truth.into_iter().collect();
        for &field in Field::ALL {
            let groups = log.ask(|terms| group(terms, field, &among).unwrap());
            let expected = (field.indexed() == Indexed::Bitmap).then(|| counts(&log, field, &among));
            prop_assert_eq!(groups, expected, "{}", field.name());
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_left_out_in_silence(
        frames in frames(),
        leaf in (any::<usize>(), any::<u8>(), any::<usize>(), any::<usize>()),
    ) {
        let log = Log::new(&frames);
        let filter = condition(leaf);
        let (_, unreadable) = scan(&log, &filter, &(0..u32::MAX));
        prop_assert_eq!(log.ask(|terms| ordinals(&terms.unreadable().unwrap())), unreadable.clone());
        let answer = |filter: &Filter| log.ask(|terms| evaluate(filter, CLASS, terms, 0..u32::MAX).unwrap());
        let all: Vec<u32> = log.events.iter().map(|event| event.ordinal).collect();
        prop_assert_eq!(ordinals(&answer(&Filter::all()).sure), all);
        let asks_the_frame = ["received", "class"].iter().any(|name| filter.to_string().contains(name));
        for filter in [filter.clone(), filter.negate()] {
            let missed = without(&unreadable, &ordinals(&answer(&filter).maybe));
            prop_assert!(asks_the_frame || missed.is_empty(), "{} leaves {:?} out", filter, missed);
        }
    }
}

/// Conditions on bitmap fields that ask for values.
fn look_ups() -> impl Strategy<Value = Filter> {
    let fields = Field::ALL.iter().enumerate().filter(|(_, field)| field.indexed() == Indexed::Bitmap);
    let places: Vec<usize> = fields.map(|(place, _)| place).collect();
    let test = prop_oneof![Just(1_u8), Just(3_u8)];
    let one = (prop::sample::select(places), test, any::<usize>(), any::<usize>()).prop_map(condition);
    vec(one, 1..4).prop_map(|all| all.into_iter().reduce(Filter::and).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn counts_by_two_fields_are_those_of_a_scan(
        frames in frames(),
        filter in prop_oneof![filters(), Just(Filter::all())],
        second in any::<prop::sample::Index>(),
    ) {
        let log = Log::new(&frames);
        let (truth, _) = scan(&log, &filter, &(0..u32::MAX));
        let among: RoaringBitmap = truth.into_iter().collect();
        let fields: Vec<Field> = bitmap_fields().collect();
        let second = *second.get(&fields);
        for first in fields {
            let crossed = log.ask(|terms| {
                let mut found = BTreeMap::new();
                cross(terms, [first, second], &among, &mut |[one, two], count| {
                    let text = |field, term: Option<&[u8]>| term.map(|term| term_text(field, term).into_owned());
                    assert_eq!(found.insert((text(first, one), text(second, two)), count), None);
                }).unwrap();
                found
            });
            let mut expected = BTreeMap::new();
            for event in log.events.iter().filter(|event| among.contains(event.ordinal)) {
                let event = EventView::stored(event.bytes.as_ref().unwrap()).unwrap();
                *expected.entry((value(event, first), value(event, second))).or_insert(0) += 1;
            }
            prop_assert_eq!(crossed, expected, "{} and {}", first.name(), second.name());
        }
    }

    #[test]
    fn what_is_counted_without_a_set_is_what_matches(
        frames in frames(),
        filter in prop_oneof![2 => look_ups(), 1 => filters()],
        is_part in any::<bool>(),
    ) {
        let log = Log::new(&frames);
        let (truth, unreadable) = scan(&log, &filter, &(0..u32::MAX));
        let end = log.ask(|terms| terms.summary().end);
        let range = 0..end.saturating_sub(is_part.into());
        let counted = log.ask(|terms| count_matches(&filter, terms, &range).unwrap());
        if let Some(counted) = counted {
            prop_assert_eq!(counted, truth.len() as u64, "{}", filter);
            prop_assert!(unreadable.is_empty());
            prop_assert!(range.end == end);
        }
    }

    #[test]
    fn the_terms_of_a_segment_never_promise_too_much(frames in frames(), filters in vec(filters(), 1..8)) {
        let log = Log::new(&frames);
        let is_whole = log.ask(|index| TermSet::of(index.summary()).is_some());
        let mut fields = Vec::new();
        for learnt in [false, true] {
            for filter in filters.iter().filter(|_| is_whole) {
                let Expression::Compare(Comparison { subject: Subject::Field(field), test }) = filter.expression()
                else { continue };
                if learnt && field.indexed() == Indexed::Bitmap && !fields.contains(field) {
                    fields.push(*field);
                }
                let share = log.ask(|index| {
                    let mut terms = TermSet::of(index.summary()).unwrap();
                    for field in &fields {
                        terms.learn(index, *field).unwrap();
                    }
                    terms.share(*field, test)
                });
                let (truth, _) = scan(&log, filter, &(0..u32::MAX));
                match share {
                    Share::None => prop_assert!(truth.is_empty(), "{filter}"),
                    Share::All => prop_assert_eq!(truth.len(), log.events.len(), "{}", filter),
                    Share::Some => {}
                }
            }
        }
    }
}

/// The value of a bitmap field as people write it.
fn value(event: EventView<'_>, field: Field) -> Option<String> {
    let name = |number: u64| match field.enum_names().get(number as usize) {
        Some(name) => (*name).to_owned(),
        None => number.to_string(),
    };
    event.text(field).map(str::to_owned).or_else(|| event.number(field).map(name))
}

fn counts(log: &Log, field: Field, among: &RoaringBitmap) -> Vec<(Option<String>, u64)> {
    let mut counts = BTreeMap::new();
    for event in log.events.iter().filter(|event| among.contains(event.ordinal)) {
        let event = EventView::stored(event.bytes.as_ref().unwrap()).unwrap();
        *counts.entry(value(event, field)).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// A question whose parts the index knows in part: NOT of something unsure must not become sure.
#[test]
fn not_of_a_candidate_is_a_candidate() {
    let log = Log::new(&[FrameSpec::of(
        NOW,
        [
            Message::event("a", "x").text(Field::Run, "7"),
            Message::event("b", "y").text(Field::Reason, "z").attribute("k", "v"),
        ],
    )]);
    let check = |text: &str, sure: &[u32], maybe: &[u32]| {
        let filter = parse(text, UnixNanos(NOW)).unwrap();
        let found = log.ask(|terms| {
            let matches = evaluate(&filter, CLASS, terms, 0..2).unwrap();
            (ordinals(&matches.sure), ordinals(&matches.maybe))
        });
        assert_eq!(found, (sure.to_vec(), maybe.to_vec()), "{text}");
    };
    check("run = 7", &[], &[0]);
    check("NOT run = 7", &[1], &[0]);
    check("run = 8", &[], &[]);
    check("NOT run = 8", &[0, 1], &[]);
    check("run != 7", &[], &[0]);
    check("run != 8", &[0], &[]);
    check("run:*", &[0], &[]);
    check("run = 7*", &[], &[0]);
    check("NOT run:*", &[1], &[]);
    check("run = 7 AND actor = a", &[], &[0]);
    check("run = 7 OR actor = a", &[0], &[]);
    check("NOT (run = 7 OR actor = a)", &[1], &[]);
    check("class = default", &[0, 1], &[]);
    check("class = forensic", &[], &[]);
    check("received <= now", &[0, 1], &[]);
    check("time:*", &[], &[]);
    check("reason = x", &[], &[1]);
    check("reason ~ x", &[], &[1]);
    check("reason != x", &[], &[1]);
    check("reason:*", &[1], &[]);
    check("NOT reason ~ x", &[0], &[1]);
    check("attributes:*", &[1], &[]);
    check("attr.k:*", &[], &[1]);
    check("attr.k != x", &[], &[1]);
    check("actor ~ a", &[0], &[]);
    check("NOT actor ~ a", &[1], &[]);
    check("actor ~ b AND reason ~ x", &[], &[1]);
    check("class ~ efau", &[0, 1], &[]);
}
