//! Files: who may have them, what is wrong with them, what is left after a restart.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use rusqlite::Connection;
use vestibule_core::{
    fault::{FaultCode, Recovery},
    job::{JobFilter, JobState, Lease, Submission},
    ports::JobStore,
};
use vestibule_testkit::fixtures;

use super::{Running, block_on, settings, temporary};
use crate::{
    Reader, Settings, SqliteStore, StoreError,
    change::{DUE, FIRST, SWEPT, TO_SEND},
    reader::COUNTS,
};

const LONG: Duration = Duration::from_secs(600);

async fn accepted(store: &SqliteStore, key: Option<&str>) -> Lease {
    match store.submit(fixtures::job(key, b"<a/>")).await.unwrap() {
        Submission::Accepted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_earlier_process_held_is_due_at_once_and_oldest_first() {
    let (_directory, path) = temporary();
    let first = Running::open(&path, &settings(LONG)).unwrap();
    let (held, waiting, answered) = block_on(async {
        let store = first.store();
        let held = [accepted(store, Some("1")).await, accepted(store, Some("2")).await];
        let waiting = accepted(store, None).await;
        let id = waiting.job;
        store.release(waiting, LONG, false).await.unwrap();
        let answered = accepted(store, Some("3")).await;
        let known = answered.job;
        store.answer(answered, fixtures::reply(b"<r/>")).await.unwrap();
        (held, id, known)
    });
    drop(first);
    let second = Running::open(&path, &settings(LONG)).unwrap();
    block_on(async {
        let store = second.store();
        let claimed = store.claim(vestibule_testkit::job_store::flows(), 10).await.unwrap();
        let names: Vec<_> = claimed.iter().map(|it| it.job.id).collect();
        assert_eq!(names, held.iter().map(|it| it.job).collect::<Vec<_>>());
        assert!(claimed.iter().all(|it| it.job.state == JobState::Leased { attempt: 2 }));
        assert!(
            store.answer(Lease { ..held.into_iter().next().unwrap() }, fixtures::refusal()).await.is_err()
        );
        assert_eq!(store.find(waiting).await.unwrap().unwrap().state.word(), "queued");
        match store.submit(fixtures::job(Some("3"), b"<a/>")).await.unwrap() {
            Submission::Known(job) => {
                assert_eq!(job.id, answered);
                assert_eq!(job.state.reply(), Some(&fixtures::reply(b"<r/>")));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn deliveries_of_an_earlier_process_are_due_at_once() {
    let (_directory, path) = temporary();
    let first = Running::open(&path, &settings(LONG)).unwrap();
    let (held, waiting) = block_on(async {
        let store = first.store();
        let answer = async || match store.submit(fixtures::sent(fixtures::job(None, b"<a/>"))).await.unwrap()
        {
            Submission::Accepted(lease) => {
                store.answer(lease, fixtures::reply(b"<r/>")).await.unwrap().unwrap()
            }
            other => panic!("{other:?}"),
        };
        let (held, waiting) = (answer().await, answer().await);
        let id = waiting.job;
        store.redeliver(waiting, LONG).await.unwrap();
        (held, id)
    });
    drop(first);
    let second = Running::open(&path, &settings(LONG)).unwrap();
    block_on(async {
        let store = second.store();
        let claimed = store.claim_deliveries(10).await.unwrap();
        assert_eq!(claimed.iter().map(|it| it.job.id).collect::<Vec<_>>(), [held.job], "the other one waits");
        assert!(store.delivered(held).await.is_err(), "the dead process's lease is worth nothing");
        for claimed in claimed {
            store.delivered(claimed.lease).await.unwrap();
        }
        assert_eq!(store.find(waiting).await.unwrap().unwrap().state.word(), "answered");
    });
}

#[test]
fn a_second_owner_is_refused_and_a_reader_is_not() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &settings(LONG)).unwrap();
    let id = block_on(accepted(running.store(), None)).job;
    match SqliteStore::open(&path, &Settings::default()).err() {
        Some(StoreError::InUse { owner, .. }) => assert_eq!(owner, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.find(id).unwrap().unwrap().state.word(), "leased");
    // The reader sees what is written after it was opened, and does not keep the writer from writing.
    let later = block_on(accepted(running.store(), None)).job;
    assert!(reader.find(later).unwrap().is_some());
    drop(running);
    assert_eq!(reader.list(&JobFilter::default()).unwrap().len(), 2);
    drop(reader);
    // And a store at rest can be read, and opened again.
    assert_eq!(Reader::open(&path).unwrap().list(&JobFilter::default()).unwrap().len(), 2);
    drop(Running::open(&path, &Settings::default()).unwrap());
}

const STORE: &str = "VESTIBULE_TEST_STORE";

/// Not a test by itself: the other process of the next one.
#[test]
fn another_process_opens_the_store_of_the_environment() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let path = std::path::PathBuf::from(path);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.list(&JobFilter::default()).unwrap().len(), 1);
    assert!(matches!(SqliteStore::open(&path, &Settings::default()), Err(StoreError::InUse { .. })));
}

#[test]
fn another_process_may_read_but_not_own() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &settings(LONG)).unwrap();
    block_on(accepted(running.store(), None));
    let name = "tests::disk::another_process_opens_the_store_of_the_environment";
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(STORE, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    block_on(accepted(running.store(), None));
}

#[test]
fn what_can_not_be_opened_says_why_and_where() {
    let (directory, path) = temporary();
    let inside = |name: &str| directory.path().join(name);
    fs::write(
        inside("text.db"),
        "This is no database, but a text that is long enough to have a header. ".repeat(50),
    )
    .unwrap();
    let foreign = Connection::open(inside("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(Running::open(&inside("newer.db"), &Settings::default()).unwrap());
    Connection::open(inside("newer.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    fs::write(inside("file"), "").unwrap();
    fs::create_dir(inside("directory.db")).unwrap();
    let cases = [
        ("missing/deeper/jobs.db", "is not there and could not be made"),
        ("file/jobs.db", "could not be made"),
        ("directory.db", "can not be written"),
        ("text.db", "damaged or not a SQLite database"),
        ("foreign.db", "not a job store of Vestibule"),
        ("newer.db", "schema 99"),
    ];
    for (name, expected) in cases {
        let message = SqliteStore::open(&inside(name), &Settings::default()).err().unwrap().to_string();
        assert!(message.contains(expected), "{name}: {message}");
        let shown = inside(name).parent().unwrap().display().to_string();
        assert!(message.contains(&shown), "{name}: {message}");
    }
    assert!(matches!(Reader::open(&path), Err(StoreError::Absent { .. })));
    assert!(!path.exists(), "a reader makes no store");
    let kept: i64 = foreign.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0, "a foreign database is left as it is");
}

#[test]
fn only_the_owner_may_read_the_files() {
    let (directory, _) = temporary();
    let path = directory.path().join("data/jobs.db");
    let running = Running::open(&path, &Settings::default()).unwrap();
    block_on(accepted(running.store(), None));
    let rights = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(rights(path.parent().unwrap()), 0o700);
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "database, log, index and lock: {files:?}");
    for file in files {
        assert_eq!(rights(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn commits_wait_for_the_disk() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &Settings::default()).unwrap();
    block_on(running.store().change(ExpectPragmas(&[("journal_mode", "wal"), ("synchronous", "2")])))
        .unwrap();
}

/// Fails where a pragma of the writer has another value: a kill can not show what only a power cut takes.
struct ExpectPragmas(&'static [(&'static str, &'static str)]);

impl crate::change::Change for ExpectPragmas {
    type Output = ();

    fn apply(&self, db: &Connection, _: crate::change::Moment<'_>) -> Result<(), crate::error::Failure> {
        for (name, expected) in self.0 {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            let found: String = db.query_row(&sql, [], |row| row.get(0))?;
            assert_eq!(&found, expected, "{name}");
        }
        Ok(())
    }
}

#[test]
fn a_damaged_store_is_a_fault_and_never_a_wrong_job() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &settings(LONG)).unwrap();
    let ids: Vec<_> = block_on(async {
        let mut ids = Vec::new();
        for _ in 0..50 {
            let lease = accepted(running.store(), None).await;
            ids.push(lease.job);
            running.store().answer(lease, fixtures::reply(&[b'r'; 3000])).await.unwrap();
        }
        ids
    });
    drop(running);
    // Whichever connection closed last: the pages shall be in the file and not in the log beside it.
    let bare = Connection::open(&path).unwrap();
    bare.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    bare.close().unwrap();
    let whole = fs::read(&path).unwrap();
    let (mut faults, mut refused) = (0, 0);
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..64].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        let reader = match Reader::open(&path) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(error.to_string().contains(&path.display().to_string()), "page {page}: {error}");
                refused += 1;
                continue;
            }
        };
        for id in &ids {
            match reader.find(*id) {
                Ok(Some(job)) => assert_eq!(job.id, *id, "page {page}"),
                Ok(None) => {}
                Err(fault) => {
                    assert_eq!(fault.code, FaultCode::Store, "page {page}: {fault}");
                    faults += 1;
                }
            }
        }
    }
    assert!(faults > 0 && refused > 0, "{faults} faults, {refused} refused");
}

#[test]
fn one_job_that_can_not_be_read_does_not_hold_up_the_others() {
    let (_directory, path) = temporary();
    let first = Running::open(&path, &settings(LONG)).unwrap();
    let jobs: Vec<_> = block_on(async {
        let mut jobs = Vec::new();
        for key in ["1", "2", "3"] {
            jobs.push(accepted(first.store(), Some(key)).await.job);
        }
        jobs
    });
    drop(first);
    let bare = Connection::open(&path).unwrap();
    let spoilt = "UPDATE jobs SET media_type = CAST(x'ff' AS TEXT) WHERE id = ?1";
    bare.execute(spoilt, [jobs[0].as_bytes()]).unwrap();
    bare.execute(
        "DELETE FROM documents WHERE job = (SELECT seq FROM jobs WHERE id = ?1)",
        [jobs[1].as_bytes()],
    )
    .unwrap();
    bare.close().unwrap();
    let second = Running::open(&path, &settings(LONG)).unwrap();
    let claimed = block_on(second.store().claim(vestibule_testkit::job_store::flows(), 10)).unwrap();
    assert_eq!(claimed.iter().map(|it| it.job.id).collect::<Vec<_>>(), [jobs[2]]);
    assert!(
        block_on(second.store().claim(vestibule_testkit::job_store::flows(), 10)).unwrap().is_empty(),
        "they are not looked at again and again"
    );
}

#[test]
fn a_full_disk_is_a_fault_that_may_pass_and_small_changes_still_fit() {
    let (_directory, path) = temporary();
    let running = Running::open(&path, &settings(LONG)).unwrap();
    block_on(async {
        let store = running.store();
        let lease = accepted(store, None).await;
        store.change(MaxPages(200)).await.unwrap();
        let large = vec![b'x'; 2_000_000];
        let big = store.submit(fixtures::job(Some("big"), &large));
        let small = store.answer(lease, fixtures::reply(b"<r/>"));
        let (big, small) = futures_util::future::join(big, small).await;
        let fault = big.unwrap_err();
        assert_eq!((fault.code, fault.recovery), (FaultCode::Store, Recovery::Retry));
        small.unwrap();
        store.change(MaxPages(1_000_000)).await.unwrap();
        let again = store.submit(fixtures::job(Some("big"), &large)).await.unwrap();
        assert!(matches!(again, Submission::Accepted(_)), "nothing of the failed one was kept");
    });
}

/// Stands for a disk of this many pages.
struct MaxPages(u32);

impl crate::change::Change for MaxPages {
    type Output = ();

    fn apply(&self, db: &Connection, _: crate::change::Moment<'_>) -> Result<(), crate::error::Failure> {
        db.pragma_update_and_check(None, "max_page_count", self.0, |_| Ok(()))?;
        Ok(())
    }
}

#[test]
fn a_copy_made_while_the_server_writes_is_a_store() {
    let (directory, path) = temporary();
    let running = Running::open(&path, &settings(LONG)).unwrap();
    let id = block_on(accepted(running.store(), Some("k"))).job;
    let copy = directory.path().join("copy.db");
    Reader::open(&path).unwrap().copy_to(&copy).unwrap();
    block_on(accepted(running.store(), None));
    let restored = Running::open(&copy, &Settings::default()).unwrap();
    let claimed = block_on(restored.store().claim(vestibule_testkit::job_store::flows(), 10)).unwrap();
    assert_eq!(claimed.iter().map(|it| it.job.id).collect::<Vec<_>>(), [id]);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Reader::open(&path).unwrap().copy_to(&copy).is_err(), "a copy overwrites nothing");
}

/// How SQLite goes about a statement.
fn plan(db: &Connection, sql: &str) -> String {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for parameter in 1..=explain.parameter_count() {
        explain.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = explain.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get::<_, String>(3).unwrap());
    }
    steps.join("; ")
}

