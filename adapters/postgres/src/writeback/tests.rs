//! Against a server of our own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use vestibule_core::{
    change::{self, Cell, Change, Op, Row},
    fault::{Fault, Recovery},
    finding::Outcome,
    job::{Delivery, Job, JobId, JobState, Place, Purpose, Reply, ReplyBody, ReturnAddress},
    ports::{Parcel, Returner},
};
use vestibule_testkit::{
    fixtures,
    postgres::Postgres,
    proxy::{Proxy, Way},
};

use super::{
    deliver::{Conflict, Deliver, Mode},
    returner::PgReturner,
};
use crate::database::{Relation, Settings, settings::Host, tests::settings};

/// What `db install` makes, as far as write-back needs it.
const OURS: &str = "CREATE SCHEMA vestibule; \
    CREATE TABLE vestibule.written (message text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), outcome text); \
    CREATE TABLE vestibule.signal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, flow text, kind text, \
        from_key text[], to_key text[], asked timestamptz DEFAULT now(), done timestamptz, said text);";
const ORDERS: &str = "CREATE TABLE orders (no text PRIMARY KEY, total numeric(10,2), version int NOT NULL DEFAULT 1, \
    risk int, outcome text, photo bytea, code char(4) CHECK (code <> 'bad')); \
    INSERT INTO orders (no, total) SELECT 'A' || it, it FROM generate_series(1, 9) it;";

struct World {
    url: String,
    settings: Arc<Settings>,
    returner: PgReturner,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let kit = Postgres::shared().unwrap();
        let url = kit.database().unwrap();
        kit.sql(&url, &format!("{OURS} {ORDERS}")).unwrap();
        let settings = settings(&url, "postgres");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { returner: PgReturner::new(Arc::clone(&settings)), url, settings, runtime }
    }

    fn sql(&self, text: &str) -> String {
        Postgres::shared().unwrap().sql(&self.url, text).unwrap().trim().to_owned()
    }

    fn write(&self, parcels: &[Parcel]) -> Vec<Result<(), Fault>> {
        self.runtime.block_on(self.returner.hand_back(parcels))
    }

    fn write_one(&self, parcel: Parcel) -> Result<(), String> {
        let mut results = self.write(&[parcel]);
        assert_eq!(results.len(), 1);
        results.remove(0).map_err(|fault| format!("{:?} {}", fault.recovery, fault.message))
    }
}

fn update(version: Option<&str>, on_conflict: Conflict) -> Deliver {
    Deliver {
        flow: "risk".into(),
        target: Relation::parse("orders").unwrap(),
        mode: Mode::Update,
        key: vec!["no".into()],
        version: version.map(str::to_owned),
        on_conflict,
        schema: "vestibule".into(),
    }
}

fn into(mode: Mode, target: &str) -> Deliver {
    let plain = update(None, Conflict::Review);
    Deliver { target: Relation::parse(target).unwrap(), mode, key: Vec::new(), ..plain }
}

fn order(no: &str, version: &str) -> Change {
    let text = |it: &str| Cell::Text(it.into());
    Change {
        op: Op::Update,
        table: "public.orders".into(),
        at: None,
        position: "7".into(),
        txid: None,
        key: vec!["no".into()],
        after: Some(Row(vec![("no".into(), text(no)), ("version".into(), text(version))])),
        before: None,
    }
}

fn place(deliver: &Deliver) -> Place {
    let place = deliver.to_place("postgres orders_db");
    assert_eq!(Deliver::of_place(&place).as_ref(), Some(deliver));
    place
}

fn parcel(message: &str, deliver: &Deliver, change: &Change, written: &str) -> Parcel {
    let place = place(deliver);
    let mut document = fixtures::document(Some(message), b"");
    document.media_type = change::MEDIA_TYPE.into();
    document.bytes = change.to_bytes();
    let reply = Reply {
        outcome: Outcome::Pass,
        body: ReplyBody::Written {
            media_type: "application/json".into(),
            bytes: Bytes::from(written.to_owned()),
        },
        ..fixtures::reply(b"")
    };
    let job = Job {
        id: JobId::fresh(),
        flow: "risk".into(),
        document,
        state: JobState::Answered { reply },
        accepted: fixtures::moment(),
        changed: fixtures::moment(),
        order: None,
        return_to: Some(ReturnAddress {
            reply: Some(place.clone()),
            message: Some(message.into()),
            ..ReturnAddress::default()
        }),
        delivery: Delivery::Nothing,
        decisions: Vec::new(),
    };
    Parcel { purpose: Purpose::Result, place, job: Arc::new(job) }
}

