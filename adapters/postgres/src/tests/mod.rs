mod alarms;
mod bench;
mod crash;
mod opening;
mod plans;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::runtime::Runtime;
use vestibule_testkit::{
    job_store::{CASES, Kept, SHARED},
    postgres::Postgres,
};

use crate::{PostgresStore, Settings, connection::Way};

/// Plays the runner: it spawns what drives the stores.
static RUNNER: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// The settings for a database of the kit.
fn settings(url: &str, lease: Duration) -> Settings {
    let (server, database) = url.rsplit_once('/').unwrap();
    let port = server.rsplit_once(':').unwrap().1.parse().unwrap();
    Settings {
        host: "127.0.0.1".into(),
        port,
        database: database.into(),
        user: "postgres".into(),
        lease,
        ..Settings::default()
    }
}

fn open(settings: &Settings) -> PostgresStore {
    let (store, drivers) = RUNNER.block_on(PostgresStore::open(settings)).unwrap();
    for driver in drivers {
        RUNNER.spawn(driver);
    }
    store
}

fn fresh(lease: Duration) -> Settings {
    settings(&Postgres::shared().unwrap().database().unwrap(), lease)
}

fn none_is_broken(checked: impl IntoIterator<Item = (&'static str, Kept)>) {
    let broken = checked.into_iter().filter_map(|(name, kept)| Some(format!("{name}: {}", kept.err()?.0)));
    let broken: Vec<_> = broken.collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_store_keeps_every_promise() {
    none_is_broken(CASES.iter().map(|case| (case.name, case.check(Arc::new(open(&fresh(case.lease)))))));
}

#[test]
fn two_processes_keep_every_promise() {
    none_is_broken(SHARED.iter().map(|case| {
        let settings = fresh(case.lease);
        (case.name, case.check(Arc::new(open(&settings)), Arc::new(open(&settings))))
    }));
}

#[test]
fn every_statement_is_one_that_the_server_takes() {
    let settings = fresh(Duration::from_secs(60));
    open(&settings).close();
    RUNNER.block_on(async {
        let mut link = Way::new(&settings).unwrap().connect(|_| ()).await.unwrap();
        let all = [
            &crate::change::STATEMENTS.concat(),
            crate::read::STATEMENTS,
            &crate::row::LISTS,
            crate::alarm::STATEMENTS,
        ]
        .concat();
        for statement in all {
            let prepared =
                link.run(Duration::from_secs(10), |it| async { it.prepare_all(&[statement]).await });
            if let Err(trouble) = prepared.await {
                panic!("{trouble}: {statement}");
            }
        }
    });
}
