//! The bytes, seen from outside the crate.

#[cfg(test)]
mod events;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod walk;
