//! SOAP 1.1 and 1.2: envelopes, faults, dispatch, and the description of a service.

mod answer;
mod content_type;
mod describe;
mod envelope;
mod frontend;
mod jobs;
mod offer;
mod service;
#[cfg(test)]
mod tests;

pub use answer::{FAULT_NAMESPACE, FAULT_SCHEMA};
pub(crate) use envelope::is_envelope;
pub use frontend::SoapFrontend;
pub use jobs::{JOBS_NAMESPACE, JOBS_SCHEMA};
