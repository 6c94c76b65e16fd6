//! Events, printed as they come.

use super::{EventFormat, Show, coloured, columns, print_table, table, text};
use comfy_table::{Cell, Color, ColumnConstraint, Table, Width};
use jiff::Timestamp;
use piperoll_intake::event_json;
use piperoll_proto::v1::{Event, EventRecord, Outcome};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    iter,
};

/// In narrower terminals tables do without what hardly anybody looks for there: milliseconds, and the tenant, which
/// is the one that was asked for.
const COLUMNS_WIDE: u16 = 150;
/// In these an event takes two lines.
const COLUMNS_NARROW: u16 = 120;
/// A blank on each side of a column.
const COLUMN_PADDING: u16 = 2;

/// Columns of the CSV form.
const CSV_HEADER: [&str; 21] = [
    "address",
    "received",
    "time",
    "actor",
    "actor_type",
    "on_behalf_of",
    "action",
    "stage",
    "outcome",
    "pipeline",
    "run",
    "job",
    "repo",
    "ref",
    "commit",
    "change",
    "environment",
    "from",
    "artifacts",
    "reason",
    "principal",
];

/// Prints records in one of the formats. Text rows are gathered into tables of what came together, so that a
/// tail shows each event at once.
pub(crate) struct EventPrinter<W: Write> {
    out: W,
    show: Show,
    printed: u64,
    csv_begun: bool,
    /// Of the columns of the tables so far.
    widths: Vec<u16>,
    tells_why: bool,
    #[cfg(feature = "parquet")]
    file: Option<super::parquet::ParquetFile>,
}

/// How events stand in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Everything.
    Wide,
    /// Without milliseconds and the tenant.
    Narrow,
    /// The same, in two lines.
    Folded,
}

impl Layout {
    /// As stdout has room.
    fn of_stdout() -> Self {
        match columns() {
            Some(..COLUMNS_NARROW) => Self::Folded,
            Some(..COLUMNS_WIDE) => Self::Narrow,
            _ => Self::Wide,
        }
    }

    fn header(self) -> &'static [&'static str] {
        match self {
            Self::Wide | Self::Narrow => {
                &["TIME", "ACTOR", "ACTION", "STAGE", "OUTCOME", "WHERE", "WHAT", "ADDRESS"]
            }
            Self::Folded => &["TIME\nADDRESS", "ACTOR", "ACTION\nSTAGE", "OUTCOME", "WHERE\nWHAT"],
        }
    }

    /// Columns that are never broken, since they are compared or copied: when, how it ended, the address.
    fn whole_columns(self) -> &'static [usize] {
        if self == Self::Folded { &[0, 3] } else { &[0, 4, 7] }
    }
}

/// Why an event is in an answer, where the answer says it.
pub(crate) struct Why {
    /// For people, and CSV.
    pub(crate) words: String,
    /// The member `reasons` of the JSON.
    pub(crate) reasons: Value,
}

/// An event to print.
type Item<'a> = (&'a EventRecord, Option<&'a Why>);

impl<W: Write> EventPrinter<W> {
    /// A printer that writes to `out`.
    pub(crate) fn new(out: W, show: Show) -> Self {
        Self {
            out,
            show,
            printed: 0,
            csv_begun: false,
            widths: Vec::new(),
            tells_why: false,
            #[cfg(feature = "parquet")]
            file: None,
        }
    }

    /// The same for an answer that says of each event why it is there.
    pub(crate) fn telling_why(self) -> Self {
        Self { tells_why: true, ..self }
    }

    /// How many records were printed.
    pub(crate) fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints records that came together.
    pub(crate) fn print(&mut self, records: &[EventRecord]) -> io::Result<()> {
        self.print_items(&records.iter().map(|record| (record, None)).collect::<Vec<_>>())
    }

    /// Prints records that came together, and why.
    pub(crate) fn print_told(&mut self, records: &[(EventRecord, Why)]) -> io::Result<()> {
        self.print_items(&records.iter().map(|(record, why)| (record, Some(why))).collect::<Vec<_>>())
    }

