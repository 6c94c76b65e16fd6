//! Structured logs on stderr; stdout is for data.

use crate::{
    config::{LogConfig, LogFormat},
    start::StartError,
};
use std::io::{IsTerminal as _, stderr};
use tracing_subscriber::EnvFilter;

/// Sends what the program says about itself to stderr, as text or as JSON. Once, before anything else starts;
/// fails where `level` is none or it was called before.
pub fn init_logging(config: &LogConfig) -> Result<(), StartError> {
    let wrong = |problem: String| StartError::Logging { level: config.level.clone(), problem };
    let filter = EnvFilter::builder().parse(&config.level).map_err(|error| wrong(error.to_string()))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let set = match config.format {
        LogFormat::Text => {
            let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            subscriber.with_ansi(colour).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| wrong(error.to_string()))
}
