//! `AdminService`: state, clock, sealing, sweeping, and the way out of damage.

use crate::{
    audit::deed,
    clock::{from_timestamp, rfc3339, timestamp},
    connection::{ANONYMOUS, Peer},
    daemon::{Daemon, tenant_of},
    refusal::Refusal,
    sweeper::Swept,
};
use piperoll_format::{names::Name, units::Root};
use piperoll_proto::{raw::admin_service_server::AdminService, v1};
use piperoll_retention::PlannedDrop;
use piperoll_store::{Acceptance, AcceptedLoss, ClockReading, LogStatus, Loss, SealedSegment};
use prost_types::Timestamp;
use std::{collections::BTreeMap, sync::Arc};
use tonic::{Request, Response, Status};

/// Longest words with which a loss is accepted; they are kept in a small file.
const REASON_BYTES_MAX: usize = 4_096;

/// `AdminService` of a daemon.
#[derive(Clone)]
pub(super) struct AdminGrpc(pub(super) Arc<Daemon>);

#[tonic::async_trait]
impl AdminService for AdminGrpc {
    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        self.answer(self.state().await)
    }

    async fn seal(&self, request: Request<v1::SealRequest>) -> Result<Response<v1::SealResponse>, Status> {
        let v1::SealRequest { tenant, class } = request.into_inner();
        self.answer(self.seal_logs(&tenant, &class).await)
    }

    async fn sweep(&self, request: Request<v1::SweepRequest>) -> Result<Response<v1::SweepResponse>, Status> {
        self.answer(self.sweep_segments(request.into_inner().dry_run).await)
    }

    async fn accept_loss(
        &self,
        request: Request<v1::AcceptLossRequest>,
    ) -> Result<Response<v1::AcceptLossResponse>, Status> {
        let own = tenant_of(request.metadata());
        let peer = request.extensions().get::<Peer>().cloned();
        self.answer(self.lose(own, peer.as_ref(), request.into_inner()).await)
    }

    async fn clock_status(
        &self,
        _: Request<v1::ClockStatusRequest>,
    ) -> Result<Response<v1::ClockStatusResponse>, Status> {
        Ok(Response::new(clock_status(self.0.engine.clock_reading())))
    }

    async fn accept_clock(
        &self,
        request: Request<v1::AcceptClockRequest>,
    ) -> Result<Response<v1::AcceptClockResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let seen = request.into_inner().seen;
        self.answer(self.accept(peer.as_ref(), seen).await)
    }
}

impl AdminGrpc {
    fn answer<T>(&self, answer: Result<T, Refusal>) -> Result<Response<T>, Status> {
        answer.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn state(&self) -> Result<v1::StatusResponse, Refusal> {
        let logs = self.0.logs().await?;
        let free_bytes = self.0.work(|daemon| daemon.engine.free_bytes()).await?;
        Ok(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(timestamp(self.0.started)),
            directory_id: self.0.engine.directory_id(),
            unsealed_segments: logs.iter().map(|log| log.unsealed_segments).sum(),
            logs: logs.into_iter().map(log_status).collect(),
            free_bytes,
            tails: self.0.tails_connected(),
            cut_bytes: self.0.engine.cut_bytes(),
            last_sweep: self.0.last_sweep().map(timestamp),
            foreign_files: self.0.engine.foreign_files(),
        })
    }

    async fn seal_logs(&self, tenant: &str, class: &str) -> Result<v1::SealResponse, Refusal> {
        let (tenant, class) = (optional_name("tenant", tenant)?, optional_name("class", class)?);
        let sealed = self.0.work(move |daemon| daemon.engine.seal(tenant.as_ref(), class.as_ref())).await?;
        Ok(v1::SealResponse { segments: sealed.iter().map(sealed_segment).collect() })
    }

