//! What the holder of a lease may do, and how leases are given out.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use vestibule_core::job::{Claimed, JobId, Lease, Reply, ReplyBody};

use super::{Change, Moment, micros};
use crate::{
    error::{Failure, stale_lease},
    row,
};

/// See `JobStore::answer`.
pub(crate) struct Answer {
    pub(crate) lease: Lease,
    pub(crate) reply: Reply,
}

impl Change for Answer {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        let findings = serde_json::to_string(&self.reply.findings)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let seq: Option<i64> = db
            .prepare_cached(
                "UPDATE jobs SET state = 2, changed = ?3 WHERE id = ?1 AND token = ?2 AND state = 1 RETURNING seq",
            )?
            .query_row(params![self.lease.job.as_bytes(), token(&self.lease), at.wall], |row| row.get(0))
            .optional()?;
        let seq = seq.ok_or_else(stale_lease)?;
        let (media_type, bytes) = match &self.reply.body {
            ReplyBody::Written { media_type, bytes } => (Some(&**media_type), Some(&**bytes)),
            ReplyBody::Refused => (None, None),
        };
        // A count that a column does not hold is a server's nonsense, and no reason to lose the reply.
        let tokens = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let usage = self.reply.usage;
        db.prepare_cached(
            "INSERT INTO replies (job, outcome, media_type, bytes, findings, answered_by, \
             input_tokens, cached_input_tokens, output_tokens, flow_version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            seq,
            row::outcome_number(self.reply.outcome),
            media_type,
            bytes,
            findings,
            &*self.reply.answered_by,
            tokens(usage.input),
            tokens(usage.cached_input),
            tokens(usage.output),
            self.reply.flow_version,
        ])?;
        Ok(())
    }
}

/// See `JobStore::returned`.
pub(crate) struct MarkReturned(pub(crate) JobId);

impl Change for MarkReturned {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        db.prepare_cached("UPDATE jobs SET state = 4, changed = ?2 WHERE id = ?1 AND state = 2")?
            .execute(params![self.0.as_bytes(), at.wall])?;
        Ok(())
    }
}

/// See `JobStore::release`.
pub(crate) struct Release {
    pub(crate) lease: Lease,
    pub(crate) delay: Duration,
}

impl Change for Release {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        let due = at.due.saturating_add(micros(self.delay));
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET state = 0, due = ?3, changed = ?4 WHERE id = ?1 AND token = ?2 AND state = 1",
            )?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), due, at.wall])?;
        one(changed)
    }
}

/// See `JobStore::bury`.
pub(crate) struct Bury {
    pub(crate) lease: Lease,
    pub(crate) cause: String,
}

impl Change for Bury {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET state = 3, cause = ?3, changed = ?4 WHERE id = ?1 AND token = ?2 AND state = 1",
            )?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), self.cause, at.wall])?;
        one(changed)
    }
}

/// See `JobStore::renew`.
pub(crate) struct Renew {
    pub(crate) lease: Lease,
    pub(crate) lasts: Duration,
}

impl Change for Renew {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        let due = at.due.saturating_add(micros(self.lasts));
        let changed = db
            .prepare_cached("UPDATE jobs SET due = ?3 WHERE id = ?1 AND token = ?2 AND state = 1")?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), due])?;
        one(changed)
    }
}

/// The cause of a job whose row is damaged.
const UNREADABLE: &str = "V010: the stored job can not be read";

/// See `JobStore::claim`.
pub(crate) struct Claim {
    pub(crate) most: usize,
    pub(crate) lasts: Duration,
}

/// Reads the index of open jobs only, whatever the planner thinks of it.
pub(crate) const DUE: &str =
    "SELECT seq FROM jobs INDEXED BY jobs_open WHERE state < 2 AND due <= ?1 ORDER BY due, seq LIMIT ?2";

impl Change for Claim {
    type Output = Vec<Claimed>;

    fn apply(&self, db: &Connection, at: Moment) -> Result<Vec<Claimed>, Failure> {
        let most = i64::try_from(self.most).unwrap_or(i64::MAX);
        let due: Vec<i64> = db
            .prepare_cached(DUE)?
            .query_map(params![at.due, most], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut lease = db.prepare_cached(
            "UPDATE jobs SET state = 1, token = token + 1, attempt = attempt + 1, due = ?2, changed = ?3 \
             WHERE seq = ?1 RETURNING token",
        )?;
        // One damaged row must not keep all others from being finished.
        let mut unreadable =
            db.prepare_cached("UPDATE jobs SET state = 3, cause = ?2, changed = ?3 WHERE seq = ?1")?;
        let until = at.due.saturating_add(micros(self.lasts));
        let mut claimed = Vec::with_capacity(due.len());
        for seq in due {
            let token = lease.query_row(params![seq, until, at.wall], new_token)?;
            match row::by_seq(db, seq) {
                Ok(job) => claimed.push(Claimed {
                    lease: Lease { job: job.id, token },
                    job,
                    checkpoints: Vec::new(),
                }),
                Err(error) if row::is_about_row(&error) => {
                    tracing::error!(row = seq, %error, "a stored job can not be read; it is given up");
                    unreadable.execute(params![seq, UNREADABLE, at.wall])?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(claimed)
    }

    fn undelivered(output: Vec<Claimed>) -> Vec<Lease> {
        output.into_iter().map(|it| it.lease).collect()
    }
}

/// Writes something, to see whether the store takes writes.
pub(crate) struct Probe;

impl Change for Probe {
    type Output = ();

    fn apply(&self, db: &Connection, _: Moment) -> Result<(), Failure> {
        // SQLite writes the page even where the number is the same.
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        db.pragma_update(None, "user_version", version)?;
        Ok(())
    }
}

fn token(lease: &Lease) -> i64 {
    // No store gave out a token past this; the stand-in fits no job.
    i64::try_from(lease.token).unwrap_or(-1)
}

fn new_token(row: &Row<'_>) -> rusqlite::Result<u64> {
    let token: i64 = row.get(0)?;
    u64::try_from(token).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, token))
}

fn one(changed: usize) -> Result<(), Failure> {
    if changed == 1 { Ok(()) } else { Err(stale_lease()) }
}
