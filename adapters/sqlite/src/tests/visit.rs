//! A second handle beside the owner: what the command line does while a server works.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use vestibule_core::{
    fault::FaultCode,
    job::{JobState, Ruling, Start, Submission, Sweep},
    ports::JobStore,
};
use vestibule_testkit::{fixtures, job_store::flows};

use super::{Running, block_on, settings, temporary};
use crate::{Settings, SqliteStore, StoreError};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_visitor_changes_jobs_and_the_owner_sees_it() {
    let (_directory, path) = temporary();
    let owner = Running::open(&path, &settings(LONG)).unwrap();
    let visitor = Running::visit(&path, &Settings::default()).unwrap();
    let (owner, visitor) = (owner.store(), visitor.store());
    block_on(async {
        let Submission::Accepted(lease) = owner.submit(fixtures::job(None, b"1")).await.unwrap() else {
            panic!("not accepted")
        };
        let id = lease.job;
        owner.suspend(lease, fixtures::suspension(None)).await.unwrap();
        assert!(visitor.hold(id, "anna".into(), LONG).await.unwrap());
        assert!(visitor.decide(id, vec![fixtures::decision("anna", Ruling::Release)]).await.unwrap());
        let lease = owner.claim(flows(), 1).await.unwrap().pop().unwrap().lease;
        assert!(visitor.cancel(id, "V015: not wanted".into()).await.unwrap());
        assert!(
            owner.answer(lease, fixtures::reply(b"<r/>")).await.is_err(),
            "its worker's lease is worth nothing"
        );
        assert!(visitor.retry(id).await.unwrap());
        assert_eq!(
            owner.claim(flows(), 1).await.unwrap().len(),
            1,
            "what a visitor makes due is due at once"
        );
        visitor.cancel(id, "V015: not wanted".into()).await.unwrap();
        let later = Some(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1));
        let sweep = Sweep { flow: "claims".into(), finished_before: None, dead_before: later, most: 9 };
        assert_eq!(visitor.sweep(sweep).await.unwrap(), 1);
        assert!(owner.find(id).await.unwrap().is_none());
    });
}

#[test]
fn a_visitor_leases_nothing_leads_in_nothing_and_opens_nothing_again() {
    let (_directory, path) = temporary();
    assert!(matches!(SqliteStore::visit(&path, &Settings::default()), Err(StoreError::Absent { .. })));
    assert!(!path.exists(), "a visitor makes no store");
    let owner = Running::open(&path, &settings(LONG)).unwrap();
    block_on(async {
        let Submission::Accepted(lease) = owner.store().submit(fixtures::job(None, b"1")).await.unwrap()
        else {
            panic!("not accepted")
        };
        let visitor = Running::visit(&path, &Settings::default()).unwrap();
        let store = visitor.store();
        let held = store.find(lease.job).await.unwrap().unwrap();
        assert_eq!(held.state, JobState::Leased { attempt: 1 }, "what the owner works on stays so");
        let new = fixtures::job(None, b"2");
        assert_eq!(new.start, Start::Now);
        assert!(matches!(store.submit(new).await.unwrap(), Submission::Queued(_)));
        let refused = store.claim(flows(), 10).await.unwrap_err();
        assert_eq!(refused.code, FaultCode::Store);
        assert!(store.claim_deliveries(10).await.is_err());
        assert!(!store.lead("sweep").await.unwrap());
        store.ready().await.unwrap();
        drop(visitor);
        owner.store().answer(lease, fixtures::reply(b"<r/>")).await.unwrap();
        assert_eq!(owner.store().claim(flows(), 10).await.unwrap().len(), 1);
    });
}

