//! Accepting a job, or finding it by its key.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio_postgres::types::{Json, ToSql};
use vestibule_core::{
    document::{Hash, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{JobId, NewJob, ReturnAddress, Start, Submission},
};

use super::{Call, Change, Group, Operation, Release, lease, line};
use crate::{
    error::{Failure, Trouble},
    row::{self, Facts, LEASED},
};

pub(super) const STATEMENTS: &[&str] = &[INSERT, KNOWN, NAMED];
/// Each insert of a group sees those before it.
const INSERT: &str = "
    WITH start AS (
        SELECT waits, $5::boolean AND NOT waits AS now FROM (
            SELECT $8::bigint IS NOT NULL AND EXISTS (
                SELECT 1 FROM {s}.jobs j
                WHERE j.line = $8 AND j.line IS NOT NULL AND (j.state <= 2 OR j.delivery IN (1, 2))
            ) AS waits
        ) AS line
    ), job AS (
        INSERT INTO {s}.jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, ordered_by,
            line, blocked, sends)
        SELECT $1::uuid, $2::text, $3::text, $4::bytea, now::integer, now::integer, now::integer,
            statement_timestamp() + CASE WHEN now THEN $6::bigint ELSE 0 END * interval '1 microsecond',
            statement_timestamp(), statement_timestamp(), $7::text, $8, waits, $9::smallint
        FROM start
        ON CONFLICT DO NOTHING
        RETURNING seq, state
    ), document AS (
        INSERT INTO {s}.documents (job, received, facts, return_to, bytes)
        SELECT seq, $10::timestamptz, $11::json, $12::json, $13::bytea FROM job
    )
    SELECT state FROM job";
const KNOWN: &str = "SELECT seq, id, fingerprint, token, state FROM {s}.jobs WHERE flow = $1 AND key = $2";
const NAMED: &str = "SELECT seq, id, fingerprint, token, state FROM {s}.jobs WHERE id = $1";

/// Accepts a job.
pub(crate) struct Submit {
    job: NewJob,
    line: Option<i64>,
}

impl Submit {
    pub(crate) fn new(job: NewJob) -> Self {
        let line = job.order.as_deref().map(|order| line::of(&job.flow, order));
        Self { job, line }
    }

    /// The state of the new job; `None` where its key or its name is known.
    async fn insert(&self, group: &Group<'_>) -> Result<Option<i16>, Trouble> {
        let NewJob { id, flow, document, fingerprint: Hash(fingerprint), start, order, return_to } =
            &self.job;
        let sends = return_to.as_ref().map_or(0_i16, |it: &ReturnAddress| {
            i16::from(it.reply.is_some()) | (i16::from(it.dead_letter.is_some()) << 1)
        });
        let bytes: &[u8] = &document.bytes;
        let values: [&(dyn ToSql + Sync); 13] = [
            &id.0,
            &&**flow,
            &document.key.as_ref().map(IdempotencyKey::as_str),
            &fingerprint.as_slice(),
            &(*start == Start::Now),
            &group.lease,
            &order.as_deref().map(row::storable),
            &self.line,
            &sends,
            &row::stored_time(document.received),
            &Json(Facts::of(document)),
            &return_to.as_ref().map(Json),
            &bytes,
        ];
        let inserted = group.session.query_opt(INSERT, &values);
        inserted.await?.map(|row| row.try_get(0).map_err(Trouble::from)).transpose()
    }

