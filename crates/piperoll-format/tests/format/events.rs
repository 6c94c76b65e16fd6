//! What the check of an event lets through is what an ordinary decoder reads, and nothing else.

use crate::support::{Wire, config, event};
use piperoll_format::event::{ArtifactView, AttestationView, EventView, Field, Kind, Term, check_event};
use piperoll_format::units::UnixNanos;
use piperoll_proto::v1;
use proptest::prelude::*;
use prost::Message;

/// Text that is allowed everywhere.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -~]{0,20}",
        1 => "[a-zé日\u{a0}\u{202e}]{0,9}",
        1 => Just(String::new()),
    ]
}

fn digests(number: u32, keys: Vec<String>) -> Wire {
    let mut unique = keys;
    unique.sort();
    unique.dedup();
    unique.iter().fold(Wire::default(), |wire, key| {
        wire.message(number, &Wire::default().text(1, key).text(2, "00ff"))
    })
}

/// One field of an event, in any legal form.
fn value(field: Field) -> BoxedStrategy<Wire> {
    let number = u32::from(field.number());
    match field.kind() {
        Kind::Text if matches!(field, Field::Actor | Field::Action) => {
            "[!-~]{1,9}".prop_map(move |text| Wire::default().text(number, &text)).boxed()
        }
        Kind::Text | Kind::Texts => text().prop_map(move |text| Wire::default().text(number, &text)).boxed(),
        Kind::Enum => (0u64..1 << 31).prop_map(move |n| Wire::default().number(number, n)).boxed(),
        Kind::Number => any::<u32>().prop_map(move |n| Wire::default().number(number, n.into())).boxed(),
        Kind::Bytes => any::<Vec<u8>>().prop_map(move |bytes| Wire::default().bytes(number, &bytes)).boxed(),
        Kind::Time => (-9_000_000_000i64..9_000_000_000, 0u64..1_000_000_000)
            .prop_map(move |(seconds, nanos)| {
                let time = Wire::default().number(1, seconds.cast_unsigned()).number(2, nanos);
                Wire::default().message(number, &time)
            })
            .boxed(),
        Kind::Artifacts => (text(), prop::collection::vec(text(), 0..4), 0u64..4)
            .prop_map(move |(name, keys, role)| {
                let Wire(digests) = digests(4, keys);
                let mut artifact = Wire::default().text(1, &name).number(5, role);
                artifact.0.extend(digests);
                Wire::default().message(number, &artifact)
            })
            .boxed(),
        Kind::Attestations => prop::collection::vec(text(), 0..4)
            .prop_map(move |keys| Wire::default().message(number, &digests(3, keys)))
            .boxed(),
        Kind::Links => (text(), text())
            .prop_map(move |(kind, id)| {
                Wire::default().message(number, &Wire::default().text(1, &kind).text(3, &id))
            })
            .boxed(),
        Kind::Map => (text(), text())
            .prop_map(move |(key, value)| {
                Wire::default().message(number, &Wire::default().text(1, &key).text(2, &value))
            })
            .boxed(),
    }
}

/// A good event of some fields in any order, among them sometimes one that nobody knows.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let optional = Field::ALL.iter().filter(|field| !matches!(field, Field::Actor | Field::Action));
    let optional = prop::sample::subsequence(optional.copied().collect::<Vec<_>>(), 0..12);
    let fields = optional.prop_map(|fields| [fields, vec![Field::Actor, Field::Action]].concat());
    let fields = fields.prop_flat_map(|fields| fields.into_iter().map(value).collect::<Vec<_>>());
    (fields.prop_shuffle(), prop::option::of(text())).prop_map(|(fields, unknown)| {
        let mut event = fields.into_iter().flat_map(|field| field.0).collect::<Vec<_>>();
        event.extend(unknown.into_iter().flat_map(|text| Wire::default().text(1_000, &text).0));
        event
    })
}

