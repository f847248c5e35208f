//! The embedded job store: SQLite with a write-ahead log, `synchronous = FULL`, and group commit.
//!
//! One process owns a store; others may read it. All changes go through one writer that puts everything that waits
//! into one transaction and commits once, so that concurrent callers share the cost of one `fsync`. The adapter starts
//! no thread: [`SqliteStore::open`] returns two [`Engine`]s, and the runner gives each a thread of its own.

mod change;
mod error;
mod ownership;
mod port;
mod queue;
mod reader;
mod row;
mod schema;
mod settings;
mod writer;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};
use vestibule_core::fault::Fault;

use crate::{
    change::{Call, Change, Clock},
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
    wake: Arc<Notify>,
    lease: Duration,
    /// False for a visitor.
    owns: bool,
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
    /// Opens the store in this file, makes it where it is missing, and takes it for this process. Jobs and deliveries
    /// that an earlier process held are due again. Blocks for as long as the file system takes.
    pub fn open(path: &Path, settings: &Settings) -> Result<(Self, [Engine; 2]), StoreError> {
        schema::prepare_files(path)?;
        let ownership = Ownership::take(path)?;
        let db = schema::open_writer(path, settings)?;
        let (jobs, deliveries) = reopen(&db).map_err(|source| StoreError::opening(path, source))?;
        if jobs + deliveries > 0 {
            tracing::info!(jobs, deliveries, "jobs and deliveries of an earlier process are due again");
        }
        Self::start(path, settings, db, Some(ownership))
    }

    /// Opens the store in this file beside the process that owns it, if there is one: for the command line. It leases
    /// nothing and leads in nothing: a job that it submits waits in the queue, and its claims are refused. Its changes
    /// are transactions of their own beside those of the owner; what they make due, the owner finds within its next
    /// look. The store must be there, in the schema of this program.
    pub fn visit(path: &Path, settings: &Settings) -> Result<(Self, [Engine; 2]), StoreError> {
        let db = schema::open_visitor(path, settings)?;
        Self::start(path, settings, db, None)
    }

    fn start(
        path: &Path,
        settings: &Settings,
        db: Connection,
        ownership: Option<Ownership>,
    ) -> Result<(Self, [Engine; 2]), StoreError> {
        let owns = ownership.is_some();
        let reader = Reader::with_settings(path, settings)?;
        let changes: Arc<Changes> = Arc::new(Queue::new(settings.queue.get()));
        let questions: Arc<Questions> = Arc::new(Queue::new(settings.queue.get()));
        let (health, wake) = (Arc::new(Health::new()), Arc::new(Notify::new()));
        let writer = Writer {
            db,
            changes: Arc::clone(&changes),
            health: Arc::clone(&health),
            clock: if owns { Clock::start() } else { Clock::visiting() },
            // The owner waits for each of a visitor's transactions: they are short.
            group: if owns { settings.group.get() } else { 1 },
            wake: Arc::clone(&wake),
            _ownership: ownership,
        };
        let engines = [write_engine(writer), read_engine(reader, Arc::clone(&questions))];
        let shared = Shared { changes, questions, health, wake, lease: settings.lease, owns };
        Ok((Self { shared: Arc::new(shared) }, engines))
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
            for orphan in C::undelivered(output) {
                let job = orphan.job();
                if !self.changes.push_later(orphan.put_back()) {
                    tracing::warn!(%job, "leased to nobody until its lease runs out: the writer is behind or closed");
                }
            }
        }
    }
}

/// What an earlier process held is due at once, before all that is due later. Where its clock was ahead of ours, what it
/// accepted then would wait until our clock is there, for days even: that is due now as well.
fn reopen(db: &Connection) -> rusqlite::Result<(usize, usize)> {
    let now = jiff::Timestamp::now().as_microsecond();
    let jobs = db.execute(
        "UPDATE jobs INDEXED BY jobs_waiting SET state = 0, due = min(due, accepted, ?1) WHERE state < 2 AND state = 1",
        [now],
    )?;
    let deliveries = db.execute(
        "UPDATE jobs INDEXED BY jobs_sending SET delivery = 1, due = min(due, changed, ?1) \
         WHERE delivery IN (1, 2) AND delivery = 2",
        [now],
    )?;
    db.execute(
        "UPDATE jobs INDEXED BY jobs_waiting SET due = ?1 \
         WHERE state < 2 AND state = 0 AND review = 0 AND due > ?1 AND changed > ?1",
        [now],
    )?;
    db.execute(
        "UPDATE jobs INDEXED BY jobs_sending SET due = ?1 WHERE delivery IN (1, 2) AND due > ?1 AND changed > ?1",
        [now],
    )?;
    Ok((jobs, deliveries))
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
