//! The drain against a real server, with the outbox and triggers of the project's own SQL made by hand.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use vestibule_core::{
    change::{Cell, Change, Op},
    fault::Recovery,
    ports::{Intake, Positions, Receipt, Received, Settlement, Source},
};
use vestibule_testkit::{postgres::Postgres, scripted_channel::Kept};

use super::*;
use crate::database::{
    Overflow, Relation, Unchanged,
    tests::{run, settings},
};

const TABLES: &str = "CREATE SCHEMA vestibule;
CREATE TABLE vestibule.capture (id int PRIMARY KEY, flow text, relation text, columns text[], types text[], key text[]);
CREATE TABLE vestibule.outbox (id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
  txid bigint NOT NULL DEFAULT txid_current(), at timestamptz NOT NULL DEFAULT clock_timestamp(), capture int NOT NULL,
  op \"char\" NOT NULL, before text[], after text[], note text);
CREATE TABLE vestibule.signal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, flow text, kind text,
  from_key text[], to_key text[], asked timestamptz DEFAULT now(), done timestamptz, said text);
CREATE TABLE public.orders (no int PRIMARY KEY, state text, total numeric(10,2));
INSERT INTO vestibule.capture VALUES (1, 'risk', 'public.orders', '{no,state,total}', '{integer,text,\"numeric(10,2)\"}', '{no}');
CREATE FUNCTION vestibule.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'INSERT' THEN INSERT INTO vestibule.outbox (capture, op, after)
    SELECT 1, 'i', ARRAY[no::text, state::text, total::text] FROM news;
  ELSIF TG_OP = 'DELETE' THEN INSERT INTO vestibule.outbox (capture, op, before)
    SELECT 1, 'd', ARRAY[no::text, state::text, total::text] FROM olds;
  ELSIF TG_OP = 'TRUNCATE' THEN INSERT INTO vestibule.outbox (capture, op) VALUES (1, 't');
  ELSE
    INSERT INTO vestibule.outbox (capture, op, before) SELECT 1, 'd', ARRAY[o.no::text, o.state::text, o.total::text]
      FROM olds o WHERE NOT EXISTS (SELECT FROM news n WHERE n.no = o.no);
    INSERT INTO vestibule.outbox (capture, op, before, after) SELECT 1, CASE WHEN o.no IS NULL THEN 'i' ELSE 'u' END,
      CASE WHEN o.no IS NOT NULL THEN ARRAY[o.no::text, o.state::text, o.total::text] END,
      ARRAY[n.no::text, n.state::text, n.total::text] FROM news n LEFT JOIN olds o ON o.no = n.no;
  END IF;
  PERFORM pg_notify('vestibule_risk', '');
  RETURN NULL; END $$;
CREATE TRIGGER vestibule_risk_i AFTER INSERT ON orders REFERENCING NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION vestibule.note();
CREATE TRIGGER vestibule_risk_d AFTER DELETE ON orders REFERENCING OLD TABLE AS olds FOR EACH STATEMENT EXECUTE FUNCTION vestibule.note();
CREATE TRIGGER vestibule_risk_u AFTER UPDATE ON orders REFERENCING OLD TABLE AS olds NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION vestibule.note();
CREATE TRIGGER vestibule_risk_t AFTER TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION vestibule.note();";

fn receive() -> Receive {
    let names = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
    Receive {
        flow: "risk".into(),
        table: Relation::parse("public.orders").unwrap(),
        capture: Capture::Trigger,
        key: names(&["no"]),
        columns: names(&["no", "state", "total"]),
        condition: None,
        schema: "vestibule".into(),
        unchanged: Unchanged::Before,
        initial: false,
        backlog: 1_000_000,
        overflow: Overflow::Alarm,
        slot: String::new(),
        publication: String::new(),
        wal_budget: 0,
        unlimited: false,
        poll: Duration::from_millis(50),
        purge: 5_000,
    }
}

struct World {
    kit: &'static Postgres,
    url: String,
    kept: Kept,
}

impl World {
    fn new() -> Self {
        let kit = Postgres::shared().unwrap();
        let url = kit.database().unwrap();
        kit.sql(&url, TABLES).unwrap();
        Self { kit, url, kept: Kept::default() }
    }

