//! One pipeline.
pub mod written;
