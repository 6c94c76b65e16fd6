//! `piperoll inspect`: what is in a file of a data directory, and whether it checks.

mod beside;
mod index;
mod print;
mod segment;
mod small;

use super::{Done, Failure, Outcome};
use crate::output::Format;
use anyhow::{Context, anyhow};
use print::Printer;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

/// Frames, marks or producers that are listed unless more are asked for.
const ROWS_SHOWN: u64 = 20;
/// Longest file that is read whole: of all but segments, indexes and torn tails, which are streamed or mapped.
const SMALL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Show what is in a file of a data directory, and whether it checks
///
/// Takes any of them: .log, .idx, .seal, .drop, .loss, .reindex, .producers, .torn, log.open, piperoll.dir, ballast
/// and tree/round.N. It only reads, also beside a running daemon. What the files beside it say of this one (the seal,
/// the segment after it, the last mark) is compared with what is in it. Exit code 1 means: something does not check.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the events of a .log, as JSON lines, instead of its frames
    #[arg(long, conflicts_with = "output")]
    events: bool,
    /// List at most this many frames, marks or producers [default: 20; with --events all]
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Shows the file; `Done::Nothing` where something does not check.
pub(crate) fn run(args: &Args) -> Outcome {
    let subject = Subject::open(&args.file)?;
    if args.events && subject.kind != Kind::Segment {
        return Err(Failure::Usage(anyhow!("--events goes with a segment's .log")));
    }
    let out = BufWriter::new(io::stdout().lock());
    let mut printer = Printer::new(out, args.output);
    let shown = args.frames.unwrap_or(if args.events { u64::MAX } else { ROWS_SHOWN });
    match subject.kind {
        Kind::Segment => segment::inspect(&subject, shown, args.events, &mut printer)?,
        Kind::Index => index::inspect(&subject, &mut printer)?,
        Kind::Entry => small::entry(&subject, &mut printer)?,
        Kind::Round => small::round(&subject, shown, &mut printer)?,
        Kind::Producers => small::producers(&subject, shown, &mut printer)?,
        Kind::Directory => small::directory(&subject, &mut printer)?,
        Kind::Ballast => small::ballast(&subject, &mut printer)?,
        Kind::Raw => small::raw(&subject, &mut printer)?,
    }
    let checks = if args.events { printer.complaints() } else { printer.finish()? };
    Ok(if checks { Done::Yes } else { Done::Nothing })
}

/// What a file is, by its name: a damaged first byte must not make it another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Segment,
    Index,
    Entry,
    Round,
    Producers,
    Directory,
    Ballast,
    Raw,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name == "ballast" {
            return Some(Self::Ballast);
        }
        match name.rsplit_once('.')? {
            ("piperoll", "dir") => Some(Self::Directory),
            ("round", _) => Some(Self::Round),
            (_, "log") => Some(Self::Segment),
            (_, "idx") => Some(Self::Index),
            ("log", "open") | (_, "seal" | "drop" | "loss" | "reindex") => Some(Self::Entry),
            (_, "producers") => Some(Self::Producers),
            (_, "torn") => Some(Self::Raw),
            _ => None,
        }
    }
}

/// The file that is looked at.
struct Subject {
    path: PathBuf,
    file: File,
    length: u64,
    kind: Kind,
}

impl Subject {
    fn open(path: &Path) -> Result<Self, Failure> {
        let place = || path.display().to_string();
        let kind = Kind::of(path).ok_or_else(|| {
            let names = ".log, .idx, .seal, .drop, .loss, .reindex, .producers, .torn, log.open, round.N, piperoll.dir, ballast";
            Failure::Usage(anyhow!("{}: expected a file of a data directory by its name: {names}", place()))
        })?;
        let file = File::open(path).with_context(place).map_err(Failure::Usage)?;
        let facts = file.metadata().with_context(place).map_err(Failure::Usage)?;
        if !facts.is_file() {
            return Err(Failure::Usage(anyhow!("{} is not a regular file", place())));
        }
        Ok(Self { path: path.to_owned(), file, length: facts.len(), kind })
    }

    /// The whole of a file of those that are small.
    fn read_small(&self) -> Result<Vec<u8>, Failure> {
        if self.length > SMALL_BYTES_MAX {
            let (place, length) = (self.path.display(), self.length);
            return Err(Failure::Usage(anyhow!("{place}: {length} bytes are too many for such a file")));
        }
        let mut bytes = Vec::new();
        (&self.file).take(SMALL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A file that a later version wrote cannot be judged by this one.
    fn newer(&self, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
        Failure::Usage(anyhow!(error).context(self.path.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let check =
            |path: &str, expected: Option<Kind>| assert_eq!(Kind::of(Path::new(path)), expected, "{path}");
        check("logs/default/standard/00000000000000000000.log", Some(Kind::Segment));
        check("00000000000000000000.idx", Some(Kind::Index));
        check("x/log.open", Some(Kind::Entry));
        check("copy.seal", Some(Kind::Entry));
        check("tree/round.1", Some(Kind::Round));
        check("data/piperoll.dir", Some(Kind::Directory));
        check("data/ballast", Some(Kind::Ballast));
        check("00000000000000000000.torn", Some(Kind::Raw));
        check("piperoll.toml", None);
        check("README", None);
    }
}
