//! Events as Parquet: a column for each field that a person filters by, and the whole event as JSON.
//!
//! A row group is held until it is full; the file ends with its list of row groups, so that one that was cut off
//! is none.

use super::{events::record_json, text};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::{parser::parse_message_type, types::TypePtr},
};
use piperoll_proto::v1::{Artifact, EventRecord};
use prost_types::Timestamp;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Most events in a row group.
const GROUP_EVENTS_MAX: usize = 16_384;
/// Most bytes of JSON in a row group.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Fields of the event that are text in its JSON, each a column of its name.
const TEXTS: [&str; 29] = [
    "id",
    "source",
    "actor",
    "actor_name",
    "actor_type",
    "on_behalf_of",
    "auth_method",
    "credential",
    "action",
    "stage",
    "outcome",
    "reason",
    "pipeline",
    "run",
    "job",
    "step",
    "trigger",
    "repo",
    "ref",
    "commit",
    "change",
    "environment",
    "address",
    "user_agent",
    "runner",
    "trace_id",
    "span_id",
    "original_schema",
    "original_digest",
];

/// What the writer of the file writes into, until it is passed on.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file on its way.
pub(crate) struct ParquetFile {
    written: Written,
    writer: SerializedFileWriter<Written>,
    group: Group,
}

/// Events that are not in a row group yet, column by column.
#[derive(Default)]
struct Group {
    addresses: Vec<ByteArray>,
    classes: Vec<ByteArray>,
    sequences: Vec<i64>,
    received: Vec<Option<i64>>,
    times: Vec<Option<i64>>,
    /// As [`TEXTS`].
    texts: Vec<Vec<Option<ByteArray>>>,
    artifacts: Vec<Option<ByteArray>>,
    principals: Vec<ByteArray>,
    events: Vec<ByteArray>,
    bytes: usize,
}

fn schema() -> Result<TypePtr, ParquetError> {
    let texts = TEXTS.map(|name| format!("optional binary {name} (STRING);\n")).concat();
    let schema = format!(
        "message event {{
            required binary event_address (STRING);
            required binary class (STRING);
            required int64 sequence;
            optional int64 received (TIMESTAMP(NANOS,true));
            optional int64 time (TIMESTAMP(NANOS,true));
            {texts}
            optional binary artifacts (STRING);
            required binary principal (STRING);
            required binary event (JSON);
        }}"
    );
    parse_message_type(&schema).map(Arc::new)
}

impl ParquetFile {
    /// A file without events.
    pub(crate) fn new() -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let written = Written::default();
        let writer =
            SerializedFileWriter::new(written.clone(), schema().map_err(failed)?, Arc::new(properties));
        Ok(Self { written, writer: writer.map_err(failed)?, group: Group::default() })
    }

    /// Takes an event; gives bytes of the file once there are some.
    pub(crate) fn add(&mut self, record: &EventRecord) -> io::Result<Vec<u8>> {
        self.group.add(record);
        if self.group.events.len() >= GROUP_EVENTS_MAX || self.group.bytes >= GROUP_BYTES_MAX {
            self.end_group()?;
        }
        Ok(self.written.take())
    }

    /// The rest of the file.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end_group()?;
        self.writer.close().map_err(failed)?;
        Ok(self.written.take())
    }

    fn end_group(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        if group.events.is_empty() { Ok(()) } else { group.write(&mut self.writer).map_err(failed) }
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

impl Group {
    fn add(&mut self, record: &EventRecord) {
        let event = record_json(record).get("event").cloned().unwrap_or_default();
        let whole = event.to_string();
        self.bytes = self.bytes.saturating_add(whole.len());
        self.texts.resize_with(TEXTS.len(), Vec::new);
        for (name, column) in TEXTS.iter().zip(&mut self.texts) {
            column.push(event.get(*name).and_then(Value::as_str).map(ByteArray::from));
        }
        let artifacts =
            record.event.iter().flat_map(|event| &event.artifacts).flat_map(digests).collect::<Vec<_>>();
        self.artifacts.push((!artifacts.is_empty()).then(|| ByteArray::from(artifacts.join(" ").as_str())));
        self.addresses.push(ByteArray::from(record.address.as_str()));
        self.classes.push(ByteArray::from(record.class.as_str()));
        self.sequences.push(i64::try_from(record.sequence).unwrap_or(i64::MAX));
        self.received.push(record.received.as_ref().and_then(nanos));
        self.times.push(record.event.as_ref().and_then(|event| event.time.as_ref()).and_then(nanos));
        let principal = record.sender.as_ref().map_or("", |sender| sender.principal.as_str());
        self.principals.push(ByteArray::from(principal));
        self.events.push(ByteArray::from(whole.as_str()));
    }

    fn write(self, file: &mut SerializedFileWriter<Written>) -> Result<(), ParquetError> {
        let mut columns = Columns { group: file.next_row_group()? };
        columns.required::<ByteArrayType>(&self.addresses)?;
        columns.required::<ByteArrayType>(&self.classes)?;
        columns.required::<Int64Type>(&self.sequences)?;
        columns.optional::<Int64Type>(self.received)?;
        columns.optional::<Int64Type>(self.times)?;
        for texts in self.texts {
            columns.optional::<ByteArrayType>(texts)?;
        }
        columns.optional::<ByteArrayType>(self.artifacts)?;
        columns.required::<ByteArrayType>(&self.principals)?;
        columns.required::<ByteArrayType>(&self.events)?;
        columns.group.close().map(|_| ())
    }
}

/// A row group, whose columns are written in the order of the schema.
struct Columns<'a> {
    group: parquet::file::writer::SerializedRowGroupWriter<'a, Written>,
}

impl Columns<'_> {
    fn required<T: parquet::data_type::DataType>(&mut self, values: &[T::T]) -> Result<(), ParquetError> {
        self.column::<T>(values, None)
    }

    fn optional<T: parquet::data_type::DataType>(
        &mut self,
        values: Vec<Option<T::T>>,
    ) -> Result<(), ParquetError> {
        let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        self.column::<T>(&values.into_iter().flatten().collect::<Vec<_>>(), Some(&levels))
    }

    fn column<T: parquet::data_type::DataType>(
        &mut self,
        values: &[T::T],
        levels: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("the schema has fewer columns".to_owned());
        let mut column = self.group.next_column()?.ok_or_else(missing)?;
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }
}

fn digests(artifact: &Artifact) -> impl Iterator<Item = String> {
    artifact.digests.iter().map(|(algorithm, hex)| format!("{algorithm}:{hex}"))
}

/// Nanoseconds since 1970, where they fit.
fn nanos(time: &Timestamp) -> Option<i64> {
    i64::try_from(text::instant(time)?.as_nanosecond()).ok()
}
