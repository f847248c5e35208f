//! How fast, in release: `cargo test -p vestibule-sqlite --release -- --ignored bench --nocapture --test-threads 1`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rusqlite::{Connection, params};
use vestibule_core::{job::Submission, ports::JobStore};
use vestibule_testkit::fixtures;

use super::{Running, block_on, temporary};
use crate::{Settings, schema::open_writer};

const CALLERS: usize = 64;
const TIME: Duration = Duration::from_secs(4);

/// Full cycles a second of callers that submit, answer and return.
fn cycles(callers: usize, bytes: &[u8]) -> f64 {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    let done = AtomicU32::new(0);
    let number = AtomicU32::new(0);
    let start = Instant::now();
    let call = async || {
        while start.elapsed() < TIME {
            let key = format!("key-{}", number.fetch_add(1, Ordering::Relaxed));
            let submitted = running.store().submit(fixtures::job(Some(&key), bytes)).await.unwrap();
            let Submission::Accepted(lease) = submitted else { panic!("{submitted:?}") };
            let id = lease.job;
            running.store().answer(lease, fixtures::reply(bytes)).await.unwrap();
            running.store().returned_soon(id);
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    block_on(join_all((0..callers).map(|_| call())));
    f64::from(done.into_inner()) / start.elapsed().as_secs_f64()
}

/// Rows a second of one thread that inserts so many before each commit, and does nothing else.
fn raw(rows: usize, bytes: &[u8]) -> f64 {
    let (_directory, path) = temporary();
    let mut db: Connection = open_writer(&path, &Settings::default()).unwrap();
    db.execute_batch("CREATE TABLE raw (a INTEGER PRIMARY KEY, b BLOB)").unwrap();
    let mut done = 0_u32;
    let start = Instant::now();
    while start.elapsed() < TIME / 2 {
        let transaction = db.transaction().unwrap();
        for _ in 0..rows {
            transaction
                .prepare_cached("INSERT INTO raw (b) VALUES (?1)")
                .unwrap()
                .execute(params![bytes])
                .unwrap();
            done += 1;
        }
        transaction.commit().unwrap();
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "takes half a minute and means something in release only"]
fn bench_full_cycles() {
    for size in [579, 60_000] {
        let bytes = vec![b'x'; size];
        let (alone, together) = (raw(1, &bytes), raw(CALLERS, &bytes));
        println!("{size} bytes: raw rows/s: {alone:.0} alone, {together:.0} in groups of {CALLERS}");
        println!(
            "{size} bytes: cycles/s: {:.0} of 1 caller, {:.0} of {CALLERS}",
            cycles(1, &bytes),
            cycles(CALLERS, &bytes)
        );
    }
}

#[test]
#[ignore = "makes a million jobs"]
fn bench_claims_beside_a_million_finished_jobs() {
    let (_directory, path) = temporary();
    drop(Running::open(&path, &Settings::default()).unwrap());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
         INSERT INTO jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, received, media_type)
         SELECT randomblob(16), 'claims', 'key-' || i, zeroblob(32), 4, 1, 1, i, i, i, i, 'text/xml' FROM n;
         INSERT INTO documents SELECT seq, x'' FROM jobs;",
    )
    .unwrap();
    drop(db);
    let opening = Instant::now();
    let running = Arc::new(Running::open(&path, &Settings::default()).unwrap());
    println!("opened in {:?}", opening.elapsed());
    let store = running.store();
    block_on(async {
        for _ in 0..100 {
            let Submission::Accepted(lease) = store.submit(fixtures::job(None, b"<a/>")).await.unwrap()
            else {
                panic!("not accepted")
            };
            store.release(lease, Duration::ZERO, false).await.unwrap();
        }
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(store.claim(vestibule_testkit::job_store::flows(), 1).await.unwrap().len(), 1);
        }
        println!("a claim: {:?}", start.elapsed() / 100);
        let start = Instant::now();
        for _ in 0..100 {
            assert!(store.claim(vestibule_testkit::job_store::flows(), 1).await.unwrap().is_empty());
        }
        println!("a claim of nothing: {:?}", start.elapsed() / 100);
    });
}
