//! How leases are given out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio_postgres::{Row, types::Json};
use vestibule_core::job::{Checkpoint, Claimed, Decision, JobId, Ruling};

use super::{Call, Change, Group, Operation, Redeliver, Release, lease, line};
use crate::{
    error::{Failure, Trouble},
    row,
};

pub(super) const STATEMENTS: &[&str] =
    &[CLAIM, CLAIM_DELIVERIES, DECIDED, UNREADABLE_JOB, row::WHOLE_BY_SEQ, row::CHECKPOINTS_BY_SEQ];

/// Of each flow those due longest, by its own part of the index; what another claim has in its hands is passed over.
pub(crate) const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT next.seq, next.due, next.state
        FROM unnest($1::text[]) AS served(flow) CROSS JOIN LATERAL (
            SELECT j.seq, j.due, j.state FROM {s}.jobs j
            WHERE j.flow = served.flow AND j.state <= 2 AND NOT j.blocked AND j.due <= statement_timestamp()
            ORDER BY j.due, j.seq LIMIT $2
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS next
        ORDER BY next.due, next.seq LIMIT $2
    )
    UPDATE {s}.jobs j SET state = 1, token = j.token + 1,
        attempt = CASE due.state WHEN 2 THEN 1 ELSE j.attempt + 1 END,
        due = statement_timestamp() + $3::bigint * interval '1 microsecond',
        changed = statement_timestamp(), held_by = NULL, held_until = NULL
    FROM due WHERE j.seq = due.seq
    RETURNING j.seq, j.id, j.token, due.due AS was_due, due.state AS was, j.changed";
const CLAIM_DELIVERIES: &str = "
    WITH due AS MATERIALIZED (
        SELECT j.seq, j.due FROM {s}.jobs j
        WHERE j.delivery IN (1, 2) AND j.due <= statement_timestamp()
        ORDER BY j.due, j.seq LIMIT $1
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE {s}.jobs j SET delivery = 2, deliveries = j.deliveries + 1, token = j.token + 1,
        due = statement_timestamp() + $2::bigint * interval '1 microsecond'
    FROM due WHERE j.seq = due.seq
    RETURNING j.seq, j.id, j.token, due.due AS was_due, 0::smallint AS was, j.changed";
pub(super) const DECIDED: &str = "
    INSERT INTO {s}.decisions (job, decision)
    SELECT it.job, it.decision FROM unnest($1::bigint[], $2::json[]) WITH ORDINALITY AS it(job, decision, place)
    ORDER BY it.place";
const UNREADABLE_JOB: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET state = CASE WHEN state = 1 THEN 5 ELSE state END,
            delivery = CASE delivery WHEN 2 THEN 4 ELSE delivery END, changed = statement_timestamp()
        WHERE seq = $1 RETURNING seq, state, delivery, line
    ), why AS (
        INSERT INTO {s}.ends (job, cause, findings, undeliverable)
        SELECT seq, CASE state WHEN 5 THEN $2::text END, '[]', CASE delivery WHEN 4 THEN $2 END FROM done
        ON CONFLICT (job) DO UPDATE SET cause = excluded.cause, undeliverable = excluded.undeliverable
    )
    SELECT line FROM done";

/// The cause of a job whose row is damaged.
const UNREADABLE: &str = "V010: the stored job can not be read";

struct Taken {
    seq: i64,
    id: JobId,
    token: i64,
    was_due: Option<Timestamp>,
    was: i16,
    changed: Timestamp,
}

impl Taken {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            id: JobId(row.try_get("id")?),
            token: row.try_get("token")?,
            was_due: row.try_get("was_due")?,
            was: row.try_get("was")?,
            changed: row.try_get("changed")?,
        })
    }
}

fn taken(rows: &[Row]) -> Result<Vec<Taken>, Trouble> {
    let mut taken: Vec<Taken> = rows.iter().map(Taken::of).collect::<Result<_, _>>()?;
    taken.sort_by_key(|it| (it.was_due, it.seq));
    Ok(taken)
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX).min(10_000)
}

/// See `JobStore::claim`.
pub(crate) struct Claim {
    flows: Vec<Arc<str>>,
    most: usize,
}

impl Claim {
    pub(crate) fn new(flows: &[Arc<str>], most: usize) -> Self {
        let mut flows = flows.to_vec();
        flows.sort();
        flows.dedup();
        Self { flows, most }
    }
}