    async fn known(&self, group: &Group<'_>) -> Result<Submission, Failure> {
        let NewJob { id, flow, document, fingerprint, .. } = &self.job;
        let by_key = match &document.key {
            Some(key) => group.session.query_opt(KNOWN, &[&&**flow, &key.as_str()]).await?,
            None => None,
        };
        let found = match by_key {
            Some(found) => Some(found),
            None => group.session.query_opt(NAMED, &[&id.0]).await?,
        };
        let Some(found) = found else {
            // It was there a moment ago: swept away in between.
            let fault = Fault::new(FaultCode::Store, "the job of this key was just forgotten");
            return Err(Failure::Refused(fault.recovery(Recovery::Retry)));
        };
        let job = JobId(found.try_get("id")?);
        let same = found.try_get::<_, &[u8]>("fingerprint")? == fingerprint.0;
        if job == *id {
            // The commit of an earlier attempt was not heard of: as long as nobody else had it, it is ours.
            let (token, state) = (found.try_get::<_, i64>("token")?, found.try_get::<_, i16>("state")?);
            return match (group.again && same, token, state) {
                (true, 1, LEASED) => Ok(Submission::Accepted(lease(job, token))),
                (true, ..) => Ok(Submission::Queued(job)),
                _ if document.key.is_none() => Err(Failure::Refused(Fault::new(
                    FaultCode::Store,
                    "a job of this name is already stored",
                ))),
                _ => self.as_it_stands(group, &found, same, job).await,
            };
        }
        self.as_it_stands(group, &found, same, job).await
    }

    async fn as_it_stands(
        &self,
        group: &Group<'_>,
        found: &tokio_postgres::Row,
        same: bool,
        job: JobId,
    ) -> Result<Submission, Failure> {
        if !same {
            return Ok(Submission::Conflict(job));
        }
        let whole = row::by_seqs(group.session, &[found.try_get("seq")?]).await?.pop();
        match whole {
            Some((_, Ok(job))) => Ok(Submission::Known(Box::new(job))),
            Some((_, Err(trouble))) => Err(trouble.into()),
            None => {
                let fault = Fault::new(FaultCode::Store, "the job of this key was just forgotten");
                Err(Failure::Refused(fault.recovery(Recovery::Retry)))
            }
        }
    }
}

impl Change for Submit {
    type Output = Submission;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Submission, Failure>> {
        Box::pin(async move {
            match self.insert(group).await? {
                Some(LEASED) => Ok(Submission::Accepted(lease(self.job.id, 1))),
                Some(_) => Ok(Submission::Queued(self.job.id)),
                None => self.known(group).await,
            }
        })
    }

    fn lines(&self) -> Vec<i64> {
        self.line.into_iter().collect()
    }

    fn wakes(&self, output: &Submission) -> bool {
        matches!(output, Submission::Queued(_))
    }

    fn undelivered(output: Submission) -> Vec<Box<dyn Operation>> {
        match output {
            Submission::Accepted(lease) => {
                vec![Call::unheard(Release { lease, delay: Duration::ZERO, untried: true })]
            }
            Submission::Queued(_) | Submission::Known(_) | Submission::Conflict(_) => Vec::new(),
        }
    }
}

/// Accepts jobs in this order.
pub(crate) struct SubmitAll {
    jobs: Vec<Submit>,
}

impl SubmitAll {
    pub(crate) fn new(jobs: Vec<NewJob>) -> Self {
        Self { jobs: jobs.into_iter().map(Submit::new).collect() }
    }
}

impl Change for SubmitAll {
    type Output = Vec<Result<Submission, Fault>>;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Self::Output, Failure>> {
        Box::pin(async move {
            // Sent in their order, at once; the server takes them in that order.
            let outcomes = join_all(self.jobs.iter().map(|it| it.apply(group))).await;
            let mut submitted = Vec::with_capacity(outcomes.len());
            let mut failed: Option<Trouble> = None;
            for outcome in outcomes {
                match outcome {
                    Ok(submission) => submitted.push(Ok(submission)),
                    Err(Failure::Refused(fault)) => submitted.push(Err(fault)),
                    Err(Failure::Database(trouble)) => failed = Trouble::first(failed, trouble),
                }
            }
            failed.map_or(Ok(submitted), |trouble| Err(trouble.into()))
        })
    }

    fn lines(&self) -> Vec<i64> {
        self.jobs.iter().filter_map(|it| it.line).collect()
    }

    fn wakes(&self, output: &Self::Output) -> bool {
        output.iter().any(|it| matches!(it, Ok(Submission::Queued(_))))
    }

    fn undelivered(output: Self::Output) -> Vec<Box<dyn Operation>> {
        output.into_iter().flatten().flat_map(Submit::undelivered).collect()
    }
}
