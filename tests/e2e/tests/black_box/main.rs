//! Black-box tests of the binary, with real clients, and the tests of the rules of the house.

// What the lints allow in tests, they allow in whatever stands under this.
#![cfg(test)]

mod async_calls;
mod bridge;
mod clients;
mod command_line;
mod crash;
mod desk;
mod documents;
mod exactness;
mod foreign;
mod house;
mod idempotency;
mod llmock;
mod models;
mod operators;
mod orders;
mod queues;
mod quickstart;
mod refusals;
mod shared_store;
mod start_up;
mod webhooks;
