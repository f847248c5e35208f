//! A change as JSON: what a job keeps.
//!
//! ```json
//! {"op":"update","table":"public.orders","at":"2026-11-20T10:00:00Z","position":"0/16B3748","txid":"734","key":["no"],
//!  "after":{"no":"A1","total":"12.50","note":null,"tags":["a","b"],"photo":{"unchanged":true},"doc":{"json":"{\"a\":1}"}},
//!  "before":{"no":"A1"}}
//! ```
//!
//! What is read is bounded: by the bytes of the document, by [`MOST_CELLS`] and by [`DEEPEST`].

mod read;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::Change;
use crate::fault::{Fault, FaultCode};

/// Most values of both rows, the items of arrays included.
pub const MOST_CELLS: usize = 1_000_000;
/// Deepest array inside of arrays; PostgreSQL has six dimensions.
pub const DEEPEST: usize = 16;

impl Change {
    /// The document.
    pub fn to_bytes(&self) -> Bytes {
        // Writing text, lists and objects with text as their keys can not fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads what [`Change::to_bytes`] wrote: nothing else, and no column twice.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let found = read::change(&mut reader).and_then(|it| reader.end().map(|()| it));
        // Messages of the JSON reader quote names and values.
        found.map_err(|error| {
            let place = format!("{}:{}", error.line(), error.column());
            Fault::new(FaultCode::NotUnderstood, "this is not a change of a row").at(place)
        })
    }
}
