//! Accepting a job, or finding it by its key.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use vestibule_core::{
    document::{Hash, IdempotencyKey},
    fault::{Fault, FaultCode},
    job::{Job, JobId, Lease, NewJob, Start, Submission},
};

use super::{Change, Moment, Orphan, line::Line, micros};
use crate::{error::Failure, row};

/// Accepts a job, and leases it to the submitter where it starts now and nobody of its order comes first.
pub(crate) struct Submit {
    pub(crate) job: NewJob,
    pub(crate) lease: std::time::Duration,
}

struct Known {
    seq: i64,
    id: JobId,
    fingerprint: [u8; 32],
}

impl Submit {
    fn known(&self, db: &Connection, key: &IdempotencyKey) -> rusqlite::Result<Option<Known>> {
        db.prepare_cached("SELECT seq, id, fingerprint FROM jobs WHERE flow = ?1 AND key = ?2")?
            .query_row(params![&*self.job.flow, key.as_str()], |row| {
                Ok(Known { seq: row.get(0)?, id: row::id(row, 1)?, fingerprint: row.get(2)? })
            })
            .optional()
    }

    /// Says whether it is leased.
    fn insert(&self, db: &Connection, at: Moment<'_>) -> Result<bool, Failure> {
        let NewJob { document, order, return_to, .. } = &self.job;
        let behind = match order {
            Some(order) => Line::is_taken(db, &self.job.flow, order)?,
            None => false,
        };
        let leased = self.job.start == Start::Now && !behind;
        let due = if leased { at.due.saturating_add(micros(self.lease)) } else { at.due };
        let sends = [true, false].map(|refused| i64::from(Job::sends(return_to.as_ref(), refused)));
        let Hash(fingerprint) = self.job.fingerprint;
        let inserted = db
            .prepare_cached(
                "INSERT INTO jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, \
                 received, media_type, charset, name, line, behind, sends) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                self.job.id.as_bytes(),
                &*self.job.flow,
                document.key.as_ref().map(IdempotencyKey::as_str),
                fingerprint,
                leased,
                due,
                at.wall,
                document.received.as_microsecond(),
                &*document.media_type,
                document.charset.as_deref(),
                document.name.as_deref(),
                order.as_deref(),
                behind,
                sends.iter().sum::<i64>(),
            ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let fault = Fault::new(FaultCode::Store, "a job of this name is already stored");
                return Err(Failure::Refused(fault.because(error)));
            }
            inserted => inserted?,
        };
        let seq = db.last_insert_rowid();
        db.prepare_cached("INSERT INTO documents (job, bytes) VALUES (?1, ?2)")?
            .execute(params![seq, &*document.bytes])?;
        self.surround(db, seq)?;
        Ok(leased)
    }

    /// What most jobs do not have stands apart.
    fn surround(&self, db: &Connection, seq: i64) -> rusqlite::Result<()> {
        let attributes = &self.job.document.attributes;
        if attributes.is_empty() && self.job.return_to.is_none() {
            return Ok(());
        }
        let attributes = (!attributes.is_empty()).then(|| row::to_json(attributes)).transpose()?;
        let return_to = self.job.return_to.as_ref().map(row::to_json).transpose()?;
        db.prepare_cached("INSERT INTO surroundings (job, attributes, return_to) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, attributes, return_to])?;
        Ok(())
    }
}

impl Change for Submit {
    type Output = Submission;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Submission, Failure> {
        let known = self.job.document.key.as_ref().map(|key| self.known(db, key)).transpose()?.flatten();
        match known {
            Some(known) if known.fingerprint == self.job.fingerprint.0 => {
                Ok(Submission::Known(Box::new(row::by_seq(db, known.seq)?)))
            }
            Some(known) => Ok(Submission::Conflict(known.id)),
            None if self.insert(db, at)? => Ok(Submission::Accepted(Lease { job: self.job.id, token: 1 })),
            None => {
                at.tell();
                Ok(Submission::Queued(self.job.id))
            }
        }
    }

    fn undelivered(output: Submission) -> Vec<Orphan> {
        match output {
            Submission::Accepted(lease) => vec![Orphan::Work(lease)],
            Submission::Queued(_) | Submission::Known(_) | Submission::Conflict(_) => Vec::new(),
        }
    }
}

/// See `JobStore::submit_all`.
pub(crate) struct SubmitAll(pub(crate) Vec<Submit>);

impl Change for SubmitAll {
    type Output = Vec<Result<Submission, Fault>>;

    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Self::Output, Failure> {
        let one = |it: &Submit| match it.apply(db, at) {
            Ok(submission) => Ok(Ok(submission)),
            Err(Failure::Refused(fault)) => Ok(Err(fault)),
            Err(Failure::Sqlite(error)) => Err(Failure::Sqlite(error)),
        };
        self.0.iter().map(one).collect()
    }

    fn undelivered(output: Self::Output) -> Vec<Orphan> {
        output.into_iter().filter_map(Result::ok).flat_map(Submit::undelivered).collect()
    }
}
