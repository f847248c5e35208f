//! How fast, in release: `cargo test -p vestibule-sqlite --release -- --ignored bench --nocapture --test-threads 1`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use vestibule_core::{
    job::{NewJob, Start, Submission},
    ports::JobStore,
};
use vestibule_testkit::{fixtures, job_store::flows};

use super::{Running, block_on, temporary};
use crate::{Settings, SqliteStore, schema::open_writer};

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

/// Jobs accepted a second of callers that only submit.
fn accepts(callers: usize, bytes: &[u8]) -> f64 {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    let done = AtomicU32::new(0);
    let start = Instant::now();
    let call = async || {
        while start.elapsed() < TIME {
            let key = format!("key-{}", done.fetch_add(1, Ordering::Relaxed));
            let job = NewJob { start: Start::Later, ..fixtures::job(Some(&key), bytes) };
            assert!(matches!(running.store().submit(job).await.unwrap(), Submission::Queued(_)));
        }
    };
    block_on(join_all((0..callers).map(|_| call())));
    f64::from(done.into_inner()) / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "takes half a minute and means something in release only"]
fn bench_accepts_beside_raw_group_commit() {
    let bytes = vec![b'x'; 579];
    for _ in 0..3 {
        let (raw, accepts) = (raw(CALLERS, &bytes), accepts(CALLERS, &bytes));
        println!(
            "accepts/s of {CALLERS}: {accepts:.0}; raw rows/s in groups: {raw:.0}: {:.2}",
            accepts / raw
        );
    }
}

/// A store with so many finished jobs. Nothing waits for the disk: that would be measured in place of the work.
fn beside(finished: u32) -> (TempDir, Running) {
    let (directory, path) = temporary();
    let settings = Settings { synchronous: "OFF", ..Settings::default() };
    drop(Running::open(&path, &settings).unwrap());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {finished})
         INSERT INTO jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, received,
             media_type, sends, delivery, sent)
         SELECT randomblob(16), 'claims', 'key-' || i, zeroblob(32), 4, 1, 1, i, i, i, i, 'text/xml', 2, 3, 1 FROM n;
         INSERT INTO documents SELECT seq, x'' FROM jobs;"
    ))
    .unwrap();
    drop(db);
    let opening = Instant::now();
    let running = Running::open(&path, &settings).unwrap();
    println!("{finished} finished jobs: opened in {:?}", opening.elapsed());
    (directory, running)
}

/// Median microseconds of claims in each of two stores, call by call by turns: of one that is due, of none, of one
/// delivery, and of a census.
fn claims(stores: [&SqliteStore; 2]) -> [[f64; 4]; 2] {
    const MANY: usize = 2_000;
    let mut times = [const { [const { Vec::new() }; 4] }; 2];
    let time = |since: Instant| since.elapsed().as_secs_f64() * 1e6;
    let both = || stores.into_iter().enumerate();
    block_on(async {
        for store in stores {
            for _ in 0..MANY / 100 {
                let jobs = (0..100).map(|_| fixtures::sent(fixtures::waiting(b"<a/>")));
                store.submit_all(jobs.collect()).await.unwrap();
            }
        }
        for _ in 0..MANY {
            for (which, store) in both() {
                let start = Instant::now();
                let claimed = store.claim(flows(), 1).await.unwrap().pop().unwrap();
                times[which][0].push(time(start));
                let way = store.answer(claimed.lease, fixtures::reply(b"<r/>")).await.unwrap().unwrap();
                store.redeliver(way, Duration::ZERO).await.unwrap();
            }
        }
        for _ in 0..MANY {
            for (which, store) in both() {
                let start = Instant::now();
                assert!(store.claim(flows(), 1).await.unwrap().is_empty());
                times[which][1].push(time(start));
            }
            for (which, store) in both() {
                let start = Instant::now();
                let claimed = store.claim_deliveries(1).await.unwrap().pop().unwrap();
                times[which][2].push(time(start));
                store.delivered(claimed.lease).await.unwrap();
            }
            for (which, store) in both() {
                let start = Instant::now();
                store.census().await.unwrap();
                times[which][3].push(time(start));
            }
        }
    });
    times.map(|kinds| {
        kinds.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
    })
}

#[test]
#[ignore = "makes a million jobs"]
fn bench_claims_beside_a_million_finished_jobs() {
    // The first shows how far two equal stores are apart.
    for more in [1_000, 1_000_000] {
        let ((_one, few), (_other, many)) = (beside(1_000), beside(more));
        let [few, many] = claims([few.store(), many.store()]);
        for (number, name) in ["a claim", "a claim of nothing", "a delivery", "a census"].iter().enumerate() {
            let (few, many) = (few[number], many[number]);
            println!(
                "{name}: {few:.0} us beside 1,000 finished jobs, {many:.0} us beside {more}: {:.3}",
                many / few
            );
        }
    }
}

/// Processor seconds of this process so far: beside other work on the machine the clock says little.
pub(super) fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Jobs a second that a journaled source brings, in batches of so many, and how many of them are claimed a second.
fn journaled(batch: usize, lines: Option<u32>, jobs: usize) -> (f64, f64) {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    let store = running.store();
    let bytes = vec![b'x'; 300];
    let job = |number: usize| {
        let key = format!("pg:7301234567890123456:0/{:08X}:{}", number / 100, number % 100);
        let order = lines.map(|lines| format!("id={}", number as u32 % lines).into());
        NewJob { start: Start::Later, order, ..fixtures::job(Some(&key), &bytes) }
    };
    let (start, used) = (Instant::now(), processor());
    let mut making = Duration::ZERO;
    block_on(async {
        for first in (0..jobs).step_by(batch) {
            let begun = Instant::now();
            let jobs = (first..first + batch).map(job).collect();
            making += begun.elapsed();
            store.submit_all(jobs).await.unwrap();
        }
    });
    let stored = jobs as f64 / (start.elapsed() - making).as_secs_f64();
    println!("{:.1} us of processor time for each job", (processor() - used) * 1e6 / jobs as f64);
    let start = Instant::now();
    let claimed = block_on(async {
        let mut claimed = 0;
        while start.elapsed() < TIME / 4 {
            claimed += store.claim(flows(), 64).await.unwrap().len();
        }
        claimed
    });
    (stored, claimed as f64 / start.elapsed().as_secs_f64())
}

#[test]
#[ignore = "takes half a minute and means something in release only"]
fn bench_what_a_journaled_source_brings() {
    let raw = raw(1_024, &[b'x'; 300]);
    println!("raw rows/s in groups of 1,024: {raw:.0}");
    for (batch, lines) in [(256, None), (1_024, None), (1_024, Some(1_000_000)), (1_024, Some(100))] {
        let (stored, claimed) = journaled(batch, lines, 200 * 1_024);
        println!(
            "batches of {batch}, lines {lines:?}: {stored:.0} jobs/s stored, {claimed:.0} jobs/s claimed"
        );
    }
}
