//! The embedded job store: SQLite with a write-ahead log, `synchronous = FULL`, and group commit.
//!
//! One process owns a store; others may read it. All changes go through one writer that puts everything that waits
//! into one transaction and commits once, so that concurrent callers share the cost of one `fsync`. The adapter starts
//! no thread: [`SqliteStore::open`] returns two [`Engine`]s, and the runner gives each a thread of its own.

mod change;
mod error;
mod ownership;
mod queue;
mod reader;
mod row;
mod schema;
mod settings;
mod writer;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, Lease, NewJob, Remark, Reply,
        Submission, Suspension, Sweep,
    },
    ports::JobStore,
};

use crate::{
    change::{Answer, Bury, Call, Change, Claim, Clock, MarkReturned, Probe, Release, Renew, Submit},
    error::closed,
    ownership::Ownership,
    queue::Queue,
    writer::{Changes, Health, Writer},
};

pub use error::StoreError;
pub use reader::Reader;
pub use settings::Settings;

/// A handle to the store. Cheap to clone; when the last one is dropped the engines end.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    changes: Arc<Changes>,
    questions: Arc<Questions>,
    health: Arc<Health>,
    lease: Duration,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.changes.close();
        self.questions.close();
    }
}

type Question = Box<dyn FnOnce(&Reader) + Send>;
type Questions = Queue<Question>;

/// A blocking loop of the store. Dropped without having run, it fails all calls.
#[must_use = "without its engines the store answers nothing"]
pub struct Engine {
    name: &'static str,
    work: Option<Box<dyn FnOnce() + Send>>,
    abandon: Box<dyn Fn() + Send>,
}

impl Engine {
    /// A name for the thread that it runs on.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Works until [`SqliteStore::close`] or until all handles are dropped; what waits then is done first.
    pub fn run(mut self) {
        if let Some(work) = self.work.take() {
            work();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        (self.abandon)();
    }
}

impl SqliteStore {
    /// Opens the store in this file, makes it where it is missing, and takes it for this process. Jobs that an earlier
    /// process held are due again. Blocks for as long as the file system takes.
    pub fn open(path: &Path, settings: &Settings) -> Result<(Self, [Engine; 2]), StoreError> {
        schema::prepare_files(path)?;
        let ownership = Ownership::take(path)?;
        let db = schema::open_writer(path, settings)?;
        let reopened = db
            .execute("UPDATE jobs SET state = 0, due = min(due, accepted) WHERE state < 2 AND state = 1", [])
            .map_err(|source| StoreError::opening(path, source))?;
        if reopened > 0 {
            tracing::info!(jobs = reopened, "jobs of an earlier process are due again");
        }
        let reader = Reader::with_settings(path, settings)?;
        let changes: Arc<Changes> = Arc::new(Queue::new(settings.queue.get()));
        let questions: Arc<Questions> = Arc::new(Queue::new(settings.queue.get()));
        let health = Arc::new(Health::new());
        let writer = Writer {
            db,
            changes: Arc::clone(&changes),
            health: Arc::clone(&health),
            clock: Clock::start(),
            group: settings.group.get(),
            _ownership: ownership,
        };
        let engines = [write_engine(writer), read_engine(reader, Arc::clone(&questions))];
        Ok((Self { shared: Arc::new(Shared { changes, questions, health, lease: settings.lease }) }, engines))
    }

    /// Takes nothing more. The engines finish what waits, then end.
    pub fn close(&self) {
        self.shared.changes.close();
        self.shared.questions.close();
    }

    /// How many commits succeeded since it was opened; for metrics.
    pub fn commits(&self) -> u64 {
        self.shared.health.commits()
    }

