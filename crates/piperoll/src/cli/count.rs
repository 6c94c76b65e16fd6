//! `piperoll count`: how many, by what.

use super::complete::fields;
use super::connection::Connection;
use super::query::explain;
use super::which::Which;
use super::{Done, Outcome, meant, say};
use crate::output::{Format, print_json, print_table, table, text};
use piperoll_proto::v1::{CountRequest, CountResponse, explain_request::Question};
use serde_json::json;
use std::io::{self, Write};

/// Count events, by up to two fields
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Count by these fields, up to two: --by stage,outcome
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', add = fields())]
    by: Vec<String>,
    /// At most this many groups, the largest first
    #[arg(short = 'n', long, visible_alias = "top", default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Tell how the count is made instead: what is ruled out, asked and read
    #[arg(long)]
    explain: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints; `Done::Nothing` where nothing matched.
pub(crate) async fn run(args: Args) -> Outcome {
    let filter = args.which.text()?;
    let client = args.connection.open().await?;
    let request = CountRequest { filter: filter.clone(), group_by: args.by.clone(), limit: args.limit };
    if args.explain {
        return explain(&client, Question::Count(request), args.output).await;
    }
    let answer = client.count(request).await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Text => print_rows(&mut out, &args.by, &answer)?,
        Format::Csv => print_csv(&mut out, &args.by, &answer)?,
        Format::Json | Format::Jsonl => print_json(&mut out, args.output, &as_json(&args.by, &answer))?,
    }
    out.flush()?;
    if answer.groups_omitted > 0 {
        say(&format!("{} smaller groups are not shown: --limit", text::count(answer.groups_omitted)));
    }
    if answer.total == 0 {
        meant::say_meant(&client, &filter).await;
        return Ok(Done::Nothing);
    }
    Ok(Done::Yes)
}

/// Each group's values, as text, and its count; one group without values where nothing was counted by.
fn groups(answer: &CountResponse) -> impl Iterator<Item = (Vec<Option<&str>>, u64)> {
    answer
        .groups
        .iter()
        .map(|group| (group.values.iter().map(|value| value.value.as_deref()).collect(), group.count))
}

fn print_rows(out: &mut impl Write, by: &[String], answer: &CountResponse) -> io::Result<()> {
    if by.is_empty() {
        return writeln!(out, "{}", text::count(answer.total));
    }
    let mut header: Vec<_> = by.iter().map(|name| name.to_uppercase()).collect();
    header.push("COUNT".to_owned());
    let mut rows = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for (values, count) in groups(answer) {
        let mut row: Vec<_> = values.into_iter().map(|value| text::value(value)).collect();
        row.push(text::count(count));
        rows.add_row(row);
    }
    let mut last = vec!["total".to_owned()];
    last.resize(by.len(), String::new());
    last.push(text::count(answer.total));
    rows.add_row(last);
    if let Some(column) = rows.column_mut(by.len()) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    print_table(out, &rows)
}

fn print_csv(out: &mut impl Write, by: &[String], answer: &CountResponse) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(by.iter().map(String::as_str).chain(["count"]))?;
    if by.is_empty() {
        writer.write_record([answer.total.to_string()])?;
    }
    for (values, count) in groups(answer) {
        let values = values.into_iter().map(|value| value.unwrap_or_default().to_owned());
        writer.write_record(values.chain([count.to_string()]))?;
    }
    writer.flush()
}

fn as_json(by: &[String], answer: &CountResponse) -> serde_json::Value {
    let groups: Vec<_> = groups(answer)
        .map(|(values, count)| {
            let named: serde_json::Map<_, _> =
                by.iter().cloned().zip(values.into_iter().map(Into::into)).collect();
            json!({ "by": named, "count": count })
        })
        .collect();
    json!({ "total": answer.total, "groups": groups, "groups_omitted": answer.groups_omitted })
}
