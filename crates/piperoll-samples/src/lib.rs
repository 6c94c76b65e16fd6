//! Sample events: real GitHub webhook payloads, and a deterministic generator of CI events.
//!
//! The demo, the tests and every figure in `docs/performance.md` are fed from here, so that the same seed
//! means the same events everywhere.

mod events;
mod generator;
mod github;
mod words;

pub use events::Events;
pub use github::{Payload, github_payloads};
