//! XML documents and SOAP 1.1 and 1.2 messages: read strictly, checked against a contract, written, described.

pub mod contract;
pub mod xml;
