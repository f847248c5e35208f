//! The adapter against a private RabbitMQ.

mod breaking;
mod conformance;
mod declaring;
mod house;
mod messages;
mod secure;
