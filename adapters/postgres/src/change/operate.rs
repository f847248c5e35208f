//! What operators, reviewers and other processes do.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vestibule_core::job::{Decision, JobId};

use super::{Change, Group, claim::DECIDED, line, micros};
use crate::{error::Failure, row};

pub(super) const STATEMENTS: &[&str] =
    &[STANDING, RESTART, STEP_BACK, RESEND, CANCEL, HOLD, DECIDE, LEAD, PROBE];

const STANDING: &str = "SELECT seq, line, state, delivery FROM {s}.jobs WHERE id = $1 FOR NO KEY UPDATE";
const RESTART: &str = "
    WITH work AS (DELETE FROM {s}.checkpoints WHERE job = $1),
        rulings AS (DELETE FROM {s}.decisions WHERE job = $1),
        why AS (DELETE FROM {s}.ends WHERE job = $1)
    UPDATE {s}.jobs j SET state = 0, attempt = 0, token = j.token + 1, due = statement_timestamp(),
        changed = statement_timestamp(), delivery = 0, deliveries = 0,
        blocked = j.line IS NOT NULL
    WHERE j.seq = $1";
/// What only waits, and came later, lets it go first.
const STEP_BACK: &str = "
    UPDATE {s}.jobs j SET blocked = true
    WHERE j.line = $1 AND j.line IS NOT NULL AND (j.state <= 2 OR j.delivery IN (1, 2)) AND NOT j.blocked
        AND j.state IN (0, 2) AND j.seq > $2";
const RESEND: &str = "
    WITH why AS (UPDATE {s}.ends SET undeliverable = NULL WHERE job = $1)
    UPDATE {s}.jobs SET delivery = 1, deliveries = 0, due = statement_timestamp() WHERE seq = $1";

/// See `JobStore::retry`.
pub(crate) struct Retry(pub(crate) JobId);

impl Change for Retry {
    type Output = bool;

    fn ends(&self) -> Option<JobId> {
        Some(self.0)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let Some(found) = group.session.query_opt(STANDING, &[&self.0.0]).await? else {
                return Ok(false);
            };
            let seq: i64 = found.try_get("seq")?;
            let (state, delivery): (i16, i16) = (found.try_get("state")?, found.try_get("delivery")?);
            if state == row::DEAD {
                let line: Option<i64> = found.try_get("line")?;
                if let Some(line) = line {
                    group.session.execute(STEP_BACK, &[&line, &seq]).await?;
                }
                group.session.execute(RESTART, &[&seq]).await?;
                line::advance(group, line).await?;
                return Ok(true);
            }
            if delivery == row::GIVEN_UP {
                group.session.execute(RESEND, &[&seq]).await?;
            }
            Ok(delivery == row::GIVEN_UP)
        })
    }

    fn wakes(&self, done: &bool) -> bool {
        *done
    }
}

const CANCEL: &str = "
    WITH done AS (
        UPDATE {s}.jobs SET state = 5, token = token + 1, changed = statement_timestamp(), blocked = false,
            held_by = NULL, held_until = NULL, deliveries = 0,
            delivery = CASE WHEN sends <> 0 THEN 1 ELSE 0 END,
            due = CASE WHEN sends <> 0 THEN statement_timestamp() END
        WHERE id = $1 AND state <= 2
        RETURNING seq, line, delivery
    ), why AS (
        INSERT INTO {s}.ends (job, cause, findings) SELECT seq, $2::text, '[]' FROM done
        ON CONFLICT (job) DO UPDATE SET cause = excluded.cause, findings = excluded.findings, undeliverable = NULL
    )
    SELECT line, delivery FROM done";

/// See `JobStore::cancel`.
pub(crate) struct Cancel {
    pub(crate) job: JobId,
    pub(crate) cause: String,
}

impl Change for Cancel {
    type Output = bool;

    fn ends(&self) -> Option<JobId> {
        Some(self.job)
    }

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let cause = row::storable(&self.cause);
            let done = group.session.query_opt(CANCEL, &[&self.job.0, &cause]).await?;
            let Some(done) = done else { return Ok(false) };
            if done.try_get::<_, i16>("delivery")? == row::NOTHING {
                line::advance(group, done.try_get("line")?).await?;
            }
            Ok(true)
        })
    }

    fn wakes(&self, done: &bool) -> bool {
        *done
    }
}

const HOLD: &str = "
    UPDATE {s}.jobs SET held_by = $2, held_until = statement_timestamp() + $3::bigint * interval '1 microsecond'
    WHERE id = $1 AND state = 2 AND (held_by IS NULL OR held_by = $2 OR held_until <= statement_timestamp())";

/// See `JobStore::hold`.
pub(crate) struct Holding {
    pub(crate) job: JobId,
    pub(crate) by: String,
    pub(crate) lasts: Duration,
}

impl Change for Holding {
    type Output = bool;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let by = row::storable(&self.by);
            Ok(group.session.execute(HOLD, &[&self.job.0, &by, &micros(self.lasts)]).await? > 0)
        })
    }
}

const DECIDE: &str = "
    UPDATE {s}.jobs SET state = 0, attempt = 0, due = statement_timestamp(), changed = statement_timestamp(),
        held_by = NULL, held_until = NULL
    WHERE id = $1 AND state = 2
        AND (held_by IS NULL OR held_by = ALL ($2::text[]) OR held_until <= statement_timestamp())
    RETURNING seq";

/// See `JobStore::decide`.
pub(crate) struct Decide {
    pub(crate) job: JobId,
    pub(crate) decisions: Vec<Decision>,
}

impl Change for Decide {
    type Output = bool;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            if self.decisions.is_empty() {
                return Ok(false);
            }
            let makers: Vec<_> = self.decisions.iter().map(|it| row::storable(&it.by)).collect();
            let done = group.session.query_opt(DECIDE, &[&self.job.0, &makers]).await?;
            let Some(done) = done else { return Ok(false) };
            let jobs = vec![done.try_get::<_, i64>("seq")?; self.decisions.len()];
            let decisions: Vec<_> = self.decisions.iter().map(Json).collect();
            group.session.execute(DECIDED, &[&jobs, &decisions]).await?;
            Ok(true)
        })
    }

    fn wakes(&self, done: &bool) -> bool {
        *done
    }
}

/// A row and not a lock of the session: behind a pooler, sessions are not ours. Two that ask at once wait for each other,
/// and the second finds the row taken.
const LEAD: &str = "
    INSERT INTO {s}.roles AS r (role, holder, until)
    VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 microsecond')
    ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE r.holder = excluded.holder OR r.until <= clock_timestamp()";

/// See `JobStore::lead`.
pub(crate) struct Lead {
    pub(crate) role: String,
    pub(crate) holder: Uuid,
}

impl Change for Lead {
    type Output = bool;

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let role = row::storable(&self.role);
            Ok(group.session.execute(LEAD, &[&role, &self.holder, &group.lease]).await? > 0)
        })
    }
}

const PROBE: &str = "UPDATE {s}.probe SET at = statement_timestamp()";

/// Writes something, to see whether the store takes writes.
pub(crate) struct Probe;

impl Change for Probe {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { Ok(group.session.execute(PROBE, &[]).await.map(drop)?) })
    }
}