    fn sql(&self, text: &str) -> String {
        self.kit.sql(&self.url, text).unwrap()
    }

    fn source(&self, receive: Receive) -> OutboxSource {
        OutboxSource::new(settings(&self.url, "postgres"), receive, None)
    }

    async fn open(&self, receive: Receive) -> Box<dyn Intake> {
        let positions: Arc<dyn Positions> = Arc::new(self.kept.clone());
        let start = Instant::now();
        loop {
            match self.source(receive.clone()).open(Arc::clone(&positions)).await {
                Ok(intake) => return intake,
                Err(fault)
                    if start.elapsed() < Duration::from_secs(10) && fault.recovery == Recovery::Retry =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(fault) => panic!("{fault}"),
            }
        }
    }
}

fn change(received: &Received) -> Change {
    Change::from_bytes(&received.document.bytes).unwrap()
}

fn text(row: Option<&vestibule_core::change::Row>, name: &str) -> Option<String> {
    match row?.get(name)? {
        Cell::Text(text) => Some(text.to_string()),
        Cell::Unreadable(why) => Some(format!("unreadable: {why}")),
        _ => None,
    }
}

fn brief(change: &Change) -> String {
    let no = |row: &Option<_>| text(row.as_ref(), "no").unwrap_or_default();
    let state = text(change.after.as_ref(), "state").unwrap_or_default();
    format!("{} {}>{} {state}", change.op.word(), no(&change.before), no(&change.after))
}

async fn some(intake: &mut dyn Intake, most: usize) -> Option<Vec<Received>> {
    tokio::time::timeout(Duration::from_millis(700), intake.next(most)).await.ok().map(Result::unwrap)
}

/// Takes and settles everything that comes.
async fn all(intake: &mut dyn Intake) -> Vec<Received> {
    let mut found = Vec::new();
    while let Some(batch) = some(intake, 64).await {
        intake.settle(accepted(&batch)).await.unwrap();
        found.extend(batch);
    }
    found
}

fn accepted(batch: &[Received]) -> Vec<(Receipt, Settlement)> {
    batch.iter().map(|it| (Receipt(it.receipt.0), Settlement::Accepted)).collect()
}

#[test]
fn events_come_in_their_order_and_leave_the_outbox_when_they_are_settled() {
    let world = World::new();
    world.sql("INSERT INTO orders VALUES (1, 'new', 12.5), (2, 'new', NULL); UPDATE orders SET state = 'paid' WHERE no = 1");
    world.sql("UPDATE orders SET no = 3 WHERE no = 2; DELETE FROM orders WHERE no = 1; TRUNCATE orders");
    run(async {
        let mut intake = world.open(receive()).await;
        let batch = intake.next(100).await.unwrap();
        let briefs: Vec<String> = batch.iter().map(|it| brief(&change(it))).collect();
        let expected = [
            "insert >1 new",
            "insert >2 new",
            "update 1>1 paid",
            "delete 2> ",
            "insert >3 new",
            "delete 1> ",
            "truncate > ",
        ];
        assert_eq!(briefs, expected);
        let first = change(&batch[0]);
        assert_eq!(text(first.after.as_ref(), "total").as_deref(), Some("12.50"));
        assert_eq!((&*first.table, &*first.position), ("public.orders", "1"));
        assert_eq!(first.key, ["no".into()]);
        assert!(first.at.is_some() && first.txid.is_some());
        let keys: HashSet<_> = batch.iter().map(|it| it.document.key.clone().unwrap()).collect();
        assert_eq!(keys.len(), batch.len());
        // Settled out of order, some not at all: these come again to the next intake, byte for byte the same.
        let mut settled = accepted(&batch);
        settled.reverse();
        settled.retain(|(it, _)| it.0 != 2);
        intake.settle(settled).await.unwrap();
        assert_eq!(world.sql("SELECT string_agg(id::text, ',') FROM vestibule.outbox"), "2");
        assert!(some(intake.as_mut(), 9).await.is_none());
        drop(intake);
        let mut intake = world.open(receive()).await;
        let again = intake.next(100).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(
            (&again[0].document.bytes, &again[0].document.key),
            (&batch[1].document.bytes, &batch[1].document.key)
        );
        assert!(again[0].document.key.as_ref().unwrap().as_str().starts_with("pg:"));
        // What can not be worked on is set aside there.
        let dead = Settlement::DeadLetter { cause: "V003: no".into(), findings: Vec::new() };
        intake.settle(vec![(Receipt(again[0].receipt.0), dead)]).await.unwrap();
        assert_eq!(world.sql("SELECT capture, note FROM vestibule.outbox"), "-1|V003: no");
    });
}

