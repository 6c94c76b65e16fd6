//! Which daemon a command speaks to.

use super::Failure;
use piperoll_client::{Client, ClientOptions};

/// The daemon and the tenant.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Connection {
    /// The daemon's gRPC address
    #[arg(
        long,
        env = "PIPEROLL_ENDPOINT",
        default_value = "http://127.0.0.1:7421",
        value_name = "URL",
        help_heading = "Connection"
    )]
    endpoint: String,
    /// Whose events: every tenant has logs of its own
    #[arg(
        long,
        env = "PIPEROLL_TENANT",
        default_value = "default",
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

    /// Connects.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.endpoint);
        options.tenant.clone_from(&self.tenant);
        Ok(Client::connect(options).await?)
    }
}
