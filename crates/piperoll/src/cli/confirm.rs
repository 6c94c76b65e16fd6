//! Asking a person before something that cannot be undone.

use super::{Failure, say};
use anyhow::anyhow;
use std::io::{self, BufRead as _, IsTerminal as _};

/// Asks the person at the terminal to type `word`; true if they did, or said `--yes` before. Without a terminal
/// there is nobody to ask, and only `--yes` will do.
pub(crate) fn confirm(yes: bool, question: &str, word: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(anyhow!(
            "nothing was done: there is no terminal to ask at; look, then say --yes to confirm"
        )));
    }
    say(&format!("{question}\nType '{word}' to confirm:"));
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(line.trim() == word)
}
