//! Every answer against a naive scan, whatever happened to the segments in between.

mod answers;
mod candidates;
mod events;
mod known;
mod model;
mod scan;
mod searches;
mod summaries;
mod timelines;
mod world;
