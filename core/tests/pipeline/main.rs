//! The pipeline as its callers see it: mappings compiled from their text, documents through gate, models and writer,
//! and the runner around it, with a small format of its own in place of the adapters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod answers;
mod back;
mod broker;
mod checkpoints;
mod delivery;
mod desk;
mod documents;
mod fields;
mod journal;
mod lanes;
mod masking;
mod outages;
mod queues;
mod reviews;
mod running;
mod tickets;