#[test]
fn finished_jobs_cost_a_claim_nothing() {
    let (_directory, path) = temporary();
    drop(Running::open(&path, &Settings::default()).unwrap());
    let db = Connection::open(&path).unwrap();
    for (sql, expected) in [
        (DUE, "SEARCH jobs USING COVERING INDEX jobs_waiting (flow=? AND behind=? AND due<?)"),
        (TO_SEND, "SEARCH jobs USING COVERING INDEX jobs_sending (due<?)"),
        (FIRST, "SEARCH jobs USING INDEX jobs_in_line (flow=? AND line=?)"),
        (SWEPT, "SEARCH jobs USING INDEX jobs_by_flow (flow=? AND accepted<?)"),
    ] {
        assert_eq!(plan(&db, sql), expected, "{sql}");
    }
    for (_, sql) in COUNTS {
        let plan = plan(&db, sql);
        assert!(plan.contains("COVERING INDEX jobs_"), "{sql}: {plan}");
    }
}

#[test]
fn lists_are_read_from_indexes() {
    let (_directory, path) = temporary();
    drop(Running::open(&path, &Settings::default()).unwrap());
    let db = Connection::open(&path).unwrap();
    let filter = |state: Option<&str>, flow: Option<&str>, cause: Option<&str>| JobFilter {
        state: state.map(str::to_owned),
        flow: flow.map(str::to_owned),
        cause: cause.map(str::to_owned),
        ..JobFilter::default()
    };
    for word in ["queued", "leased", "in-review", "answered", "dead"] {
        for flow in [None, Some("claims")] {
            let plan = plan(&db, &Reader::list_sql(&filter(Some(word), flow, None)).unwrap());
            assert!(plan.contains("USING INDEX jobs_"), "{word}: {plan}");
        }
    }
    for (filter, expected) in [
        (filter(None, None, Some("x")), "USING INDEX jobs_ended"),
        (filter(None, Some("claims"), None), "USING INDEX jobs_by_flow"),
        (filter(Some("returned"), Some("claims"), None), "USING INDEX jobs_by_flow"),
    ] {
        let plan = plan(&db, &Reader::list_sql(&filter).unwrap());
        assert!(plan.contains(expected), "{filter:?}: {plan}");
    }
    let of_a_flow = plan(&db, &Reader::list_sql(&filter(None, Some("claims"), None)).unwrap());
    assert!(!of_a_flow.contains("TEMP B-TREE"), "a long list of a flow needs no sorting: {of_a_flow}");
}