    /// Records it first, at the time that is believed until then: nothing is ever received at a time that was
    /// accepted without its record. A crash in between leaves a record and the clock to be accepted again.
    async fn accept(
        &self,
        peer: Option<&Peer>,
        seen: Option<Timestamp>,
    ) -> Result<v1::AcceptClockResponse, Refusal> {
        let seen = seen.as_ref().and_then(from_timestamp);
        let seen = seen.ok_or_else(|| Refusal::field("seen", "it is missing or no time"))?;
        let engine = &self.0.engine;
        engine.may_accept_clock(seen)?;
        let ClockReading { wall, believed: before, ahead_ns, is_synchronised, .. } = engine.clock_reading();
        let ahead_s = ahead_ns.unwrap_or_default() / 1_000_000_000;
        let attributes = [
            ("believed", rfc3339(before)),
            ("clock", rfc3339(wall)),
            ("ahead_seconds", ahead_s.to_string()),
            ("synchronised", is_synchronised.to_string()),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let reason = format!("the clock was {ahead_s} s ahead of what was believed");
        let event = deed(peer, "clock.accepted", reason, attributes);
        let range = self.0.record(event).await?;
        let after = engine.accept_clock(seen)?;
        tracing::warn!(before = %rfc3339(before), after = %rfc3339(after), "the clock was accepted");
        Ok(v1::AcceptClockResponse {
            before: Some(timestamp(before)),
            after: Some(timestamp(after)),
            address: self.0.audit.address(&range),
        })
    }

    async fn sweep_segments(&self, dry_run: bool) -> Result<v1::SweepResponse, Refusal> {
        let Swept { segments, freed_bytes } = self.0.sweep(dry_run).await?;
        Ok(v1::SweepResponse { segments: segments.iter().map(swept_segment).collect(), freed_bytes, dry_run })
    }
}

impl AdminGrpc {
    async fn lose(
        &self,
        own: Result<Name, Refusal>,
        peer: Option<&Peer>,
        request: v1::AcceptLossRequest,
    ) -> Result<v1::AcceptLossResponse, Refusal> {
        let tenant = match optional_name("tenant", &request.tenant)? {
            Some(tenant) => tenant,
            None => own?,
        };
        let class = optional_name("class", &request.class)?;
        let class = class.ok_or_else(|| Refusal::field("class", "name the log's retention class"))?;
        if request.roots.is_empty() {
            let found = self.0.work(move |daemon| daemon.engine.find_losses(&tenant, &class)).await?;
            return Ok(v1::AcceptLossResponse { losses: found.iter().map(loss).collect(), accepted: false });
        }
        let roots = request.roots.iter().map(|root| root.as_slice().try_into().map(Root));
        let roots: Result<Vec<Root>, _> = roots.collect();
        let roots = roots.map_err(|_| Refusal::field("roots", "a root has 32 bytes"))?;
        let acceptance = Acceptance { roots, principal: ANONYMOUS.to_owned(), text: request.reason };
        if acceptance.text.len() > REASON_BYTES_MAX {
            return Err(Refusal::field("reason", format!("it has at most {REASON_BYTES_MAX} bytes")));
        }
        let (log, reason) = (format!("{tenant}/{class}"), acceptance.text.clone());
        let accepted = self
            .0
            .work(move |daemon| {
                let losses = daemon.engine.accept_losses(&tenant, &class, &acceptance)?;
                for loss in &losses {
                    let (file, root) = (loss.path.display(), loss.root);
                    let (first, end) = (loss.first.0, loss.end.0);
                    let reason = acceptance.text.as_str();
                    tracing::warn!(%file, offset = loss.offset, first, end, %root, reason, "loss accepted");
                }
                Ok(losses)
            })
            .await?;
        // Behind the acceptance and not before it: the log that goes on again may be the audit log itself, and the
        // loss entry says who accepted it in any case.
        for loss in &accepted {
            self.0
                .record(deed(peer, "log.loss.accepted", reason.clone(), loss_attributes(&log, loss)))
                .await?;
        }
        Ok(v1::AcceptLossResponse { losses: accepted.iter().map(loss).collect(), accepted: true })
    }
}

/// What the audit log says of an accepted loss.
fn loss_attributes(log: &str, loss: &Loss) -> BTreeMap<String, String> {
    let attributes = [
        ("log", log.to_owned()),
        ("file", loss.path.display().to_string()),
        ("offset", loss.offset.to_string()),
        ("bytes", loss.bytes.to_string()),
        ("first_sequence", loss.first.to_string()),
        ("end_sequence", loss.end.to_string()),
        ("root", loss.root.to_string()),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn clock_status(reading: ClockReading) -> v1::ClockStatusResponse {
    v1::ClockStatusResponse {
        wall: Some(timestamp(reading.wall)),
        believed: Some(timestamp(reading.believed)),
        ahead_ns: reading.ahead_ns.map_or(0, i64::unsigned_abs),
        synchronised: reading.is_synchronised,
        appends_refused: reading.is_unconfirmed,
    }
}

/// A name that may be left out.
fn optional_name(field: &str, text: &str) -> Result<Option<Name>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = Name::from_disk(text);
    name.map(Some).map_err(|error| Refusal::field(field, format!("`{}`: {error}", text.escape_debug())))
}

fn log_status(log: LogStatus) -> v1::LogStatus {
    v1::LogStatus {
        tenant: log.tenant.to_string(),
        class: log.class.to_string(),
        first_sequence: log.first.0,
        end_sequence: log.end.0,
        sealed_segments: log.sealed_segments,
        unsealed_segments: log.unsealed_segments,
        bytes: log.bytes,
        last_received: log.last_received.map(timestamp),
        read_only_reason: log.refusal.unwrap_or_default(),
        accepted_losses: log.losses.iter().map(accepted_loss).collect(),
    }
}

fn accepted_loss(loss: &AcceptedLoss) -> v1::AcceptedLoss {
    v1::AcceptedLoss {
        file: loss.path.display().to_string(),
        offset: loss.offset,
        bytes: loss.bytes,
        first_sequence: loss.first.0,
        end_sequence: loss.end.0,
        root: loss.root.0.to_vec(),
        accepted: Some(timestamp(loss.accepted)),
        principal: loss.principal.clone(),
        reason: loss.text.clone(),
    }
}

fn loss(loss: &Loss) -> v1::Loss {
    v1::Loss {
        file: loss.path.display().to_string(),
        offset: loss.offset,
        bytes: loss.bytes,
        first_sequence: loss.first.0,
        end_sequence: loss.end.0,
        frames_behind: loss.frames_behind,
        events_behind: loss.events_behind,
        root: loss.root.0.to_vec(),
        found: loss.reason.clone(),
    }
}

fn sealed_segment(sealed: &SealedSegment) -> v1::SealedSegment {
    v1::SealedSegment {
        file: sealed.path.display().to_string(),
        tenant: sealed.tenant.to_string(),
        class: sealed.class.to_string(),
        first_sequence: sealed.first.0,
        end_sequence: sealed.end.0,
        bytes: sealed.bytes,
        root: sealed.root.0.to_vec(),
    }
}

fn swept_segment(swept: &PlannedDrop) -> v1::SweptSegment {
    v1::SweptSegment {
        rule: swept.rule.rule.clone(),
        expired: Some(timestamp(swept.expired)),
        events: swept.segment.events,
        segment: Some(sealed_segment(&swept.segment)),
    }
}
