//! Accepting a job, or finding it by its key.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use vestibule_core::{
    document::{Hash, IdempotencyKey},
    fault::{Fault, FaultCode},
    job::{JobId, Lease, NewJob, Submission},
};

use super::{Change, Moment, micros};
use crate::{error::Failure, row};

/// Accepts a job and leases it to the submitter.
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

    fn insert(&self, db: &Connection, at: Moment) -> Result<(), Failure> {
        let document = &self.job.document;
        let Hash(fingerprint) = self.job.fingerprint;
        let inserted = db
            .prepare_cached(
                "INSERT INTO jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, \
                 received, media_type, charset, name) \
                 VALUES (?1, ?2, ?3, ?4, 1, 1, 1, ?5, ?6, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.job.id.as_bytes(),
                &*self.job.flow,
                document.key.as_ref().map(IdempotencyKey::as_str),
                fingerprint,
                at.due.saturating_add(micros(self.lease)),
                at.wall,
                document.received.as_microsecond(),
                &*document.media_type,
                document.charset.as_deref(),
                document.name.as_deref(),
            ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let fault = Fault::new(FaultCode::Store, "a job of this name is already stored");
                return Err(Failure::Refused(fault.because(error)));
            }
            inserted => inserted?,
        };
        db.prepare_cached("INSERT INTO documents (job, bytes) VALUES (?1, ?2)")?
            .execute(params![db.last_insert_rowid(), &*document.bytes])?;
        Ok(())
    }
}

impl Change for Submit {
    type Output = Submission;

    fn apply(&self, db: &Connection, at: Moment) -> Result<Submission, Failure> {
        let known = self.job.document.key.as_ref().map(|key| self.known(db, key)).transpose()?.flatten();
        match known {
            Some(known) if known.fingerprint == self.job.fingerprint.0 => {
                Ok(Submission::Known(Box::new(row::by_seq(db, known.seq)?)))
            }
            Some(known) => Ok(Submission::Conflict(known.id)),
            None => {
                self.insert(db, at)?;
                Ok(Submission::Accepted(Lease { job: self.job.id, token: 1 }))
            }
        }
    }

    fn undelivered(output: Submission) -> Vec<Lease> {
        match output {
            Submission::Accepted(lease) => vec![lease],
            Submission::Queued(_) | Submission::Known(_) | Submission::Conflict(_) => Vec::new(),
        }
    }
}
