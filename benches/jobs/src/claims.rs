//! The time of a claim beside many finished jobs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime::Runtime;
use vestibule_core::{
    job::{Lease, Start, Submission},
    ports::JobStore,
};
use vestibule_sqlite::{Settings, SqliteStore};
use vestibule_testkit::{fixtures, job_store::flows};

use crate::{Bar, Measured, median};

/// Jobs that wait while others are claimed.
const WAITING: usize = 200;
/// Jobs that are submitted or answered at once while a store is filled.
const BATCH: usize = 1_000;

struct Opened {
    store: SqliteStore,
    threads: Vec<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Opened {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let (store, engines) =
            SqliteStore::open(&folder.path().join("jobs.db"), &Settings::default()).expect("a store");
        let threads = engines.into_iter().map(|it| std::thread::spawn(move || it.run())).collect();
        Self { store, threads, _folder: folder }
    }

    fn close(self) {
        self.store.close();
        self.threads.into_iter().for_each(|it| it.join().expect("an engine ends"));
    }

    async fn fill(&self, finished: usize) {
        let mut number = 0;
        while number < finished {
            let many = BATCH.min(finished - number);
            let jobs = (number..number + many).map(|it| fixtures::job(Some(&format!("old-{it}")), b"<a/>"));
            let submitted = self.store.submit_all(jobs.collect()).await.expect("accepted");
            let answers = submitted.into_iter().map(|it| async {
                let Ok(Submission::Accepted(lease)) = it else { panic!("not accepted: {it:?}") };
                let id = lease.job;
                self.store.answer(lease, fixtures::reply(b"<r/>")).await.expect("answered");
                self.store.returned(id).await.expect("returned");
            });
            join_all(answers).await;
            number += many;
        }
    }

    async fn queue(&self) {
        let jobs = (0..WAITING).map(|_| {
            let mut job = fixtures::job(None, b"<a/>");
            job.start = Start::Later;
            job
        });
        for submitted in self.store.submit_all(jobs.collect()).await.expect("queued") {
            assert!(matches!(submitted, Ok(Submission::Queued(_))));
        }
    }

    /// Claims one job, which is there.
    async fn claim(&self) -> (Lease, Duration) {
        let start = Instant::now();
        let mut claimed = self.store.claim(flows(), 1).await.expect("claimed");
        let took = start.elapsed();
        (claimed.pop().expect("a job waits").lease, took)
    }

    async fn finish(&self, leases: Vec<Lease>) {
        for lease in leases {
            let id = lease.job;
            self.store.answer(lease, fixtures::reply(b"<r/>")).await.expect("answered");
            self.store.returned(id).await.expect("returned");
        }
    }
}

/// The mean time of claims from each store, one after the other by turns: both meet the same moments of a machine whose
/// fsync takes now one millisecond and now three.
async fn by_turns(one: &Opened, other: &Opened) -> (Duration, Duration) {
    one.queue().await;
    other.queue().await;
    let (mut of_one, mut of_other) = ((Vec::new(), Duration::ZERO), (Vec::new(), Duration::ZERO));
    for _ in 0..WAITING {
        for (store, (leases, sum)) in [(one, &mut of_one), (other, &mut of_other)] {
            let (lease, took) = store.claim().await;
            leases.push(lease);
            *sum += took;
        }
    }
    one.finish(of_one.0).await;
    other.finish(of_other.0).await;
    let many = u32::try_from(WAITING).expect("a small number");
    (of_one.1 / many, of_other.1 / many)
}

pub fn measure(runtime: &Runtime, rounds: usize, finished: usize) -> Measured {
    let (empty, full) = (Opened::new(), Opened::new());
    runtime.block_on(full.fill(finished));
    let (mut ratios, mut beside, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds * 3 {
        let (none, many) = runtime.block_on(by_turns(&empty, &full));
        ratios.push(many.as_secs_f64() / none.as_secs_f64());
        beside.push(many.as_secs_f64() * 1e6);
        alone.push(none.as_secs_f64() * 1e6);
    }
    empty.close();
    full.close();
    let about = json!({
        "finished": finished, "micros": median(beside).round(), "micros_beside_none": median(alone).round(),
        "ratios": ratios,
    });
    Measured { name: "claims", ratio: median(ratios), bar: Bar::AtMost(1.1), about }
}
