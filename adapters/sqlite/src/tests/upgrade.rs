//! Stores of older versions.

use rusqlite::{Connection, params};
use vestibule_core::{
    job::{Delivery, JobFilter, JobId, JobState, Submission, Sweep},
    ports::JobStore,
};
use vestibule_testkit::{fixtures, job_store::flows};

use super::{Running, block_on, temporary};
use crate::{Reader, Settings, SqliteStore, StoreError, schema::MIGRATIONS};

/// A store as version 2 left it: jobs of each state it had, each with a document and where it had one a reply.
fn of_version_2(path: &std::path::Path) -> [JobId; 5] {
    let db = Connection::open(path).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    for sql in &MIGRATIONS[..2] {
        db.execute_batch(sql).unwrap();
    }
    db.pragma_update(None, "application_id", 0x5653_5442).unwrap();
    db.pragma_update(None, "user_version", 2).unwrap();
    let at = fixtures::moment().as_microsecond();
    [0, 1, 2, 3, 4].map(|state: i64| {
        let id = JobId::fresh();
        let fingerprint = vestibule_core::document::Hash::of(b"<a/>").0;
        db.execute(
            "INSERT INTO jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, \
             received, media_type, charset, name, cause) \
             VALUES (?1, 'claims', ?2, ?3, ?4, 1, 1, ?5, ?5, ?5, ?5, 'text/xml', NULL, NULL, ?6)",
            params![
                id.as_bytes(),
                format!("k{state}"),
                fingerprint,
                state,
                at,
                (state == 3).then_some("V009: no")
            ],
        )
        .unwrap();
        let seq = db.last_insert_rowid();
        db.execute("INSERT INTO documents (job, bytes) VALUES (?1, x'3c612f3e')", [seq]).unwrap();
        if state == 2 || state == 4 {
            db.execute(
                "INSERT INTO replies (job, outcome, media_type, bytes, findings, answered_by) \
                 VALUES (?1, 0, 'text/xml', x'3c722f3e', '[]', 'rules')",
                [seq],
            )
            .unwrap();
        }
        id
    })
}

#[test]
fn the_migrations_that_were_released_are_as_they_were() {
    let released = [
        "385858cfd717e2c8db262b779d2756f2c44a766bf650db60bef5c79cedb903ac",
        "0ad6b571cba933b02621305b6706432c848d36d4b17750fdb6f1072eb8389ea3",
        "0be4aaf5c62f1f1feeb40c8265213fe5ea43bc3ff2ec3665fa1d2e6b26d6e34f",
    ];
    for (sql, expected) in MIGRATIONS.iter().zip(released) {
        assert_eq!(vestibule_core::document::Hash::of(sql.as_bytes()).to_string(), expected);
    }
}

#[test]
fn a_store_of_version_2_is_opened_with_all_its_jobs() {
    let (_directory, path) = temporary();
    let [queued, leased, answered, dead, returned] = of_version_2(&path);
    assert!(matches!(Reader::open(&path), Err(StoreError::Older { found: 2, .. })));
    assert!(
        matches!(SqliteStore::visit(&path, &Settings::default()), Err(StoreError::Older { found: 2, .. })),
        "a visitor changes no schema"
    );
    let running = Running::open(&path, &Settings::default()).unwrap();
    let store = running.store();
    block_on(async {
        for (id, word) in [(queued, "queued"), (answered, "answered"), (dead, "dead"), (returned, "returned")]
        {
            let job = store.find(id).await.unwrap().unwrap();
            assert_eq!(job.state.word(), word);
            assert_eq!(&job.document.bytes[..], b"<a/>");
            assert_eq!(job.delivery, Delivery::Nothing);
            assert!(job.decisions.is_empty() && job.return_to.is_none() && job.order.is_none());
            let filter = JobFilter { state: Some(word.into()), ..JobFilter::default() };
            let listed = store.list(filter).await.unwrap();
            assert!(listed.iter().any(|it| it.id == id), "{word}");
        }
        assert!(matches!(
            store.find(dead).await.unwrap().unwrap().state,
            JobState::Dead { cause, .. } if cause == "V009: no"
        ));
        assert!(matches!(
            store.submit(fixtures::job(Some("k2"), b"<a/>")).await.unwrap(),
            Submission::Known(job) if job.id == answered && job.state.reply().is_some()
        ));
        let claimed = store.claim(flows(), 10).await.unwrap();
        let mut names: Vec<_> = claimed.iter().map(|it| it.job.id).collect();
        names.sort();
        let mut expected = vec![queued, leased];
        expected.sort();
        assert_eq!(names, expected);
        for claimed in claimed {
            assert_eq!(store.answer(claimed.lease, fixtures::reply(b"<r/>")).await.unwrap(), None);
        }
        let later = Some(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1));
        let (finished_before, dead_before) = (later, later);
        let sweep = Sweep { flow: "claims".into(), finished_before, dead_before, most: 100 };
        assert_eq!(store.sweep(sweep).await.unwrap(), 5);
    });
}

#[test]
fn a_store_of_version_3_is_opened_with_its_jobs_and_keeps_positions() {
    let (_directory, path) = temporary();
    let id = {
        let running = Running::open(&path, &Settings::default()).unwrap();
        let job = fixtures::sent(fixtures::ordered("line", b"<a/>"));
        block_on(running.store().submit(job.clone())).unwrap();
        job.id
    };
    let db = Connection::open(&path).unwrap();
    db.execute_batch("DROP TABLE positions; PRAGMA user_version = 3").unwrap();
    drop(db);
    assert!(matches!(Reader::open(&path), Err(StoreError::Older { found: 3, .. })));
    for expected in [None, Some("0/16B3748".to_owned())] {
        let running = Running::open(&path, &Settings::default()).unwrap();
        let store = running.store();
        block_on(async {
            assert_eq!(store.find(id).await.unwrap().unwrap().order.as_deref(), Some("line"));
            assert_eq!(store.position("log orders").await.unwrap(), expected);
            store.keep_position("log orders", "0/16B3748".into()).await.unwrap();
        });
        drop(running);
        assert_eq!(Reader::open(&path).unwrap().position("log orders").unwrap().unwrap(), "0/16B3748");
    }
}
