//! One commit for many callers, and what happens to the others when one fails.

use std::{thread, time::Duration};

use futures_util::future::{join_all, select};
use rusqlite::Connection;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::Submission,
    ports::JobStore,
};
use vestibule_testkit::fixtures;

use super::{Running, block_on, temporary};
use crate::{
    Engine, Settings, SqliteStore,
    change::{Change, Moment},
    error::Failure,
};

/// Statements in place of a change; the first may be set up to fail, and the commit with it.
struct Sql(&'static str);

impl Change for Sql {
    type Output = ();

    fn apply(&self, db: &Connection, _: Moment<'_>) -> Result<(), Failure> {
        db.execute_batch(self.0).map_err(Failure::from)
    }
}

/// Runs the calls so that the writer finds all of them waiting.
fn as_one_group<T>(store: &SqliteStore, [write, read]: [Engine; 2], calls: impl Future<Output = T>) -> T {
    thread::scope(|scope| {
        let result = block_on(async {
            let mut calls = Box::pin(calls);
            let polled = std::future::poll_fn(|context| std::task::Poll::Ready(calls.as_mut().poll(context)));
            assert!(polled.await.is_pending());
            scope.spawn(move || write.run());
            scope.spawn(move || read.run());
            calls.await
        });
        store.close();
        result
    })
}

fn code<T>(result: &Result<T, Fault>) -> Option<FaultCode> {
    result.as_ref().err().map(|it| it.code)
}

#[test]
fn calls_that_wait_share_one_commit() {
    let (_directory, path) = temporary();
    let (store, engines) = SqliteStore::open(&path, &Settings::default()).unwrap();
    let submit = |_| store.submit(fixtures::job(None, b"<a/>"));
    let submissions = as_one_group(&store, engines, join_all((0..64).map(submit)));
    assert!(submissions.iter().all(|it| matches!(it, Ok(Submission::Accepted(_)))));
    assert_eq!(store.commits(), 1);
}

#[test]
fn a_change_that_breaks_its_group_fails_alone() {
    for broken in ["INSERT INTO nowhere VALUES (1)", "DELETE FROM documents; ROLLBACK"] {
        let (_directory, path) = temporary();
        let (store, engines) = SqliteStore::open(&path, &Settings::default()).unwrap();
        let job = fixtures::job(None, b"<a/>");
        let id = job.id;
        let calls = async {
            let before = store.submit(job);
            let (others, broken) = futures_util::future::join(
                join_all([before, store.submit(fixtures::job(None, b"<b/>"))]),
                store.change(Sql(broken)),
            )
            .await;
            (others, broken, store.find(id).await)
        };
        let (others, failed, found) = as_one_group(&store, engines, calls);
        assert!(others.iter().all(|it| matches!(it, Ok(Submission::Accepted(_)))), "{broken}: {others:?}");
        assert_eq!(code(&failed), Some(FaultCode::Store), "{broken}");
        assert_eq!(&found.unwrap().unwrap().document.bytes[..], b"<a/>", "{broken}");
    }
}

#[test]
fn a_commit_that_fails_fails_its_whole_group_and_the_next_one_succeeds() {
    let (_directory, path) = temporary();
    drop(Running::open(&path, &Settings::default()).unwrap());
    // A foreign key that is checked at the commit, and not before.
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE child (of INTEGER REFERENCES jobs (seq) DEFERRABLE INITIALLY DEFERRED)")
        .unwrap();
    drop(db);
    let (store, engines) = SqliteStore::open(&path, &Settings::default()).unwrap();
    let calls = async {
        let first = fixtures::job(Some("k"), b"<a/>");
        let group = futures_util::future::join(
            store.submit(first),
            store.change(Sql("INSERT INTO child VALUES (99)")),
        );
        let (submitted, orphan) = group.await;
        (submitted, orphan, store.submit(fixtures::job(Some("k"), b"<a/>")).await)
    };
    let (submitted, orphan, again) = as_one_group(&store, engines, calls);
    assert_eq!((code(&submitted), code(&orphan)), (Some(FaultCode::Store), Some(FaultCode::Store)));
    assert!(matches!(again, Ok(Submission::Accepted(_))), "{again:?}");
}

#[test]
fn what_is_returned_soon_rides_with_the_next_commit() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    let store = running.store();
    block_on(async {
        let mut returned = Vec::new();
        for _ in 0..20 {
            let Submission::Accepted(lease) = store.submit(fixtures::job(None, b"<a/>")).await.unwrap()
            else {
                panic!("not accepted")
            };
            returned.push(lease.job);
            store.answer(lease, fixtures::reply(b"<r/>")).await.unwrap();
        }
        let before = store.commits();
        returned.iter().for_each(|it| store.returned_soon(*it));
        store.returned(returned[0]).await.unwrap();
        assert!(store.commits() - before <= 2, "{} commits", store.commits() - before);
        for id in returned {
            assert_eq!(store.find(id).await.unwrap().unwrap().state.word(), "returned");
        }
    });
}