/// What prost read of a text field.
fn text_of(event: &v1::Event, field: Field) -> Option<&str> {
    match field {
        Field::Id => event.id.as_deref(),
        Field::Source => event.source.as_deref(),
        Field::Actor => event.actor.as_deref(),
        Field::Action => event.action.as_deref(),
        Field::Stage => event.stage.as_deref(),
        Field::Pipeline => event.pipeline.as_deref(),
        Field::Run => event.run.as_deref(),
        Field::Job => event.job.as_deref(),
        Field::Repo => event.repo.as_deref(),
        Field::Ref => event.r#ref.as_deref(),
        Field::Commit => event.commit.as_deref(),
        Field::ActorName => event.actor_name.as_deref(),
        Field::OnBehalfOf => event.on_behalf_of.as_deref(),
        Field::Credential => event.credential.as_deref(),
        Field::Reason => event.reason.as_deref(),
        Field::Step => event.step.as_deref(),
        Field::Trigger => event.trigger.as_deref(),
        Field::Change => event.change.as_deref(),
        Field::Environment => event.environment.as_deref(),
        Field::Address => event.address.as_deref(),
        Field::UserAgent => event.user_agent.as_deref(),
        Field::Runner => event.runner.as_deref(),
        Field::OriginalSchema => event.original_schema.as_deref(),
        Field::OriginalDigest => event.original_digest.as_deref(),
        other => unreachable!("{other:?} is no text"),
    }
}

fn number_of(event: &v1::Event, field: Field) -> Option<u64> {
    let of_enum = |number: Option<i32>| number.map(|number| u64::try_from(number).unwrap());
    match field {
        Field::Outcome => of_enum(event.outcome),
        Field::ActorType => of_enum(event.actor_type),
        Field::AuthMethod => of_enum(event.auth_method),
        Field::RunAttempt => event.run_attempt.map(u64::from),
        Field::SourceEpoch => event.source_epoch,
        Field::SourceSequence => event.source_sequence,
        other => unreachable!("{other:?} is no number"),
    }
}

fn blob_of(event: &v1::Event, field: Field) -> Option<&[u8]> {
    match field {
        Field::TraceId => event.trace_id.as_deref(),
        Field::SpanId => event.span_id.as_deref(),
        Field::Original => event.original.as_deref(),
        other => unreachable!("{other:?} is no blob"),
    }
}

fn sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    pairs.sort();
    pairs
}

