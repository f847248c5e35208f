use std::{sync::Arc, thread, time::Duration};

use vestibule_core::ports::JobStore;
use vestibule_testkit::{fixtures, job_store::CASES, postgres::Postgres};

use super::{RUNNER, fresh, open};
use crate::{Password, PostgresStore, Settings, Tls, sql};

fn refused(settings: &Settings) -> String {
    let error = RUNNER.block_on(PostgresStore::open(settings)).err().expect("it opened");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error} / {source}")
}

#[test]
fn what_can_not_be_opened_says_what_to_do() {
    let good = fresh(Duration::from_secs(60));
    let server = Postgres::shared().unwrap();
    server
        .sql("postgres", "CREATE ROLE secrets; CREATE ROLE locked LOGIN PASSWORD 'right' IN ROLE secrets")
        .unwrap();
    server.sql("postgres", "CREATE ROLE poor LOGIN").unwrap();
    let locked = |password: &str| Settings {
        user: "locked".into(),
        password: Some(Password::new(password)),
        ..good.clone()
    };
    for (settings, expected) in [
        (Settings { port: 1, ..good.clone() }, "is the server up"),
        (Settings { database: "nowhere".into(), ..good.clone() }, "CREATE DATABASE"),
        (Settings { user: "nobody_at_all".into(), ..good.clone() }, "check the role"),
        (locked("wrong-one"), "check the role"),
        (Settings { password: None, ..locked("") }, "no connection"),
        (Settings { user: "poor".into(), ..good.clone() }, "may not do this"),
        (Settings { schema: "a b".into(), ..good.clone() }, "no name for a schema"),
        (Settings { schema: "pg_own".into(), ..good.clone() }, "no name for a schema"),
        (Settings { tls: Tls::Verify, ..good.clone() }, "`ca` names a file"),
        (Settings { tls: Tls::Require, ..good.clone() }, "check `tls`"),
        (Settings { tls: Tls::Verify, ca: Some("/nowhere".into()), ..good.clone() }, "/nowhere"),
    ] {
        let text = refused(&settings);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("wrong-one"), "{text}");
        assert!(!format!("{settings:?}").contains("wrong-one"), "{settings:?}");
    }
}

#[test]
fn many_processes_may_start_on_an_empty_database() {
    let settings = Settings { schema: "order".into(), ..fresh(Duration::from_secs(60)) };
    let stores: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&settings))).collect();
        starts.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for store in &stores {
        RUNNER.block_on(store.submit(fixtures::job(None, b"<a/>"))).unwrap();
        RUNNER.block_on(store.ready()).unwrap();
        assert!(store.commits() > 0);
    }
}

#[test]
fn a_newer_store_is_refused() {
    let settings = fresh(Duration::from_secs(60));
    open(&settings).close();
    let newer = "INSERT INTO vestibule.versions (number) VALUES (99)";
    Postgres::shared().unwrap().sql(&settings.database, newer).unwrap();
    assert!(refused(&settings).contains("99"), "{}", refused(&settings));
}

#[test]
fn a_role_that_may_only_work_works() {
    let settings = fresh(Duration::from_secs(600));
    let server = Postgres::shared().unwrap();
    server.sql("postgres", "CREATE ROLE worker LOGIN IN ROLE pg_read_all_stats").unwrap();
    server.sql(&settings.database, &sql("vestibule")).unwrap();
    let grants = "GRANT USAGE ON SCHEMA vestibule TO worker;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vestibule TO worker";
    server.sql(&settings.database, grants).unwrap();
    let store = open(&Settings { user: "worker".into(), ..settings });
    assert_eq!(RUNNER.block_on(store.warnings()).unwrap(), Vec::<String>::new());
    let case = CASES.iter().find(|it| it.name == "a_job_is_answered_once").unwrap();
    case.check(Arc::new(store)).unwrap();
}

#[test]
fn a_closed_store_says_so() {
    let store = open(&fresh(Duration::from_secs(60)));
    store.close();
    let fault = RUNNER.block_on(store.submit(fixtures::job(None, b"<a/>"))).unwrap_err();
    assert!(fault.message.contains("closed"), "{fault:?}");
    assert!(RUNNER.block_on(store.find(vestibule_core::job::JobId::fresh())).is_err());
}

