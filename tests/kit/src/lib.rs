//! What tests of this workspace share: conformance suites for ports, scripted fakes, and private servers.
//!
//! Nothing here is part of the product. A suite is a list of cases over a trait; every implementation of the trait,
//! real or fake, passes the same list, and a deliberately broken fake proves that the list can fail.

pub mod channel;
pub mod fixtures;
pub mod http;
pub mod job_store;
pub mod memory_store;
pub mod model_server;
pub mod postgres;
pub mod private;
pub mod process;
pub mod proxy;
pub mod rabbitmq;
pub mod scripted_channel;
pub mod scripted_model;
pub mod tds;

pub use memory_store::MemoryStore;
pub use scripted_channel::ScriptedChannel;
pub use scripted_model::{ScriptedModel, Step};
