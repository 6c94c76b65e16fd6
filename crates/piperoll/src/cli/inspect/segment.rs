//! A segment's `.log`: its header, its frames, and what says that they are right.

use super::beside::{self, Found};
use super::print::{Cell, Printer, wire_time};
use super::{Failure, Subject};
use crate::output::events::record_json;
use anyhow::anyhow;
use piperoll_format::entry::{Loss, Mark, Seal};
use piperoll_format::envelope::Envelope;
use piperoll_format::frame::{CheckedFrame, FrameView};
use piperoll_format::segment::{SegmentError, SegmentHeader};
use piperoll_format::units::{Offset, Root, UnixNanos};
use piperoll_format::walk::{ByteSource, Damage, Verdict, VerdictKind, WalkError, walk};
use piperoll_proto::v1::{Event, EventRecord, Sender};
use prost::Message as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const COLUMNS: &[&str] = &[
    "offset",
    "length",
    "first",
    "end",
    "received",
    "producer",
    "messages",
    "events",
    "durable_end",
    "sender",
    "state",
];

/// Shows the segment: a table of `shown` of its frames, or their events.
pub(super) fn inspect(
    subject: &Subject,
    shown: u64,
    events: bool,
    printer: &mut Printer<impl Write>,
) -> Result<(), Failure> {
    let Some(header) = header(subject, printer)? else { return Ok(()) };
    let mark = beside::mark(&subject.path, &header)?;
    let closed = Closed::look(&subject.path, &header)?;
    facts(&header, closed.state(), printer);
    if !events {
        printer.begin_rows("frames", COLUMNS)?;
    }
    let mut frames =
        Frames { header: &header, shown, events, printer, count: 0, tally: Tally::default(), failed: None };
    let verdict = walk_through(subject, &header, mark.as_ref(), &mut frames)?;
    let Frames { count, tally, .. } = frames;
    if !events {
        printer.end_rows(count.saturating_sub(shown))?;
    }
    let root = end_facts(subject, &verdict, &tally, closed.is_closed(), printer)?;
    check_frames(subject, &verdict, &closed, printer);
    tally.check(printer);
    closed.check(&header, subject.length, root, &verdict, &tally, printer);
    check_mark(&subject.path, mark.as_ref(), printer)
}

fn header(subject: &Subject, printer: &mut Printer<impl Write>) -> Result<Option<SegmentHeader>, Failure> {
    let mut bytes = [0; 1_024];
    let read = Source(&subject.file).read_all(&mut bytes)?;
    match SegmentHeader::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) => {
            printer.holds("header", "its crc32 is right");
            Ok(Some(header))
        }
        Err(error @ SegmentError::Newer(_)) => Err(subject.newer(error)),
        Err(error) => {
            printer.fact("bytes", Cell::Bytes(subject.length));
            printer.fails("header", error.to_string());
            Ok(None)
        }
    }
}

fn facts(header: &SegmentHeader, state: &'static str, printer: &mut Printer<impl Write>) {
    // The frame salt is left out: no answer may show that of an active segment, and nobody needs the others'.
    printer.fact("tenant", Cell::text(&header.tenant));
    printer.fact("class", Cell::text(&header.class));
    printer.fact("log_id", Cell::text(&header.log_id));
    printer.fact("state", Cell::text(state));
    printer.fact("created", Cell::Time(header.created));
    printer.fact("first_sequence", Cell::Number(header.first.0));
    let previous = header.previous;
    printer.fact("previous_first", previous.map_or(Cell::None, |previous| Cell::Number(previous.first.0)));
    printer.fact("previous_length", previous.map_or(Cell::None, |previous| Cell::Bytes(previous.length)));
    printer.fact("previous_root", previous.map_or(Cell::None, |previous| Cell::text(&previous.root)));
}