#[test]
fn a_transaction_that_commits_late_hides_no_row_and_holds_none_up() {
    let world = World::new();
    run(async {
        let (client, connection) = tokio_postgres::connect(&world.url, tokio_postgres::NoTls).await.unwrap();
        let mut wire = std::pin::pin!(connection);
        let work = async {
            let mut intake = world.open(receive()).await;
            client.batch_execute("BEGIN; INSERT INTO orders VALUES (1, 'slow')").await.unwrap();
            world.sql("INSERT INTO orders VALUES (2, 'quick')");
            let batch = intake.next(100).await.unwrap();
            assert_eq!(batch.iter().map(|it| brief(&change(it))).collect::<Vec<_>>(), ["insert >2 quick"]);
            intake.settle(accepted(&batch)).await.unwrap();
            world.sql("INSERT INTO orders VALUES (3, 'quick')");
            assert_eq!(all(intake.as_mut()).await.len(), 1);
            client.batch_execute("COMMIT").await.unwrap();
            let batch = all(intake.as_mut()).await;
            assert_eq!(batch.iter().map(|it| brief(&change(it))).collect::<Vec<_>>(), ["insert >1 slow"]);
        };
        tokio::select! { () = work => {}, _ = &mut wire => panic!("the connection ended") }
    });
}

#[test]
fn one_process_drains_and_what_is_missing_is_said() {
    let world = World::new();
    run(async {
        let positions: Arc<dyn Positions> = Arc::new(world.kept.clone());
        let why = |result: Result<Box<dyn Intake>, Fault>| {
            let fault = result.err().unwrap();
            (fault.recovery, fault.to_string())
        };
        let _intake = world.open(receive()).await;
        let (recovery, text) = why(world.source(receive()).open(Arc::clone(&positions)).await);
        assert_eq!(recovery, Recovery::Retry);
        assert!(text.contains("another process drains"), "{text}");
        for (change, expected) in [
            (Receive { flow: "other".into(), ..receive() }, "triggers of this mapping are not installed"),
            (Receive { schema: "no\"where".into(), ..receive() }, "run `vestibule db install`"),
            (
                Receive { table: Relation::parse("nothing").unwrap(), ..receive() },
                "the table public.nothing is not there",
            ),
            (
                Receive {
                    flow: "x".into(),
                    capture: Capture::Snapshot,
                    columns: vec!["gone".into()],
                    ..receive()
                },
                "no column \"gone\"",
            ),
        ] {
            let (recovery, text) = why(world.source(change).open(Arc::clone(&positions)).await);
            assert_eq!(recovery, Recovery::GiveUp);
            assert!(text.contains(expected), "{text}");
        }
    });
}

#[test]
fn a_table_that_is_dropped_stops_the_source_behind_its_last_event() {
    let world = World::new();
    run(async {
        let mut intake = world.open(receive()).await;
        world.sql("INSERT INTO orders VALUES (1, 'last'); DROP TABLE orders");
        let batch = intake.next(9).await.unwrap();
        assert_eq!(batch.len(), 1);
        intake.settle(accepted(&batch)).await.unwrap();
        let fault = intake.next(9).await.unwrap_err();
        assert_eq!(fault.recovery, Recovery::GiveUp);
        assert!(fault.to_string().contains("public.orders was dropped"), "{fault}");
    });
}