#[test]
fn owner_and_visitor_write_at_once_and_nobody_fails() {
    let (_directory, path) = temporary();
    let owner = Running::open(&path, &settings(LONG)).unwrap();
    let visitor = Running::visit(&path, &Settings::default()).unwrap();
    let over = AtomicBool::new(false);
    let worked = AtomicU32::new(0);
    let ids = thread::scope(|scope| {
        let (owner, over, worked) = (owner.store(), &over, &worked);
        scope.spawn(move || {
            let call = async || {
                while !over.load(Ordering::Relaxed) {
                    let Submission::Accepted(lease) = owner.submit(fixtures::job(None, b"1")).await.unwrap()
                    else {
                        panic!("not accepted")
                    };
                    owner.answer(lease, fixtures::reply(b"<r/>")).await.unwrap();
                    worked.fetch_add(1, Ordering::Relaxed);
                }
            };
            block_on(futures_util::future::join_all((0..16).map(|_| call())));
        });
        let start = Instant::now();
        let mut ids = Vec::new();
        while start.elapsed() < Duration::from_millis(1500) {
            block_on(async {
                // Of a flow that the owner does not look at here.
                let job = fixtures::job_of("visited", None, b"2");
                ids.push(job.id);
                visitor.store().submit(job).await.unwrap();
                let last = *ids.last().unwrap();
                assert!(visitor.store().cancel(last, "V015: no".into()).await.unwrap());
            });
        }
        over.store(true, Ordering::Relaxed);
        ids
    });
    assert!(ids.len() > 2 && worked.into_inner() > 20, "both got on");
    for id in ids {
        let job = block_on(owner.store().find(id)).unwrap().unwrap();
        assert_eq!(job.state.word(), "dead");
    }
}

#[test]
fn the_owner_waits_for_a_visitor_that_takes_its_time() {
    let (_directory, path) = temporary();
    let owner = Running::open(&path, &settings(LONG)).unwrap();
    let mut other = Connection::open(&path).unwrap();
    let slow = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    thread::scope(|scope| {
        let submitted = scope.spawn(|| block_on(owner.store().submit(fixtures::job(None, b"1"))));
        sleep(Duration::from_millis(300));
        slow.execute("DELETE FROM checkpoints", []).unwrap();
        slow.commit().unwrap();
        assert!(matches!(submitted.join().unwrap(), Ok(Submission::Accepted(_))));
    });
}

#[test]
fn a_panic_of_the_engine_that_reads_shows() {
    let (_directory, path) = temporary();
    let (store, [write, read]) = SqliteStore::open(&path, &Settings::default()).unwrap();
    let start = |engine: crate::Engine| thread::Builder::new().spawn(move || engine.run()).unwrap();
    let (write, read) = (start(write), start(read));
    block_on(async {
        store.submit(fixtures::job(None, b"1")).await.unwrap();
        store.ready().await.unwrap();
        let lost = store.ask(|_| -> Result<(), _> { panic!("a mistake of ours") }).await;
        assert_eq!(lost.unwrap_err().code, FaultCode::Unavailable);
    });
    assert!(read.join().is_err());
    assert_eq!(block_on(store.ready()).unwrap_err().code, FaultCode::Unavailable, "and at once");
    store.close();
    write.join().unwrap();
}

#[test]
fn what_a_visitor_makes_due_does_not_hang_on_its_clock() {
    let (_directory, path) = temporary();
    let owner = Running::open(&path, &settings(LONG)).unwrap();
    let visitor = Running::visit(&path, &Settings::default()).unwrap();
    block_on(async {
        let Submission::Accepted(lease) = owner.store().submit(fixtures::job(None, b"1")).await.unwrap()
        else {
            panic!("not accepted")
        };
        let id = lease.job;
        owner.store().bury(lease, "no".into(), Vec::new()).await.unwrap();
        assert!(visitor.store().retry(id).await.unwrap());
        // The owner's clock may be behind the visitor's by as much as the wall clock was set since it started.
        let due: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT due FROM jobs WHERE id = ?1", [id.as_bytes()], |row| row.get(0))
            .unwrap();
        assert_eq!(due, 0);
        let job = owner.store().find(id).await.unwrap().unwrap();
        assert_eq!(
            job.state,
            JobState::Queued { attempt: 0, not_before: job.accepted },
            "and is shown as a sane time"
        );
    });
}
