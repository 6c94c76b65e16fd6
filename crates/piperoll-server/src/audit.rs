//! The daemon's own audit log: what persons had it do that no event from outside tells.
//!
//! It is the log `_piperoll/_audit`, one like all others: durable before it is answered, in order, sealed, and
//! kept for ever, since no class of the settings can have its name. Nobody writes to it from outside.

use crate::{connection::Peer, daemon::Daemon, refusal::Refusal};
use bytes::Bytes;
use piperoll_format::{
    names::{Name, NameError},
    request::check_batch,
};
use piperoll_proto::v1::{AppendRequest, Event, Outcome};
use piperoll_store::{AddressRange, Batch, Classes, Sender, SenderError};
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;

/// Tenant of the daemon's own logs.
const TENANT: &str = "_piperoll";
/// Class of its audit log.
const CLASS: &str = "_audit";
/// Who sends its events, and where they come from.
const PRINCIPAL: &str = "piperoll";
/// The door they come by.
const INTAKE: &str = "daemon";

/// Why the audit log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// Its names are none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its sender is none.
    #[error(transparent)]
    Sender(#[from] SenderError),
}

/// Where the daemon's own events go.
#[derive(Debug)]
pub(crate) struct Audit {
    tenant: Name,
    class: Name,
    sender: Arc<Sender>,
}

impl Audit {
    /// Makes nothing on the disk: the log is born with its first event.
    pub(crate) fn new() -> Result<Self, AuditError> {
        let (tenant, class) = (Name::from_disk(TENANT)?, Name::from_disk(CLASS)?);
        Ok(Self { tenant, class, sender: Arc::new(Sender::new(PRINCIPAL, 0, "", INTAKE)?) })
    }

    /// The address of an event of it.
    pub(crate) fn address(&self, range: &AddressRange) -> String {
        format!("{}/{}@{}", self.tenant, range.class, range.first)
    }
}

/// Something that a person had the daemon do.
pub(crate) fn deed(
    peer: Option<&Peer>,
    action: &str,
    reason: String,
    attributes: BTreeMap<String, String>,
) -> Event {
    let sender = peer.map(|peer| &peer.0);
    Event {
        source: Some(PRINCIPAL.to_owned()),
        actor: Some(sender.map_or(PRINCIPAL, |sender| sender.principal()).to_owned()),
        address: sender.map(|sender| sender.peer().to_owned()),
        action: Some(action.to_owned()),
        outcome: Some(Outcome::Success.into()),
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        attributes,
        ..Event::default()
    }
}

impl Daemon {
    /// Writes an event into the daemon's own audit log, and returns where it is once it is durable. It is taken
    /// also while the clock is not believed: what ends that is recorded first.
    pub(crate) async fn record(&self, event: Event) -> Result<AddressRange, Refusal> {
        let message = AppendRequest { events: vec![event], producer_id: 0, producer_sequence: 0 };
        let request = check_batch(Bytes::from(message.encode_to_vec()), &mut |_, _| ())?;
        let Audit { tenant, class, sender } = &self.audit;
        let classes = Classes::One(class.clone());
        let batch = Batch { tenant: tenant.clone(), sender: Arc::clone(sender), request, classes };
        let (done, outcome) = oneshot::channel();
        self.appender.submit_own(
            batch,
            Box::new(move |result| {
                // Fails where the caller has gone: the event is stored all the same.
                let _ = done.send(result);
            }),
        );
        let receipt = outcome.await.map_err(|_| Refusal::internal("the store dropped an event"))??;
        receipt.ranges.into_iter().next().ok_or_else(|| Refusal::internal("the event has no address"))
    }
}
