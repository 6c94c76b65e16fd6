//! The targets, by what they parse.

pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod index;
pub(crate) mod store;
pub(crate) mod text;
