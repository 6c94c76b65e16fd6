//! SQLite: in this process, with one writer, as it has but one.

use super::{About, Asked, Ingest, Lane, System};
use crate::{
    clock::now,
    place,
    questions::{
        Input,
        answer::Answer,
        ask::{Ask, Dialect, Form},
    },
    row::{COLUMNS, Row},
    samples::{Sample, events},
    server::Server,
};
use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const TABLE: &str = "CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, time INTEGER NOT NULL, \
    actor TEXT NOT NULL, action TEXT NOT NULL, stage TEXT, outcome TEXT, environment TEXT, reason TEXT, \
    digests TEXT NOT NULL, body TEXT NOT NULL)";
const INDEXES: &str = "CREATE INDEX events_actor ON events (actor); CREATE INDEX events_stage ON events (stage); \
    CREATE INDEX events_time ON events (time)";
const ASKED_INDEXES: &str = "CREATE INDEX events_actor ON events (actor, stage, time); \
    CREATE INDEX events_stage ON events (stage, time); \
    CREATE TABLE event_digests (digest TEXT, seq INTEGER, PRIMARY KEY (digest, seq)) WITHOUT ROWID; \
    INSERT OR IGNORE INTO event_digests SELECT each.value, seq \
        FROM events, json_each('[\"' || replace(digests, ',', '\",\"') || '\"]') AS each WHERE digests <> ''; \
    CREATE VIRTUAL TABLE event_reasons USING fts5(reason, content = '', tokenize = 'trigram case_sensitive 1'); \
    INSERT INTO event_reasons (rowid, reason) SELECT seq, reason FROM events WHERE reason IS NOT NULL; \
    ANALYZE";
const DIALECT: Dialect = Dialect {
    has_digest: |digest| format!("seq IN (SELECT seq FROM event_digests WHERE digest = '{digest}')"),
    has_text: |text| {
        format!(
            "seq IN (SELECT rowid FROM event_reasons WHERE event_reasons MATCH '\"{text}\"') \
             AND instr(reason, '{text}') > 0"
        )
    },
    body: "body",
};
/// Rows of one transaction while it is filled.
const FILL_ROWS: usize = 10_000;
/// Of the connection that asks: as much as PostgreSQL's shared buffers.
const CACHE_KIB: i64 = 1 << 20;
/// What `PRAGMA synchronous` answers for FULL.
const FULL: i64 = 2;

/// A database.
pub(crate) struct Sqlite {
    folder: PathBuf,
    connection: Connection,
}

fn connect(folder: &Path) -> Result<Connection> {
    let connection = Connection::open(folder.join("data/events.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

impl System for Sqlite {
    const NAME: &'static str = "SQLite";

    fn missing() -> Option<String> {
        None
    }

    async fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir(folder.join("data"))?;
        let connection = connect(folder)?;
        connection.execute_batch(TABLE)?;
        Ok(Self { folder: folder.to_owned(), connection })
    }

    async fn about(&self) -> Result<About> {
        // Of a connection as a sender's: the setting is not the file's.
        let sender = connect(&self.folder)?;
        let journal: String = sender.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = sender.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        anyhow::ensure!(journal == "wal" && synchronous == FULL, "{journal}, synchronous {synchronous}");
        Ok(About {
            version: rusqlite::version().to_owned(),
            durability: format!("journal_mode {journal}, synchronous {synchronous} (FULL)"),
            sent: "in the client's process; one writer, a transaction a batch".to_owned(),
            asked: "in the client's process; cache_size 1 GiB; btrees on (actor, stage, time), (stage, time) and on a \
                    table of digests, FTS5 on trigrams of reason; ANALYZE"
                .to_owned(),
        })
    }

    fn server(&self) -> Option<&Server> {
        None
    }

    async fn stored_bytes(&self) -> Result<u64> {
        let busy =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
        anyhow::ensure!(busy == 0, "the log could not be written back");
        place::bytes_below(&self.folder.join("data"))
    }

    fn stop(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

impl Ingest for Sqlite {
    type Batch = Vec<Arc<Sample>>;
    type Lane = Connection;
    const IN_FLIGHT: usize = 1;

    fn batch(samples: &[Arc<Sample>]) -> Self::Batch {
        samples.to_vec()
    }

    async fn add_indexes(&self) -> Result<()> {
        Ok(self.connection.execute_batch(INDEXES)?)
    }

    async fn lane(&self) -> Result<Connection> {
        connect(&self.folder)
    }

    async fn stored(&self) -> Result<u64> {
        let count = self.connection.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(count?)?)
    }
}

impl Lane<Vec<Arc<Sample>>> for Connection {
    async fn send(&mut self, batch: &Vec<Arc<Sample>>) -> Result<()> {
        tokio::task::block_in_place(|| insert(self, batch.iter().map(|sample| &sample.row)))
    }
}

/// Inserts rows in one transaction.
fn insert<'a>(connection: &mut Connection, rows: impl Iterator<Item = &'a Row>) -> Result<()> {
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare_cached(&format!(
        "INSERT INTO events ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    ))?;
    for row in rows {
        let Row { id, time, actor, action, stage, outcome, environment, reason, digests, body } = row;
        let digests = digests.join(",");
        let done = insert.execute(params![
            id,
            time,
            actor,
            action,
            stage,
            outcome,
            environment,
            reason,
            digests,
            body
        ])?;
        anyhow::ensure!(done == 1, "{done} rows were stored of one");
    }
    drop(insert);
    transaction.commit().context("commit")
}

impl Asked for Sqlite {
    async fn fill(&mut self, input: &Input) -> Result<()> {
        self.connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let mut events = events(input.events);
        loop {
            let rows =
                events.by_ref().take(FILL_ROWS).map(|event| Row::of(&event)).collect::<Result<Vec<_>>>()?;
            if rows.is_empty() {
                break;
            }
            insert(&mut self.connection, rows.iter())?;
        }
        Ok(self.connection.execute_batch(ASKED_INDEXES)?)
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(Duration, Answer)> {
        let mut statement = self.connection.prepare_cached(&ask.sql(&DIALECT))?;
        let begun = now();
        match ask.form() {
            Form::Events(_) => {
                let rows = statement.query_map([], row)?.collect::<rusqlite::Result<Vec<_>>>()?;
                let time = begun.elapsed();
                Ok((time, Answer::of_rows(rows)?))
            }
            Form::Groups(_) => {
                let group = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
                let groups = statement.query_map([], group)?.collect::<rusqlite::Result<_>>()?;
                Ok((begun.elapsed(), Answer::Groups(groups)))
            }
            Form::Number => {
                let number = statement.query_row([], |row| row.get(0))?;
                Ok((begun.elapsed(), Answer::Number(number)))
            }
        }
    }
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let digests: String = row.get(8)?;
    Ok(Row {
        id: row.get(0)?,
        time: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        stage: row.get(4)?,
        outcome: row.get(5)?,
        environment: row.get(6)?,
        reason: row.get(7)?,
        digests: digests.split(',').filter(|digest| !digest.is_empty()).map(str::to_owned).collect(),
        body: row.get(9)?,
    })
}
