//! The daemon: gRPC, HTTP, background jobs.
//!
//! [`load`] the settings, [`start`] with them, [`Running::wait`] for the end. Wire types stop in `grpc`: below it
//! an event is its bytes.

mod audit;
mod buckets;
mod clock;
mod config;
mod connection;
mod daemon;
mod directory;
mod engine;
mod grpc;
mod http;
mod jobs;
mod live;
mod logging;
mod metrics;
mod refusal;
mod room;
mod routing;
mod start;
mod sweeper;

pub use config::{
    Amount, ClassRule, Config, ConfigError, Keep, LimitsConfig, Loaded, LogConfig, LogFormat, Origin,
    Overrides, RetentionConfig, Route, ServerConfig, Size, Span, StorageConfig, load,
};
pub use directory::UnusableDirectory;
pub use engine::EngineError;
pub use logging::init_logging;
pub use start::{Running, ServeError, StartError, StartOptions, Stopper, start};
