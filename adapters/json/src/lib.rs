//! JSON documents, read by the same addresses as XML: an object's keys are child elements, an array repeats the
//! element of its key, `@name` is an attribute, `#text` the text beside attributes, `null` an element that is nil.
//! Numbers keep the digits they are written with.

mod error;
mod format;
mod reader;
mod render;
mod token;

#[cfg(test)]
mod tests;

pub use error::{JsonError, Problem};
pub use format::JsonFormat;
pub use reader::{Limits, parse};

/// Reads a document and forgets it: the whole way of hostile bytes, for fuzzing.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<(), JsonError> {
    parse(reader::text_of(bytes, limits)?, limits).map(drop)
}
