//! `piperoll values`: which values a field has.

use super::complete::fields;
use super::connection::Connection;
use super::which::Which;
use super::{Done, Outcome, say};
use crate::output::{Format, print_table, table, text};
use piperoll_proto::v1::{FieldValue, ValuesRequest, ValuesResponse};
use serde_json::json;
use std::io::{self, Write};

/// List the values that a field has, and how many events have each
///
/// The most frequent come first: piperoll values actor --begins al --since -7d
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The field, such as actor, stage, repo or attr.region
    #[arg(value_name = "FIELD", add = fields())]
    field: String,
    #[command(flatten)]
    which: Which,
    /// Only values that begin so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    begins: String,
    /// At most this many values
    #[arg(short = 'n', long, visible_alias = "top", default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where there is no value.
pub(crate) async fn run(args: Args) -> Outcome {
    let filter = args.which.text()?;
    let client = args.connection.open().await?;
    let Args { field, begins, limit, .. } = args;
    let request = ValuesRequest { filter, field: field.clone(), begins, limit };
    let answer = client.values(request).await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => print_rows(&mut out, &field, &answer)?,
        Format::Csv => print_csv(&mut out, &field, &answer)?,
        Format::Json => print_json(&mut out, &field, &answer)?,
        Format::Jsonl => print_lines(&mut out, &answer)?,
    }
    out.flush()?;
    if answer.values_omitted > 0 {
        let omitted = text::count(answer.values_omitted);
        say(&format!("{omitted} less frequent values are not shown: --limit, --begins"));
    }
    if answer.values.is_empty() {
        say("nothing found");
        return Ok(Done::Nothing);
    }
    Ok(Done::Yes)
}

fn print_rows(out: &mut impl Write, field: &str, answer: &ValuesResponse) -> io::Result<()> {
    if answer.values.is_empty() {
        return Ok(());
    }
    let mut rows = table(&[field.to_uppercase().as_str(), "EVENTS"]);
    for FieldValue { value, count } in &answer.values {
        rows.add_row([text::value(Some(value)), text::count(*count)]);
    }
    if let Some(column) = rows.column_mut(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    print_table(out, &rows)
}

fn print_csv(out: &mut impl Write, field: &str, answer: &ValuesResponse) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([field, "count"])?;
    for FieldValue { value, count } in &answer.values {
        writer.write_record([value, &count.to_string()])?;
    }
    writer.flush()
}

fn value_json(FieldValue { value, count }: &FieldValue) -> serde_json::Value {
    json!({ "value": value, "count": count })
}

fn print_json(out: &mut impl Write, field: &str, answer: &ValuesResponse) -> io::Result<()> {
    let values: Vec<_> = answer.values.iter().map(value_json).collect();
    let document = json!({ "field": field, "values": values, "values_omitted": answer.values_omitted });
    crate::output::print_json(out, Format::Json, &document)
}

fn print_lines(out: &mut impl Write, answer: &ValuesResponse) -> io::Result<()> {
    answer
        .values
        .iter()
        .try_for_each(|value| crate::output::print_json(out, Format::Jsonl, &value_json(value)))
}
