//! Reading, beside the changes and never in their way.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::oneshot;
use vestibule_core::{
    fault::Fault,
    job::{Census, JobFilter},
};

use crate::{
    connection::Session,
    error::{Trouble, fault},
    row,
};

/// Statements that are prepared when the connection is made.
pub(crate) const STATEMENTS: &[&str] =
    &[row::WHOLE_BY_ID, row::LIST, row::CHECKPOINTS_BY_ID, CENSUS, POSITION];

/// Each part reads one partial index alone, however many finished jobs there are.
const CENSUS: &str = "
    SELECT flow, sum(queued)::bigint AS queued, sum(leased)::bigint AS leased, sum(in_review)::bigint AS in_review,
        sum(undelivered)::bigint AS undelivered, sum(dead)::bigint AS dead, min(oldest) AS oldest
    FROM (
        SELECT flow, count(*) FILTER (WHERE state = 0) AS queued, count(*) FILTER (WHERE state = 1) AS leased,
            count(*) FILTER (WHERE state = 2) AS in_review, 0::bigint AS undelivered, 0::bigint AS dead,
            min(accepted) FILTER (WHERE state < 2) AS oldest
        FROM {s}.jobs WHERE state <= 2 GROUP BY flow
        UNION ALL
        SELECT flow, 0, 0, 0, count(*), 0, NULL FROM {s}.jobs WHERE delivery IN (1, 2) GROUP BY flow
        UNION ALL
        SELECT flow, 0, 0, 0, 0, count(*), NULL FROM {s}.jobs WHERE state = 5 GROUP BY flow
    ) AS part
    GROUP BY flow ORDER BY flow";

const POSITION: &str = "SELECT kept FROM {s}.positions WHERE name = $1";

/// Something to be read, with whoever waits for it.
pub(crate) trait Question: Send {
    /// Reads and answers. `Err` where the connection is of no use any more.
    fn ask<'a>(self: Box<Self>, session: &'a Session) -> BoxFuture<'a, Result<(), Arc<Trouble>>>;
    /// It can not be asked.
    fn refuse(self: Box<Self>, trouble: &Arc<Trouble>);
}

type Answer<T> = oneshot::Sender<Result<T, Fault>>;

/// A question that a function answers.
pub(crate) struct Asked<T, F> {
    work: F,
    answer: Answer<T>,
}

impl<T, F> Asked<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a Session) -> BoxFuture<'a, Result<T, Trouble>> + Send + 'static,
{
    pub(crate) fn question(work: F) -> (Box<dyn Question>, oneshot::Receiver<Result<T, Fault>>) {
        let (answer, answered) = oneshot::channel();
        (Box::new(Self { work, answer }), answered)
    }
}

impl<T, F> Question for Asked<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a Session) -> BoxFuture<'a, Result<T, Trouble>> + Send + 'static,
{
    fn ask<'a>(self: Box<Self>, session: &'a Session) -> BoxFuture<'a, Result<(), Arc<Trouble>>> {
        Box::pin(async move {
            // A caller that hung up needs no reading.
            if self.answer.is_closed() {
                return Ok(());
            }
            match (self.work)(session).await {
                Ok(found) => {
                    self.answer.send(Ok(found)).ok();
                    Ok(())
                }
                Err(trouble) => {
                    let trouble = Arc::new(trouble);
                    self.answer.send(Err(fault(&trouble))).ok();
                    if trouble.is_fatal() { Err(trouble) } else { Ok(()) }
                }
            }
        })
    }

    fn refuse(self: Box<Self>, trouble: &Arc<Trouble>) {
        self.answer.send(Err(fault(trouble))).ok();
    }
}

/// See `JobStore::list`; the statement is that of the state.
pub(crate) async fn list(
    session: &Session,
    filter: &JobFilter,
    statement: &'static str,
) -> Result<Vec<vestibule_core::job::Job>, Trouble> {
    let limit = i64::try_from(filter.limit()).unwrap_or(i64::MAX);
    let cause = filter.cause.as_deref().map(|it| row::storable(it).to_ascii_lowercase());
    // A time between two microseconds is after the first of them.
    let cut = |it: Option<Timestamp>| it.map(row::stored_time);
    let flow = filter.flow.as_deref();
    let rows =
        session.query(statement, &[&flow, &cut(filter.before), &cut(filter.since), &cause, &limit]).await?;
    rows.iter().map(row::job).collect()
}

/// See `JobStore::census`.
pub(crate) async fn census(session: &Session) -> Result<Vec<Census>, Trouble> {
    let rows = session.query(CENSUS, &[]).await?;
    let count = |row: &tokio_postgres::Row, column| {
        row.try_get::<_, i64>(column).map(|it| u64::try_from(it).unwrap_or_default())
    };
    let census = |row: &tokio_postgres::Row| {
        Ok(Census {
            flow: row.try_get::<_, &str>("flow")?.into(),
            queued: count(row, "queued")?,
            leased: count(row, "leased")?,
            in_review: count(row, "in_review")?,
            undelivered: count(row, "undelivered")?,
            dead: count(row, "dead")?,
            oldest: row.try_get("oldest")?,
        })
    };
    rows.iter().map(census).collect()
}

/// See `JobStore::position`. A name with a zero character was never kept under.
pub(crate) async fn position(session: &Session, name: &str) -> Result<Option<String>, Trouble> {
    if name.contains('\0') {
        return Ok(None);
    }
    let found = session.query_opt(POSITION, &[&name]).await?;
    Ok(found.map(|it| it.try_get(0)).transpose()?)
}
