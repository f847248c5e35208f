//! Forgetting.

use futures_util::future::BoxFuture;
use vestibule_core::job::Sweep;

use super::{Change, Group};
use crate::{error::Failure, row};

pub(super) const STATEMENTS: &[&str] = &[FORGET];

/// One bite. What someone works on is left for the next.
const FORGET: &str = "
    WITH finished AS MATERIALIZED (
        SELECT j.seq FROM {s}.jobs j
        WHERE j.flow = $1 AND j.state IN (3, 4) AND j.delivery NOT IN (1, 2) AND j.changed < $2::timestamptz
        ORDER BY j.changed LIMIT $4 FOR UPDATE SKIP LOCKED
    ), dead AS MATERIALIZED (
        SELECT j.seq FROM {s}.jobs j
        WHERE j.flow = $1 AND j.state = 5 AND j.delivery NOT IN (1, 2) AND j.changed < $3::timestamptz
        ORDER BY j.changed LIMIT $4 FOR UPDATE SKIP LOCKED
    ), gone AS MATERIALIZED (
        SELECT seq FROM (SELECT seq FROM finished UNION ALL SELECT seq FROM dead) AS old LIMIT $4
    ),
    documents AS (DELETE FROM {s}.documents it USING gone WHERE it.job = gone.seq),
    replies AS (DELETE FROM {s}.replies it USING gone WHERE it.job = gone.seq),
    ends AS (DELETE FROM {s}.ends it USING gone WHERE it.job = gone.seq),
    decisions AS (DELETE FROM {s}.decisions it USING gone WHERE it.job = gone.seq),
    checkpoints AS (DELETE FROM {s}.checkpoints it USING gone WHERE it.job = gone.seq)
    DELETE FROM {s}.jobs j USING gone WHERE j.seq = gone.seq";

/// Most jobs of one bite: nobody waits long for it.
pub(crate) const BITE: usize = 500;

/// See `JobStore::sweep`; at most [`BITE`] jobs.
pub(crate) struct Forget(pub(crate) Sweep);

impl Change for Forget {
    type Output = u64;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            let Sweep { flow, finished_before, dead_before, most } = &self.0;
            let (finished, dead) = (finished_before.map(row::stored_time), dead_before.map(row::stored_time));
            let most = i64::try_from((*most).min(BITE)).unwrap_or(0);
            Ok(group.session.execute(FORGET, &[&&**flow, &finished, &dead, &most]).await?)
        })
    }
}
