//! What the holder of a lease may do with a job.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::types::{Json, ToSql};
use vestibule_core::{
    finding::Outcome,
    job::{Checkpoint, JobId, Lease, Remark, Reply, ReplyBody, Suspension},
};

use super::{Call, Change, Group, Operation, Redeliver, lease, line, micros, token};
use crate::{
    error::{Failure, stale_lease},
    row::{self, ReplyFacts},
};

pub(super) const STATEMENTS: &[&str] = &[ANSWER, SUSPEND, RELEASE, BURY, RENEW, KEEP];

const ANSWER: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET state = 3, changed = statement_timestamp(),
            delivery = CASE WHEN sends & $3::smallint <> 0 THEN 2 ELSE 0 END,
            deliveries = CASE WHEN sends & $3 <> 0 THEN 1 ELSE 0 END,
            token = token + CASE WHEN sends & $3 <> 0 THEN 1 ELSE 0 END,
            due = CASE WHEN sends & $3 <> 0
                THEN statement_timestamp() + $4::bigint * interval '1 microsecond' END
        WHERE id = $1 AND token = $2 AND state = 1
        RETURNING seq, token, delivery, line
    ), work AS (
        DELETE FROM {s}.checkpoints c USING done WHERE c.job = done.seq
    ), reply AS (
        INSERT INTO {s}.replies (job, outcome, facts, bytes)
        SELECT seq, $5::smallint, $6::json, $7::bytea FROM done
        ON CONFLICT (job) DO UPDATE SET outcome = excluded.outcome, facts = excluded.facts, bytes = excluded.bytes
    )
    SELECT token, delivery, line FROM done";

/// See `JobStore::answer`.
pub(crate) struct Answer {
    pub(crate) lease: Lease,
    pub(crate) reply: Reply,
}

impl Change for Answer {
    /// The lease to deliver, and whether another job may go on.
    type Output = (Option<Lease>, bool);

    fn ends(&self) -> Option<JobId> {
        Some(self.lease.job)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Self::Output, Failure>> {
        Box::pin(async move {
            // The bits of `sends` that count: a refusal goes to the dead letters too.
            let counts: i16 = if self.reply.outcome == Outcome::Reject { 3 } else { 1 };
            let (outcome, facts, bytes) = stored(&self.reply);
            let id = self.lease.job.0;
            let values: [&(dyn ToSql + Sync); 7] =
                [&id, &token(&self.lease), &counts, &group.lease, &outcome, &facts, &bytes];
            let done = group.session.query_opt(ANSWER, &values).await?;
            ended(group, &self.lease, done, &[3, 4]).await
        })
    }

    fn wakes(&self, output: &Self::Output) -> bool {
        output.1
    }

    fn undelivered(output: Self::Output) -> Vec<Box<dyn Operation>> {
        give_back(output)
    }
}

const BURY: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET state = 5, changed = statement_timestamp(),
            delivery = CASE WHEN sends <> 0 THEN 2 ELSE 0 END,
            deliveries = CASE WHEN sends <> 0 THEN 1 ELSE 0 END,
            token = token + CASE WHEN sends <> 0 THEN 1 ELSE 0 END,
            due = CASE WHEN sends <> 0 THEN statement_timestamp() + $3::bigint * interval '1 microsecond' END
        WHERE id = $1 AND token = $2 AND state = 1
        RETURNING seq, token, delivery, line
    ), why AS (
        INSERT INTO {s}.ends (job, cause, findings) SELECT seq, $4::text, $5::json FROM done
        ON CONFLICT (job) DO UPDATE SET cause = excluded.cause, findings = excluded.findings, undeliverable = NULL
    )
    SELECT token, delivery, line FROM done";

/// See `JobStore::bury`.
pub(crate) struct Bury {
    pub(crate) lease: Lease,
    pub(crate) cause: String,
    pub(crate) findings: Vec<Remark>,
}

impl Change for Bury {
    type Output = (Option<Lease>, bool);

