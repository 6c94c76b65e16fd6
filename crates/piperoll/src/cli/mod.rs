//! The command line: one file a command, and how each of them ends.

mod accept_loss;
mod append;
mod clock;
mod config;
mod confirm;
mod connection;
mod count;
mod demo;
mod follow;
mod histogram;
mod inspect;
mod query;
mod seal;
mod serve;
mod status;
mod sweep;
mod tail;
mod timeline;
mod values;
mod which;

use crate::output::paint;
use clap::{Parser, Subcommand};
use piperoll_client::ClientError;
use std::io::{self, ErrorKind, IsTerminal};
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

Exit codes:
  0  done
  1  nothing found, or not proven
  2  wrong usage or wrong input
  3  failed while running";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon
    Serve(serve::Args),
    /// Send events from a file or from stdin
    Append(append::Args),
    /// Find events
    Query(query::Args),
    /// Count events, by up to two fields
    Count(count::Args),
    /// Tell everything that ever touched an artifact, a run or a commit
    Timeline(timeline::Args),
    /// Count events over time, as bars
    Histogram(histogram::Args),
    /// List the values that a field has
    Values(values::Args),
    /// Follow events as they are stored
    Tail(tail::Args),
    /// Show what the daemon has and does
    Status(status::Args),
    /// Roll active segments and wait until they are sealed
    Seal(seal::Args),
    /// Drop sealed segments whose retention has ended
    Sweep(sweep::Args),
    /// Show what is lost of a log that damage made read-only, and accept it
    AcceptLoss(accept_loss::Args),
    /// Show the daemon's clock, or say that it is right
    #[command(subcommand)]
    Clock(clock::Command),
    /// Show what is in a file of a data directory, and whether it checks
    Inspect(inspect::Args),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Run the whole path once on real events: ingest, query, tail, seal, kill, restart, verify, sweep
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

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::running)?;
    runtime.block_on(work)
}
