//! What the holder of a lease for work may do.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_core::{
    finding::Outcome,
    job::{Checkpoint, JobId, Lease, Remark, Reply, ReplyBody, Suspension},
};

use super::{
    Change, Moment, Orphan,
    claiming::{new_token, token},
    line::Line,
    micros,
};
use crate::{
    error::{Failure, stale_lease},
    row,
};

/// What a job that ended has to send.
struct Ended {
    seq: i64,
    /// The lease to send it.
    lease: Option<Lease>,
    line: Option<Line>,
}

/// Ends a job under this lease; `state` is the new one, `cause` that of a dead one.
fn end(
    db: &Connection,
    at: Moment<'_>,
    lease: &Lease,
    (state, cause): (i64, Option<&str>),
    (is_refused, lasts): (bool, Duration),
) -> Result<Ended, Failure> {
    // What has to be sent of one that is refused, and of one that is not.
    let least = if is_refused { 1 } else { 2 };
    let ended = db
        .prepare_cached(
            "UPDATE jobs SET state = ?3, cause = ?4, changed = ?5, token = token + (sends >= ?6), \
             delivery = iif(sends >= ?6, 2, 0), sent = (sends >= ?6), due = iif(sends >= ?6, ?7, due) \
             WHERE id = ?1 AND token = ?2 AND state = 1 RETURNING token, seq, delivery, flow, line",
        )?
        .query_row(
            params![
                lease.job.as_bytes(),
                token(lease),
                state,
                cause,
                at.wall,
                least,
                at.due.saturating_add(micros(lasts))
            ],
            |row| {
                let sends = row.get::<_, i64>(2)? == row::SENDING;
                let next = Lease { job: lease.job, token: new_token(row)? };
                Ok(Ended { seq: row.get(1)?, lease: sends.then_some(next), line: Line::of(row, 3)? })
            },
        )
        .optional()?;
    let ended = ended.ok_or_else(stale_lease)?;
    if let (Some(line), None) = (&ended.line, &ended.lease) {
        line.advance(db, at)?;
    }
    Ok(ended)
}

/// See `JobStore::answer`.
pub(crate) struct Answer {
    pub(crate) lease: Lease,
    pub(crate) reply: Reply,
    pub(crate) lasts: Duration,
}

impl Change for Answer {
    type Output = Option<Lease>;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Option<Lease>, Failure> {
        let is_refused = self.reply.outcome == Outcome::Reject;
        let ended = end(db, at, &self.lease, (row::ANSWERED, None), (is_refused, self.lasts))?;
        save_reply(db, ended.seq, &self.reply)?;
        db.prepare_cached("DELETE FROM checkpoints WHERE job = ?1")?.execute([ended.seq])?;
        Ok(ended.lease)
    }

    fn undelivered(output: Option<Lease>) -> Vec<Orphan> {
        output.into_iter().map(Orphan::Delivery).collect()
    }
}

fn save_reply(db: &Connection, seq: i64, reply: &Reply) -> rusqlite::Result<()> {
    let findings = row::to_json(&reply.findings)?;
    let (media_type, bytes) = match &reply.body {
        ReplyBody::Written { media_type, bytes } => (Some(&**media_type), Some(&**bytes)),
        ReplyBody::Refused => (None, None),
    };
    // A count that a column does not hold is a server's nonsense, and no reason to lose the reply.
    let tokens = |count| i64::try_from(count).unwrap_or(i64::MAX);
    let usage = reply.usage;
    // The interim reply of a review may stand there.
    db.prepare_cached(
        "INSERT OR REPLACE INTO replies (job, outcome, media_type, bytes, findings, answered_by, \
         input_tokens, cached_input_tokens, output_tokens, flow_version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        seq,
        row::outcome_number(reply.outcome),
        media_type,
        bytes,
        findings,
        &*reply.answered_by,
        tokens(usage.input),
        tokens(usage.cached_input),
        tokens(usage.output),
        reply.flow_version,
    ])?;
    Ok(())
}

