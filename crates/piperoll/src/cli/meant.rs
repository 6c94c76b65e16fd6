//! What was perhaps meant, where nothing was found: a slip in a value looks like an answer.

use super::say;
use crate::output::text::plain;
use piperoll_client::Client;
use piperoll_filter::{Comparison, Expression, Subject, Test, Value, nearest, parse};
use piperoll_format::{
    event::{Indexed, Kind},
    units::UnixNanos,
};
use piperoll_proto::v1::ValuesRequest;
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

/// How long a person waits for it, all in all.
const PATIENCE: Duration = Duration::from_millis(500);
/// Values of a field that are looked through.
const VALUES: u32 = 10_000;

/// Tells a person which values of the filter no event has, as far as that is known soon.
pub(crate) async fn say_meant(client: &Client, filter: &str) {
    if !io::stderr().is_terminal() {
        return;
    }
    // It was parsed before, and its times are settled.
    let Ok(filter) = parse(filter, UnixNanos(0)) else { return };
    let mut asked = Vec::new();
    collect(filter.expression(), &mut asked);
    // Late or refused, there is no more to say than that nothing was found.
    let _ = tokio::time::timeout(PATIENCE, async {
        for (subject, value) in asked {
            say_of(client, subject, value).await;
        }
    })
    .await;
}

/// The values that are asked for of fields that have few.
fn collect<'f>(expression: &'f Expression, asked: &mut Vec<(&'f Subject, &'f str)>) {
    match expression {
        Expression::And(parts) | Expression::Or(parts) => parts.iter().for_each(|part| collect(part, asked)),
        Expression::Compare(Comparison {
            subject: subject @ Subject::Field(field),
            test: Test::OneOf(values),
        }) if field.kind() == Kind::Text && field.indexed() == Indexed::Bitmap => {
            let text =
                |value: &'f Value| if let Value::Text(text) = value { Some(text.as_str()) } else { None };
            asked.extend(values.iter().filter_map(text).map(|text| (subject, text)));
        }
        Expression::Compare(_) | Expression::All | Expression::Not(_) => {}
    }
}

async fn say_of(client: &Client, subject: &Subject, value: &str) {
    let request = |begins: &str| ValuesRequest {
        field: subject.name(),
        begins: begins.to_owned(),
        limit: VALUES,
        ..ValuesRequest::default()
    };
    let is_known =
        client.values(request(value)).await.map(|known| known.values.iter().any(|one| one.value == value));
    // One that is not among the most frequent that begin so may be there all the same, if there are very many.
    if !matches!(is_known, Ok(false)) {
        return;
    }
    let known = client.values(request("")).await.map(|known| known.values).unwrap_or_default();
    let near = nearest(value, known.iter().map(|one| one.value.as_str()));
    let hint = near.map(|near| format!("; did you mean {}?", plain(near))).unwrap_or_default();
    say(&format!("no event has {subject} {}{hint}", plain(value)));
}