/// What is known after the walk; the root is that of the whole file where it is closed.
fn end_facts(
    subject: &Subject,
    verdict: &Verdict,
    tally: &Tally,
    closed: bool,
    printer: &mut Printer<impl Write>,
) -> Result<Option<Root>, Failure> {
    printer.fact("end_sequence", Cell::Number(verdict.end_sequence.0));
    printer.fact("frame_count", Cell::Count(verdict.frames));
    printer.fact("events", Cell::Count(tally.events));
    printer.fact("frames_end", Cell::Bytes(verdict.end.0));
    printer.fact("durable_end", Cell::Bytes(verdict.durable));
    printer.fact("file_length", Cell::Bytes(subject.length));
    let hashed = if closed { subject.length } else { verdict.end.0 };
    let root = beside::root_of(&subject.path, hashed)?;
    let name = if closed { "root" } else { "root_of_frames" };
    printer.fact(name, root.map_or(Cell::None, |root| Cell::text(&root)));
    Ok(root)
}

fn walk_through<W: Write>(
    subject: &Subject,
    header: &SegmentHeader,
    mark: Option<&Mark>,
    frames: &mut Frames<'_, '_, W>,
) -> Result<Verdict, Failure> {
    let mut source = Source(&subject.file);
    let verdict =
        walk(&mut source, header, subject.length, mark, &mut |offset, frame| frames.see(offset, frame));
    if let Some(error) = frames.failed.take() {
        return Err(error.into());
    }
    verdict.map_err(|error| match error {
        WalkError::Read { source, offset } => {
            Failure::Running(anyhow!(source).context(format!("{} at {offset}", subject.path.display())))
        }
        short @ WalkError::Short { .. } => {
            Failure::Running(anyhow!(short).context("the file was cut while it was read: try again"))
        }
    })
}

/// The file, for the walk.
struct Source<'f>(&'f File);