/// See `JobStore::bury`.
pub(crate) struct Bury {
    pub(crate) lease: Lease,
    pub(crate) cause: String,
    pub(crate) findings: Vec<Remark>,
    pub(crate) lasts: Duration,
}

impl Change for Bury {
    type Output = Option<Lease>;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Option<Lease>, Failure> {
        let ended = end(db, at, &self.lease, (row::DEAD, Some(&self.cause)), (true, self.lasts))?;
        if !self.findings.is_empty() {
            db.prepare_cached("INSERT OR REPLACE INTO burials (job, findings) VALUES (?1, ?2)")?
                .execute(params![ended.seq, row::to_json(&self.findings)?])?;
        }
        Ok(ended.lease)
    }

    fn undelivered(output: Option<Lease>) -> Vec<Orphan> {
        output.into_iter().map(Orphan::Delivery).collect()
    }
}

/// See `JobStore::checkpoint`.
pub(crate) struct Save {
    pub(crate) lease: Lease,
    pub(crate) answers: Vec<Checkpoint>,
}

impl Change for Save {
    type Output = ();

    fn apply(&self, db: &Connection, _: Moment<'_>) -> Result<(), Failure> {
        let seq: Option<i64> = db
            .prepare_cached("SELECT seq FROM jobs WHERE id = ?1 AND token = ?2 AND state = 1")?
            .query_row(params![self.lease.job.as_bytes(), token(&self.lease)], |row| row.get(0))
            .optional()?;
        let seq = seq.ok_or_else(stale_lease)?;
        let mut insert = db.prepare_cached(
            "INSERT INTO checkpoints (job, record, saved) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for answer in &self.answers {
            insert.execute(params![seq, answer.record, row::to_json(answer)?])?;
        }
        Ok(())
    }
}

/// See `JobStore::suspend`.
pub(crate) struct Suspend {
    pub(crate) lease: Lease,
    pub(crate) suspension: Suspension,
}

impl Change for Suspend {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let until = self.suspension.until.map_or(row::NEVER, |it| it.as_microsecond());
        let seq: Option<i64> = db
            .prepare_cached(
                "UPDATE jobs SET state = 0, review = 1, due = ?3, changed = ?4 \
                 WHERE id = ?1 AND token = ?2 AND state = 1 RETURNING seq",
            )?
            .query_row(params![self.lease.job.as_bytes(), token(&self.lease), until, at.wall], |row| {
                row.get(0)
            })
            .optional()?;
        save_reply(db, seq.ok_or_else(stale_lease)?, &self.suspension.reply)?;
        Ok(())
    }
}

/// See `JobStore::release`.
pub(crate) struct Release {
    pub(crate) lease: Lease,
    pub(crate) delay: Duration,
    pub(crate) untried: bool,
}

impl Change for Release {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let due = at.due.saturating_add(micros(self.delay));
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET state = 0, due = ?3, changed = ?4, attempt = max(attempt - ?5, 0) \
                 WHERE id = ?1 AND token = ?2 AND state = 1",
            )?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), due, at.wall, self.untried])?;
        at.tell();
        if changed == 1 { Ok(()) } else { Err(stale_lease()) }
    }
}

/// See `JobStore::returned`.
pub(crate) struct MarkReturned(pub(crate) JobId);

impl Change for MarkReturned {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        db.prepare_cached(
            "UPDATE jobs SET state = 4, changed = ?2 WHERE id = ?1 AND state = 2 AND delivery = 0",
        )?
        .execute(params![self.0.as_bytes(), at.wall])?;
        Ok(())
    }
}

/// Writes something, to see whether the store takes writes.
pub(crate) struct Probe;

impl Change for Probe {
    type Output = ();

    fn apply(&self, db: &Connection, _: Moment<'_>) -> Result<(), Failure> {
        // SQLite writes the page even where the number is the same.
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        db.pragma_update(None, "user_version", version)?;
        Ok(())
    }
}
