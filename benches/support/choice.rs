//! Which cases run: `cargo bench -p piperoll --bench append -- unary 256` runs those whose names have both words.

use crate::report::Scale;
use anyhow::Result;
use std::cell::Cell;

/// The words of the command line.
pub(crate) struct Choice {
    words: Vec<String>,
    all: bool,
    taken: Cell<usize>,
}

impl Choice {
    /// Those of this run; outside `cargo bench` everything runs.
    pub(crate) fn of_this_run(scale: Scale) -> Self {
        let words = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
        Self { words: words.collect(), all: !scale.full, taken: Cell::new(0) }
    }

    /// Whether the case of this name runs; one that takes long does only if its first word is asked for.
    pub(crate) fn takes(&self, name: &str, is_long: bool) -> bool {
        let has = |word: &str| self.words.iter().any(|asked| asked == word);
        let matches = self.words.iter().all(|asked| name.split(' ').any(|word| word == asked));
        let takes = matches && (self.all || !is_long || name.split(' ').next().is_some_and(has));
        self.taken.set(self.taken.get() + usize::from(takes));
        takes
    }

    /// An error where the words match no case.
    pub(crate) fn check(&self) -> Result<()> {
        anyhow::ensure!(self.taken.get() > 0, "no case is called `{}`", self.words.join(" "));
        Ok(())
    }
}