impl Source<'_> {
    fn read_all(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

impl ByteSource for Source<'_> {
    type Error = io::Error;

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// What was counted on the way.
#[derive(Default)]
struct Tally {
    events: u64,
    received: Option<(UnixNanos, UnixNanos)>,
    received_falls_at: Option<Offset>,
    newer: u64,
    malformed: u64,
    first_malformed: Option<(Offset, String)>,
}

impl Tally {
    fn check(&self, printer: &mut Printer<impl Write>) {
        if let Some((offset, reason)) = &self.first_malformed {
            let words = format!("{} frames are malformed, the first at {offset}: {reason}", self.malformed);
            printer.fails("contents", words);
        } else {
            printer.holds("contents", format!("every one of {} events keeps the rules", self.events));
        }
        if let Some(offset) = self.received_falls_at {
            printer.fails("received", format!("the frame at {offset} was received before the one before it"));
        }
        if self.newer > 0 {
            printer
                .unknown("newer frames", format!("{} frames are of a later version of piperoll", self.newer));
        }
    }
}

/// Sees every frame of the walk: counts all, prints some.
struct Frames<'h, 'p, W: Write> {
    header: &'h SegmentHeader,
    shown: u64,
    events: bool,
    printer: &'p mut Printer<W>,
    count: u64,
    tally: Tally,
    /// Why printing ended before the frames did.
    failed: Option<io::Error>,
}

impl<W: Write> Frames<'_, '_, W> {
    fn see(&mut self, offset: Offset, frame: &FrameView<'_>) {
        if self.failed.is_some() {
            return;
        }
        let checked = frame.validate(&self.header.class);
        let state = match &checked {
            Ok(_) => "ok".to_owned(),
            Err(_) if frame.is_newer() => "newer".to_owned(),
            Err(error) => format!("malformed: {error}"),
        };
        self.count_frame(offset, frame, checked.is_err().then_some(&state));
        if self.count < self.shown {
            let printed = match (&checked, self.events) {
                (Ok(checked), true) => self.print_events(checked),
                (Err(_), true) => Ok(()),
                (_, false) => {
                    self.print_row(offset, frame, checked.as_ref().ok().map(CheckedFrame::envelope), state)
                }
            };
            self.failed = printed.err();
        }
        self.count += 1;
    }

    fn count_frame(&mut self, offset: Offset, frame: &FrameView<'_>, wrong: Option<&String>) {
        let tally = &mut self.tally;
        let received = frame.header().received;
        tally.events += u64::from(frame.header().event_count);
        if tally.received.is_some_and(|(_, latest)| received < latest) {
            tally.received_falls_at.get_or_insert(offset);
        }
        tally.received = Some((tally.received.map_or(received, |(earliest, _)| earliest), received));
        if frame.is_newer() {
            tally.newer += 1;
        } else if let Some(reason) = wrong {
            tally.malformed += 1;
            tally.first_malformed.get_or_insert_with(|| (offset, reason.clone()));
        }
    }

    fn print_row(
        &mut self,
        offset: Offset,
        frame: &FrameView<'_>,
        envelope: Option<&Envelope>,
        state: String,
    ) -> io::Result<()> {
        let header = frame.header();
        let producer = frame.producer().map(|producer| format!("{}#{}", producer.id, producer.sequence));
        self.printer.row(&[
            Cell::Number(offset.0),
            Cell::Number(header.length.into()),
            Cell::Number(header.first_sequence.0),
            Cell::Number(header.end_sequence().0),
            Cell::Time(header.received),
            producer.map_or(Cell::None, Cell::Text),
            Cell::Number(header.messages.into()),
            Cell::Number(header.event_count.into()),
            Cell::Number(header.durable_end),
            envelope.map_or(Cell::None, sender_cell),
            Cell::Text(state),
        ])
    }

    fn print_events(&mut self, frame: &CheckedFrame<'_>) -> io::Result<()> {
        for (event, view) in frame.events() {
            let sequence = frame.header().first_sequence.plus(event.position.into());
            let (tenant, class) = (&self.header.tenant, &self.header.class);
            let record = EventRecord {
                address: format!("{tenant}/{class}@{sequence}"),
                class: class.to_string(),
                sequence: sequence.0,
                received: Some(wire_time(frame.header().received)),
                sender: Some(sender(frame.envelope())),
                // It passed every rule, so it is a message.
                event: Event::decode(view.bytes()).ok(),
            };
            writeln!(self.printer.out(), "{}", record_json(&record))?;
        }
        Ok(())
    }
}

fn sender(envelope: &Envelope) -> Sender {
    Sender {
        principal: envelope.principal.clone(),
        auth_method: i32::try_from(envelope.auth_method).unwrap_or_default(),
        peer: envelope.peer.clone(),
        intake: envelope.intake.clone(),
    }
}

fn sender_cell(envelope: &Envelope) -> Cell {
    let Envelope { principal, auth_method, peer, intake, split } = envelope;
    let classes: Vec<_> = split.iter().map(|part| part.class.as_str()).collect();
    let over = if split.is_empty() { String::new() } else { format!(", split over {}", classes.join(" ")) };
    let words = format!("{principal} by {intake} from {peer}{over}");
    let value = serde_json::json!({
        "principal": principal, "auth_method": auth_method, "peer": peer, "intake": intake, "split": classes,
    });
    Cell::Both(words, value)
}

/// What the files beside a segment say of its length and root, once nothing is appended to it any more.
struct Closed {
    seal: Found<Seal>,
    loss: Found<Loss>,
    next: Option<(std::path::PathBuf, piperoll_format::segment::Previous)>,
}

impl Closed {
    fn look(path: &Path, header: &SegmentHeader) -> Result<Self, Failure> {
        Ok(Self { seal: beside::seal(path)?, loss: beside::loss(path)?, next: beside::next(path, header)? })
    }

    fn is_closed(&self) -> bool {
        self.next.is_some() || !matches!(self.seal, Found::Nothing)
    }

    fn state(&self) -> &'static str {
        match (&self.seal, &self.next) {
            (Found::Nothing, None) => "active",
            (Found::Nothing, Some(_)) => "full, not sealed yet",
            _ => "sealed",
        }
    }

    /// Whether a person accepted that the file is as it is.
    fn accepts(&self, root: Option<Root>) -> bool {
        self.loss.entry().is_some_and(|loss| Some(loss.root) == root)
    }

    fn check(
        &self,
        header: &SegmentHeader,
        length: u64,
        root: Option<Root>,
        verdict: &Verdict,
        tally: &Tally,
        printer: &mut Printer<impl Write>,
    ) {
        let root_words = root.map_or_else(|| "none".to_owned(), |root| root.to_string());
        match &self.seal {
            Found::Nothing => printer.unknown("seal", "there is none beside the file"),
            Found::Wrong(reason) => printer.fails("seal", reason),
            Found::Entry(seal) => {
                printer.compare("root", &seal.root.to_string(), &root_words, "the seal");
                let wrong = wrong_in_seal(seal, header, length, verdict, tally, self.loss.entry().is_some());
                match wrong {
                    None => printer.holds("seal", "length, counts, times and names are those of the file"),
                    Some(field) => printer.fails("seal", format!("its {field} is not that of the file")),
                }
            }
        }
        if let Some((path, previous)) = &self.next {
            let by = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let expected = format!("{} with {} bytes", previous.root, previous.length);
            printer.compare("next segment", &expected, &format!("{root_words} with {length} bytes"), &by);
        }
        if let Found::Wrong(reason) = &self.loss {
            printer.fails("loss", reason);
        } else if self.loss.entry().is_some() && !self.accepts(root) {
            printer.fails("loss", "it accepts a file with another root");
        }
    }
}

