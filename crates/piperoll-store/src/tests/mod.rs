//! The engine on the simulated disk, in one thread: what is promised is looked at from outside.

mod appending;
mod ballast;
mod believing;
mod losing;
mod mending;
mod recovering;
mod retiring;
mod retrying;
mod sealing;
mod threading;
mod torn;
mod world;
