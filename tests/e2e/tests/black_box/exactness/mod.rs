//! What a database says happened, and what Vestibule delivered of it, compared key by key: with writers side by side,
//! roll-backs, savepoints, key changes and one huge transaction, while the process is killed, the server is restarted and
//! the connections between them are cut.
//!
//! The short form runs with the other tests; `VESTIBULE_LONG=1` makes it 50 kills, 5 restarts, 20 cuts and a
//! transaction of 200,000 rows.

mod verdict;
mod world;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use self::world::{Capture, World};

struct Plan {
    kills: usize,
    restarts: usize,
    cuts: usize,
    /// Rows of the one huge transaction.
    huge: usize,
}

impl Plan {
    fn of_environment() -> Self {
        if std::env::var_os("VESTIBULE_LONG").is_some() {
            Self { kills: 50, restarts: 5, cuts: 20, huge: 200_000 }
        } else {
            Self { kills: 5, restarts: 1, cuts: 3, huge: 10_000 }
        }
    }
}

#[test]
fn the_outbox_of_triggers_delivers_what_the_database_says_happened() {
    programme(Capture::Trigger);
}

#[test]
fn the_log_delivers_what_the_database_says_happened() {
    programme(Capture::Log);
}

fn programme(capture: Capture) {
    let plan = Plan::of_environment();
    let mut world = World::start(capture, "");
    let began = Instant::now();
    let writers = world.write();
    let troubles = plan.kills + plan.restarts + plan.cuts;
    for at in 0..troubles {
        sleep(Duration::from_millis(250 + u64::try_from(at * 97 % 500).unwrap()));
        if at == troubles / 3 {
            world.start_huge(plan.huge);
        }
        // Spread evenly: restarts are rare, cuts less so, the rest is killed.
        let is_due = |many: usize| many > 0 && (at * many / troubles) != ((at + 1) * many / troubles);
        if is_due(plan.restarts) {
            world.restart_database(at % 2 == 0);
        } else if is_due(plan.cuts) {
            world.cut();
        } else {
            world.kill();
        }
    }
    let rounds = writers.stop();
    world.end_huge();
    let raged = began.elapsed();
    let summary = world.settle(Duration::from_secs(180));
    eprintln!(
        "{capture:?}: {troubles} troubles in {raged:?}, {rounds} rounds; {summary:?}; {:?} in all",
        began.elapsed()
    );
    assert!(summary.events > plan.huge, "the writers wrote: {summary:?}");
}

/// The handover from the snapshot to the stream, without any trouble: nothing missing, nothing twice.
#[test]
fn rows_written_around_the_snapshot_are_delivered_once() {
    for capture in [Capture::Log, Capture::Trigger] {
        let mut world = World::prepare(capture, ", snapshot: initial");
        world.sql(
            "INSERT INTO app.item SELECT g, nextval('app.val'), 'old' FROM generate_series(10000, 55999) g",
        );
        world.install();
        // While the snapshot is read, others go on writing.
        let writers = world.write();
        world.serve();
        sleep(Duration::from_secs(3));
        world.sql(
            "INSERT INTO app.item SELECT g, nextval('app.val'), 'new' FROM generate_series(60000, 69999) g",
        );
        writers.stop();
        let summary = world.settle_from_snapshot(Duration::from_secs(120));
        eprintln!("{capture:?}: {summary:?}");
        assert!(summary.events >= 56_000, "{summary:?}");
    }
}
