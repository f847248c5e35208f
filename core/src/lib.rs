//! The domain of Vestibule: what arrives from a legacy system, how it is read, judged, asked about and answered.
//!
//! Nothing here touches a network, a file system or a driver; adapters do, behind the traits of [`ports`].
//! The way of a document is [`flow`]; what must never happen is written in `ARCHITECTURE.md`.

pub mod ask;
pub mod change;
pub mod document;
pub mod fault;
pub mod finding;
pub mod flow;
pub mod gate;
pub mod interpret;
pub mod job;
pub mod lookup;
pub mod mapping;
pub mod mask;
pub mod origin;
pub mod ports;
pub mod record;
pub mod registry;
pub mod rule;
pub mod runner;
pub mod tree;
