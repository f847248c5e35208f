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

    /// The same proof over the record with masked values: hiding values takes nothing from what was admitted.
    pub(crate) fn with_masked(&self, record: Record) -> Self {
        Self(record)
    }
}
