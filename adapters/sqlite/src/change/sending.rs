//! What the holder of a lease for a delivery may do.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, params};
use vestibule_core::job::Lease;

use super::{Change, Moment, claiming::token, line::Line, micros};
use crate::error::{Failure, stale_lease};

/// Ends a delivery: the next of its order may go.
fn end(db: &Connection, at: Moment<'_>, sql: &str, parameters: impl Params) -> Result<(), Failure> {
    let line = db.prepare_cached(sql)?.query_row(parameters, |row| Line::of(row, 0)).optional()?;
    match line.ok_or_else(stale_lease)? {
        Some(line) => Ok(line.advance(db, at)?),
        None => Ok(()),
    }
}

/// See `JobStore::delivered`.
pub(crate) struct Delivered(pub(crate) Lease);

impl Change for Delivered {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let sql = "UPDATE jobs SET delivery = 3, changed = iif(state = 2, ?3, changed), \
                   state = iif(state = 2, 4, state) \
                   WHERE id = ?1 AND token = ?2 AND delivery = 2 RETURNING flow, line";
        end(db, at, sql, params![self.0.job.as_bytes(), token(&self.0), at.wall])
    }
}

/// See `JobStore::undeliverable`.
pub(crate) struct Undeliverable {
    pub(crate) lease: Lease,
    pub(crate) cause: String,
}

impl Change for Undeliverable {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let sql = "UPDATE jobs SET delivery = 4, undelivered = ?3 \
                   WHERE id = ?1 AND token = ?2 AND delivery = 2 RETURNING flow, line";
        end(db, at, sql, params![self.lease.job.as_bytes(), token(&self.lease), self.cause])
    }
}

/// See `JobStore::redeliver`.
pub(crate) struct Redeliver {
    pub(crate) lease: Lease,
    pub(crate) delay: Duration,
    /// It was not sent at all.
    pub(crate) untried: bool,
}

impl Change for Redeliver {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let due = at.due.saturating_add(micros(self.delay));
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET delivery = 1, due = ?3, sent = max(sent - ?4, 0) \
                 WHERE id = ?1 AND token = ?2 AND delivery = 2",
            )?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), due, self.untried])?;
        at.tell();
        if changed == 1 { Ok(()) } else { Err(stale_lease()) }
    }
}
