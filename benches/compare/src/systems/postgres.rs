//! PostgreSQL: a cluster of its own, over TCP.

use super::{About, Asked, Ingest, Lane, System};
use crate::{
    clock::now,
    http::free_port,
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
use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use rustix::process::Signal;
use std::{
    collections::HashMap,
    fs,
    net::TcpStream,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio_postgres::{Client, NoTls, Statement, types::ToSql};

const VERSIONS: &str = "/usr/lib/postgresql";
/// Who the server runs as where this program is root, which it refuses to be.
const ACCOUNT: &str = "postgres";
/// What is set beside the defaults: memory, and room between two checkpoints.
const SETTINGS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("max_wal_size", "4GB"), ("fsync", "on"), ("synchronous_commit", "on")];
const TABLE: &str = "CREATE TABLE events (seq bigserial PRIMARY KEY, id text NOT NULL, time bigint NOT NULL, \
    actor text NOT NULL, action text NOT NULL, stage text, outcome text, environment text, reason text, \
    digests text[] NOT NULL, body jsonb NOT NULL)";
const ASKED_INDEXES: &str = "CREATE EXTENSION pg_trgm; CREATE INDEX ON events (actor, stage, time); \
    CREATE INDEX ON events (stage, time); CREATE INDEX ON events USING gin (digests); \
    CREATE INDEX ON events USING gin (reason gin_trgm_ops)";
const DIALECT: Dialect = Dialect {
    has_digest: |digest| format!("digests @> ARRAY['{digest}']"),
    has_text: |text| format!("reason LIKE '%{text}%'"),
    body: "body::text",
};
/// Rows of one COPY.
const COPY_ROWS: usize = 10_000;
const INDEXES: &str =
    "CREATE INDEX ON events (actor); CREATE INDEX ON events (stage); CREATE INDEX ON events (time)";

/// A running cluster.
pub(crate) struct Postgres {
    server: Server,
    port: u16,
    client: Client,
    /// The questions' statements, by their SQL.
    statements: HashMap<String, Statement>,
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter(|path| path.join("bin/initdb").is_file()).max_by_key(number)?;
    Some(newest.join("bin"))
}

/// User and group that the server runs as; none where it is this program's own.
fn account() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find_map(|line| line.strip_prefix(ACCOUNT)?.strip_prefix(':'));
    let mut fields = line.with_context(|| format!("there is no user {ACCOUNT}"))?.split(':').skip(1);
    let mut number = || anyhow::Ok(fields.next().context("a line of /etc/passwd is cut")?.parse()?);
    Ok(Some((number()?, number()?)))
}

impl System for Postgres {
    const NAME: &'static str = "PostgreSQL";

    fn missing() -> Option<String> {
        programs().is_none().then(|| format!("there is no initdb below {VERSIONS}"))
    }

    async fn start(folder: &Path) -> Result<Self> {
        let (programs, account) = (programs().context("PostgreSQL is not installed")?, account()?);
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(folder);
            if let Some((user, group)) = account {
                command.uid(user).gid(group);
            }
            command
        };
        let data = folder.join("data");
        fs::create_dir(&data)?;
        if let Some((user, group)) = account {
            chown(&data, Some(user), Some(group))?;
        }
        let mut initdb = command("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(&data).output()?;
        anyhow::ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port()?;
        let mut serve = command("postgres");
        serve.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
        for (name, value) in SETTINGS {
            serve.args(["-c", &format!("{name}={value}")]);
        }
        let is_ready = || {
            let connected = TcpStream::connect(("127.0.0.1", port)).is_ok();
            let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            (connected && pid.contains("ready")).then_some(())
        };
        let (server, ()) = Server::start(serve, folder, Signal::INT, is_ready)?;
        let client = connect(port).await?;
        client.batch_execute(TABLE).await?;
        Ok(Self { server, port, client, statements: HashMap::new() })
    }

    async fn about(&self) -> Result<About> {
        let mut durability = Vec::new();
        for (name, wanted) in [
            ("fsync", Some("on")),
            ("synchronous_commit", Some("on")),
            ("full_page_writes", Some("on")),
            ("wal_sync_method", None),
        ] {
            let value: String = self.client.query_one(&format!("SHOW {name}"), &[]).await?.try_get(0)?;
            anyhow::ensure!(wanted.is_none_or(|wanted| value == wanted), "{name} is {value}");
            durability.push(format!("{name} {value}"));
        }
        let version: String = self.client.query_one("SHOW server_version", &[]).await?.try_get(0)?;
        let memory: String = self.client.query_one("SHOW shared_buffers", &[]).await?.try_get(0)?;
        let wal: String = self.client.query_one("SHOW max_wal_size", &[]).await?.try_get(0)?;
        Ok(About {
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            durability: durability.join(", "),
            sent: format!(
                "shared_buffers {memory}, max_wal_size {wal}; one row: prepared INSERT, more: COPY; \
                 16 connections over TCP"
            ),
            asked: format!(
                "shared_buffers {memory}; over TCP, statements prepared once; btrees on (actor, stage, time) and \
                 (stage, time), GIN on digests and on trigrams of reason; VACUUM ANALYZE"
            ),
        })
    }

    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    async fn stored_bytes(&self) -> Result<u64> {
        self.client.batch_execute("CHECKPOINT").await?;
        let size = "SELECT pg_total_relation_size('events')";
        let bytes: i64 = self.client.query_one(size, &[]).await?.try_get(0)?;
        Ok(u64::try_from(bytes)?)
    }

    fn stop(self) -> Result<()> {
        drop(self.client);
        self.server.stop()
    }
}

