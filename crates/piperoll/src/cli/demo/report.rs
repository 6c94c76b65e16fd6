//! What the demo says while it runs: each step with its time, each answer beside the one expected.

use crate::cli::say;
use crate::output::text;
use std::fmt::Display;
use std::path::Path;
use tokio::time::Instant;

/// The story so far.
pub(super) struct Report {
    begun: Instant,
    step_begun: Instant,
    steps: u32,
    answers: u32,
    wrong: u32,
}

impl Report {
    /// Begins it.
    pub(super) fn begin() -> Self {
        print("piperoll demo: the whole path, on real input\n");
        let now = Instant::now();
        Self { begun: now, step_begun: now, steps: 0, answers: 0, wrong: 0 }
    }

    /// Tells what was done since the step before, and how long it took.
    pub(super) fn step(&mut self, what: &str) {
        self.steps += 1;
        let took = self.step_begun.elapsed();
        print(&format!("{:>3}. {what}  [{}]", self.steps, text::duration(took)));
        self.step_begun = Instant::now();
    }

    /// Tells the rate of the step that ends now.
    pub(super) fn rate(&self, events: u64) -> String {
        let seconds = self.step_begun.elapsed().as_secs_f64().max(1e-9);
        format!("{} events/s", text::count(rounded(events as f64 / seconds)))
    }

    /// A line that belongs to the step above.
    pub(super) fn detail(line: &str) {
        print(&format!("       {line}"));
    }

    /// Compares an answer with the one expected, and tells both where they differ.
    pub(super) fn answer<T: PartialEq + Display>(&mut self, question: &str, expected: &T, found: &T) {
        self.answers += 1;
        if expected == found {
            Self::detail(&format!("✓ {question}: {found}"));
        } else {
            self.wrong += 1;
            Self::detail(&format!("✗ {question}: expected {expected}, found {found}"));
        }
    }

    /// Compares two lists, line by line, and shows the first lines.
    pub(super) fn list(&mut self, question: &str, expected: &[String], found: &[String], show: usize) {
        self.answer(question, &Same(expected.len(), true), &Same(found.len(), expected == found));
        for line in found.iter().take(show) {
            Self::detail(&format!("    {line}"));
        }
        let differing = expected.iter().zip(found).find(|(expected, found)| expected != found);
        if let Some((expected, found)) = differing {
            Self::detail(&format!("    first difference: expected {expected:?}, found {found:?}"));
        }
    }

    /// Says what to type while the daemon goes on.
    pub(super) fn next_steps(endpoint: &str, http: &str, pid: u32, data: &Path) {
        let lines = [
            "the daemon goes on running; try:".to_owned(),
            format!("  export PIPEROLL_ENDPOINT={endpoint}"),
            "  piperoll status".to_owned(),
            "  piperoll query 'environment = production AND outcome = failure' -n 10".to_owned(),
            "  piperoll count --by stage,outcome".to_owned(),
            "  piperoll tail --from -1h".to_owned(),
            format!("  curl {http}/metrics"),
            format!("  piperoll inspect {}/logs/default/standard/00000000000000000000.log", data.display()),
            format!("and end it with: kill {pid}"),
        ];
        print(&lines.join("\n"));
    }

    /// Ends it; true where every answer was right.
    pub(super) fn end(&self) -> bool {
        let took = text::duration(self.begun.elapsed());
        if self.wrong == 0 {
            print(&format!("\nall {} answers were right, in {took}", self.answers));
        } else {
            say(&format!("{} of {} answers were wrong, in {took}", self.wrong, self.answers));
        }
        self.wrong == 0
    }
}

/// How many lines, and whether they are the expected ones.
#[derive(PartialEq)]
struct Same(usize, bool);

impl Display for Same {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lines{}", self.0, if self.1 { ", each as expected" } else { ", not the expected ones" })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people to read")]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

#[expect(clippy::print_stdout, reason = "the story is the demo's answer")]
fn print(line: &str) {
    println!("{line}");
}
