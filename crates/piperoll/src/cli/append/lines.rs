//! The input of `append`, event by event, with the place of whatever is wrong.

use super::super::Failure;
use super::{Args, InputFormat};
use anyhow::{Context, anyhow};
use piperoll_intake::{github, json_event, json_event_lenient};
use piperoll_proto::v1::Event;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest line, or payload, that is read: four times GitHub's limit of 25 MB.
const LINE_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// The events of the named files, one after the other.
pub(super) struct Items {
    files: VecDeque<PathBuf>,
    current: Option<Source>,
    format: InputFormat,
    kind: Option<String>,
    delivery: Option<String>,
    lenient: bool,
    bytes_total: Option<u64>,
    bytes_read: u64,
}

struct Source {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

impl Items {
    /// Finds the files; nothing is read yet.
    pub(super) fn open(args: &Args) -> Result<Self, Failure> {
        let mut files: VecDeque<_> = args.files.iter().cloned().collect();
        if files.is_empty() {
            files.push_back(PathBuf::from("-"));
        }
        let mut bytes_total = Some(0);
        for file in &files {
            let length = length(file)?;
            bytes_total = bytes_total.zip(length).map(|(total, length)| total + length);
        }
        if args.format == InputFormat::Jsonl && (args.kind.is_some() || args.delivery.is_some()) {
            return Err(Failure::Usage(anyhow!("--kind and --delivery go with --format github")));
        }
        Ok(Self {
            files,
            current: None,
            format: args.format,
            kind: args.kind.clone(),
            delivery: args.delivery.clone(),
            lenient: args.lenient,
            bytes_total,
            bytes_read: 0,
        })
    }

    /// Length of the whole input, where it is known.
    pub(super) fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// How much of it was read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.files.pop_front() else { return Ok(None) };
                self.current = Some(Source { reader: open(&path)?, path, line: 0 });
            }
            let Some(source) = &mut self.current else { continue };
            let Some(item) = read_item(source, self.format)? else {
                self.current = None;
                continue;
            };
            self.bytes_read += item.len() as u64;
            if item.trim_ascii().is_empty() {
                continue;
            }
            let path = source.path.clone();
            let line = source.line;
            return self
                .event(&path, &item)
                .map(Some)
                .map_err(|error| Failure::Usage(error.context(format!("{}, line {line}", path.display()))));
        }
    }

    fn event(&self, path: &Path, item: &[u8]) -> Result<Event, anyhow::Error> {
        match self.format {
            InputFormat::Jsonl => {
                let line = std::str::from_utf8(item).context("expected UTF-8")?;
                Ok(if self.lenient { json_event_lenient(line) } else { json_event(line) }?)
            }
            InputFormat::Github => {
                let kind = self.kind.clone().or_else(|| kind_of(path)).context(
                    "expected --kind, the delivery's X-GitHub-Event: neither the file nor its folder has such a name",
                )?;
                Ok(github(&kind, self.delivery.as_deref(), item)?)
            }
        }
    }
}

/// The kind that a file tells of: samples lie in folders named by kind, single ones are named so themselves.
fn kind_of(path: &Path) -> Option<String> {
    let is_kind = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let stem = path.file_stem().and_then(|name| name.to_str());
    let stem_is_kind = |stem: &str| stem.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let name =
        stem.filter(|stem| is_kind(stem) && stem_is_kind(stem)).or(folder.filter(|name| is_kind(name)));
    name.map(str::to_owned)
}

fn length(path: &Path) -> Result<Option<u64>, Failure> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let facts = fs::metadata(path).with_context(|| path.display().to_string()).map_err(Failure::Usage)?;
    if facts.is_dir() {
        return Err(Failure::Usage(anyhow!("{} is a folder: name the files in it", path.display())));
    }
    Ok(Some(facts.len()))
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).with_context(|| path.display().to_string()).map_err(Failure::Usage)?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

/// The next line; of GitHub payloads in a file that does not end its first line with a closing brace, the
/// whole file, since a pretty-printed payload has many lines.
fn read_item(source: &mut Source, format: InputFormat) -> Result<Option<Vec<u8>>, Failure> {
    let mut item = Vec::new();
    let mut bounded = source.reader.by_ref().take(LINE_BYTES_MAX);
    bounded.read_until(b'\n', &mut item)?;
    let one_line = item.trim_ascii_end().ends_with(b"}");
    if format == InputFormat::Github && source.line == 0 && !one_line {
        bounded.read_to_end(&mut item)?;
    }
    if item.len() as u64 >= LINE_BYTES_MAX {
        let place = source.path.display();
        return Err(Failure::Usage(anyhow!("{place}: a line or payload has at most {LINE_BYTES_MAX} bytes")));
    }
    source.line += 1;
    Ok((!item.is_empty()).then_some(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_found_in_the_file_or_its_folder() {
        let check =
            |path: &str, expected: Option<&str>| assert_eq!(kind_of(Path::new(path)).as_deref(), expected);
        check("push.json", Some("push"));
        check("samples/workflow_run/02.completed.json", Some("workflow_run"));
        check("workflow_run/00.json", Some("workflow_run"));
        check("-", None);
        check("Some Folder/01.json", None);
    }
}
