//! The producers of a log after a start: the file of the last roll, and the frames since.

use super::files::LogFiles;
use super::log::read_header;
use super::tail::walk_segment;
use super::{OpenError, Recovery};
use crate::disk::{Disk, DiskFile, Open};
use crate::durable::{FileKind, read_whole};
use crate::segment::Home;
use crate::write::part::ProducerName;
use crate::write::writer::{Heard, hear};
use piperoll_format::producers::{ProducerState, decode_producers};
use piperoll_format::units::{Sequence, UnixNanos};
use std::collections::HashMap;

/// No producers file is longer.
pub(crate) const PRODUCERS_BYTES_MAX: u64 = 1 << 30;

impl<D: Disk> Recovery<'_, D> {
    /// Adds to `heard`, which the last segment's frames gave, what came before, and tells the tenant's table.
    /// `first` is the last segment, made at `created`, whether it is there or not.
    pub(super) fn remember_producers(
        &mut self,
        home: &Home<D>,
        files: &LogFiles,
        mut created: UnixNanos,
        first: Sequence,
        heard: &mut HashMap<ProducerName, Heard>,
    ) -> Result<(), OpenError> {
        let since = self.now.0.saturating_sub_unsigned(self.options.producer_window_ns);
        let mut row = files.logs();
        row.retain(|before| *before < first);
        row.push(first);
        // The file is derived: where it is lost, the segments before say the same.
        while let Some(first) = row.pop() {
            if first == Sequence(0) || self.read_producers(home, first, heard)? || created.0 < since {
                break;
            }
            let Some(before) = row.last().copied() else { break };
            // What a damaged segment says of its own producers is lost with its header.
            let Ok(header) = read_header(home, before)? else { continue };
            created = header.created;
            let path = FileKind::Log.path(&home.dir, before);
            let file = home.disk.open(&path, Open::Read).map_err(OpenError::io(&path))?;
            let length = file.length().map_err(OpenError::io(&path))?;
            let mut walked = walk_segment(&path, &file, &header, length, None)?;
            walked.hear_behind(&file, &header);
            walked.heard.into_iter().for_each(|(name, before)| hear(heard, name, before));
        }
        let table = self.tenants.entry(home.tenant.clone()).or_default();
        for (name, heard) in &*heard {
            table.restore(name, heard.last, heard.received);
        }
        Ok(())
    }

    /// Reads the file of the roll to the segment `first`; false where there is none that can be read.
    fn read_producers(
        &mut self,
        home: &Home<D>,
        first: Sequence,
        heard: &mut HashMap<ProducerName, Heard>,
    ) -> Result<bool, OpenError> {
        let path = FileKind::Producers.path(&home.dir, first);
        let bytes = match read_whole(&*home.disk, &path, PRODUCERS_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(OpenError::io(&path)(error)),
        };
        let Ok(states) = decode_producers(&bytes) else {
            self.note(format!("{} is damaged; it is made again from the log", path.display()));
            return Ok(false);
        };
        for state in states {
            let ProducerState { principal, id, last_sequence: last, received, .. } = state;
            let name = ProducerName { principal: principal.into(), id };
            hear(
                heard,
                name,
                Heard { last, received, first: state.first_sequence, events: state.event_count },
            );
        }
        Ok(true)
    }
}
