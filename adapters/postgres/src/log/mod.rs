//! Changes from PostgreSQL's own log: a slot's stream of `pgoutput` over the replication protocol.

mod bytes;
mod decode;
mod intake;
mod ledger;
mod login;
mod oversize;
mod pgoutput;
mod position;
mod rows;
mod shape;
mod side;
mod slot;
mod source;
mod wire;

#[doc(hidden)]
pub use pgoutput::probe;
pub(crate) use source::LogSource;

#[cfg(test)]
mod tests;
