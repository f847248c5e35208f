//! Changes of the store: each is one statement or a few inside the transaction of its group.

mod claim;
mod deliver;
mod leased;
mod operate;
mod position;
mod submit;
mod sweep;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use vestibule_core::{
    fault::Fault,
    job::{JobId, Lease},
};

#[cfg(test)]
pub(crate) use claim::CLAIM;
pub(crate) use claim::{Claim, ClaimDeliveries};
pub(crate) use deliver::{Delivered, MarkReturned, Redeliver, Undeliverable};
pub(crate) use leased::{Answer, Bury, Keep, Release, Renew, Suspend};
pub(crate) use operate::{Cancel, Decide, Holding, Lead, Probe, Retry};
pub(crate) use position::KeepPosition;
pub(crate) use submit::{Submit, SubmitAll};
pub(crate) use sweep::{BITE, Forget};

use crate::{
    connection::Session,
    error::{Failure, Trouble, closed, fault},
};

/// Every statement of a group of changes; prepared when a connection is made.
pub(crate) const STATEMENTS: &[&[&str]] = &[
    claim::STATEMENTS,
    deliver::STATEMENTS,
    leased::STATEMENTS,
    operate::STATEMENTS,
    position::STATEMENTS,
    submit::STATEMENTS,
    sweep::STATEMENTS,
    line::STATEMENTS,
];

/// What the changes of one group have in common.
pub(crate) struct Group<'a> {
    pub(crate) session: &'a Session,
    /// How long leases last, in microseconds.
    pub(crate) lease: i64,
    /// True where it is not known whether an earlier attempt of the same group was committed.
    pub(crate) again: bool,
}

/// One change. May be applied more than once; only the last one's transaction is committed, or `again` says more.
pub(crate) trait Change: Send + Sync + 'static {
    /// What the caller is told once the change is durable.
    type Output: Send + 'static;
    /// Makes the change inside the open transaction. A refusal leaves nothing changed.
    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<Self::Output, Failure>>;
    /// The lines that are to be locked before any change of the group is made.
    fn lines(&self) -> Vec<i64> {
        Vec::new()
    }
    /// The job that this may end: its line is locked with the others.
    fn ends(&self) -> Option<JobId> {
        None
    }
    /// True where there may be something new to claim.
    fn wakes(&self, _output: &Self::Output) -> bool {
        false
    }
    /// What gives back the leases in an output that nobody waits for any more.
    fn undelivered(_output: Self::Output) -> Vec<Box<dyn Operation>> {
        Vec::new()
    }
}

/// A change of any kind, with whoever waits for it.
pub(crate) trait Operation: Send + Sync {
    /// Applies the change; true where there may be something new to claim. `Err` only for what concerns the whole group.
    fn apply<'a>(&'a mut self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Trouble>>;
    /// See [`Change::lines`].
    fn lines(&self) -> Vec<i64>;
    /// See [`Change::ends`].
    fn ends(&self) -> Option<JobId>;
    /// Answers the caller, after the commit or its failure. Returns what gives back the leases that nobody took.
    fn finish(self: Box<Self>, committed: Result<(), &Arc<Trouble>>) -> Vec<Box<dyn Operation>>;
}

/// A change and its caller.
pub(crate) struct Call<C: Change> {
    change: C,
    result: Option<Result<C::Output, Fault>>,
    caller: Option<oneshot::Sender<Result<C::Output, Fault>>>,
}

impl<C: Change<Output: Sync>> Call<C> {
    /// A change whose result arrives at the receiver.
    pub(crate) fn new(change: C) -> (Box<Self>, oneshot::Receiver<Result<C::Output, Fault>>) {
        let (caller, receiver) = oneshot::channel();
        (Box::new(Self { change, result: None, caller: Some(caller) }), receiver)
    }

    /// A change that nobody waits for.
    pub(crate) fn unheard(change: C) -> Box<dyn Operation> {
        Box::new(Self { change, result: None, caller: None })
    }
}

