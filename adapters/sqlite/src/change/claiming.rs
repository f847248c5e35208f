//! How leases are given out.

use std::{sync::Arc, time::Duration};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use vestibule_core::job::{Claimed, Decision, JobId, Lease, Ruling};

use super::{Change, Moment, Orphan, line::Line, micros};
use crate::{error::Failure, row};

/// The cause of a job whose row is damaged.
const UNREADABLE: &str = "V010: the stored job can not be read";

/// See `JobStore::claim`.
pub(crate) struct Claim {
    pub(crate) flows: Vec<Arc<str>>,
    pub(crate) most: usize,
    pub(crate) lasts: Duration,
}

/// Reads the index of jobs that wait for nobody, whatever the planner thinks of it.
pub(crate) const DUE: &str = "SELECT due, seq, review FROM jobs INDEXED BY jobs_waiting \
     WHERE state < 2 AND flow = ?1 AND behind = 0 AND due <= ?2 \
     ORDER BY due, state, review, accepted, seq LIMIT ?3";

impl Claim {
    /// Due time, row number, and whether it is a review whose time is over.
    fn due(&self, db: &Connection, at: Moment<'_>) -> rusqlite::Result<Vec<(i64, i64, bool)>> {
        let most = i64::try_from(self.most).unwrap_or(i64::MAX);
        let mut all = Vec::new();
        for flow in &self.flows {
            let mut select = db.prepare_cached(DUE)?;
            let of_flow = select.query_map(params![&**flow, at.due, most], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            for due in of_flow {
                all.push(due?);
            }
        }
        // Each flow's are sorted; jobs of one moment go by the order of their acceptance.
        all.sort_unstable();
        all.dedup();
        all.truncate(self.most);
        Ok(all)
    }
}

impl Change for Claim {
    type Output = Vec<Claimed>;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Vec<Claimed>, Failure> {
        if self.most == 0 {
            return Ok(Vec::new());
        }
        let due = self.due(db, at)?;
        let mut lease = db.prepare_cached(
            "UPDATE jobs SET state = 1, token = token + 1, attempt = iif(review, 0, attempt) + 1, review = 0, \
             held_by = NULL, held_until = NULL, due = ?2, changed = ?3 WHERE seq = ?1 RETURNING token",
        )?;
        let until = at.due.saturating_add(micros(self.lasts));
        let mut claimed = Vec::with_capacity(due.len());
        for (_, seq, is_over) in due {
            if is_over {
                decide(db, seq, vec![lapse(at)])?;
            }
            let token = lease.query_row(params![seq, until, at.wall], new_token)?;
            match whole(db, seq) {
                Ok((job, checkpoints)) => {
                    claimed.push(Claimed { lease: Lease { job: job.id, token }, job, checkpoints });
                }
                Err(error) if row::is_about_row(&error) => {
                    tracing::error!(row = seq, %error, "a stored job can not be read; it is given up");
                    let given_up = "UPDATE jobs SET state = 3, cause = ?2, changed = ?3 WHERE seq = ?1 \
                                    RETURNING flow, line";
                    lose(db.prepare_cached(given_up)?, params![seq, UNREADABLE, at.wall], db, at)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(claimed)
    }

    fn undelivered(output: Vec<Claimed>) -> Vec<Orphan> {
        output.into_iter().map(|it| Orphan::Work(it.lease)).collect()
    }
}

fn whole(
    db: &Connection,
    seq: i64,
) -> rusqlite::Result<(vestibule_core::job::Job, Vec<vestibule_core::job::Checkpoint>)> {
    Ok((row::by_seq(db, seq)?, row::checkpoints(db, seq)?))
}

/// One damaged row must not keep all others from being finished, nor those of its order.
fn lose(
    mut give_up: CachedStatement<'_>,
    parameters: &[&dyn rusqlite::ToSql],
    db: &Connection,
    at: Moment<'_>,
) -> rusqlite::Result<()> {
    let line = give_up.query_row(parameters, |row| Line::of(row, 0)).optional();
    match line {
        Ok(Some(Some(line))) => line.advance(db, at),
        Ok(_) => Ok(()),
        // Its order can not be read either.
        Err(error) if row::is_about_row(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn lapse(at: Moment<'_>) -> Decision {
    let at = jiff::Timestamp::from_microsecond(at.wall).unwrap_or_else(|_| jiff::Timestamp::now());
    Decision { record: None, ruling: Ruling::Lapse, by: "vestibule".into(), at, note: None }
}

/// Adds decisions to what was decided about the job of this row number.
pub(crate) fn decide(db: &Connection, seq: i64, decisions: Vec<Decision>) -> rusqlite::Result<()> {
    let known: Option<String> = db
        .prepare_cached("SELECT list FROM decisions WHERE job = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    // What can not be read any more must not keep the job from going on.
    let mut all: Vec<Decision> = known.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
    all.extend(decisions);
    db.prepare_cached("INSERT OR REPLACE INTO decisions (job, list) VALUES (?1, ?2)")?
        .execute(params![seq, row::to_json(&all)?])?;
    Ok(())
}

/// See `JobStore::claim_deliveries`.
pub(crate) struct ClaimDeliveries {
    pub(crate) most: usize,
    pub(crate) lasts: Duration,
}

/// Reads the index of deliveries that are not done.
pub(crate) const TO_SEND: &str = "SELECT seq FROM jobs INDEXED BY jobs_sending \
     WHERE delivery IN (1, 2) AND due <= ?1 ORDER BY due, flow, delivery, seq LIMIT ?2";

impl Change for ClaimDeliveries {
    type Output = Vec<Claimed>;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Vec<Claimed>, Failure> {
        let most = i64::try_from(self.most).unwrap_or(i64::MAX);
        let due: Vec<i64> = db
            .prepare_cached(TO_SEND)?
            .query_map(params![at.due, most], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let until = at.due.saturating_add(micros(self.lasts));
        let mut claimed = Vec::with_capacity(due.len());
        for seq in due {
            let token = db
                .prepare_cached(
                    "UPDATE jobs SET delivery = 2, token = token + 1, sent = sent + 1, due = ?2 WHERE seq = ?1 \
                     RETURNING token",
                )?
                .query_row(params![seq, until], new_token)?;
            match row::by_seq(db, seq) {
                Ok(job) => claimed.push(Claimed {
                    lease: Lease { job: job.id, token },
                    job,
                    checkpoints: Vec::new(),
                }),
                Err(error) if row::is_about_row(&error) => {
                    tracing::error!(row = seq, %error, "a stored result can not be read; it is not sent");
                    let given_up = "UPDATE jobs SET delivery = 4, undelivered = ?2 WHERE seq = ?1 \
                                    RETURNING flow, line";
                    lose(db.prepare_cached(given_up)?, params![seq, UNREADABLE], db, at)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(claimed)
    }

    fn undelivered(output: Vec<Claimed>) -> Vec<Orphan> {
        output.into_iter().map(|it| Orphan::Delivery(it.lease)).collect()
    }
}

/// See `JobStore::renew`.
pub(crate) struct Renew {
    pub(crate) lease: Lease,
    pub(crate) lasts: Duration,
}

impl Change for Renew {
    type Output = ();

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<(), Failure> {
        let due = at.due.saturating_add(micros(self.lasts));
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET due = ?3 WHERE id = ?1 AND token = ?2 AND (state = 1 OR delivery = 2)",
            )?
            .execute(params![self.lease.job.as_bytes(), token(&self.lease), due])?;
        if changed == 1 { Ok(()) } else { Err(crate::error::stale_lease()) }
    }
}

/// The saved work on the job of this name.
pub(crate) fn checkpoints_of(
    db: &Connection,
    id: JobId,
) -> rusqlite::Result<Vec<vestibule_core::job::Checkpoint>> {
    let seq: Option<i64> = db
        .prepare_cached("SELECT seq FROM jobs WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    seq.map_or_else(|| Ok(Vec::new()), |seq| row::checkpoints(db, seq))
}

/// A lease's token as it is stored.
pub(crate) fn token(lease: &Lease) -> i64 {
    // No store gave out a token past this; the stand-in fits no job.
    i64::try_from(lease.token).unwrap_or(-1)
}

/// The token in the first column.
pub(crate) fn new_token(row: &Row<'_>) -> rusqlite::Result<u64> {
    let token: i64 = row.get(0)?;
    u64::try_from(token).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, token))
}
