//! What `append --state` remembers, so that an interrupted run goes on where it was.
//!
//! The producer's id and numbers are kept with the count of events that were acknowledged. Whatever was sent
//! and not acknowledged is sent again under the same numbers, and the daemon stores it once.

use super::super::Failure;
use anyhow::{Context, anyhow};
use piperoll_client::Ack;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Progress of one input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Names this input's producer to the daemon.
    pub(super) producer_id: u64,
    /// Number of the next request.
    pub(super) next_sequence: u64,
    /// Events acknowledged, from the beginning of the input.
    pub(super) events: u64,
    /// Events in a request: the borders between requests must not move.
    batch: u32,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl State {
    /// The state in the file, or a new one.
    pub(super) fn load(path: Option<PathBuf>, batch: u32) -> Result<Self, Failure> {
        let Some(path) = path else { return Self::new(None, batch) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::new(Some(path), batch),
            Err(error) => return Err(Failure::usage(anyhow!(error).context(path.display().to_string()))),
        };
        let mut state: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no state of piperoll append", path.display()))
            .map_err(Failure::Usage)?;
        if state.batch != batch {
            let reason = format!("{} was begun with --batch {}: go on with it", path.display(), state.batch);
            return Err(Failure::Usage(anyhow!(reason)));
        }
        state.path = Some(path);
        Ok(state)
    }

    fn new(path: Option<PathBuf>, batch: u32) -> Result<Self, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::Running(anyhow!("no random numbers: {error}")))?;
        let state =
            Self { producer_id: u64::from_le_bytes(random).max(1), next_sequence: 1, events: 0, batch, path };
        // Before the first event leaves: a crash right after it must find the same producer again.
        state.save()?;
        Ok(state)
    }

    /// Takes an acknowledgement into account; they come in order.
    pub(super) fn acknowledged(&mut self, ack: &Ack) {
        self.next_sequence = ack.sequence + 1;
        self.events += ack.events as u64;
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, self).map_err(Failure::running)?;
        file.flush()?;
        file.as_file().sync_data()?;
        file.persist(path).map_err(Failure::running)?;
        Ok(())
    }

    /// Removes the file: all is sent, and the next run begins anew.
    #[expect(clippy::disallowed_methods, reason = "the user's own state file, outside of any data directory")]
    pub(super) fn remove(&self) -> Result<(), Failure> {
        self.path.as_ref().map_or(Ok(()), |path| std::fs::remove_file(path).map_err(Failure::from))
    }
}