fn of_map<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<(String, String)> {
    sorted(map.into_iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// Both readers say the same of every field.
fn agree(view: EventView<'_>) {
    let event = v1::Event::decode(view.bytes()).expect("prost reads what the check lets through");
    for &field in Field::ALL {
        match field.kind() {
            Kind::Text => assert_eq!(view.text(field), text_of(&event, field), "{field:?}"),
            Kind::Enum | Kind::Number => {
                assert_eq!(view.number(field), number_of(&event, field), "{field:?}");
            }
            Kind::Bytes => assert_eq!(view.blob(field), blob_of(&event, field), "{field:?}"),
            _ => {}
        }
    }
    let time = event.time.as_ref().map(|time| {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        UnixNanos(i64::try_from(nanos).unwrap())
    });
    assert_eq!(view.time(), time);
    assert!(view.runner_labels().eq(event.runner_labels.iter().map(String::as_str)));
    assert_eq!(sorted(view.attributes()), of_map(&event.attributes));
    agree_on_messages(view, &event);
}

fn agree_on_messages(view: EventView<'_>, event: &v1::Event) {
    assert_eq!(view.artifacts().count(), event.artifacts.len());
    for (seen, read) in view.artifacts().zip(&event.artifacts) {
        assert_eq!(seen.name(), read.name.as_deref());
        assert_eq!(seen.uri(), read.uri.as_deref());
        assert_eq!(seen.purl(), read.purl.as_deref());
        assert_eq!(seen.media_type(), read.media_type.as_deref());
        assert_eq!(seen.role(), read.role.map(|role| u64::try_from(role).unwrap()));
        assert_eq!(sorted(seen.digests()), of_map(&read.digests));
    }
    assert_eq!(view.attestations().count(), event.attestations.len());
    for (seen, read) in view.attestations().zip(&event.attestations) {
        assert_eq!(seen.predicate_type(), read.predicate_type.as_deref());
        assert_eq!(seen.uri(), read.uri.as_deref());
        assert_eq!(sorted(seen.digests()), of_map(&read.digests));
    }
    assert_eq!(view.links().count(), event.links.len());
    for (seen, read) in view.links().zip(&event.links) {
        assert_eq!(seen.kind(), read.kind.as_deref());
        assert_eq!(seen.source(), read.source.as_deref());
        assert_eq!(seen.id(), read.id.as_deref());
    }
}

/// The terms of an event are what its fields say, field by field.
fn terms_agree(view: EventView<'_>) {
    let mut terms = Vec::new();
    view.for_each_term(&mut |term| terms.push(term));
    let is = |key, value| move |pair: (&str, &str)| (pair.0.as_bytes(), pair.1.as_bytes()) == (key, value);
    for term in &terms {
        match *term {
            Term::Time(time) => assert_eq!(view.time(), Some(time)),
            Term::Text(Field::RunnerLabels, label) => {
                assert!(view.runner_labels().any(|l| l.as_bytes() == label));
            }
            Term::Text(Field::Links, id) => {
                assert!(view.links().any(|link| link.id().map(str::as_bytes) == Some(id)));
            }
            Term::Text(field, text) => assert_eq!(view.text(field).map(str::as_bytes), Some(text)),
            Term::Number(field, number) => assert_eq!(view.number(field), Some(number)),
            Term::Bytes(field, bytes) => assert_eq!(view.blob(field), Some(bytes)),
            Term::Digest(Field::Artifacts, algorithm, hex) => {
                assert!(view.artifacts().flat_map(ArtifactView::digests).any(is(algorithm, hex)));
            }
            Term::Digest(_, algorithm, hex) => {
                assert!(view.attestations().flat_map(AttestationView::digests).any(is(algorithm, hex)));
            }
            Term::Attribute(key, value) => assert!(view.attributes().any(is(key, value))),
        }
    }
    let digests = view.artifacts().map(|a| a.digests().count()).sum::<usize>()
        + view.attestations().map(|a| a.digests().count()).sum::<usize>();
    let found = terms.iter().filter(|term| matches!(term, Term::Digest(..))).count();
    assert_eq!(found, digests);
    let attributes = terms.iter().filter(|term| matches!(term, Term::Attribute(..))).count();
    assert_eq!(attributes, view.attributes().count());
}

#[test]
fn every_field_is_known_under_its_own_number_and_name() {
    for &field in Field::ALL {
        assert_eq!(Field::from_number(field.number().into()), Some(field));
        assert_eq!(Field::from_name(field.name()), Some(field));
    }
    assert_eq!(Field::from_number(0), None);
    assert_eq!(Field::from_number(40), None);
    assert_eq!(Field::from_number(65_537), None, "no number is cut to 16 bits");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn good_events_pass_and_read_the_same_everywhere(bytes in events()) {
        let view = check_event(&bytes).unwrap();
        agree(view);
        terms_agree(view);
    }

    #[test]
    fn changed_events_are_refused_or_read_the_same_everywhere(
        bytes in events(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(view) = check_event(&bytes) {
            agree(view);
            terms_agree(view);
        }
    }

    #[test]
    fn events_put_together_of_parts_are_refused_or_read_the_same_everywhere(
        parts in prop::collection::vec(prop::sample::select(Field::ALL).prop_flat_map(value), 0..9),
    ) {
        let mut bytes = event("alice", "build.started");
        bytes.extend(parts.into_iter().flat_map(|part| part.0));
        if let Ok(view) = check_event(&bytes) {
            agree(view);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(view) = check_event(&bytes) {
            agree(view);
        }
    }
}