async fn connect(port: u16) -> Result<Client> {
    let settings = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A batch as it is sent.
pub(crate) enum Batch {
    /// A row's values.
    One(Arc<Sample>),
    /// Lines of COPY.
    Many(Bytes, u64),
}

/// A connection with its statements.
pub(crate) struct Sender {
    client: Client,
    insert: Statement,
    copy: Statement,
}

impl Ingest for Postgres {
    type Batch = Batch;
    type Lane = Sender;
    const IN_FLIGHT: usize = 16;

    fn batch(samples: &[Arc<Sample>]) -> Batch {
        match samples {
            [one] => Batch::One(Arc::clone(one)),
            many => {
                let mut lines = String::new();
                for sample in many {
                    copy_line(&sample.row, &mut lines);
                }
                Batch::Many(lines.into(), many.len() as u64)
            }
        }
    }

    async fn add_indexes(&self) -> Result<()> {
        Ok(self.client.batch_execute(INDEXES).await?)
    }

    async fn lane(&self) -> Result<Sender> {
        let client = connect(self.port).await?;
        let insert = format!(
            "INSERT INTO events ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb)"
        );
        let insert = client.prepare(&insert).await?;
        let copy = client.prepare(&format!("COPY events ({COLUMNS}) FROM STDIN")).await?;
        Ok(Sender { client, insert, copy })
    }

    async fn stored(&self) -> Result<u64> {
        let count: i64 = self.client.query_one("SELECT count(*) FROM events", &[]).await?.try_get(0)?;
        Ok(u64::try_from(count)?)
    }
}

impl Lane<Batch> for Sender {
    async fn send(&mut self, batch: &Batch) -> Result<()> {
        let (stored, sent) = match batch {
            Batch::One(sample) => {
                let Row { id, time, actor, action, stage, outcome, environment, reason, digests, body } =
                    &sample.row;
                let values: [&(dyn ToSql + Sync); 10] =
                    [id, time, actor, action, stage, outcome, environment, reason, digests, body];
                (self.client.execute(&self.insert, &values).await?, 1)
            }
            Batch::Many(lines, count) => (copy(&self.client, &self.copy, lines.clone()).await?, *count),
        };
        anyhow::ensure!(stored == sent, "{stored} of {sent} rows were stored");
        Ok(())
    }
}

async fn copy(client: &Client, statement: &Statement, lines: Bytes) -> Result<u64> {
    let sink = client.copy_in(statement).await?;
    pin_mut!(sink);
    sink.send(lines).await?;
    Ok(sink.finish().await?)
}

impl Asked for Postgres {
    async fn fill(&mut self, input: &Input) -> Result<()> {
        let statement = self.client.prepare(&format!("COPY events ({COLUMNS}) FROM STDIN")).await?;
        let mut events = events(input.events);
        loop {
            let mut lines = String::new();
            for event in events.by_ref().take(COPY_ROWS) {
                copy_line(&Row::of(&event)?, &mut lines);
            }
            if lines.is_empty() {
                break;
            }
            copy(&self.client, &statement, lines.into()).await?;
        }
        self.client.batch_execute(ASKED_INDEXES).await?;
        Ok(self.client.batch_execute("VACUUM ANALYZE events").await?)
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(Duration, Answer)> {
        let sql = ask.sql(&DIALECT);
        let statement = match self.statements.get(&sql) {
            Some(statement) => statement.clone(),
            None => self.client.prepare(&sql).await?,
        };
        self.statements.insert(sql, statement.clone());
        let begun = now();
        let found = self.client.query(&statement, &[]).await?;
        match ask.form() {
            Form::Events(_) => {
                let rows = found.iter().map(row).collect::<Result<Vec<_>>>()?;
                let time = begun.elapsed();
                Ok((time, Answer::of_rows(rows)?))
            }
            Form::Groups(_) => {
                let group = |row: &tokio_postgres::Row| {
                    Ok((row.try_get::<_, Option<String>>(0)?, u64::try_from(row.try_get::<_, i64>(1)?)?))
                };
                let groups = found.iter().map(group).collect::<Result<_>>()?;
                Ok((begun.elapsed(), Answer::Groups(groups)))
            }
            Form::Number => {
                let number: i64 = found.first().context("a count has a row")?.try_get(0)?;
                Ok((begun.elapsed(), Answer::Number(u64::try_from(number)?)))
            }
        }
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row> {
    Ok(Row {
        id: row.try_get(0)?,
        time: row.try_get(1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        stage: row.try_get(4)?,
        outcome: row.try_get(5)?,
        environment: row.try_get(6)?,
        reason: row.try_get(7)?,
        digests: row.try_get(8)?,
        body: row.try_get(9)?,
    })
}

/// A row as a line of COPY's text format.
fn copy_line(row: &Row, line: &mut String) {
    let digests = format!("{{{}}}", row.digests.join(","));
    let time = row.time.to_string();
    let fields = [
        Some(&row.id),
        Some(&time),
        Some(&row.actor),
        Some(&row.action),
        row.stage.as_ref(),
        row.outcome.as_ref(),
        row.environment.as_ref(),
        row.reason.as_ref(),
        Some(&digests),
        Some(&row.body),
    ];
    for (number, field) in fields.into_iter().enumerate() {
        line.push_str(if number > 0 { "\t" } else { "" });
        let Some(text) = field else {
            line.push_str("\\N");
            continue;
        };
        for letter in text.chars() {
            match letter {
                '\\' => line.push_str("\\\\"),
                '\t' => line.push_str("\\t"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                _ => line.push(letter),
            }
        }
    }
    line.push('\n');
}