impl Change for Claim {
    type Output = Vec<Claimed>;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Vec<Claimed>, Failure>> {
        Box::pin(async move {
            let flows: Vec<&str> = self.flows.iter().map(|it| &**it).collect();
            let rows = group.session.query(CLAIM, &[&flows, &limit(self.most), &group.lease]).await?;
            let taken = taken(&rows)?;
            lapse(group, taken.iter().filter(|it| it.was == row::IN_REVIEW)).await?;
            Ok(whole(group, &taken, true).await?)
        })
    }

    fn undelivered(output: Vec<Claimed>) -> Vec<Box<dyn Operation>> {
        let back =
            |it: Claimed| Call::unheard(Release { lease: it.lease, delay: Duration::ZERO, untried: true });
        output.into_iter().map(back).collect()
    }
}

/// Adds the decision that nobody took in time.
async fn lapse<'a>(group: &Group<'_>, late: impl Iterator<Item = &'a Taken>) -> Result<(), Trouble> {
    let decision = |it: &Taken| Decision {
        record: None,
        ruling: Ruling::Lapse,
        by: "vestibule".into(),
        at: it.changed,
        note: None,
    };
    let (jobs, decisions): (Vec<i64>, Vec<Json<Decision>>) =
        late.map(|it| (it.seq, Json(decision(it)))).unzip();
    if jobs.is_empty() {
        return Ok(());
    }
    group.session.execute(DECIDED, &[&jobs, &decisions]).await.map(drop)
}

/// See `JobStore::claim_deliveries`.
pub(crate) struct ClaimDeliveries {
    pub(crate) most: usize,
}

impl Change for ClaimDeliveries {
    type Output = Vec<Claimed>;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Vec<Claimed>, Failure>> {
        Box::pin(async move {
            let rows = group.session.query(CLAIM_DELIVERIES, &[&limit(self.most), &group.lease]).await?;
            Ok(whole(group, &taken(&rows)?, false).await?)
        })
    }

    fn undelivered(output: Vec<Claimed>) -> Vec<Box<dyn Operation>> {
        let back =
            |it: Claimed| Call::unheard(Redeliver { lease: it.lease, delay: Duration::ZERO, untried: true });
        output.into_iter().map(back).collect()
    }
}

/// Gives up a job that can not be read, and lets the next of its order go on.
async fn give_up(group: &Group<'_>, seq: i64) -> Result<(), Trouble> {
    let given_up = group.session.query_opt(UNREADABLE_JOB, &[&seq, &UNREADABLE]).await?;
    let line: Option<i64> = given_up.map(|it| it.try_get("line")).transpose()?.flatten();
    let Some(line) = line else { return Ok(()) };
    // Not in the order of all locks, for nobody knew before: where two wait for each other, the server ends one of them, and
    // it is tried again.
    line::lock(group.session, &[line], &[]).await?;
    line::advance(group, Some(line)).await.map(drop)
}

/// The jobs in their order, with what was saved of their work. One that can not be read is given up: it must not keep
/// all others from being finished.
async fn whole(group: &Group<'_>, taken: &[Taken], work: bool) -> Result<Vec<Claimed>, Trouble> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = taken.iter().map(|it| it.seq).collect();
    let mut jobs: HashMap<i64, _> = row::by_seqs(group.session, &seqs).await?.into_iter().collect();
    let mut saved: HashMap<i64, Vec<Checkpoint>> = HashMap::new();
    let mut damaged = Vec::new();
    if work {
        for row in group.session.query(row::CHECKPOINTS_BY_SEQ, &[&seqs]).await? {
            let seq = row.try_get("job")?;
            match row.try_get::<_, Json<Checkpoint>>("saved") {
                Ok(Json(checkpoint)) => saved.entry(seq).or_default().push(checkpoint),
                Err(error) => damaged.push((seq, Trouble::from(error))),
            }
        }
    }
    let mut claimed = Vec::with_capacity(taken.len());
    for it in taken {
        match jobs.remove(&it.seq) {
            Some(Ok(job)) if !damaged.iter().any(|(seq, _)| *seq == it.seq) => {
                let checkpoints = saved.remove(&it.seq).unwrap_or_default();
                claimed.push(Claimed { lease: lease(it.id, it.token), job, checkpoints });
            }
            Some(Err(trouble)) if trouble.is_fatal() => return Err(trouble),
            unreadable => {
                let trouble = unreadable.and_then(Result::err);
                tracing::error!(job = %it.id, error = ?trouble, "a stored job can not be read; it is given up");
                give_up(group, it.seq).await?;
            }
        }
    }
    Ok(claimed)
}