    fn print_items(&mut self, items: &[Item<'_>]) -> io::Result<()> {
        match self.show.output {
            EventFormat::Text => self.print_rows(items)?,
            EventFormat::Json => items.iter().try_for_each(|item| self.print_element(item))?,
            EventFormat::Jsonl => {
                for item in items {
                    serde_json::to_writer(&mut self.out, &item_json(item))?;
                    writeln!(self.out)?;
                    self.printed += 1;
                }
            }
            EventFormat::Csv => self.print_csv(items)?,
            #[cfg(feature = "parquet")]
            EventFormat::Parquet => self.print_parquet(items)?,
        }
        self.out.flush()
    }

    /// Ends the answer: closes the one document that some formats are.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        #[cfg(feature = "parquet")]
        if self.show.output == EventFormat::Parquet {
            let file = self.file()?;
            self.out.write_all(&file.finish()?)?;
        }
        if self.show.output == EventFormat::Csv {
            self.print_csv(&[])?;
        }
        if self.show.output == EventFormat::Json {
            self.out.write_all(if self.printed == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }

    /// One element of the array that the document is: nothing of it is held back.
    fn print_element(&mut self, item: &Item<'_>) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&item_json(item))?;
        let begin = if self.printed == 0 { "[" } else { "," };
        write!(self.out, "{begin}\n  {}", text.replace('\n', "\n  "))?;
        self.printed += 1;
        Ok(())
    }

    fn print_rows(&mut self, items: &[Item<'_>]) -> io::Result<()> {
        let Some((_, why)) = items.first() else { return Ok(()) };
        let layout = Layout::of_stdout();
        let header: Vec<_> = layout.header().iter().copied().chain(why.map(|_| "WHY")).collect();
        let mut rows = table(if self.printed == 0 { &header } else { &[] });
        let now = self.show.relative.then(Timestamp::now);
        for (record, why) in items {
            let mut row = row(record, now, layout);
            row.extend(why.map(|why| Cell::new(text::plain(&why.words))));
            rows.add_row(row);
        }
        self.keep_widths(&mut rows, layout);
        self.printed += items.len() as u64;
        print_table(&mut self.out, &rows)
    }

    /// Makes columns as wide as they were before, as far as there is room, so that what comes later stands below it.
    fn keep_widths(&mut self, rows: &mut Table, layout: Layout) {
        let own =
            rows.column_max_content_widths().into_iter().map(|width| width.saturating_add(COLUMN_PADDING));
        let before = self.widths.iter().copied().chain(iter::repeat(0));
        self.widths = own.zip(before).map(|(own, before)| own.max(before)).collect();
        let whole: usize = self.widths.iter().copied().map(usize::from).sum();
        let fits = columns().is_none_or(|columns| whole <= usize::from(columns));
        for (at, &width) in self.widths.iter().enumerate() {
            if let Some(column) = rows.column_mut(at).filter(|_| fits || layout.whole_columns().contains(&at))
            {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
            }
        }
    }

    /// The file so far.
    #[cfg(feature = "parquet")]
    fn file(&mut self) -> io::Result<super::parquet::ParquetFile> {
        self.file.take().map_or_else(super::parquet::ParquetFile::new, Ok)
    }

    #[cfg(feature = "parquet")]
    fn print_parquet(&mut self, items: &[Item<'_>]) -> io::Result<()> {
        let mut file = self.file()?;
        for (record, _) in items {
            self.out.write_all(&file.add(record)?)?;
            self.printed += 1;
        }
        self.file = Some(file);
        Ok(())
    }

    fn print_csv(&mut self, items: &[Item<'_>]) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.out);
        if !self.csv_begun {
            writer.write_record(CSV_HEADER.into_iter().chain(self.tells_why.then_some("why")))?;
            self.csv_begun = true;
        }
        for (record, why) in items {
            writer.write_record(csv_row(record).into_iter().chain(why.map(|why| why.words.clone())))?;
            self.printed += 1;
        }
        writer.flush()
    }
}

fn item_json((record, why): &Item<'_>) -> Value {
    let mut document = record_json(record);
    if let (Some(why), Some(members)) = (why, document.as_object_mut()) {
        members.insert("reasons".to_owned(), why.reasons.clone());
    }
    document
}

/// A record as JSON: the daemon's words at the top, the producer's under `event`.
pub(crate) fn record_json(record: &EventRecord) -> Value {
    let sender = record.sender.clone().unwrap_or_default();
    json!({
        "address": record.address,
        "class": record.class,
        "sequence": record.sequence,
        "received": text::rfc3339(record.received.as_ref()),
        "sender": {
            "principal": sender.principal,
            "auth_method": sender.auth_method().as_str_name(),
            "peer": sender.peer,
            "intake": sender.intake,
        },
        "event": record.event.as_ref().map(event_json),
    })
}

/// The columns of a row; the time as how long before `now` it was, where that is given.
fn row(record: &EventRecord, now: Option<Timestamp>, layout: Layout) -> Vec<Cell> {
    let is_narrow = layout != Layout::Wide;
    let event = record.event.clone().unwrap_or_default();
    let actor = match &event.on_behalf_of {
        Some(person) => format!("{} (for {person})", event.actor()),
        None => event.actor().to_owned(),
    };
    let time = event.time.as_ref().or(record.received.as_ref());
    let local_time = if is_narrow { text::local_second } else { text::local_time };
    let whole = record.address.as_str();
    let address = if is_narrow { whole.split_once('/').map_or(whole, |(_, rest)| rest) } else { whole };
    let time = now.map_or_else(|| local_time(time), |now| text::ago(time, now));
    let [actor, action, stage, place, what, address] =
        [&actor, event.action(), event.stage(), &place(&event), &what(&event), address].map(text::plain);
    match layout {
        Layout::Wide | Layout::Narrow => {
            let before = [time, actor, action, stage].into_iter().map(Cell::new);
            let after = [place, what, address].into_iter().map(Cell::new);
            before.chain([outcome(&event)]).chain(after).collect()
        }
        Layout::Folded => vec![
            Cell::new(format!("{time}\n{address}")),
            Cell::new(actor),
            Cell::new(format!("{action}\n{stage}")),
            outcome(&event),
            Cell::new(format!("{place}\n{what}")),
        ],
    }
}

fn outcome(event: &Event) -> Cell {
    match event.outcome() {
        Outcome::Unspecified => Cell::new(""),
        Outcome::Success => coloured("success", Color::DarkGreen),
        Outcome::Failure => coloured("failure", Color::DarkRed),
        Outcome::Error => coloured("error", Color::DarkRed),
        Outcome::Timeout => coloured("timeout", Color::DarkRed),
        Outcome::Cancelled => coloured("cancelled", Color::DarkYellow),
        Outcome::Skipped => coloured("skipped", Color::DarkGrey),
        Outcome::Denied => coloured("denied", Color::DarkMagenta),
    }
}

/// Where it happened: repository, and environment or pipeline.
fn place(event: &Event) -> String {
    let detail = event.environment.as_deref().or(event.pipeline.as_deref());
    match (event.repo.as_deref(), detail) {
        (Some(repo), Some(detail)) => format!("{repo} → {detail}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    }
}

/// To what: the first artifact, else the change, the commit or the reference.
fn what(event: &Event) -> String {
    if let Some(first) = event.artifacts.first() {
        let name = first.name.as_deref().or(first.uri.as_deref()).or(first.purl.as_deref());
        let digest = first
            .digests
            .iter()
            .next()
            .map(|(algorithm, hex)| format!("{algorithm}:{}", text::beginning(hex)));
        let more = if event.artifacts.len() > 1 { " …" } else { "" };
        return [name, digest.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ") + more;
    }
    let commit = event.commit.as_deref().map(text::beginning);
    event.change.clone().or(commit).or_else(|| event.r#ref.clone()).unwrap_or_default()
}

fn csv_row(record: &EventRecord) -> [String; 21] {
    let event = record.event.clone().unwrap_or_default();
    let json = event_json(&event);
    let field = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let digests = |artifact: &piperoll_proto::v1::Artifact| {
        artifact.digests.iter().map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect::<Vec<_>>()
    };
    let artifacts = event.artifacts.iter().flat_map(digests).collect::<Vec<_>>().join(" ");
    let principal = record.sender.as_ref().map(|sender| sender.principal.clone());
    [
        record.address.clone(),
        text::rfc3339(record.received.as_ref()),
        text::rfc3339(event.time.as_ref()),
        field("actor"),
        field("actor_type"),
        field("on_behalf_of"),
        field("action"),
        field("stage"),
        field("outcome"),
        field("pipeline"),
        field("run"),
        field("job"),
        field("repo"),
        field("ref"),
        field("commit"),
        field("change"),
        field("environment"),
        field("address"),
        artifacts,
        field("reason"),
        principal.unwrap_or_default(),
    ]
}
