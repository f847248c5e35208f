//! The shared job store: any number of identical processes work on one PostgreSQL database.
//!
//! Work is claimed with `FOR UPDATE SKIP LOCKED` under leases by the server's clock, each with a fencing token; the leases
//! of a process that died run out and pass on. Changes of concurrent callers share transactions. `LISTEN` tells of new
//! work at once, whichever process accepted it. The adapter starts no task: [`PostgresStore::open`] returns [`Driver`]s,
//! futures that the runner spawns. No method waits for ever: what takes longer than the settings allow, or finds no
//! server, ends with a fault that may be retried.

mod alarm;
mod cell;
mod change;
mod connection;
#[allow(dead_code, unused_imports)] // Until every way of capture is there.
mod database;
mod error;
mod log;
mod lookup;
mod outbox;
#[allow(dead_code, unused_imports)] // Until every way of capture is there.
mod plan;
mod queue;
mod read;
mod row;
mod schema;
mod settings;
mod snapshot;
mod tls;
mod worker;
mod writeback;

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, JobState, Lease, NewJob, Remark, Reply,
        Submission, Suspension, Sweep,
    },
    ports::{JobStore, may_be_kept},
};

use crate::{
    change::{
        Answer, Bury, Call, Cancel, Change, Claim, ClaimDeliveries, Decide, Delivered, Forget, Holding, Keep,
        KeepPosition, Lead, MarkReturned, Probe, Redeliver, Release, Renew, Retry, Submit, Suspend,
        Undeliverable, micros,
    },
    connection::{Session, Way},
    error::{Trouble, closed},
    queue::Queue,
    read::Asked,
    worker::{Health, Shared},
};

#[doc(hidden)]
pub use cell::probe;
pub use database::{CODES, Postgres};
pub use error::{StoreError, Trouble as Cause};
#[doc(hidden)]
pub use log::probe as probe_pgoutput;
pub use settings::{Password, Settings, Tls};

/// Changes and questions that may wait; further callers wait for room.
const ROOM: usize = 1024;
/// Changes that one transaction takes together.
const GROUP: usize = 64;
/// The longest a change of the tables may take.
const MIGRATION: Duration = Duration::from_secs(600);

/// A handle to the store. Cheap to clone; when the last one is dropped the drivers end.
#[derive(Clone)]
pub struct PostgresStore {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    /// This process among those that share the store.
    holder: Uuid,
    held: Duration,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A future that works for the store until [`PostgresStore::close`] or until all handles are dropped; what waits then is
/// done first. All of them must be spawned: dropped without having ended, they fail all calls.
#[must_use = "without its drivers the store answers nothing"]
pub struct Driver {
    work: BoxFuture<'static, ()>,
    shared: Arc<Shared>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(context)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.shared.changes.is_closed() {
            self.shared.close();
            // Dropped, they tell their callers that the store is closed.
            drop(self.shared.changes.rest());
            drop(self.shared.questions.rest());
        }
    }
}

/// Whether a schema may have this name, which stands in every statement as it is.
pub fn is_schema_name(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        && (1..=40).contains(&name.len())
        && !name.starts_with("pg_")
        && !name.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// The SQL that makes the tables of this schema, for a person who lets no program do so.
pub fn sql(schema: &str) -> String {
    schema::script(schema)
}

impl PostgresStore {
    /// Connects, brings the tables to this program's version where they are older, and returns the store with what
    /// drives it. Any number of processes may do so at once. Must be called inside a tokio runtime.
    pub async fn open(settings: &Settings) -> Result<(Self, Vec<Driver>), StoreError> {
        let way = Way::new(settings)?;
        prepare(&way).await?;
        let shared = Arc::new(Shared {
            way,
            changes: Queue::new(ROOM),
            questions: Queue::new(ROOM),
            woken: Notify::new(),
            health: Health::new(),
            lease: micros(settings.lease),
            group: GROUP,
        });
        let driver = |work: BoxFuture<'static, ()>| Driver { work, shared: Arc::clone(&shared) };
        let changing = settings.connections.clamp(2, 64).saturating_sub(1);
        let mut drivers: Vec<Driver> =
            (0..changing).map(|_| driver(Box::pin(worker::change(Arc::clone(&shared))))).collect();
        drivers.push(driver(Box::pin(worker::read(Arc::clone(&shared)))));
        drivers.push(driver(Box::pin(worker::listen(Arc::clone(&shared)))));
        let owner = Owner { shared, holder: Uuid::now_v7(), held: settings.held };
        Ok((Self { owner: Arc::new(owner) }, drivers))
    }

    /// Takes nothing more. The drivers finish what waits, then end.
    pub fn close(&self) {
        self.owner.shared.close();
    }

    /// How many transactions this process committed; for metrics.
    pub fn commits(&self) -> u64 {
        self.owner.shared.health.commits()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    async fn change<C: Change<Output: Sync>>(&self, change: C) -> Result<C::Output, Fault> {
        let (call, result) = Call::new(change);
        self.shared().changes.push(call).await.map_err(|_| closed())?;
        let mut waiting = Waiting::<C> { result, shared: self.shared() };
        (&mut waiting.result).await.map_err(|_| closed())?
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a Session) -> BoxFuture<'a, Result<T, Trouble>> + Send + 'static,
    ) -> Result<T, Fault> {
        let (question, answer) = Asked::question(work);
        self.shared().questions.push(question).await.map_err(|_| closed())?;
        answer.await.map_err(|_| lost())?
    }
}

/// The connection went while the answer was read.
fn lost() -> Fault {
    Fault::new(FaultCode::Store, "the job store can not be reached now")
        .recovery(vestibule_core::fault::Recovery::Retry)
}

async fn prepare(way: &Way) -> Result<(), StoreError> {
    let refused =
        |source: Trouble| StoreError::Refused { place: way.place.clone(), remedy: source.remedy(), source };
    let mut link = way.connect(|_| ()).await.map_err(refused)?;
    let migrated = link.run(MIGRATION, |session| async move {
        match schema::migrate(session).await {
            Ok(()) => Ok(Ok(())),
            Err(schema::Unfit::Newer(error)) => Ok(Err(error)),
            Err(schema::Unfit::Trouble(trouble)) => Err(trouble),
        }
    });
    migrated.await.map_err(refused)?
}

/// A caller that waits for its change.
struct Waiting<'a, C: Change> {
    result: oneshot::Receiver<Result<C::Output, Fault>>,
    shared: &'a Shared,
}