#[test]
fn a_closed_store_finishes_what_waits_and_refuses_the_rest() {
    let (_directory, path) = temporary();
    let (store, engines) = SqliteStore::open(&path, &Settings::default()).unwrap();
    let calls = async {
        let waiting = store.submit(fixtures::job(None, b"<a/>"));
        let closing = Box::pin(async { store.close() });
        match select(waiting, closing).await {
            futures_util::future::Either::Right(((), waiting)) => waiting.await,
            futures_util::future::Either::Left(_) => panic!("done before the writer ran"),
        }
    };
    let [write, read] = engines;
    let waited = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(50));
            write.run();
        });
        drop(read);
        block_on(calls)
    });
    assert!(matches!(waited, Ok(Submission::Accepted(_))), "{waited:?}");
    let late = block_on(store.submit(fixtures::job(None, b"<b/>")));
    assert_eq!(code(&late), Some(FaultCode::Unavailable));
    assert_eq!(
        code(&block_on(store.find(vestibule_core::job::JobId::fresh()))),
        Some(FaultCode::Unavailable)
    );
}

#[test]
fn a_store_whose_engines_never_ran_leaves_nobody_waiting() {
    let (_directory, path) = temporary();
    let (store, engines) = SqliteStore::open(&path, &Settings::default()).unwrap();
    let waited = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(engines);
        });
        block_on(store.submit(fixtures::job(None, b"<a/>")))
    });
    assert_eq!(code(&waited), Some(FaultCode::Unavailable));
    assert!(SqliteStore::open(&path, &Settings::default()).is_ok(), "the store is given up");
}

#[test]
fn a_lease_that_was_answered_to_a_caller_who_just_left_is_given_back() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    let store = running.store();
    let job = fixtures::job(None, b"<a/>");
    let id = job.id;
    block_on(async {
        let mut submit = store.submit(job);
        std::future::poll_fn(|context| std::task::Poll::Ready(submit.as_mut().poll(context).is_pending()))
            .await;
        // The writer is done with it, and the caller has not looked.
        while store.find(id).await.unwrap().is_none() {}
        thread::sleep(Duration::from_millis(50));
        drop(submit);
        for _ in 0..500 {
            if store.find(id).await.unwrap().unwrap().state.word() == "queued" {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("leased to nobody");
    });
}

#[test]
fn jobs_of_a_full_queue_wait_for_room_and_are_all_accepted() {
    let (_directory, path) = temporary();
    let queue = std::num::NonZeroUsize::new(4).unwrap();
    let running = Running::open(&path, &Settings { queue, ..Settings::default() }).unwrap();
    let submit = |_| running.store().submit(fixtures::job(None, b"<a/>"));
    let submissions = block_on(join_all((0..200).map(submit)));
    assert_eq!(submissions.iter().filter(|it| matches!(it, Ok(Submission::Accepted(_)))).count(), 200);
}
