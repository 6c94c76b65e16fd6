//! The deterministic source of generated events: the same seed gives the same events on every machine.
//!
//! Events come from up to 256 pipeline runs in flight, each walking its stages, mixed with a tenth of
//! administrative events that belong to no run. Actors and repositories follow Zipf's law.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the tables are fixed and every index is drawn below its table's length; the casts are the generator's arithmetic, which must not change with a rewrite"
)]

use crate::words::{
    ADMIN_ACTIONS, AGENTS, ARTIFACT_ACTIONS, AUTH, BOT_KIND, BOTS, FIRST, LAST, OUTCOMES, PIPELINES, REGIONS,
    REPO_A, REPO_B, REPOS, RETENTION, RUNS_IN_FLIGHT, STAGE_ACTIONS, STAGE_PCT, STAGES, STEPS, TRIGGERS,
    USERS,
};
use std::fmt::Write as _;

/// xoshiro256** seeded by splitmix64; written out so that the stream never changes with a dependency.
pub(crate) struct Rng([u64; 4]);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut x = seed;
        Rng(std::array::from_fn(|_| {
            x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }))
    }
    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }
    /// Uniform in `0..n` (the tiny modulo bias does not matter here).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
    fn pick<'a, T: ?Sized>(&mut self, xs: &[&'a T]) -> &'a T {
        xs[self.below(xs.len())]
    }
}

/// Zipf with exponent 1 over `0..n`, by binary search in the cumulative sums.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        Zipf(
            (1..=n)
                .map(|k| {
                    sum += 1.0 / k as f64;
                    sum
                })
                .collect(),
        )
    }
    fn sample(&self, rng: &mut Rng) -> usize {
        let x = rng.unit() * self.0.last().copied().unwrap_or_default();
        self.0.partition_point(|&c| c <= x).min(self.0.len() - 1)
    }
}

#[derive(Clone, Default)]
pub(crate) struct RawArtifact {
    pub(crate) uri: String,
    /// `sha256:` and 64 hex digits.
    pub(crate) digest: String,
}

/// One audit event. An empty string in `stage`, `pipeline`, `run_id`, `job_id`, `git_ref`
/// or `commit` means that the field is absent.
#[derive(Clone, Default)]
pub(crate) struct RawEvent {
    pub(crate) time_ns: u64,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) actor: String,
    pub(crate) actor_type: &'static str,
    pub(crate) auth: &'static str,
    pub(crate) source_ip: String,
    pub(crate) user_agent: &'static str,
    pub(crate) action: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) pipeline: &'static str,
    pub(crate) run_id: String,
    pub(crate) job_id: String,
    pub(crate) repo: String,
    pub(crate) git_ref: String,
    pub(crate) commit: String,
    pub(crate) outcome: &'static str,
    pub(crate) artifacts: Vec<RawArtifact>,
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) retention: &'static str,
}

#[derive(Default)]
struct Run {
    tenant: usize,
    actor: usize,
    repo: usize,
    pipeline: &'static str,
    id: String,
    git_ref: String,
    commit: String,
    stages: Vec<usize>,
    /// Index into `stages`; the event within the stage; steps of this stage.
    at: usize,
    phase: usize,
    steps: usize,
    job: String,
    begun: bool,
}

/// The source of events. `next_event` never ends; the caller counts.
pub(crate) struct RawGenerator {
    rng: Rng,
    users: Zipf,
    bots: Zipf,
    repos: Zipf,
    runs: Vec<Run>,
    recent: Vec<RawArtifact>,
    now_ns: u64,
    mean_gap_ns: f64,
    run_seq: u64,
    event: RawEvent,
}

/// Name of actor `n`: users are `0..USERS`, bots follow.
pub(crate) fn actor_name(n: usize) -> String {
    if n < USERS {
        // 37 is coprime to 5,000, so neighbours in rank get unlike names.
        let k = n * 37 % USERS;
        format!("{}.{}", FIRST[k % 50], LAST[k / 50])
    } else {
        let k = n - USERS;
        format!("bot-{}-{:02}", BOT_KIND[k % 8], k / 8)
    }
}

fn repo_name(n: usize) -> String {
    let k = n * 37 % REPOS;
    format!("{}-{}-{:02}", REPO_A[k % 20], REPO_B[k / 20 % 10], k / 200)
}

