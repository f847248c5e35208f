//! Where sources are.

use rusqlite::{Connection, params};

use super::{Change, Moment};
use crate::error::Failure;

/// See `JobStore::keep_position`.
pub(crate) struct KeepPosition {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Change for KeepPosition {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        db.prepare_cached(
            "INSERT INTO positions (name, kept, changed) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET kept = excluded.kept, changed = excluded.changed",
        )?
        .execute(params![self.name, self.text, at.wall])?;
        Ok(())
    }
}
