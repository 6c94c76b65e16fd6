//! The event: its fields, the check of its wire bytes, and the view of them.

mod check;
pub mod fields;
mod view;

pub use crate::wire::WireProblem;
pub(crate) use check::check_any_text;
pub use check::{EventError, EventProblem, check_and_count, check_event};
pub use fields::{Field, FieldSet, Indexed, Kind};
pub use view::{ArtifactView, AttestationView, EventView, LinkView, Term};