fn hex(rng: &mut Rng, words: usize) -> String {
    (0..words).fold(String::with_capacity(words * 8), |mut s, _| {
        write!(s, "{:08x}", rng.next() as u32).ok();
        s
    })
}

impl RawGenerator {
    /// `events` only sets the mean gap, so that this many fill `days`.
    pub(crate) fn new(seed: u64, start_secs: u64, events: u64, days: f64) -> Self {
        RawGenerator {
            rng: Rng::new(seed),
            users: Zipf::new(USERS),
            bots: Zipf::new(BOTS),
            repos: Zipf::new(REPOS),
            runs: Vec::new(),
            recent: Vec::new(),
            now_ns: start_secs * 1_000_000_000,
            mean_gap_ns: days * 86_400e9 / events.max(1) as f64,
            run_seq: 48_211_000,
            event: RawEvent::default(),
        }
    }

    fn actor(&mut self, bot_share: f64) -> usize {
        if self.rng.chance(bot_share) {
            USERS + self.bots.sample(&mut self.rng)
        } else {
            self.users.sample(&mut self.rng)
        }
    }

    fn new_run(&mut self) -> Run {
        let actor = self.actor(0.5);
        let repo = self.repos.sample(&mut self.rng);
        let rng = &mut self.rng;
        self.run_seq += 1;
        Run {
            // A repo belongs to one tenant.
            tenant: repo * 7 % 24,
            actor,
            repo,
            pipeline: rng.pick(&PIPELINES),
            id: format!("run-{}", self.run_seq),
            git_ref: match rng.below(10) {
                0..=3 => "refs/heads/main".into(),
                4..=7 => format!("refs/pull/{}/head", 1 + rng.below(9000)),
                8 => format!("refs/tags/v{}.{}.{}", rng.below(9), rng.below(30), rng.below(12)),
                _ => format!("refs/heads/feature/{}-{}", rng.pick(&REPO_A), rng.below(4000)),
            },
            commit: hex(rng, 5),
            stages: (0..25).filter(|&s| (rng.below(100) as u64) < STAGE_PCT[s]).collect(),
            ..Run::default()
        }
    }

    fn artifact(&mut self, repo: &str) -> RawArtifact {
        let rng = &mut self.rng;
        if !self.recent.is_empty() && rng.chance(0.25) {
            return self.recent[rng.below(self.recent.len())].clone();
        }
        let digest = format!("sha256:{}", hex(rng, 8));
        let version = format!("{}.{}.{}", rng.below(9), rng.below(30), rng.below(200));
        let uri = if rng.chance(0.5) {
            format!("oci://registry.example/{repo}:{version}")
        } else {
            format!("s3://artifacts/{repo}/{version}/{repo}.tar.zst")
        };
        let made = RawArtifact { uri, digest };
        if self.recent.len() < 4096 {
            self.recent.push(made.clone());
        } else {
            let slot = rng.below(4096);
            self.recent[slot] = made.clone();
        }
        made
    }

    /// The next event; the reference is valid until the next call.
    pub(crate) fn next_event(&mut self) -> &RawEvent {
        let gap = -self.mean_gap_ns * (1.0 - self.rng.unit()).ln();
        self.now_ns += 1 + gap as u64;
        let mut e = std::mem::take(&mut self.event);
        e.artifacts.clear();
        e.attributes.clear();
        e.time_ns = self.now_ns;
        let (a, b) = (self.rng.next(), self.rng.next());
        let ms = e.time_ns / 1_000_000;
        e.id = format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            ms >> 16,
            ms & 0xffff,
            a & 0xfff,
            0x8000 | (a >> 16) & 0x3fff,
            b & 0xffff_ffff_ffff
        );

