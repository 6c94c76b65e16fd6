//! What an operator can set. Options are few: each one is here because we cannot choose for the user.

mod check;
mod load;
mod units;

pub use self::{
    load::{ConfigError, Loaded, Origin, Overrides, load},
    units::{Amount, Keep, Size, Span},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// Everything that can be set. Its names are the keys: `storage.directory`, `PIPEROLL_STORAGE__DIRECTORY`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// Where and how it stores.
    pub storage: StorageConfig,
    /// What is kept how long.
    pub retention: RetentionConfig,
    /// What one caller may use up.
    pub limits: LimitsConfig,
    /// What it says about itself.
    pub log: LogConfig,
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port of gRPC; port 0 takes a free one.
    pub grpc_listen: SocketAddr,
    /// Address and port of `/metrics`, `/healthz` and `/readyz`; port 0 takes a free one.
    pub http_listen: SocketAddr,
}

/// Where and how it stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The data directory; one daemon a directory.
    pub directory: PathBuf,
    /// A segment of this size is full: it is sealed, and later dropped, as one.
    pub segment_bytes_max: Size,
    /// A segment of this age is full, whatever its size.
    pub segment_age_max: Span,
    /// Requests that wait for one log, in bytes; more are refused with a retry delay.
    pub queue_bytes_max: Size,
    /// What the indexes of all active segments may take in memory.
    pub columns_bytes_max: Size,
    /// Room kept back on the disk to finish seals and drops when it is full; 0 for none.
    pub ballast_bytes: Size,
}

/// What is kept how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Class of the events that no route matches.
    pub default_class: String,
    /// The classes.
    pub classes: Vec<ClassRule>,
    /// Which events go to which class; the first that matches decides.
    pub routes: Vec<Route>,
    /// How often expired segments are looked for.
    pub sweep_interval: Span,
}

/// One retention class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRule {
    /// Its name.
    pub name: String,
    /// How long its events are kept after they were received.
    pub keep: Keep,
}

/// Sends events to a class. Patterns match whole values, `*` any run of characters in them; a pattern that is
/// not given matches everything, one that is given never matches an absent field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The class.
    pub class: String,
    /// Pattern of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Pattern of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Pattern of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Pattern of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What one caller may use up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections to gRPC at one time.
    pub connections_max: Amount,
    /// Requests of one append stream that are stored but not answered yet.
    pub stream_requests_max: Amount,
    /// Bytes of requests that all callers together have in flight, and as many again of requests that have not
    /// arrived whole.
    pub requests_bytes_max: Size,
    /// Queries, counts and steps of tails that read at one time.
    pub reads_max: Amount,
    /// Longest time that a page of an answer, or a count, may take to be found.
    pub answer_time_max: Span,
    /// Most bytes of events that are read for a page of an answer, or for a count.
    pub answer_bytes_max: Size,
    /// Queries whose answers are on their way at one time.
    pub queries_max: Amount,
    /// Tails connected at one time.
    pub tails_max: Amount,
    /// A reader that takes nothing for so long, while there is something to take, is let go: a tail with its position.
    pub reader_stall_max: Span,
    /// An idle tail is told its position this often.
    pub tail_heartbeat: Span,
}

/// What it says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// For people or for programs.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,piperoll_store=debug`.
    pub level: String,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { grpc_listen: local(7421), http_listen: local(7420) }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("piperoll-data"),
            segment_bytes_max: Size(64 << 20),
            segment_age_max: Span::of_ms(86_400_000),
            queue_bytes_max: Size(32 << 20),
            columns_bytes_max: Size(128 << 20),
            ballast_bytes: Size(16 << 20),
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        // Nothing leaves until somebody says so.
        let class = ClassRule { name: "default".to_owned(), keep: Keep(None) };
        Self {
            default_class: class.name.clone(),
            classes: vec![class],
            routes: Vec::new(),
            sweep_interval: Span::of_ms(3_600_000),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: Amount(12_000),
            stream_requests_max: Amount(1024),
            requests_bytes_max: Size(64 << 20),
            reads_max: Amount(16),
            answer_time_max: Span::of_ms(60_000),
            answer_bytes_max: Size(32 << 30),
            queries_max: Amount(64),
            tails_max: Amount(1_000),
            reader_stall_max: Span::of_ms(30_000),
            tail_heartbeat: Span::of_ms(5_000),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}