/// The first field in which a seal and the file differ.
fn wrong_in_seal(
    seal: &Seal,
    header: &SegmentHeader,
    length: u64,
    verdict: &Verdict,
    tally: &Tally,
    accepted: bool,
) -> Option<&'static str> {
    let received = Some((seal.earliest_received, seal.latest_received));
    let previous = header.previous.map(|previous| previous.root).unwrap_or_default();
    [
        ("log id", seal.head.log_id == header.log_id),
        ("first sequence", seal.head.first == header.first),
        ("length", seal.length == length),
        ("previous root", seal.previous_root == previous),
        // Behind accepted damage there may be frames that a walk only names.
        ("end sequence", accepted || seal.head.end == verdict.end_sequence),
        ("number of frames", accepted || seal.frames == verdict.frames),
        ("number of events", accepted || seal.events == tally.events),
        ("time of reception", accepted || received == tally.received),
    ]
    .into_iter()
    .find_map(|(field, right)| (!right).then_some(field))
}

fn check_frames(subject: &Subject, verdict: &Verdict, closed: &Closed, printer: &mut Printer<impl Write>) {
    let end = verdict.end;
    let whole = end.0 == subject.length;
    let accepted = closed.loss.entry().is_some_and(|loss| loss.offset == end.0);
    match &verdict.kind {
        VerdictKind::Clean if whole => printer.holds("frames", "they fill the file"),
        VerdictKind::Clean if !closed.is_closed() => {
            printer.holds("frames", format!("they end at {end}, with nothing but zeros behind"));
        }
        VerdictKind::Torn { not_zero } if !closed.is_closed() => {
            let words =
                "was never acknowledged: it is being written, or was torn and will be cut at the next start";
            printer.holds(
                "frames",
                format!("they end at {end}; what lies in {}..{} {words}", not_zero.start, not_zero.end),
            );
        }
        _ if accepted => {
            printer.holds("frames", format!("damaged at {end}, which the loss beside the file accepts"));
        }
        VerdictKind::Damaged(damage) => printer.fails("frames", damaged(verdict, *damage)),
        VerdictKind::Clean | VerdictKind::Torn { .. } => {
            let words = "nothing more is appended to this segment, so they must fill the file";
            printer.fails("frames", format!("they end at {end} of {}; {words}", subject.length));
        }
    }
}

fn damaged(verdict: &Verdict, damage: Damage) -> String {
    let Verdict { end, end_sequence, durable, .. } = verdict;
    let after = verdict.frames_after.first().map(|first| {
        let (count, at, sequence) = (verdict.frames_after.len(), first.offset, first.first);
        format!("; {count} frames behind it check, the first at {at} (sequence {sequence})")
    });
    let mark = if damage.mark_not_met { "; no frame ends where the last mark says" } else { "" };
    let after = after.unwrap_or_default();
    format!(
        "none checks at {end} (sequence {end_sequence}), although all up to {durable} was durable{after}{mark}"
    )
}

fn check_mark(path: &Path, mark: Option<&Mark>, printer: &mut Printer<impl Write>) -> Result<(), Failure> {
    let Some(mark) = mark else { return Ok(()) };
    match beside::root_of(path, mark.length)? {
        Some(root) => {
            printer.compare("mark", &mark.root, &root, &format!("the last mark, for {} bytes,", mark.length));
        }
        None => printer
            .fails("mark", format!("the file has fewer than the {} bytes of its last mark", mark.length)),
    }
    Ok(())
}
