//! The adapter against a private RabbitMQ.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod breaking;
mod conformance;
mod declaring;
mod house;
mod messages;
mod secure;
