//! A log that the disk does not let us recover: it opens, refuses, and says why; the others serve.

use super::{OpenError, ReadOnlyLog, Recovery};
use crate::catalog::{Log, Trouble};
use crate::disk::Disk;
use crate::durable::FileKind;
use crate::segment::{Home, Segment};
use crate::write::writer::Writer;
use piperoll_format::limits::SEGMENT_EVENTS_MAX;
use piperoll_format::units::Sequence;
use std::sync::Arc;

impl<D: Disk> Recovery<'_, D> {
    /// Opens a log. An error of the disk is the log's own; a newer format is everybody's (R28).
    pub(super) fn log_or_why_not(&mut self, home: &Arc<Home<D>>) -> Result<Option<Log<D>>, OpenError> {
        // What a recovery settled that did not come to its end is not settled: the last marks stay.
        let settled = self.settled.clone();
        match self.log(home) {
            Err(OpenError::Io { path, source }) => {
                self.settled = settled;
                Ok(Some(self.unread(home, format!("{}: {source}", path.display()))))
            }
            outcome => outcome,
        }
    }

    /// The log as far as its names tell: sealed segments can be read, nothing is appended.
    fn unread(&mut self, home: &Arc<Home<D>>, reason: String) -> Log<D> {
        let files = self.files(home).unwrap_or_default();
        let accepted = self.accepted(home, &files, Sequence(0)).unwrap_or_default();
        let firsts = files.logs();
        let mut segments = Vec::new();
        for (at, &first) in firsts.iter().enumerate() {
            segments.push(Arc::new(match firsts.get(at + 1) {
                Some(&next) if files.has(first, FileKind::Seal) => {
                    Segment::sealed(home, first, next).with_loss(accepted.get(first).cloned())
                }
                Some(&next) => Segment::unreadable(home, first, next, reason.clone()),
                None => Segment::unreadable(home, first, first.plus(SEGMENT_EVENTS_MAX), reason.clone()),
            }));
        }
        if segments.is_empty() {
            // Whatever is asked for may have been there.
            let all = Segment::unreadable(home, Sequence(0), Sequence(u64::MAX), reason.clone());
            segments.push(Arc::new(all));
        }
        let (tenant, class) = (home.tenant.clone(), home.class.clone());
        let told = ReadOnlyLog { tenant: tenant.clone(), class: class.clone(), reason: reason.clone() };
        self.report.read_only.push(told);
        let unheard = format!("{reason}, so what producers of this tenant have sent before is not known");
        self.unheard.push((tenant, class, unheard));
        Log::new(Arc::clone(home), segments, Writer::Shut, Some(Trouble::Stopped(reason)))
    }
}
