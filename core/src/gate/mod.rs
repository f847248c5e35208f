//! The gate.

use crate::record::Record;

/// The proof that a record passed the gate. Only the gate makes one, and a model takes nothing else.
#[derive(Debug, Clone)]
pub struct Admitted(Record);

impl Admitted {
    /// The record that passed.
    pub fn record(&self) -> &Record {
        &self.0
    }
}
