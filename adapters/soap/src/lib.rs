//! XML documents and SOAP 1.1 and 1.2 messages: read strictly, checked against a contract, written, described.

pub mod contract;
mod format;
mod render;
#[cfg(test)]
mod sample;
pub mod soap;
pub mod xml;

pub use format::XmlFormat;
pub use soap::SoapFrontend;
