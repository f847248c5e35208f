//! What people do to jobs, and what time does.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_core::job::{Decision, JobId, Sweep};

use super::{Change, Moment, claiming, line::Line, micros};
use crate::{error::Failure, row};

/// See `JobStore::retry`.
pub(crate) struct Retry(pub(crate) JobId);

impl Change for Retry {
    type Output = bool;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<bool, Failure> {
        let found = db
            .prepare_cached("SELECT seq, state, delivery, flow, line FROM jobs WHERE id = ?1")?
            .query_row([self.0.as_bytes()], |row| {
                let (seq, state, delivery): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok((seq, state, delivery, Line::of(row, 3)?))
            })
            .optional()?;
        match found {
            Some((seq, row::DEAD, _, line)) => {
                db.prepare_cached(
                    "UPDATE jobs SET state = 0, attempt = 0, token = token + 1, due = ?2, changed = ?3, \
                     cause = NULL, delivery = 0, sent = 0, undelivered = NULL WHERE seq = ?1",
                )?
                .execute(params![seq, at.due, at.wall])?;
                for table in ["checkpoints", "decisions", "burials"] {
                    db.prepare_cached(&format!("DELETE FROM {table} WHERE job = ?1"))?.execute([seq])?;
                }
                if let Some(line) = line {
                    line.rejoin(db, seq)?;
                }
            }
            Some((seq, _, row::GIVEN_UP, _)) => {
                db.prepare_cached(
                    "UPDATE jobs SET delivery = 1, sent = 0, undelivered = NULL, due = ?2 WHERE seq = ?1",
                )?
                .execute(params![seq, at.due])?;
            }
            _ => return Ok(false),
        }
        at.tell();
        Ok(true)
    }
}

/// See `JobStore::cancel`.
pub(crate) struct Cancel {
    pub(crate) job: JobId,
    pub(crate) cause: String,
}

impl Change for Cancel {
    type Output = bool;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<bool, Failure> {
        let cancelled = db
            .prepare_cached(
                "UPDATE jobs SET state = 3, review = 0, held_by = NULL, held_until = NULL, cause = ?2, \
                 changed = ?3, delivery = (sends >= 1), sent = 0, due = ?4 \
                 WHERE id = ?1 AND state < 2 RETURNING flow, line",
            )?
            .query_row(params![self.job.as_bytes(), self.cause, at.wall, at.due], |row| Line::of(row, 0))
            .optional()?;
        let Some(line) = cancelled else { return Ok(false) };
        if let Some(line) = line {
            line.advance(db, at)?;
        }
        at.tell();
        Ok(true)
    }
}

/// See `JobStore::hold`.
pub(crate) struct TakeHold {
    pub(crate) job: JobId,
    pub(crate) by: String,
    pub(crate) lasts: Duration,
}

impl Change for TakeHold {
    type Output = bool;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<bool, Failure> {
        let until = at.wall.saturating_add(micros(self.lasts));
        let changed = db
            .prepare_cached(
                "UPDATE jobs SET held_by = ?2, held_until = ?3 WHERE id = ?1 AND state = 0 AND review = 1 \
                 AND (held_by IS NULL OR held_by = ?2 OR held_until <= ?4)",
            )?
            .execute(params![self.job.as_bytes(), self.by, until, at.wall])?;
        Ok(changed == 1)
    }
}

/// See `JobStore::decide`.
pub(crate) struct Decide {
    pub(crate) job: JobId,
    pub(crate) decisions: Vec<Decision>,
}

impl Change for Decide {
    type Output = bool;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<bool, Failure> {
        let found: Option<(i64, Option<String>)> = db
            .prepare_cached(
                "SELECT seq, iif(held_until > ?2, held_by, NULL) FROM jobs \
                 WHERE id = ?1 AND state = 0 AND review = 1",
            )?
            .query_row(params![self.job.as_bytes(), at.wall], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((seq, holder)) = found else { return Ok(false) };
        let may = |it: &Decision| holder.as_ref().is_none_or(|holder| *holder == it.by);
        if self.decisions.is_empty() || !self.decisions.iter().all(may) {
            return Ok(false);
        }
        db.prepare_cached(
            "UPDATE jobs SET review = 0, attempt = 0, due = ?2, changed = ?3, held_by = NULL, held_until = NULL \
             WHERE seq = ?1",
        )?
        .execute(params![seq, at.due, at.wall])?;
        claiming::decide(db, seq, self.decisions.clone())?;
        at.tell();
        Ok(true)
    }
}

/// See `JobStore::sweep`.
pub(crate) struct Forget(pub(crate) Sweep);

/// Finished jobs of a flow, oldest first. A job has changed after it was accepted, so the index ends the search.
pub(crate) const SWEPT: &str = "SELECT seq FROM jobs INDEXED BY jobs_by_flow \
     WHERE flow = ?1 AND accepted < max(?2, ?3) AND delivery NOT IN (1, 2) \
     AND ((state IN (2, 4) AND changed < ?2) OR (state = 3 AND changed < ?3)) \
     ORDER BY accepted, seq LIMIT ?4";

impl Change for Forget {
    type Output = u64;

    fn apply(&self, db: &Connection, _: Moment<'_>) -> Result<u64, Failure> {
        let before = |time: Option<jiff::Timestamp>| time.map_or(i64::MIN, |it| it.as_microsecond());
        let Sweep { flow, finished_before, dead_before, most } = &self.0;
        let most = i64::try_from(*most).unwrap_or(i64::MAX);
        let swept: Vec<i64> = db
            .prepare_cached(SWEPT)?
            .query_map(params![&**flow, before(*finished_before), before(*dead_before), most], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<_>>()?;
        for seq in &swept {
            for table in ["documents", "replies", "surroundings", "burials", "decisions", "checkpoints"] {
                db.prepare_cached(&format!("DELETE FROM {table} WHERE job = ?1"))?.execute([seq])?;
            }
            db.prepare_cached("DELETE FROM jobs WHERE seq = ?1")?.execute([seq])?;
        }
        Ok(u64::try_from(swept.len()).unwrap_or(u64::MAX))
    }
}
