//! The golden table of the GitHub mapping, and what must hold for every payload.

#[cfg(test)]
#[path = "github/golden.rs"]
mod golden;
#[cfg(test)]
#[path = "github/nothing_lost.rs"]
mod nothing_lost;
#[cfg(test)]
#[path = "github/robust.rs"]
mod robust;
#[cfg(test)]
#[path = "github/support.rs"]
mod support;
