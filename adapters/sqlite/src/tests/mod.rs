//! The conformance suite over SQLite, and what only a store on a disk can get wrong.

mod bench;
mod crash;
mod disk;
mod group;
mod journal;
mod power;
mod upgrade;
mod visit;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tempfile::TempDir;
use vestibule_core::ports::JobStore;
use vestibule_testkit::{
    fixtures,
    job_store::{CASES, flows},
};

use crate::{Settings, SqliteStore, StoreError};

/// A store with its engines on threads; ends and joins them when dropped.
struct Running {
    store: Option<SqliteStore>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn open(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self::start(SqliteStore::open(path, settings)?))
    }

    fn visit(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self::start(SqliteStore::visit(path, settings)?))
    }

    fn start((store, engines): (SqliteStore, [crate::Engine; 2])) -> Self {
        let start = |engine: crate::Engine| {
            Builder::new().name(engine.name().into()).spawn(move || engine.run()).unwrap()
        };
        Self { store: Some(store), threads: engines.into_iter().map(start).collect() }
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.store.take());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn temporary() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    (directory, path)
}

fn settings(lease: Duration) -> Settings {
    Settings { lease, ..Settings::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn sqlite_keeps_every_promise_of_a_job_store() {
    for case in CASES {
        let (_directory, path) = temporary();
        let running = Running::open(&path, &settings(case.lease)).unwrap();
        let store: Arc<dyn JobStore> = Arc::new(running.store().clone());
        if let Err(broken) = case.check(store) {
            panic!("{}: {}", case.name, broken.0);
        }
    }
}

#[test]
fn a_queue_and_groups_of_one_keep_every_promise_too() {
    for case in CASES {
        let (_directory, path) = temporary();
        let one = NonZeroUsize::MIN;
        let settings = Settings { lease: case.lease, queue: one, group: one, ..Settings::default() };
        let running = Running::open(&path, &settings).unwrap();
        if let Err(broken) = case.check(Arc::new(running.store().clone())) {
            panic!("{}: {}", case.name, broken.0);
        }
    }
}

#[test]
fn what_was_accepted_while_the_clock_was_ahead_is_due_when_it_is_right_again() {
    let (_directory, path) = temporary();
    let long = settings(Duration::from_secs(600));
    let running = Running::open(&path, &long).unwrap();
    block_on(async {
        running.store().submit(fixtures::job(None, b"1")).await.unwrap();
        running.store().submit(fixtures::waiting(b"2")).await.unwrap();
    });
    drop(running);
    // A day ahead.
    let ahead = "UPDATE jobs SET due = due + 86400000000, accepted = accepted + 86400000000, \
                 changed = changed + 86400000000";
    rusqlite::Connection::open(&path).unwrap().execute(ahead, []).unwrap();
    let running = Running::open(&path, &long).unwrap();
    let claimed = block_on(running.store().claim(flows(), 10)).unwrap();
    assert_eq!(claimed.len(), 2);
}
