//! The log against servers of our own.

mod existing;
mod reading;
mod stops;
mod stream;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use vestibule_core::{
    change::{Cell, Change, Op, Row},
    fault::Fault,
    ports::{Intake, Received, Settlement, Source},
};
use vestibule_testkit::{postgres::Postgres, scripted_channel::Kept};

use super::LogSource;
use crate::database::{Capture, Overflow, Receive, Relation, Settings, Unchanged, tests::settings};

/// What nothing here may take longer than.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose log we read; slots are few, so each test that stops it has its own.
fn server() -> Postgres {
    Postgres::start(&[
        "max_slot_wal_keep_size = '1GB'",
        "wal_sender_timeout = '10s'",
        "max_replication_slots = 30",
        "max_wal_senders = 30",
    ])
    .unwrap()
}

fn shared() -> &'static Postgres {
    static SHARED: std::sync::OnceLock<Postgres> = std::sync::OnceLock::new();
    SHARED.get_or_init(server)
}

/// `capture: log` of this table.
fn receive(flow: &str, table: &str, key: &[&str], columns: &[&str]) -> Receive {
    Receive {
        flow: flow.into(),
        table: Relation::parse(table).unwrap(),
        capture: Capture::Log,
        key: key.iter().map(|it| (*it).into()).collect(),
        columns: columns.iter().map(|it| (*it).into()).collect(),
        condition: None,
        schema: "vestibule".into(),
        unchanged: Unchanged::Before,
        initial: false,
        backlog: 1_000_000,
        overflow: Overflow::Alarm,
        slot: format!("vestibule_{flow}"),
        publication: format!("vestibule_{flow}"),
        wal_budget: 1_000_000_000,
        unlimited: false,
        poll: Duration::from_millis(50),
        purge: 5_000,
    }
}

/// What an installation makes, as far as the log needs it.
fn install(kit: &Postgres, url: &str, receive: &Receive) {
    let table = receive.table.quoted();
    kit.sql(
        url,
        &format!(
            "CREATE SCHEMA IF NOT EXISTS vestibule; \
             CREATE TABLE IF NOT EXISTS vestibule.signal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, flow text, \
             kind text, from_key text[], to_key text[], asked timestamptz DEFAULT now(), done timestamptz, said text); \
             CREATE PUBLICATION {} FOR TABLE {table}",
            receive.publication
        ),
    )
    .unwrap();
}

struct Bench {
    settings: Arc<Settings>,
    receive: Receive,
    kept: Arc<Kept>,
}

impl Bench {
    fn new(url: &str, receive: Receive) -> Self {
        Self { settings: settings(url, "postgres"), receive, kept: Arc::new(Kept::default()) }
    }

    async fn open(&self) -> Result<Box<dyn Intake>, Fault> {
        let source = LogSource::new(&self.settings, self.receive.clone(), None);
        assert!(source.is_journaled());
        timeout(PATIENCE, source.open(self.kept.clone())).await.unwrap()
    }
}

fn change(received: &Received) -> Change {
    Change::from_bytes(&received.document.bytes).unwrap()
}

fn key(received: &Received) -> String {
    received.document.key.as_ref().unwrap().as_str().to_owned()
}

fn text(row: &Row, name: &str) -> String {
    match row.get(name) {
        Some(Cell::Text(text)) => text.to_string(),
        other => format!("{other:?}"),
    }
}

/// Takes and settles documents until there are so many.
async fn take(intake: &mut dyn Intake, count: usize) -> Vec<(String, Change)> {
    let mut found = Vec::new();
    while found.len() < count {
        let batch = timeout(PATIENCE, intake.next(500)).await.unwrap().unwrap();
        let mut settled = Vec::new();
        for received in batch {
            found.push((key(&received), change(&received)));
            settled.push((received.receipt, Settlement::Accepted));
        }
        intake.settle(settled).await.unwrap();
    }
    found
}

/// Lets the intake work for a while in which nothing comes.
async fn idle(intake: &mut dyn Intake, so_long: Duration) {
    let end = Instant::now() + so_long;
    while Instant::now() < end {
        if let Ok(batch) = timeout(end - Instant::now(), intake.next(100)).await {
            panic!("{:?}", batch.map(|it| it.iter().map(change).collect::<Vec<_>>()));
        }
    }
}

/// What a table is when these changes are applied to it, by its key.
fn apply(state: &mut HashMap<String, Row>, change: &Change, name: &str) {
    let key_of = |row: &Row| text(row, name);
    match change.op {
        Op::Truncate => state.clear(),
        Op::Delete => drop(state.remove(&key_of(change.before.as_ref().unwrap()))),
        Op::Insert | Op::Snapshot | Op::Update => {
            let after = change.after.as_ref().unwrap();
            if let Some(before) = change.before.as_ref().filter(|_| change.op == Op::Update) {
                state.remove(&key_of(before));
            }
            state.insert(key_of(after), after.clone());
        }
    }
}
