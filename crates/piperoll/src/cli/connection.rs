//! Which daemon a command speaks to.

use super::Failure;
use crate::output::text::shell_word;
use piperoll_client::{Client, ClientOptions};

/// Where a daemon listens unless it is told otherwise.
const ENDPOINT: &str = "http://127.0.0.1:7421";
/// The tenant of who names none.
const TENANT: &str = "default";

/// The daemon and the tenant.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Connection {
    /// The daemon's gRPC address
    #[arg(
        long,
        env = "PIPEROLL_ENDPOINT",
        default_value = ENDPOINT,
        value_name = "URL",
        help_heading = "Connection"
    )]
    endpoint: String,
    /// Whose events: every tenant has logs of its own
    #[arg(
        long,
        env = "PIPEROLL_TENANT",
        default_value = TENANT,
        value_name = "NAME",
        help_heading = "Connection"
    )]
    tenant: String,
}

impl Connection {
    /// The tenant.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The flags that make the same connection in the same environment, each after a blank.
    pub(crate) fn flags(&self) -> String {
        let said = [
            ("endpoint", "PIPEROLL_ENDPOINT", ENDPOINT, &self.endpoint),
            ("tenant", "PIPEROLL_TENANT", TENANT, &self.tenant),
        ];
        let flag = |(name, variable, default, value): (&str, &str, &str, &String)| {
            let known = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
            (known != *value).then(|| format!(" --{name} {}", shell_word(value)))
        };
        said.into_iter().filter_map(flag).collect()
    }

    /// Connects.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.endpoint);
        options.tenant.clone_from(&self.tenant);
        Ok(Client::connect(options).await?)
    }
}