impl<C: Change> Drop for Waiting<'_, C> {
    /// A caller that hangs up just after a driver has answered leaves a result that neither of them holds: a lease in
    /// it would keep its job until it runs out.
    fn drop(&mut self) {
        // From here on the driver sees that nobody waits.
        self.result.close();
        if let Ok(Ok(output)) = self.result.try_recv() {
            for back in C::undelivered(output) {
                if !self.shared.changes.push_later(back) {
                    tracing::warn!(
                        "a job is leased to nobody until its lease runs out: the store is behind or closed"
                    );
                }
            }
        }
    }
}

impl JobStore for PostgresStore {
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        Box::pin(self.change(Submit::new(job)))
    }

    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        Box::pin(self.change(change::SubmitAll::new(jobs)))
    }

    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let lease = Lease { job: lease.job, token: lease.token };
        Box::pin(self.change(Keep { lease, answers }))
    }

    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(async move { Ok(self.change(Answer { lease, reply }).await?.0) })
    }

    fn suspend(&self, lease: Lease, suspension: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Suspend { lease, suspension }))
    }

    fn release(&self, lease: Lease, delay: Duration, untried: bool) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Release { lease, delay, untried }))
    }

    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(async move { Ok(self.change(Bury { lease, cause, findings }).await?.0) })
    }

    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(MarkReturned(job)))
    }

    fn returned_soon(&self, job: JobId) {
        self.shared().changes.push_later(Call::unheard(MarkReturned(job)));
    }

    fn delivered(&self, lease: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.change(Delivered(lease)).await.map(drop) })
    }

    fn delivered_soon(&self, lease: Lease) {
        self.shared().changes.push_later(Call::unheard(Delivered(lease)));
    }

    fn redeliver(&self, lease: Lease, delay: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Redeliver { lease, delay, untried: false }))
    }

    fn undeliverable(&self, lease: Lease, cause: String) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.change(Undeliverable { lease, cause }).await.map(drop) })
    }

    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        Box::pin(self.change(Claim::new(flows, most)))
    }

    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        Box::pin(self.change(ClaimDeliveries { most }))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.change(Renew(Lease { job: lease.job, token: lease.token })))
    }

    fn retry(&self, job: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Retry(job)))
    }

    fn cancel(&self, job: JobId, cause: String) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Cancel { job, cause }))
    }

    fn hold(&self, job: JobId, by: String, lasts: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Holding { job, by, lasts }))
    }

    fn decide(&self, job: JobId, decisions: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Decide { job, decisions }))
    }

    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        Box::pin(async move {
            let mut gone: u64 = 0;
            loop {
                let left = sweep.most.saturating_sub(usize::try_from(gone).unwrap_or(usize::MAX));
                if left == 0 {
                    return Ok(gone);
                }
                let bite = self.change(Forget(Sweep { most: left, ..sweep.clone() })).await?;
                gone = gone.saturating_add(bite);
                if bite < u64::try_from(left.min(change::BITE)).unwrap_or(u64::MAX) {
                    return Ok(gone);
                }
            }
        })
    }

    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        Box::pin(self.ask(|session| Box::pin(read::census(session))))
    }

    fn lead<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        Box::pin(self.change(Lead { role: role.to_owned(), holder: self.owner.holder }))
    }

    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        let name = name.to_owned();
        Box::pin(self.ask(move |session| Box::pin(async move { read::position(session, &name).await })))
    }

    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            may_be_kept(name, &text)?;
            self.change(KeepPosition { name: name.to_owned(), text }).await
        })
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared().woken.notified())
    }

    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        Box::pin(self.ask(move |session| {
            Box::pin(async move {
                let found = session.query_opt(row::WHOLE_BY_ID, &[&id.0]).await?;
                found.as_ref().map(row::job).transpose()
            })
        }))
    }

    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        Box::pin(self.ask(move |session| {
            Box::pin(async move {
                session.query(row::CHECKPOINTS_BY_ID, &[&id.0]).await?.iter().map(row::checkpoint).collect()
            })
        }))
    }

    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        Box::pin(async move {
            let statement = match filter.state.as_deref() {
                Some(word) => row::list_of(word).ok_or_else(|| no_state(word))?,
                None => row::LIST,
            };
            self.ask(move |session| Box::pin(async move { read::list(session, &filter, statement).await }))
                .await
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            if self.shared().health.committed_within(Duration::from_secs(2)) {
                return Ok(());
            }
            self.change(Probe).await
        })
    }

    fn warnings(&self) -> BoxFuture<'_, Result<Vec<String>, Fault>> {
        let (schema, held) = (Arc::clone(&self.shared().way.schema), self.owner.held);
        Box::pin(
            self.ask(move |session| Box::pin(async move { alarm::warnings(session, &schema, held).await })),
        )
    }
}

fn no_state(word: &str) -> Fault {
    let known = JobState::WORDS.join(", ");
    Fault::new(FaultCode::NotFound, format!("no job state is called {word:?}; there are {known}"))
}
