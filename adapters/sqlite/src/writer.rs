//! The loop that writes: all changes that wait go into one transaction, one commit makes them durable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};
use tokio::sync::Notify;

use crate::{
    change::{Clock, Operation, Orphan},
    ownership::Ownership,
    queue::Queue,
};

/// Changes on their way to the writer.
pub(crate) type Changes = Queue<Box<dyn Operation>>;

/// What others may know of the writer without asking it.
pub(crate) struct Health {
    started: Instant,
    /// Milliseconds from `started` to the last commit that succeeded, plus one; 0 after a failure or before any.
    committed: AtomicU64,
    commits: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), committed: AtomicU64::new(0), commits: AtomicU64::new(0) }
    }

    /// True when the last commit succeeded, and not longer ago than this.
    pub(crate) fn committed_within(&self, age: Duration) -> bool {
        let last = self.committed.load(Ordering::Acquire);
        last > 0 && self.millis().saturating_sub(last) <= u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// How many commits succeeded.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    fn note(&self, committed: bool) {
        self.commits.fetch_add(committed.into(), Ordering::AcqRel);
        self.committed.store(if committed { self.millis() } else { 0 }, Ordering::Release);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
    }
}

/// The one writer of a store. Fields are dropped in this order: the database is closed before it is given up.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) changes: Arc<Changes>,
    pub(crate) health: Arc<Health>,
    pub(crate) clock: Clock,
    pub(crate) group: usize,
    /// Told when there may be something new to claim.
    pub(crate) wake: Arc<Notify>,
    /// `None`: a visitor's.
    pub(crate) _ownership: Option<Ownership>,
}

/// Why a group was not committed.
struct Broken {
    error: rusqlite::Error,
    /// One of the changes broke it; the others may succeed without that one.
    by_a_change: bool,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.changes.take(self.group) {
            let orphans = self.write(group);
            if !orphans.is_empty() {
                self.write(orphans.into_iter().map(Orphan::put_back).collect());
            }
        }
    }

    /// Makes a group durable and answers its callers. Returns the leases that nobody took delivery of.
    fn write(&mut self, mut group: Vec<Box<dyn Operation>>) -> Vec<Orphan> {
        let outcome = self.commit(&mut group);
        self.health.note(outcome.is_ok());
        if self.clock.take_news() && outcome.is_ok() {
            // Those who wait now, and whoever asks next.
            self.wake.notify_waiters();
            self.wake.notify_one();
        }
        match outcome {
            Ok(()) => group.into_iter().flat_map(|it| it.finish(Ok(()))).collect(),
            // Alone, only the change that broke the group fails, and on a full disk the small ones may still fit.
            Err(Broken { by_a_change: true, .. }) if group.len() > 1 => {
                group.into_iter().flat_map(|it| self.write(vec![it])).collect()
            }
            Err(Broken { error, .. }) => {
                tracing::error!(changes = group.len(), %error, "the job store could not commit");
                let error = Arc::new(error);
                group.into_iter().flat_map(|it| it.finish(Err(&error))).collect()
            }
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Operation>]) -> Result<(), Broken> {
        let of_the_group = |error| Broken { error, by_a_change: false };
        let of_a_change = |error| Broken { error, by_a_change: true };
        let transaction =
            self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(of_the_group)?;
        for operation in group {
            operation.apply(&transaction, self.clock.now()).map_err(of_a_change)?;
            // Some failures end the transaction inside SQLite; what follows would be committed one by one.
            if transaction.is_autocommit() {
                return Err(of_a_change(ended_early()));
            }
        }
        transaction.commit().map_err(of_the_group)
    }
}

fn ended_early() -> rusqlite::Error {
    let error = ffi::Error { code: ErrorCode::OperationAborted, extended_code: ffi::SQLITE_ABORT_ROLLBACK };
    rusqlite::Error::SqliteFailure(error, Some("the transaction was rolled back".into()))
}
