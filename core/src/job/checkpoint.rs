//! What is saved of a document's work before all of it is done.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::Usage;

/// The answer about one record. A record with a checkpoint is never asked about again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which record that `source.only` kept, from 0, in document order.
    pub record: u32,
    /// The answer as JSON, masked values put back.
    pub answer: Map<String, Value>,
    /// The model or fallback that gave it.
    pub answered_by: Box<str>,
    /// What it cost.
    pub usage: Usage,
}