#[test]
fn failed_triggers_dropped_events_and_long_values_are_findings() {
    let world = World::new();
    world.sql("INSERT INTO vestibule.outbox (capture, op, note) VALUES (1, 'x', 'UPDATE 42703')");
    world.sql("INSERT INTO orders SELECT 1, repeat('x', 9000000)");
    run(async {
        let mut intake = world.open(receive()).await;
        let batch = intake.next(9).await.unwrap();
        let first = change(&batch[0]);
        assert_eq!(first.op, Op::Update);
        let state = |it: &Change| text(it.after.as_ref(), "state").unwrap();
        assert!(state(&first).contains("(UPDATE 42703)"), "{}", state(&first));
        let long = change(&batch[1]);
        assert_eq!(state(&long), "unreadable: too long: 9000000 bytes, and 8388608 fit a document");
        assert_eq!(text(long.after.as_ref(), "no").as_deref(), Some("1"));
        assert!(batch[1].document.bytes.len() < 1000);
    });
    // More than the backlog may be, before anything was read: the oldest go, and the flow hears of it.
    let world = World::new();
    world.sql("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 50) AS n");
    run(async {
        let few = Receive { backlog: 20, overflow: Overflow::Drop, ..receive() };
        let mut intake = world.open(few).await;
        let found: Vec<String> = all(intake.as_mut()).await.iter().map(|it| brief(&change(it))).collect();
        assert_eq!(found.len(), 21, "{found:?}");
        assert_eq!(found[0], "insert >31 x");
        assert!(found[20].contains("30 changes were dropped"), "{}", found[20]);
    });
    let world = World::new();
    world.sql("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 50) AS n");
    run(async {
        let mut intake = world.open(Receive { backlog: 20, ..receive() }).await;
        assert_eq!(all(intake.as_mut()).await.len(), 50);
    });
}

#[test]
fn rows_that_are_there_come_once_among_the_events_and_again_when_asked_for() {
    let world = World::new();
    world.sql("ALTER TABLE orders DISABLE TRIGGER ALL; INSERT INTO orders SELECT n, 'old' FROM generate_series(1, 2500) AS n; ALTER TABLE orders ENABLE TRIGGER ALL");
    world.sql("UPDATE orders SET state = 'new' WHERE no = 7");
    run(async {
        let initial = Receive { initial: true, ..receive() };
        let mut intake = world.open(initial.clone()).await;
        // A part of it, then another life.
        let event = intake.next(1500).await.unwrap();
        let briefs: Vec<String> = event.iter().map(|it| brief(&change(it))).collect();
        assert_eq!(briefs, ["update 7>7 new"], "an event that the piece has seen comes before it");
        let batch = intake.next(1500).await.unwrap();
        assert_eq!((batch.len(), brief(&change(&batch[6]))), (1000, "snapshot >7 new".into()));
        intake.settle(accepted(&event)).await.unwrap();
        intake.settle(accepted(&batch)).await.unwrap();
        let batch = intake.next(100).await.unwrap();
        drop(intake);
        let mut keys: Vec<_> = batch.iter().map(|it| it.document.key.clone()).collect();
        let mut intake = world.open(initial.clone()).await;
        let rest = all(intake.as_mut()).await;
        assert_eq!(rest.len(), 1500);
        keys.truncate(9);
        assert_eq!(rest.iter().take(9).map(|it| it.document.key.clone()).collect::<Vec<_>>(), keys);
        drop(intake);
        let mut intake = world.open(initial).await;
        assert!(all(intake.as_mut()).await.is_empty(), "it was handed over already");
        world.sql("INSERT INTO vestibule.signal (flow, kind, from_key, to_key) VALUES ('risk', 'snapshot', '{10}', '{12}'), ('risk', 'resume', NULL, NULL), ('risk', 'snapshot', '{1,2}', NULL)");
        let mut found = Vec::new();
        for _ in 0..4 {
            found.extend(all(intake.as_mut()).await);
        }
        assert_eq!(
            found.iter().map(|it| brief(&change(it))).collect::<Vec<_>>(),
            ["snapshot >10 old", "snapshot >11 old", "snapshot >12 old"]
        );
        let said = world
            .sql("SELECT string_agg(said, ';' ORDER BY id) FROM vestibule.signal WHERE done IS NOT NULL");
        assert!(said.starts_with("3 rows were handed over;nothing is stopped here;"), "{said}");
        assert!(said.contains("a range of keys needs"), "{said}");
    });
}