    async fn change<C: Change>(&self, change: C) -> Result<C::Output, Fault> {
        let (call, result) = Call::new(change);
        self.shared.changes.push(call).await.map_err(|_| closed())?;
        let mut waiting = Waiting::<C> { result, changes: &self.shared.changes };
        (&mut waiting.result).await.map_err(|_| closed())?
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |reader: &Reader| {
            // A caller that hung up needs no reading.
            if !answer.is_closed() {
                answer.send(question(reader)).ok();
            }
        });
        self.shared.questions.push(question).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

/// A caller that waits for its change.
struct Waiting<'a, C: Change> {
    result: oneshot::Receiver<Result<C::Output, Fault>>,
    changes: &'a Changes,
}

impl<C: Change> Drop for Waiting<'_, C> {
    /// A caller that hangs up just after the writer has answered leaves a result that neither of them holds: a lease
    /// in it would keep its job until it runs out.
    fn drop(&mut self) {
        // From here on the writer sees that nobody waits.
        self.result.close();
        if let Ok(Ok(output)) = self.result.try_recv() {
            for lease in C::undelivered(output) {
                let job = lease.job;
                if !self.changes.push_later(Call::unheard(Release { lease, delay: Duration::ZERO })) {
                    tracing::warn!(%job, "leased to nobody until its lease runs out: the writer is behind or closed");
                }
            }
        }
    }
}

fn write_engine(writer: Writer) -> Engine {
    let queue = Arc::clone(&writer.changes);
    Engine {
        name: "jobs-write",
        work: Some(Box::new(move || writer.run())),
        abandon: Box::new(move || queue.abandon()),
    }
}

fn read_engine(reader: Reader, questions: Arc<Questions>) -> Engine {
    let queue = Arc::clone(&questions);
    let work = move || {
        while let Some(batch) = questions.take(1) {
            batch.into_iter().for_each(|question| question(&reader));
        }
    };
    Engine { name: "jobs-read", work: Some(Box::new(work)), abandon: Box::new(move || queue.abandon()) }
}

impl JobStore for SqliteStore {
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        Box::pin(self.change(Submit { job, lease: self.shared.lease }))
    }

    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(jobs.len());
            for job in jobs {
                all.push(self.submit(job).await);
            }
            Ok(all)
        })
    }

    fn checkpoint<'a>(&'a self, _: &'a Lease, _: Vec<Checkpoint>) -> BoxFuture<'a, Result<(), Fault>> {
        unbuilt()
    }

    fn suspend(&self, _: Lease, _: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn delivered(&self, _: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn delivered_soon(&self, _: Lease) {}

    fn redeliver(&self, _: Lease, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn undeliverable(&self, _: Lease, _: String) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn claim_deliveries(&self, _: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn retry(&self, _: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn cancel(&self, _: JobId, _: String) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn hold(&self, _: JobId, _: String, _: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn decide(&self, _: JobId, _: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn sweep(&self, _: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        unbuilt()
    }

    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn lead<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(async move { self.change(Answer { lease, reply }).await.map(|()| None) })
    }

    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(MarkReturned(job)))
    }

    fn returned_soon(&self, job: JobId) {
        if !self.shared.changes.push_later(Call::unheard(MarkReturned(job))) {
            tracing::debug!(%job, "stays answered: the writer is behind or closed");
        }
    }

    fn release(&self, lease: Lease, delay: Duration, _: bool) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Release { lease, delay }))
    }

    fn bury(
        &self,
        lease: Lease,
        cause: String,
        _: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(async move { self.change(Bury { lease, cause }).await.map(|()| None) })
    }

    fn claim<'a>(&'a self, _: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        Box::pin(self.change(Claim { most, lasts: self.shared.lease }))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        let lease = Lease { job: lease.job, token: lease.token };
        Box::pin(self.change(Renew { lease, lasts: self.shared.lease }))
    }

    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        Box::pin(self.ask(move |reader| reader.find(id)))
    }

    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        Box::pin(self.ask(move |reader| reader.list(&filter)))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async {
            // Under load the commits themselves are the proof; a probe each second costs an idle store little.
            if self.shared.health.committed_within(Duration::from_secs(1)) {
                return Ok(());
            }
            self.change(Probe).await
        })
    }
}

fn unbuilt<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Fault>> {
    Box::pin(std::future::ready(Err(Fault::new(FaultCode::Internal, "not built yet"))))
}
