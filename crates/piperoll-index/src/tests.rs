//! Whole logs, made of random events, and what an index answers about them.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of these logs are small"
)]

mod answers;
mod canonical;
mod damage;
mod places;
mod support;

pub(crate) use support::{cases, hex};
