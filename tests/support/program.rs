//! The program's commands, run to their end, with what they printed.

use crate::daemon::{Daemon, command, wait_until};
use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Asserts the exit code, and gives what was printed on stdout.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }
}

/// A command that speaks to this daemon.
pub(crate) fn client_command(daemon: &Daemon) -> Command {
    let mut command = command(daemon.data().parent().unwrap());
    command.env("PIPEROLL_ENDPOINT", daemon.grpc());
    command
}

/// Runs a command that speaks to this daemon.
pub(crate) fn run(daemon: &Daemon, arguments: &[&str]) -> Ended {
    run_with(client_command(daemon), arguments, b"")
}

/// Runs a command without a daemon.
pub(crate) fn run_alone(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Ended {
    run_with(command(folder), arguments, b"")
}

/// Runs a command with this input.
pub(crate) fn run_with(mut command: Command, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Ended {
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_empty() {
        return ended(command.spawn().unwrap());
    }
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that does not want all of its input closes it; what it says then counts.
    let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
    let ended = ended(child);
    writer.join().unwrap();
    ended
}

/// Waits for a child with piped output.
pub(crate) fn ended(mut child: Child) -> Ended {
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = wait_until("a command to end", || child.try_wait().unwrap());
    Ended { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).unwrap();
        }
        text
    })
}
