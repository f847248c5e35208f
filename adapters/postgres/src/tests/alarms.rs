use std::time::Duration;

use vestibule_core::ports::JobStore;
use vestibule_testkit::postgres::Postgres;

use super::{RUNNER, fresh, open};
use crate::{Settings, connection::Way};

#[test]
fn a_held_snapshot_is_warned_of() {
    let settings = Settings { held: Duration::from_millis(200), ..fresh(Duration::from_secs(60)) };
    let server = Postgres::shared().unwrap();
    let store = open(&settings);
    let warnings = || RUNNER.block_on(store.warnings()).unwrap();
    assert_eq!(warnings(), Vec::<String>::new(), "all is well");
    let mut link = RUNNER.block_on(Way::new(&settings).unwrap().connect(|_| ())).unwrap();
    let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM vestibule.jobs";
    RUNNER
        .block_on(link.run(Duration::from_secs(5), |it| async { Ok(it.client.batch_execute(hold).await?) }))
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let found = warnings();
    assert!(found.len() == 1 && found[0].contains("has a transaction open"), "{found:?}");
    drop(link);
    let prepared = "BEGIN; CREATE TABLE left_over (); PREPARE TRANSACTION 'forgotten'";
    server.sql(&settings.database, prepared).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let found = warnings();
    assert!(found.len() == 1 && found[0].contains("prepared transaction forgotten"), "{found:?}");
    server.sql(&settings.database, "ROLLBACK PREPARED 'forgotten'").unwrap();
    assert_eq!(warnings(), Vec::<String>::new(), "all is well again");
}

#[test]
fn dead_rows_that_stay_are_warned_of() {
    let settings = fresh(Duration::from_secs(60));
    let store = open(&settings);
    let server = Postgres::shared().unwrap();
    let pile = "ALTER TABLE vestibule.jobs SET (autovacuum_enabled = off);
        INSERT INTO vestibule.jobs (id, flow, fingerprint, state, attempt, token, accepted, changed, sends)
        SELECT gen_random_uuid(), 'claims', sha256(''), 4, 1, 1, now(), now(), 0 FROM generate_series(1, 30000);
        UPDATE vestibule.jobs SET attempt = 2";
    server.sql(&settings.database, pile).unwrap();
    let heard = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        RUNNER.block_on(store.warnings()).unwrap().iter().any(|it| it.contains("dead rows"))
    });
    assert!(heard, "{:?}", RUNNER.block_on(store.warnings()));
}