#[test]
fn without_its_drivers_a_store_answers_at_once() {
    let (store, drivers) = RUNNER.block_on(PostgresStore::open(&fresh(Duration::from_secs(60)))).unwrap();
    let waiting = RUNNER.spawn({
        let store = store.clone();
        async move { store.submit(fixtures::job(None, b"<a/>")).await }
    });
    thread::sleep(Duration::from_millis(50));
    drop(drivers);
    assert!(RUNNER.block_on(waiting).unwrap().is_err());
    assert!(RUNNER.block_on(store.ready()).is_err());
}

#[test]
fn connections_are_encrypted_and_checked_as_told() {
    let server = Postgres::encrypted().unwrap();
    let plain = super::settings(&server.database().unwrap(), Duration::from_secs(60));
    let ca = server.directory().join("ca.pem");
    let other = Postgres::encrypted().unwrap();
    let foreign = other.directory().join("ca.pem");
    let verified = |host: &str, ca: &std::path::Path| Settings {
        host: host.into(),
        tls: Tls::Verify,
        ca: Some(ca.into()),
        ..plain.clone()
    };
    for (settings, opens) in [
        (Settings { tls: Tls::Require, ..plain.clone() }, true),
        (verified("localhost", &ca), true),
        // The certificate is for localhost.
        (verified("127.0.0.1", &ca), false),
        (verified("localhost", &foreign), false),
    ] {
        if !opens {
            assert!(refused(&settings).contains("check `tls`"), "{}", refused(&settings));
            continue;
        }
        let store = open(&settings);
        RUNNER.block_on(store.submit(fixtures::job(None, b"<a/>"))).unwrap();
        let encrypted =
            "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'vestibule'";
        assert_eq!(server.sql("postgres", encrypted).unwrap(), "t");
        drop(store);
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn one_process_hears_of_the_work_of_another() {
    let settings = fresh(Duration::from_secs(60));
    let (one, other) = (open(&settings), open(&settings));
    let heard = || {
        let woken = async { tokio::time::timeout(Duration::from_millis(700), other.woken()).await };
        RUNNER.block_on(woken).is_ok()
    };
    // The connection that listens speaks up when it is made.
    while heard() {}
    RUNNER.block_on(one.submit(fixtures::job(None, b"<a/>"))).unwrap();
    assert!(!heard(), "a job that its submitter works on is nothing to others");
    let later = vestibule_core::job::NewJob {
        start: vestibule_core::job::Start::Later,
        ..fixtures::job(None, b"<a/>")
    };
    RUNNER.block_on(one.submit(later)).unwrap();
    assert!(heard(), "it waits in the queue and nobody says so");
}

#[test]
fn a_store_of_the_first_version_is_brought_along_by_a_process_and_by_an_owner() {
    let first = |settings: &Settings| {
        open(settings).close();
        let older = "DROP TABLE vestibule.positions; DELETE FROM vestibule.versions WHERE number = 2";
        Postgres::shared().unwrap().sql(&settings.database, older).unwrap();
    };
    let (by_process, by_owner) = (fresh(Duration::from_secs(60)), fresh(Duration::from_secs(60)));
    first(&by_process);
    first(&by_owner);
    let server = Postgres::shared().unwrap();
    // Twice: what is there already is left as it is.
    for _ in 0..2 {
        server.sql(&by_owner.database, &sql("vestibule")).unwrap();
    }
    for settings in [by_process, by_owner] {
        let store = open(&settings);
        RUNNER.block_on(store.keep_position("log orders", "0/16B3748".into())).unwrap();
        store.close();
        let kept = RUNNER.block_on(open(&settings).position("log orders")).unwrap();
        assert_eq!(kept.as_deref(), Some("0/16B3748"));
        let versions = "SELECT string_agg(number::text, ',' ORDER BY number) FROM vestibule.versions";
        assert_eq!(server.sql(&settings.database, versions).unwrap(), "1,2");
    }
}
