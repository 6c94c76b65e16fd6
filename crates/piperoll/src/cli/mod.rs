//! The command line: one file a command, and how each of them ends.

mod accept_loss;
mod append;
mod clock;
pub(crate) mod complete;
mod completion;
mod config;
mod confirm;
mod connection;
mod count;
mod demo;
mod follow;
mod histogram;
mod inspect;
mod meant;
mod query;
mod seal;
mod serve;
mod status;
mod sweep;
mod tail;
mod timeline;
mod values;
mod which;

use crate::output::{Show, events::EventPrinter, paint, text};
use clap::{Parser, Subcommand};
use connection::Connection;
use piperoll_client::ClientError;
use std::io::{self, ErrorKind, IsTerminal, StdoutLock};
use std::process::ExitCode;

/// Piperoll keeps the audit record of build pipelines: who did what, when and from where, to which artifact,
/// in a log that nobody can quietly rewrite.
#[derive(Parser, Debug)]
#[command(name = "piperoll", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  piperoll demo                                see the whole of it run on real payloads
  piperoll serve --init                        start a daemon on ./piperoll-data
  piperoll append --format github push.json    send it a webhook payload
  piperoll query 'stage = deploy AND outcome = failure AND time >= -24h'
  piperoll tail --actor alice                  watch alice live
  piperoll timeline sha256:9f86d0…             everything that ever touched an artifact

Exit codes:
  0  done
  1  nothing found, or not proven
  2  wrong usage or wrong input
  3  failed while running";

// What a command is for stands at its arguments: a word here would take the place of all of it.
#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Args),
    Append(append::Args),
    Query(query::Args),
    Count(count::Args),
    Timeline(timeline::Args),
    Histogram(histogram::Args),
    Values(values::Args),
    Tail(tail::Args),
    Status(status::Args),
    Seal(seal::Args),
    Sweep(sweep::Args),
    AcceptLoss(accept_loss::Args),
    /// Show the daemon's clock, or say that it is right
    #[command(subcommand)]
    Clock(clock::Command),
    Inspect(inspect::Args),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    Completion(completion::Args),
    Man(completion::ManArgs),
    Demo(demo::Args),
}

/// How a command ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It did what was asked.
    Yes,
    /// There was nothing to find, or something did not prove.
    Nothing,
}

/// How a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user has to change the command or its input: exit code 2.
    Usage(anyhow::Error),
    /// It could not be done: exit code 3.
    Running(anyhow::Error),
}

/// What a command gives back.
pub(crate) type Outcome = Result<Done, Failure>;

impl Failure {
    /// Wrong usage or input.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Failed while running.
    pub(crate) fn running(error: impl Into<anyhow::Error>) -> Self {
        Self::Running(error.into())
    }
}

impl From<ClientError> for Failure {
    /// What the daemon calls invalid is the user's to change.
    fn from(error: ClientError) -> Self {
        use tonic::Code::{AlreadyExists, InvalidArgument, OutOfRange};
        match (&error, error.code()) {
            (ClientError::Option { .. }, _) | (_, Some(InvalidArgument | AlreadyExists | OutOfRange)) => {
                Self::usage(error)
            }
            _ => Self::running(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::running(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

/// Runs the command and says how it ended.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Append(args) => block_on(append::run(args)),
        Command::Query(args) => block_on(query::run(args)),
        Command::Count(args) => block_on(count::run(args)),
        Command::Timeline(args) => block_on(timeline::run(args)),
        Command::Histogram(args) => block_on(histogram::run(args)),
        Command::Values(args) => block_on(values::run(args)),
        Command::Tail(args) => block_on(tail::run(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Seal(args) => block_on(seal::run(args)),
        Command::Sweep(args) => block_on(sweep::run(args)),
        Command::AcceptLoss(args) => block_on(accept_loss::run(args)),
        Command::Clock(command) => block_on(clock::run(command)),
        Command::Inspect(args) => inspect::run(&args),
        Command::Config(command) => config::run(command),
        Command::Completion(args) => completion::run(&args),
        Command::Man(args) => completion::man(&args),
        Command::Demo(args) => block_on(demo::run(args)),
    };
    exit_code(outcome)
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Done::Yes) => ExitCode::SUCCESS,
        Ok(Done::Nothing) => ExitCode::from(1),
        // Whoever read our stdout has seen enough, as `head` does.
        Err(Failure::Running(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => complain(&error, 2),
        Err(Failure::Running(error)) => complain(&error, 3),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    let red = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    say(&format!("{} {}", paint(red, 31, "error:"), whole(error)));
    ExitCode::from(code)
}

/// The error with its causes, but for those that the words before them say already.
fn whole(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// Says something to the person at the terminal, on stderr.
#[expect(clippy::print_stderr, reason = "words go to stderr, so that stdout holds nothing but the answer")]
pub(crate) fn say(words: &str) {
    eprintln!("{words}");
}

/// The command that goes on from a position. Times are settled in this filter: a position belongs to exactly the
/// question that it came from.
pub(crate) fn again(command: &str, filter: &str, connection: &Connection, position: &str) -> String {
    let filter = if filter.is_empty() { String::new() } else { format!(" {}", text::shell_word(filter)) };
    format!("piperoll {command}{filter}{} --position {}", connection.flags(), text::shell_word(position))
}

/// What prints events on stdout, if stdout can take them.
#[cfg_attr(
    not(feature = "parquet"),
    expect(clippy::unnecessary_wraps, reason = "without Parquet, stdout can take every format")
)]
pub(crate) fn printer(show: Show) -> Result<EventPrinter<StdoutLock<'static>>, Failure> {
    #[cfg(feature = "parquet")]
    if show.output == crate::output::EventFormat::Parquet && io::stdout().is_terminal() {
        let problem = "a Parquet file is nothing for a terminal; write it into a file: > events.parquet";
        return Err(Failure::Usage(anyhow::anyhow!("--output: {problem}")));
    }
    Ok(EventPrinter::new(io::stdout().lock(), show))
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::running)?;
    runtime.block_on(work)
}