    fn ends(&self) -> Option<JobId> {
        Some(self.lease.job)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Self::Output, Failure>> {
        Box::pin(async move {
            let (cause, findings) = (row::storable(&self.cause), Json(&self.findings));
            let values: [&(dyn ToSql + Sync); 5] =
                [&self.lease.job.0, &token(&self.lease), &group.lease, &cause, &findings];
            let done = group.session.query_opt(BURY, &values).await?;
            ended(group, &self.lease, done, &[5]).await
        })
    }

    fn wakes(&self, output: &Self::Output) -> bool {
        output.1
    }

    fn undelivered(output: Self::Output) -> Vec<Box<dyn Operation>> {
        give_back(output)
    }
}

fn give_back((lease, _): (Option<Lease>, bool)) -> Vec<Box<dyn Operation>> {
    let lease = lease.into_iter();
    lease.map(|lease| Call::unheard(Redeliver { lease, delay: Duration::ZERO, untried: true })).collect()
}

/// What follows when a job has ended, or a refusal where the lease was not good.
async fn ended(
    group: &Group<'_>,
    held: &Lease,
    done: Option<tokio_postgres::Row>,
    states: &[i16],
) -> Result<(Option<Lease>, bool), Failure> {
    let Some(done) = done else {
        return if group.again { ended_before(group, held, states).await } else { Err(stale_lease()) };
    };
    if done.try_get::<_, i16>("delivery")? == row::DELIVERING {
        return Ok((Some(lease(held.job, done.try_get("token")?)), false));
    }
    Ok((None, line::advance(group, done.try_get("line")?).await?))
}

/// The commit of an earlier attempt was not heard of. Only who held this token can have ended the job with it or, where
/// it sends something, with the next one.
async fn ended_before(
    group: &Group<'_>,
    held: &Lease,
    states: &[i16],
) -> Result<(Option<Lease>, bool), Failure> {
    let found = group.session.query_opt(row::STANDS, &[&held.job.0]).await?.ok_or_else(stale_lease)?;
    let (now, state): (i64, i16) = (found.try_get("token")?, found.try_get("state")?);
    let delivers = found.try_get::<_, i16>("delivery")? == row::DELIVERING;
    match now.checked_sub(token(held)) {
        _ if !states.contains(&state) => Err(stale_lease()),
        Some(0) => Ok((None, false)),
        Some(1) if delivers => Ok((Some(lease(held.job, now)), false)),
        _ => Err(stale_lease()),
    }
}

type StoredReply<'a> = (i16, Json<ReplyFacts<'a>>, Option<&'a [u8]>);

fn stored(reply: &Reply) -> StoredReply<'_> {
    let bytes = match &reply.body {
        ReplyBody::Written { bytes, .. } => Some(&**bytes),
        ReplyBody::Refused => None,
    };
    (row::outcome_number(reply.outcome), Json(ReplyFacts::of(reply)), bytes)
}

const SUSPEND: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET state = 2, changed = statement_timestamp(), due = $3::timestamptz,
            held_by = NULL, held_until = NULL
        WHERE id = $1 AND token = $2 AND state = 1
        RETURNING seq
    ), reply AS (
        INSERT INTO {s}.replies (job, outcome, facts, bytes)
        SELECT seq, $4::smallint, $5::json, $6::bytea FROM done
        ON CONFLICT (job) DO UPDATE SET outcome = excluded.outcome, facts = excluded.facts, bytes = excluded.bytes
    )
    SELECT seq FROM done";

/// See `JobStore::suspend`.
pub(crate) struct Suspend {
    pub(crate) lease: Lease,
    pub(crate) suspension: Suspension,
}

impl Change for Suspend {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (outcome, facts, bytes) = stored(&self.suspension.reply);
            let until = self.suspension.until.map(row::stored_time);
            let values: [&(dyn ToSql + Sync); 6] =
                [&self.lease.job.0, &token(&self.lease), &until, &outcome, &facts, &bytes];
            one(group.session.query_opt(SUSPEND, &values).await?.is_some())
        })
    }
}

const RELEASE: &str = "
    UPDATE {s}.jobs SET state = 0, changed = statement_timestamp(), attempt = greatest(attempt - $4::integer, 0),
        due = statement_timestamp() + $3::bigint * interval '1 microsecond'
    WHERE id = $1 AND token = $2 AND state = 1";

/// See `JobStore::release`.
pub(crate) struct Release {
    pub(crate) lease: Lease,
    pub(crate) delay: Duration,
    pub(crate) untried: bool,
}

impl Change for Release {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (id, token) = (self.lease.job.0, token(&self.lease));
            let values: [&(dyn ToSql + Sync); 4] =
                [&id, &token, &micros(self.delay), &i32::from(self.untried)];
            one(group.session.execute(RELEASE, &values).await? > 0)
        })
    }

    fn wakes(&self, (): &()) -> bool {
        // One that is due later is found by the clock of whoever waits.
        self.delay.is_zero()
    }
}

const RENEW: &str = "
    UPDATE {s}.jobs SET due = statement_timestamp() + $3::bigint * interval '1 microsecond'
    WHERE id = $1 AND token = $2 AND (state = 1 OR delivery = 2)";

/// See `JobStore::renew`.
pub(crate) struct Renew(pub(crate) Lease);

impl Change for Renew {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            one(group.session.execute(RENEW, &[&self.0.job.0, &token(&self.0), &group.lease]).await? > 0)
        })
    }
}

/// The row is locked, so that nobody claims the job between the look at its token and the commit.
const KEEP: &str = "
    WITH held AS (
        SELECT seq FROM {s}.jobs WHERE id = $1 AND token = $2 AND state = 1 FOR NO KEY UPDATE
    ), kept AS (
        INSERT INTO {s}.checkpoints (job, record, saved)
        SELECT held.seq, it.record, it.saved FROM held, unnest($3::bigint[], $4::json[]) AS it(record, saved)
        ON CONFLICT DO NOTHING
    )
    SELECT seq FROM held";

/// See `JobStore::checkpoint`.
pub(crate) struct Keep {
    pub(crate) lease: Lease,
    pub(crate) answers: Vec<Checkpoint>,
}

impl Change for Keep {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let records: Vec<i64> = self.answers.iter().map(|it| it.record.into()).collect();
            let answers: Vec<_> = self.answers.iter().map(Json).collect();
            let values: [&(dyn ToSql + Sync); 4] =
                [&self.lease.job.0, &token(&self.lease), &records, &answers];
            one(group.session.query_opt(KEEP, &values).await?.is_some())
        })
    }
}

fn one(changed: bool) -> Result<(), Failure> {
    if changed { Ok(()) } else { Err(stale_lease()) }
}
