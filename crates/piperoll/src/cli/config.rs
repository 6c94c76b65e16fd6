//! `piperoll config`: check the configuration, or show it with the origin of each value.

use super::{Done, Failure, Outcome};
use crate::output::{Format, print_json, print_table, table};
use piperoll_server::{Loaded, Overrides, load};
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;

/// Where the configuration comes from: flags over `PIPEROLL_SECTION__KEY` over piperoll.toml over defaults.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// Configuration file [default: ./piperoll.toml, if it is there]
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// Data directory (storage.directory)
    #[arg(long, value_name = "DIR", help_heading = "Configuration")]
    directory: Option<PathBuf>,
    #[arg(
        long,
        help = "Address and port for gRPC (server.grpc_listen); port 0 takes a free one",
        value_name = "ADDR",
        help_heading = "Configuration"
    )]
    grpc_listen: Option<String>,
    #[arg(
        long,
        help = "Address and port for HTTP: metrics and health (server.http_listen)",
        value_name = "ADDR",
        help_heading = "Configuration"
    )]
    http_listen: Option<String>,
    /// text or json (log.format)
    #[arg(long, value_name = "FORMAT", help_heading = "Configuration")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace (log.level)
    #[arg(long, value_name = "LEVEL", help_heading = "Configuration")]
    log_level: Option<String>,
    #[arg(
        long,
        help = "Any other key, such as --set storage.segment_bytes_max=16MiB",
        value_name = "KEY=VALUE",
        help_heading = "Configuration"
    )]
    set: Vec<String>,
}

impl ConfigArgs {
    /// Loads and checks it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let mut overrides = Overrides::default();
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::Usage(anyhow::anyhow!("--set takes KEY=VALUE, found {pair:?}")))?;
            overrides.set("--set", key, value);
        }
        let directory = self.directory.as_ref().map(|path| path.to_string_lossy().into_owned());
        for (flag, key, value) in [
            ("--directory", "storage.directory", &directory),
            ("--grpc-listen", "server.grpc_listen", &self.grpc_listen),
            ("--http-listen", "server.http_listen", &self.http_listen),
            ("--log-format", "log.format", &self.log_format),
            ("--log-level", "log.level", &self.log_level),
        ] {
            if let Some(value) = value {
                overrides.set(flag, key, value);
            }
        }
        load(self.config.as_deref(), &overrides).map_err(Failure::usage)
    }
}

/// Check or show the configuration
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Say whether the configuration is right, without starting anything
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Print the configuration in force
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Say beside each value where it comes from
        #[arg(long)]
        origin: bool,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

/// Runs `config check` or `config show`.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Check { config } => {
            let loaded = config.load()?;
            super::say(&format!("the configuration is right ({} values)", loaded.origins.len()));
        }
        Command::Show { config, origin, output } => show(&config.load()?, origin, output)?,
    }
    Ok(Done::Yes)
}

fn show(loaded: &Loaded, origin: bool, format: Format) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text => {
            let header: &[&str] = if origin { &["KEY", "VALUE", "FROM"] } else { &["KEY", "VALUE"] };
            let mut rows = table(header);
            for entry in &loaded.origins {
                let mut row = vec![entry.key.clone(), entry.value.clone()];
                row.extend(origin.then(|| entry.origin.clone()));
                rows.add_row(row);
            }
            print_table(&mut out, &rows)?;
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(["key", "value", "origin"]).map_err(Failure::running)?;
            for entry in &loaded.origins {
                writer.write_record([&entry.key, &entry.value, &entry.origin]).map_err(Failure::running)?;
            }
            writer.flush()?;
        }
        Format::Json | Format::Jsonl => {
            let entries: serde_json::Map<_, _> = loaded
                .origins
                .iter()
                .map(|entry| (entry.key.clone(), json!({ "value": entry.value, "origin": entry.origin })))
                .collect();
            print_json(&mut out, format, &entries.into())?;
        }
    }
    out.flush()?;
    Ok(())
}