#[test]
fn a_snapshot_reads_every_row_once_also_without_a_key_and_without_our_schema() {
    let world = World::new();
    world.sql("DROP SCHEMA vestibule CASCADE; CREATE TABLE keyless (no int, state text, total money); INSERT INTO keyless SELECT n, repeat('y', n % 100), n FROM generate_series(1, 20000) n");
    run(async {
        let table = Relation::parse("keyless").unwrap();
        let wanted =
            Receive { capture: Capture::Snapshot, table, condition: Some("no > 100".into()), ..receive() };
        let mut intake = world.open(wanted.clone()).await;
        let rows = all(intake.as_mut()).await;
        let mut numbers: Vec<i64> =
            rows.iter().map(|it| text(change(it).after.as_ref(), "no").unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (101..=20000).collect::<Vec<_>>());
        drop(intake);
        let mut intake = world.open(wanted).await;
        assert!(all(intake.as_mut()).await.is_empty());
    });
}

/// Figures for docs/databases.md; in release, alone: `cargo test --release -p vestibule-postgres figures_of_the_drain -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn figures_of_the_drain() {
    const ROWS: usize = 300_000;
    let world = World::new();
    let fill = format!("INSERT INTO orders SELECT g, 'new', g * 1.25 FROM generate_series(1, {ROWS}) g");
    world.sql(&fill);
    run(async {
        let mut intake = world.open(receive()).await;
        let (start, mut taken) = (Instant::now(), 0);
        while taken < ROWS {
            let batch = intake.next(1_024).await.unwrap();
            taken += batch.len();
            intake.settle(accepted(&batch)).await.unwrap();
        }
        let drained = start.elapsed();
        // The simplest peer: rows taken by deleting them, as text, without any order.
        world.sql(&fill.replace("INTO orders SELECT g,", &format!("INTO orders SELECT g + {ROWS},")));
        let start = Instant::now();
        let take = "DO $$ DECLARE n int; BEGIN LOOP WITH gone AS (DELETE FROM vestibule.outbox WHERE id IN (SELECT id FROM \
                    vestibule.outbox ORDER BY id LIMIT 5000) RETURNING id, op, before, after) SELECT count(after) INTO n FROM gone; \
                    EXIT WHEN n = 0; COMMIT; END LOOP; END $$";
        world.sql(take);
        let deleted = start.elapsed();
        let rate = |took: Duration| 300_000.0 / took.as_secs_f64();
        eprintln!(
            "drained {:.0} rows/s; deleted by the server alone {:.0} rows/s",
            rate(drained),
            rate(deleted)
        );
    });
}

/// The same for the time that a change takes. On an outbox of its own: one with a million dead rows is slower until it is
/// vacuumed.
#[test]
#[ignore = "measures"]
fn figures_of_the_time_from_a_trigger_to_its_document() {
    let world = World::new();
    world.sql("INSERT INTO orders SELECT g, 'new', g * 1.25 FROM generate_series(1, 200) g");
    run(async {
        let mut intake = world.open(receive()).await;
        all(intake.as_mut()).await;
        // The time that the trigger wrote, on the same clock; the commit comes after it.
        let mut waits = Vec::new();
        let updates: String = (1..=200)
            .map(|at| format!("UPDATE orders SET state = 's' WHERE no = {at}; SELECT pg_sleep(0.01);\n"))
            .collect();
        let psql = world.kit.sql_beside(&world.url, &updates).unwrap();
        while waits.len() < 200 {
            let batch = intake.next(64).await.unwrap();
            let now = jiff::Timestamp::now();
            for one in &batch {
                let at = change(one).at.unwrap();
                waits.push(now.duration_since(at).as_secs_f64());
            }
            intake.settle(accepted(&batch)).await.unwrap();
        }
        drop(psql);
        waits.sort_by(f64::total_cmp);
        eprintln!("from the trigger to the document: p50 {:.1} ms", waits[waits.len() / 2] * 1e3);
    });
}