impl<C: Change<Output: Sync>> Operation for Call<C> {
    fn apply<'a>(&'a mut self, group: &'a Group<'a>) -> BoxFuture<'a, Result<bool, Trouble>> {
        Box::pin(async move {
            self.result = Some(match self.change.apply(group).await {
                Ok(output) => Ok(output),
                Err(Failure::Refused(fault)) => Err(fault),
                Err(Failure::Database(trouble)) => return Err(trouble),
            });
            Ok(matches!(&self.result, Some(Ok(output)) if self.change.wakes(output)))
        })
    }

    fn lines(&self) -> Vec<i64> {
        self.change.lines()
    }

    fn ends(&self) -> Option<JobId> {
        self.change.ends()
    }

    fn finish(mut self: Box<Self>, committed: Result<(), &Arc<Trouble>>) -> Vec<Box<dyn Operation>> {
        let result = match (committed, self.result.take()) {
            (Err(trouble), _) => Err(fault(trouble)),
            (Ok(()), Some(result)) => result,
            // Never applied and yet committed: the group was cut short, so nothing is promised.
            (Ok(()), None) => Err(closed()),
        };
        let unheard = match self.caller.take() {
            Some(caller) => caller.send(result).err(),
            None => Some(result),
        };
        unheard.and_then(Result::ok).map(C::undelivered).unwrap_or_default()
    }
}

/// Jobs that are worked on one after the other.
pub(crate) mod line {
    use uuid::Uuid;
    use vestibule_core::document::Hash;

    use super::Group;
    use crate::{connection::Session, error::Trouble};

    pub(super) const STATEMENTS: &[&str] = &[LOCK, UNBLOCK];
    /// All that a group needs, before it changes anything and in one order, so that no two groups wait for each other.
    /// Lines share 1,024 locks: the server has room for some thousands. A job's line never changes.
    const LOCK: &str = "
        SELECT count(*) FROM (
            SELECT pg_advisory_xact_lock(1448301635, place) FROM (
                SELECT DISTINCT (line & 1023)::integer AS place FROM (
                    SELECT line FROM unnest($1::bigint[]) AS it(line)
                    UNION ALL
                    SELECT j.line FROM {s}.jobs j WHERE j.id = ANY ($2::uuid[]) AND j.line IS NOT NULL
                ) AS wanted ORDER BY place
            ) AS places
        ) AS locked";
    /// The first that waits goes on, unless one is under way.
    const UNBLOCK: &str = "
        UPDATE {s}.jobs SET blocked = false
        WHERE seq = (
            SELECT j.seq FROM {s}.jobs j
            WHERE j.line = $1 AND j.line IS NOT NULL AND (j.state <= 2 OR j.delivery IN (1, 2)) AND j.blocked
            ORDER BY j.seq LIMIT 1
        ) AND NOT EXISTS (
            SELECT 1 FROM {s}.jobs j
            WHERE j.line = $1 AND j.line IS NOT NULL AND (j.state <= 2 OR j.delivery IN (1, 2)) AND NOT j.blocked
        )";

    /// The line of the jobs of this flow and order. Two of the same number merely wait for each other.
    pub(crate) fn of(flow: &str, order: &str) -> i64 {
        let Hash(hash) = Hash::of(format!("{flow}\0{order}").as_bytes());
        let mut start = [0; 8];
        start.iter_mut().zip(hash).for_each(|(to, byte)| *to = byte);
        i64::from_be_bytes(start)
    }

    /// Waits until nobody else changes who is first in these lines and in those of these jobs.
    pub(crate) async fn lock(session: &Session, lines: &[i64], jobs: &[Uuid]) -> Result<(), Trouble> {
        if lines.is_empty() && jobs.is_empty() {
            return Ok(());
        }
        session.execute(LOCK, &[&lines, &jobs]).await.map(drop)
    }

    /// Lets the next one go on, after one has ended; the line is locked. True where one does.
    pub(crate) async fn advance(group: &Group<'_>, line: Option<i64>) -> Result<bool, Trouble> {
        let Some(line) = line else { return Ok(false) };
        Ok(group.session.execute(UNBLOCK, &[&line]).await? > 0)
    }
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    // A century is as good as for ever, and stays a valid time when it is added to now.
    const CENTURY: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(CENTURY).min(CENTURY)
}

/// A lease's token as the database keeps it.
fn token(lease: &Lease) -> i64 {
    // No store gave out a token past this; the stand-in fits no job.
    i64::try_from(lease.token).unwrap_or(-1)
}

/// A token of the database.
fn lease(job: JobId, token: i64) -> Lease {
    Lease { job, token: u64::try_from(token).unwrap_or_default() }
}
