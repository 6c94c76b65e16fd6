//! DuckDB and ClickHouse embedded: in a Python process that times each question itself (`columnar.py`).

use super::{About, Asked, System};
use crate::{
    place,
    questions::{
        Input,
        answer::Answer,
        ask::{Ask, Dialect, Form},
    },
    row::Row,
    server::Server,
};
use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    marker::PhantomData,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/columnar.py");

/// DuckDB.
pub(crate) type DuckDb = Columnar<DuckDbKind>;
/// ClickHouse, as chdb.
pub(crate) type ClickHouse = Columnar<ClickHouseKind>;

/// What differs.
pub(crate) trait Kind: 'static {
    /// What it is called.
    const NAME: &'static str;
    /// The Python package.
    const MODULE: &'static str;
    /// Its SQL.
    const DIALECT: Dialect;
    /// How the events lie there.
    const ASKED: &'static str;
}

/// DuckDB.
pub(crate) enum DuckDbKind {}

impl Kind for DuckDbKind {
    const NAME: &'static str = "DuckDB";
    const MODULE: &'static str = "duckdb";
    const DIALECT: Dialect = Dialect {
        has_digest: |digest| format!("list_contains(digests, '{digest}')"),
        has_text: |text| format!("contains(reason, '{text}')"),
        body: "body",
    };
    const ASKED: &'static str = "in Python's process; one table in the order of time, no indexes";
}

/// ClickHouse.
pub(crate) enum ClickHouseKind {}

impl Kind for ClickHouseKind {
    const NAME: &'static str = "ClickHouse";
    const MODULE: &'static str = "chdb";
    const DIALECT: Dialect = Dialect {
        has_digest: |digest| format!("has(digests, '{digest}')"),
        has_text: |text| format!("ifNull(reason, '') LIKE '%{text}%'"),
        body: "body",
    };
    const ASKED: &'static str = "chdb in Python's process; MergeTree by actor, stage, time, merged into one part; skip indexes on \
                                 time, digests (bloom filter), reason (ngrams)";
}

/// A database with its Python process.
pub(crate) struct Columnar<K> {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
    data: PathBuf,
    filled: Option<Filled>,
    kind: PhantomData<K>,
}

#[derive(Clone, Deserialize)]
struct Filled {
    version: String,
    settings: String,
}

#[derive(Deserialize)]
struct Timed {
    seconds: f64,
    rows: Vec<Value>,
}

#[derive(Deserialize)]
struct Stopped {}

/// The Python of `benches/compare/setup`.
fn python() -> PathBuf {
    place::target().join("compare-venv/bin/python")
}

impl<K: Kind> System for Columnar<K> {
    const NAME: &'static str = K::NAME;

    fn missing() -> Option<String> {
        let find =
            format!("import importlib.util as it, sys; sys.exit(it.find_spec('{}') is None)", K::MODULE);
        let found = Command::new(python()).args(["-c", &find]).stderr(Stdio::null()).status();
        let is_there = found.is_ok_and(|status| status.success());
        (!is_there).then(|| format!("{} has no {}", python().display(), K::MODULE))
    }

    async fn start(folder: &Path) -> Result<Self> {
        let (data, log) = (folder.join("data"), folder.join("server.log"));
        fs::create_dir(&data)?;
        let mut command = Command::new(python());
        command.arg(DRIVER).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(&log)?).spawn()?;
        let requests = child.stdin.take().context("stdin is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
        Ok(Self { child, requests, answers, log, data, filled: None, kind: PhantomData })
    }

    async fn about(&self) -> Result<About> {
        let Filled { version, settings } = self.filled.clone().context("it is not filled yet")?;
        Ok(About {
            version,
            durability: String::new(),
            sent: String::new(),
            asked: format!("{}; {settings}", K::ASKED),
        })
    }

    fn server(&self) -> Option<&Server> {
        None
    }

    async fn stored_bytes(&self) -> Result<u64> {
        place::bytes_below(&self.data)
    }

    fn stop(mut self) -> Result<()> {
        let Stopped {} = self.request(&json!({ "do": "stop" }))?;
        drop(self.requests);
        let ended = self.child.wait()?;
        anyhow::ensure!(ended.success(), "{DRIVER} ended with {ended}");
        Ok(())
    }
}

impl<K: Kind> Columnar<K> {
    fn request<A: DeserializeOwned>(&mut self, request: &Value) -> Result<A> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            anyhow::bail!("{DRIVER} ended:\n{}", fs::read_to_string(&self.log)?);
        }
        serde_json::from_str(&line).with_context(|| line)
    }
}

impl<K: Kind> Asked for Columnar<K> {
    async fn fill(&mut self, input: &Input) -> Result<()> {
        let request =
            json!({ "do": "fill", "system": K::MODULE, "directory": self.data, "rows": input.file });
        self.filled = Some(self.request(&request)?);
        Ok(())
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(Duration, Answer)> {
        let Timed { seconds, rows } = self.request(&json!({ "do": "ask", "sql": ask.sql(&K::DIALECT) }))?;
        let rows = Value::Array(rows);
        let answer = match ask.form() {
            Form::Events(_) => Answer::of_rows(serde_json::from_value::<Vec<Row>>(rows)?)?,
            Form::Groups(_) => Answer::Groups(
                serde_json::from_value::<Vec<(Option<String>, u64)>>(rows)?.into_iter().collect(),
            ),
            Form::Number => {
                let numbers: Vec<(u64,)> = serde_json::from_value(rows)?;
                Answer::Number(numbers.first().context("a count has a row")?.0)
            }
        };
        Ok((Duration::from_secs_f64(seconds), answer))
    }
}