        let actor;
        if self.rng.chance(0.10) {
            actor = self.actor(0.15);
            let repo = self.repos.sample(&mut self.rng);
            e.tenant = format!("tenant-{:02}", repo * 7 % 24);
            e.action = self.rng.pick(&ADMIN_ACTIONS);
            e.repo = repo_name(repo);
            (e.stage, e.pipeline) = ("", "");
            for s in [&mut e.run_id, &mut e.job_id, &mut e.git_ref, &mut e.commit] {
                s.clear();
            }
        } else {
            if self.runs.len() < RUNS_IN_FLIGHT {
                let fresh = self.new_run();
                self.runs.push(fresh);
            }
            let slot = self.rng.below(self.runs.len());
            actor = self.run_event(slot, &mut e);
        }
        self.finish(actor, &mut e);
        self.event = e;
        &self.event
    }

    /// Fills what belongs to the run's next step and moves the run on.
    fn run_event(&mut self, slot: usize, e: &mut RawEvent) -> usize {
        let mut run = std::mem::take(&mut self.runs[slot]);
        e.tenant = format!("tenant-{:02}", run.tenant);
        e.repo = repo_name(run.repo);
        e.pipeline = run.pipeline;
        e.run_id.clone_from(&run.id);
        e.git_ref.clone_from(&run.git_ref);
        e.commit.clone_from(&run.commit);
        let actor = run.actor;
        if !run.begun {
            run.begun = true;
            e.action = "pipeline.run.triggered";
            e.stage = "";
            e.job_id.clear();
        } else if let Some(&stage) = run.stages.get(run.at) {
            if run.phase == 0 {
                run.steps = 1 + self.rng.below(3);
                run.job = format!("job-{}", 310_000_000 + self.rng.below(600_000_000));
            }
            e.stage = STAGES[stage];
            e.job_id.clone_from(&run.job);
            let last = 2 + 2 * run.steps;
            if run.phase == 0 {
                e.action = "job.queued";
            } else if run.phase == 1 {
                e.action = "job.started";
            } else if run.phase < last {
                e.action = if run.phase.is_multiple_of(2) { "step.started" } else { "step.finished" };
            } else if self.rng.chance(if run.phase == last { 0.92 } else { 0.4 }) {
                if self.rng.chance(if stage >= 12 { 0.95 } else { 0.75 }) {
                    e.action = self.rng.pick(&ARTIFACT_ACTIONS);
                    for _ in 0..1 + self.rng.below(20) / 10 + self.rng.below(10) / 9 {
                        let made = self.artifact(&e.repo);
                        e.artifacts.push(made);
                    }
                } else {
                    e.action = self.rng.pick(&STAGE_ACTIONS);
                }
            } else {
                e.action = "job.finished";
            }
            run.phase += 1;
            if e.action == "job.finished" {
                run.at += 1;
                run.phase = 0;
            }
        } else {
            e.action = "pipeline.run.finished";
            e.stage = "";
            e.job_id.clear();
            run = self.new_run();
        }
        self.runs[slot] = run;
        actor
    }

    /// Fills who, from where, how it ended, attributes and retention.
    fn finish(&mut self, actor: usize, e: &mut RawEvent) {
        let rng = &mut self.rng;
        let bot = actor >= USERS;
        e.actor = actor_name(actor);
        e.actor_type = if bot { "bot" } else { "user" };
        e.auth = if bot { AUTH[if rng.chance(0.7) { 0 } else { 4 }] } else { AUTH[1 + rng.below(3)] };
        // An actor comes from one of three addresses.
        let place = actor * 3 + rng.below(3);
        e.source_ip = format!("10.{}.{}.{}", place / 4096, place / 16 % 256, 10 + place % 16 * 15);
        let agent = actor * 5 + rng.below(2);
        e.user_agent = if bot { AGENTS[[2, 3, 4, 11, 12, 13][agent % 6]] } else { AGENTS[agent % 16] };
        e.outcome = OUTCOMES[match rng.below(100) {
            0..=89 => 0,
            90..=95 => 1,
            96..=97 => 2,
            98 => 3,
            _ => 4,
        }];
        e.retention = if e.stage.starts_with("deploy") || e.stage == "sign" || e.stage.is_empty() {
            RETENTION[2 + rng.below(2)]
        } else {
            RETENTION[rng.below(2)]
        };
        e.attributes.push(("trigger", rng.pick(&TRIGGERS).into()));
        e.attributes.push(("region", rng.pick(&REGIONS).into()));
        if rng.chance(0.4) {
            e.attributes.push(("duration_ms", (rng.next() % 900_000).to_string()));
        }
        if e.action.starts_with("step.") {
            e.attributes.push(("step", rng.pick(&STEPS).into()));
        } else if e.stage.starts_with("deploy") {
            e.attributes.push(("change", format!("CHG-{:07}", rng.next() % 10_000_000)));
        }
        if rng.chance(0.35) {
            e.attributes.push(("trace_id", hex(rng, 4)));
        }
        e.attributes.sort_unstable();
    }
}

#[cfg(test)]
mod tests;
