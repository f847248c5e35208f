//! The way back: what was handed over, and what could not be.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::{Row, types::ToSql};
use vestibule_core::job::{JobId, Lease};

use super::{Change, Group, line, micros, token};
use crate::{
    error::{Failure, stale_lease},
    row,
};

pub(super) const STATEMENTS: &[&str] = &[RETURNED, DELIVERED, REDELIVER, UNDELIVERABLE, row::STANDS];

const RETURNED: &str = "
    UPDATE {s}.jobs SET state = 4, changed = statement_timestamp() WHERE id = $1 AND state = 3 AND delivery = 0";

/// See `JobStore::returned`.
pub(crate) struct MarkReturned(pub(crate) JobId);

impl Change for MarkReturned {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { Ok(group.session.execute(RETURNED, &[&self.0.0]).await.map(drop)?) })
    }
}

const DELIVERED: &str = "
    UPDATE {s}.jobs SET delivery = 3, due = NULL,
        state = CASE state WHEN 3 THEN 4 ELSE state END,
        changed = CASE state WHEN 3 THEN statement_timestamp() ELSE changed END
    WHERE id = $1 AND token = $2 AND delivery = 2
    RETURNING line";

/// See `JobStore::delivered`.
pub(crate) struct Delivered(pub(crate) Lease);

impl Change for Delivered {
    /// Whether another job may go on.
    type Output = bool;

    fn ends(&self) -> Option<JobId> {
        Some(self.0.job)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let done = group.session.query_opt(DELIVERED, &[&self.0.job.0, &token(&self.0)]).await?;
            match done {
                Some(done) => Ok(line::advance(group, done.try_get("line")?).await?),
                None if group.again => stands(group, &self.0, row::DELIVERED).await.map(|()| false),
                None => Err(stale_lease()),
            }
        })
    }

    fn wakes(&self, advanced: &bool) -> bool {
        *advanced
    }
}

const REDELIVER: &str = "
    UPDATE {s}.jobs SET delivery = 1, deliveries = greatest(deliveries - $4::integer, 0),
        due = statement_timestamp() + $3::bigint * interval '1 microsecond'
    WHERE id = $1 AND token = $2 AND delivery = 2";

/// See `JobStore::redeliver`.
pub(crate) struct Redeliver {
    pub(crate) lease: Lease,
    pub(crate) delay: Duration,
    /// Nothing was tried.
    pub(crate) untried: bool,
}

impl Change for Redeliver {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let values: [&(dyn ToSql + Sync); 4] =
                [&self.lease.job.0, &token(&self.lease), &micros(self.delay), &i32::from(self.untried)];
            match group.session.execute(REDELIVER, &values).await? {
                0 if group.again => stands(group, &self.lease, row::DUE).await,
                0 => Err(stale_lease()),
                _ => Ok(()),
            }
        })
    }

    fn wakes(&self, (): &()) -> bool {
        self.delay.is_zero()
    }
}

const UNDELIVERABLE: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET delivery = 4, due = NULL WHERE id = $1 AND token = $2 AND delivery = 2
        RETURNING seq, line
    ), why AS (
        INSERT INTO {s}.ends (job, undeliverable) SELECT seq, $3::text FROM done
        ON CONFLICT (job) DO UPDATE SET undeliverable = excluded.undeliverable
    )
    SELECT line FROM done";

/// See `JobStore::undeliverable`.
pub(crate) struct Undeliverable {
    pub(crate) lease: Lease,
    pub(crate) cause: String,
}

impl Change for Undeliverable {
    /// Whether another job may go on.
    type Output = bool;

    fn ends(&self) -> Option<JobId> {
        Some(self.lease.job)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let cause = row::storable(&self.cause);
            let values: [&(dyn ToSql + Sync); 3] = [&self.lease.job.0, &token(&self.lease), &cause];
            let done: Option<Row> = group.session.query_opt(UNDELIVERABLE, &values).await?;
            match done {
                Some(done) => Ok(line::advance(group, done.try_get("line")?).await?),
                None if group.again => stands(group, &self.lease, row::GIVEN_UP).await.map(|()| false),
                None => Err(stale_lease()),
            }
        })
    }

    fn wakes(&self, advanced: &bool) -> bool {
        *advanced
    }
}

/// The commit of an earlier attempt was not heard of: it happened where this token's delivery stands so.
async fn stands(group: &Group<'_>, lease: &Lease, delivery: i16) -> Result<(), Failure> {
    let found = group.session.query_opt(row::STANDS, &[&lease.job.0]).await?.ok_or_else(stale_lease)?;
    let same = found.try_get::<_, i64>("token")? == token(lease);
    if same && found.try_get::<_, i16>("delivery")? == delivery { Ok(()) } else { Err(stale_lease()) }
}