#[test]
fn a_result_is_written_once_however_often_it_is_handed_back() {
    let world = World::new();
    let deliver = update(None, Conflict::Review);
    let first = parcel("m1", &deliver, &order("A1", "1"), r#"{"risk":"70","outcome":null}"#);
    world.write_one(first.clone()).unwrap();
    assert_eq!(world.sql("SELECT risk FROM orders WHERE no = 'A1'"), "70");
    world.sql("UPDATE orders SET risk = 1 WHERE no = 'A1'");
    world.write_one(first.clone()).unwrap();
    let several = world.write(&[first.clone(), first.clone(), first]);
    assert!(several.iter().all(Result::is_ok), "{several:?}");
    assert_eq!(
        world.sql("SELECT risk FROM orders WHERE no = 'A1'"),
        "1",
        "the application's own value stays"
    );
    assert_eq!(world.sql("SELECT message, outcome FROM vestibule.written"), "risk m1|written");
}

#[test]
fn a_row_that_changed_meanwhile_goes_to_the_policy() {
    let world = World::new();
    for (no, on_conflict, expected, ledger, signals) in [
        ("A1", Conflict::Skip, Ok(()), "skipped", "0"),
        ("A2", Conflict::Retry, Ok(()), "again", "1"),
        (
            "A3",
            Conflict::Review,
            Err("GiveUp D111: public.orders was not written: the row changed since it was read"),
            "",
            "1",
        ),
        (
            "gone",
            Conflict::Review,
            Err("GiveUp D111: public.orders was not written: the row is gone"),
            "",
            "1",
        ),
        ("gone", Conflict::Skip, Ok(()), "skipped", "1"),
    ] {
        world.sql(&format!("UPDATE orders SET version = 2 WHERE no = '{no}'"));
        let deliver = update(Some("version"), on_conflict);
        let message = format!("{no} {on_conflict:?}");
        let sent = parcel(&message, &deliver, &order(no, "1"), r#"{"risk":"70"}"#);
        for _ in 0..2 {
            let result = world.write_one(sent.clone());
            assert_eq!(result.as_ref().map_err(String::as_str).copied(), expected, "{message}");
        }
        let outcome =
            world.sql(&format!("SELECT outcome FROM vestibule.written WHERE message = 'risk {message}'"));
        assert_eq!(outcome, ledger, "{message}");
        assert_eq!(world.sql("SELECT count(*) FROM vestibule.signal"), signals, "{message}");
        assert_eq!(
            world.sql(&format!("SELECT count(*) FROM orders WHERE no = '{no}' AND risk IS NOT NULL")),
            "0"
        );
    }
    assert_eq!(
        world.sql("SELECT flow, kind, from_key, to_key FROM vestibule.signal"),
        "risk|snapshot|{A2}|{A2}"
    );
    // After a review the same result may be tried again.
    world.sql("UPDATE orders SET version = 1 WHERE no = 'A3'");
    let again =
        parcel("A3 Review", &update(Some("version"), Conflict::Review), &order("A3", "1"), r#"{"risk":"7"}"#);
    world.write_one(again).unwrap();
    assert_eq!(world.sql("SELECT risk FROM orders WHERE no = 'A3'"), "7");
}

#[test]
fn values_are_never_part_of_a_statement_and_never_part_of_a_refusal() {
    let world = World::new();
    world.sql("CREATE TABLE \"Odd \"\"T'able\" (\"k\"\"ey\" text PRIMARY KEY, \"va'l; DROP\" text)");
    world.sql("INSERT INTO \"Odd \"\"T'able\" VALUES ('x''; DELETE FROM orders; --')");
    let odd = Deliver {
        target: Relation::parse("\"public\".\"Odd \"\"T'able\"").unwrap(),
        key: vec!["k\"ey".into()],
        ..update(None, Conflict::Review)
    };
    let mut row = order("A1", "1");
    row.after = Some(Row(vec![("k\"ey".into(), Cell::Text("x'; DELETE FROM orders; --".into()))]));
    let value = "'); DROP TABLE orders; -- ünïcode $1 \\ \u{1F600}";
    let written = serde_json::json!({ "va'l; DROP": value }).to_string();
    world.write_one(parcel("odd", &odd, &row, &written)).unwrap();
    assert_eq!(world.sql("SELECT \"va'l; DROP\" FROM \"Odd \"\"T'able\""), value);

    let deliver = update(None, Conflict::Review);
    for (written, expected) in [
        (
            r#"{"risk":"secret"}"#,
            "GiveUp D115: public.orders refuses what was to be written: PostgreSQL refused with SQLSTATE 22P02",
        ),
        (
            r#"{"risk":"99999999999"}"#,
            "GiveUp D115: public.orders refuses what was to be written: PostgreSQL refused with SQLSTATE 22003",
        ),
        (
            r#"{"code":"secret"}"#,
            "GiveUp D115: public.orders refuses what was to be written: PostgreSQL refused with SQLSTATE 22001",
        ),
        (
            r#"{"code":"bad"}"#,
            "GiveUp D115: public.orders refuses what was to be written (constraint orders_code_check): PostgreSQL refused with SQLSTATE 23514",
        ),
        (
            r#"{"outcome":"a\u0000b"}"#,
            "GiveUp D115: public.orders refuses what was to be written: PostgreSQL refused with SQLSTATE 22021",
        ),
        (
            r#"{"photo":"no base64!"}"#,
            "GiveUp D115: public.orders refuses what was to be written: PostgreSQL refused with SQLSTATE 22023",
        ),
        (
            r#"{"rissk":"1"}"#,
            "GiveUp D113: public.orders is not as the mapping says: there is no column \"rissk\"",
        ),
        (
            r#"["risk"]"#,
            "GiveUp D114: nothing can be written: `return` wrote no columns: a list or a text is no row",
        ),
        ("{}", "GiveUp D114: nothing can be written: there is no column to write besides the key"),
    ] {
        let result = world.write_one(parcel("bad", &deliver, &order("A1", "1"), written));
        assert_eq!(result, Err(expected.to_owned()), "{written}");
    }
    world.write_one(parcel("p", &deliver, &order("A1", "1"), r#"{"photo":"AP8=","total":"12.50"}"#)).unwrap();
    assert_eq!(world.sql("SELECT photo, total FROM orders WHERE no = 'A1'"), "\\x00ff|12.50");
    assert_eq!(world.sql("SELECT count(*) FROM orders"), "9");
}

#[test]
fn one_that_is_refused_does_not_stop_the_others_of_its_batch() {
    let world = World::new();
    let deliver = update(None, Conflict::Review);
    let parcels: Vec<Parcel> = (0..40)
        .map(|it| {
            let no = format!("A{}", it % 9 + 1);
            let risk = if it % 4 == 3 { "none".to_owned() } else { it.to_string() };
            let written = serde_json::json!({ "risk": risk }).to_string();
            parcel(&format!("m{it}"), &deliver, &order(&no, "1"), &written)
        })
        .collect();
    let results = world.write(&parcels);
    for (at, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), at % 4 == 3, "{at}: {result:?}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM vestibule.written"), "30");
}

#[test]
fn rows_are_added_and_procedures_called() {
    let world = World::new();
    world.sql(
        "CREATE TABLE scores (id int GENERATED ALWAYS AS IDENTITY, no text, risk int); \
         CREATE FUNCTION set_risk(no text, risk int, why text DEFAULT 'none') RETURNS void LANGUAGE sql AS \
             'INSERT INTO scores (no, risk) VALUES (no, risk)'; \
         CREATE PROCEDURE put_risk(no text, INOUT risk int) LANGUAGE plpgsql AS \
             $$BEGIN INSERT INTO scores (no, risk) VALUES (no, risk); END$$;",
    );
    let written = r#"{"no":"A1","risk":"70"}"#;
    for (message, deliver) in [
        ("insert", into(Mode::Insert, "scores")),
        ("function", into(Mode::Call, "set_risk")),
        ("procedure", into(Mode::Call, "public.put_risk")),
    ] {
        for _ in 0..2 {
            world
                .write_one(parcel(message, &deliver, &order("A1", "1"), written))
                .unwrap_or_else(|it| panic!("{message}: {it}"));
        }
    }
    assert_eq!(world.sql("SELECT no, risk FROM scores"), "A1|70\nA1|70\nA1|70");
    for (target, expected) in [
        (
            "nowhere",
            "GiveUp D113: public.nowhere is not as the mapping says: it is not there, or its schema is not ours to use",
        ),
        (
            "put_risk",
            "GiveUp D113: public.put_risk is not as the mapping says: it has no arguments of these names, needs others, or has some without a name",
        ),
    ] {
        let result =
            world.write_one(parcel("x", &into(Mode::Call, target), &order("A1", "1"), r#"{"risk":"1"}"#));
        assert_eq!(result, Err(expected.to_owned()));
    }
    world.sql("ALTER TABLE scores ADD twice int GENERATED ALWAYS AS (risk * 2) STORED");
    let result =
        world.write_one(parcel("y", &into(Mode::Insert, "scores"), &order("A1", "1"), r#"{"twice":"1"}"#));
    assert!(result.unwrap_err().contains("the column \"twice\""));
}

#[test]
fn a_changed_catalogue_is_read_again() {
    let world = World::new();
    let deliver = update(None, Conflict::Review);
    let send =
        |message: &str, written: &str| world.write_one(parcel(message, &deliver, &order("A1", "1"), written));
    send("m1", r#"{"risk":"1"}"#).unwrap();
    world.sql("ALTER TABLE orders ALTER risk TYPE text, ADD fresh int");
    send("m2", r#"{"risk":"high"}"#).unwrap();
    world.sql("ALTER TABLE orders DROP risk");
    let refused = send("m3", r#"{"risk":"high"}"#).unwrap_err();
    assert!(refused.contains("D113") && refused.contains("risk"), "{refused}");
    send("m4", r#"{"fresh":"4"}"#).unwrap();
    world.sql("DROP SCHEMA vestibule CASCADE");
    let refused = send("m5", r#"{"fresh":"5"}"#).unwrap_err();
    assert!(refused.contains("D112") && refused.contains("vestibule db install"), "{refused}");
    assert_eq!(world.sql("SELECT fresh FROM orders WHERE no = 'A1'"), "4");
}

#[test]
fn a_key_that_names_several_rows_changes_none() {
    let world = World::new();
    let deliver = Deliver { key: vec!["version".into()], ..update(None, Conflict::Review) };
    let result = world.write_one(parcel("m", &deliver, &order("A1", "1"), r#"{"risk":"1"}"#));
    assert!(result.unwrap_err().contains("22012"));
    assert_eq!(world.sql("SELECT count(*) FROM orders WHERE risk = 1"), "0");
}

#[test]
fn a_lock_of_the_application_is_waited_for_later_and_does_not_hold_the_others() {
    let world = World::new();
    let deliver = update(None, Conflict::Review);
    let parcels: Vec<Parcel> = ["A1", "A2", "A3"]
        .into_iter()
        .map(|no| parcel(no, &deliver, &order(no, "1"), r#"{"risk":"70"}"#))
        .collect();
    world.runtime.block_on(async {
        let mut line = crate::database::Line::open(&world.settings, "application").await.unwrap();
        let lock = "BEGIN; UPDATE public.orders SET total = 1 WHERE no = 'A1'";
        let limit = Duration::from_secs(5);
        line.run(limit, |client| async move { Ok(client.batch_execute(lock).await?) }).await.unwrap();
        let results = world.returner.hand_back(&parcels).await;
        let fault = results[0].as_ref().unwrap_err();
        assert_eq!(fault.recovery, Recovery::Retry, "{fault:?}");
        assert!(results[1].is_ok() && results[2].is_ok(), "{results:?}");
        line.run(limit, |client| async move { Ok(client.batch_execute("COMMIT").await?) }).await.unwrap();
        let results = world.returner.hand_back(&parcels).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    });
    assert_eq!(world.sql("SELECT total, risk FROM orders WHERE no = 'A1'"), "1.00|70");
}

#[test]
fn a_connection_that_is_cut_before_the_answer_writes_nothing_twice() {
    let world = World::new();
    world.sql(
        "CREATE TABLE counted (n int); CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS \
        $$BEGIN INSERT INTO counted VALUES (new.risk); RETURN new; END$$; \
        CREATE TRIGGER counts BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION counts();",
    );
    let server = Postgres::shared().unwrap().address();
    world.runtime.block_on(async {
        let proxy = Proxy::start(server).unwrap();
        let mut far = Arc::into_inner(settings(&world.url, "postgres")).unwrap();
        far.hosts = vec![Host { name: "127.0.0.1".into(), port: proxy.address().port() }];
        far.timeout = Duration::from_secs(1);
        let returner = PgReturner::new(Arc::new(far));
        let deliver = update(None, Conflict::Review);
        let one = |at: u32| {
            let written = serde_json::json!({ "risk": at.to_string() }).to_string();
            parcel(&format!("m{at}"), &deliver, &order("A1", "1"), &written)
        };
        assert!(returner.hand_back(&[one(0)]).await[0].is_ok());
        for at in 1..8 {
            // The statements arrive; the answer does not.
            proxy.black_hole(Way::ToClient);
            let cut = returner.hand_back(&[one(at)]).await;
            assert_eq!(cut[0].as_ref().unwrap_err().recovery, Recovery::Retry);
            proxy.reset();
            proxy.pass();
            let mut again = returner.hand_back(&[one(at)]).await;
            if again[0].is_err() {
                again = returner.hand_back(&[one(at)]).await;
            }
            assert!(again[0].is_ok(), "{again:?}");
        }
    });
    assert_eq!(world.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM counted"), "0,1,2,3,4,5,6,7");
}

#[test]
fn neither_triggers_nor_the_log_see_what_is_written_back() {
    let world = World::new();
    world.sql(
        "CREATE TABLE events (n int); CREATE FUNCTION capture() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN INSERT INTO events VALUES (1); RETURN NULL; END$$; \
         CREATE TRIGGER vestibule_risk_update AFTER UPDATE ON orders FOR EACH ROW \
         WHEN (current_setting('vestibule.writeback', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION capture(); \
         CREATE PUBLICATION risk FOR TABLE orders;",
    );
    world.sql("SELECT pg_create_logical_replication_slot('risk', 'pgoutput')");
    let deliver = update(None, Conflict::Review);
    for round in 0..10 {
        let parcels: Vec<Parcel> = (0..100)
            .map(|it| {
                let no = format!("A{}", it % 9 + 1);
                parcel(&format!("m{round}-{it}"), &deliver, &order(&no, "1"), r#"{"risk":"1"}"#)
            })
            .collect();
        assert!(world.write(&parcels).iter().all(Result::is_ok));
    }
    world.sql("UPDATE orders SET total = 5 WHERE no = 'A1'");
    assert_eq!(world.sql("SELECT count(*) FROM events"), "1");
    // Every transaction in the log that changes a row carries the mark, but the application's.
    let marked = "SELECT sum((kind = 'M')::int), sum((kind = 'U')::int) FROM (SELECT chr(get_byte(data, 0)) AS kind \
        FROM pg_logical_slot_get_binary_changes('risk', NULL, NULL, 'proto_version', '1', \
        'publication_names', 'risk', 'messages', 'true')) them";
    assert_eq!(world.sql(marked), "1000|1001");
    world.sql("SELECT pg_drop_replication_slot('risk')");
}

#[test]
#[ignore = "a measurement"]
fn how_many_results_are_written_a_second() {
    let world = World::new();
    let deliver = update(None, Conflict::Review);
    world.sql("INSERT INTO orders (no) SELECT 'B' || it FROM generate_series(1, 20000) it");
    for size in [1_usize, 16, 64, 256] {
        let began = std::time::Instant::now();
        let mut count = 0_usize;
        world.runtime.block_on(async {
            while began.elapsed() < Duration::from_secs(2) {
                let parcels: Vec<Parcel> = (0..size)
                    .map(|it| {
                        let at = count + it;
                        let no = format!("B{}", at % 20_000 + 1);
                        parcel(&format!("{size}-{at}"), &deliver, &order(&no, "1"), r#"{"risk":"1"}"#)
                    })
                    .collect();
                assert!(world.returner.hand_back(&parcels).await.iter().all(Result::is_ok));
                count += size;
            }
        });
        println!("{size} at once: {:.0} results/s", count as f64 / began.elapsed().as_secs_f64());
    }
}
