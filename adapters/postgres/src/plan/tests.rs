//! Scripts against a server of our own, run by a DBA who is no superuser.

use std::{process::Command, sync::Arc, time::Duration};

use vestibule_core::ports::Scripts;
use vestibule_testkit::postgres::Postgres;

use super::{
    of_parts,
    part::{Deliver, Part, Way},
};
use crate::database::{
    Capture, Line, Overflow, Receive, Relation, Settings, Unchanged,
    tests::{run, settings},
};

const LIMIT: Duration = Duration::from_secs(30);
const TABLE: &str = "CREATE TABLE orders (no text PRIMARY KEY, total numeric(12,2), paid boolean, code char(4), at timestamptz, \
                     twice numeric GENERATED ALWAYS AS (total * 2) STORED, note text, risk text, version int)";

/// A capture of `public.orders`.
pub(crate) fn receive(capture: Capture) -> Receive {
    let words = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    Receive {
        flow: "order-risk".into(),
        table: Relation { schema: "public".into(), name: "orders".into() },
        capture,
        key: words(&["no"]),
        columns: words(&["no", "total", "paid", "code", "at"]),
        condition: None,
        schema: "vestibule".into(),
        unchanged: Unchanged::Before,
        initial: false,
        backlog: 1_000_000,
        overflow: Overflow::Alarm,
        slot: "vestibule_order_risk".into(),
        publication: "vestibule_order_risk".into(),
        wal_budget: 1_000_000_000,
        unlimited: false,
        poll: Duration::from_secs(1),
        purge: 5000,
    }
}

fn deliver() -> Part {
    Part::Deliver(Deliver {
        flow: "order-risk".into(),
        schema: "vestibule".into(),
        table: Relation { schema: "public".into(), name: "orders".into() },
        write: Way::Update,
        columns: vec!["risk".into()],
        compared: vec!["no".into(), "version".into()],
    })
}

/// A cluster with a DBA, an application and our user, none of them a superuser.
struct Site {
    kit: Postgres,
    url: String,
}

impl Site {
    fn new() -> Self {
        let kit = Postgres::start(&[]).unwrap();
        let url = kit.database().unwrap();
        let database = url.rsplit_once('/').unwrap().1;
        kit.sql(
            "postgres",
            &format!(
                "CREATE ROLE dba LOGIN CREATEROLE; CREATE ROLE clerk LOGIN; CREATE ROLE app LOGIN REPLICATION; GRANT CREATE ON \
                 DATABASE {database} TO dba"
            ),
        )
        .unwrap();
        kit.sql(&url, "GRANT CREATE ON SCHEMA public TO dba").unwrap();
        let site = Self { kit, url };
        site.by("dba", TABLE).unwrap();
        site.by("dba", "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON orders TO clerk").unwrap();
        site
    }

    fn settings(&self, user: &str) -> Arc<Settings> {
        settings(&self.url, user)
    }

    /// Runs this as this user.
    fn by(&self, user: &str, sql: &str) -> Result<(), String> {
        let (settings, sql) = (self.settings(user), sql.to_owned());
        run(async {
            let mut line = Line::open_for_writing(&settings, "test").await.map_err(|it| it.to_string())?;
            let done = line.run(LIMIT, |client| async move { Ok(client.batch_execute(&sql).await?) });
            done.await.map_err(|it| it.to_string())
        })
    }

    fn seen(&self, sql: &str) -> String {
        self.kit.sql(&self.url, sql).unwrap()
    }

    fn catalogue(&self) -> String {
        let dump = |program: &str, arguments: &[&str]| {
            let output = Command::new("/usr/bin/env")
                .arg(program)
                .args(arguments)
                .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.kit.address().port().to_string()])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            // Newer versions write a word that is new each time.
            text.lines().filter(|it| !it.contains("restrict ")).collect::<Vec<_>>().join("\n")
        };
        let database = self.url.rsplit_once('/').unwrap().1;
        dump("pg_dump", &["-s", "-d", database]) + &dump("pg_dumpall", &["--roles-only"])
    }
}

fn scripts(parts: &[Part]) -> Scripts {
    of_parts(parts, "app").unwrap()
}

#[test]
fn an_installation_is_whole_and_its_removal_leaves_nothing() {
    let site = Site::new();
    let before = site.catalogue();
    for capture in [Capture::Trigger, Capture::Log, Capture::Snapshot] {
        let scripts = scripts(&[Part::Receive(receive(capture)), deliver()]);
        for _ in 0..2 {
            site.by("dba", &scripts.install).unwrap();
        }
        let verified = site.seen(&scripts.verify);
        assert!(!verified.contains("missing") && verified.lines().count() > 5, "{capture:?}\n{verified}");
        assert_ne!(site.catalogue(), before);
        for _ in 0..2 {
            site.by("dba", &scripts.uninstall).unwrap();
        }
        assert_eq!(site.catalogue(), before, "{capture:?}");
    }
}

#[test]
fn two_flows_on_one_table_do_not_take_each_other_away() {
    let site = Site::new();
    let before = site.catalogue();
    let mut other = receive(Capture::Trigger);
    other.flow = "second".into();
    let (one, other) =
        (scripts(&[Part::Receive(receive(Capture::Trigger))]), scripts(&[Part::Receive(other)]));
    site.by("dba", &one.install).unwrap();
    site.by("dba", &other.install).unwrap();
    site.by("dba", &one.uninstall).unwrap();
    assert!(!site.seen(&other.verify).contains("missing"));
    site.by("clerk", "INSERT INTO orders (no) VALUES ('1')").unwrap();
    assert_eq!(site.seen("SELECT count(*) FROM vestibule.outbox"), "1");
    site.by("dba", "DELETE FROM orders").unwrap();
    site.by("dba", &other.uninstall).unwrap();
    assert_eq!(site.catalogue(), before);
}

#[test]
fn every_change_is_written_down_as_the_database_spells_it() {
    let site = Site::new();
    site.by("dba", &scripts(&[Part::Receive(receive(Capture::Trigger))]).install).unwrap();
    for sql in [
        "SET datestyle = 'German'; SET timezone = 'Asia/Tokyo'; INSERT INTO orders (no, total, paid, code, at) VALUES ('a', 1.50, \
         true, 'x', '2026-01-31 13:45:10.25+01'), ('b', NULL, false, NULL, 'infinity')",
        "UPDATE orders SET no = CASE no WHEN 'a' THEN 'b2' ELSE 'a2' END, total = 2",
        "DELETE FROM orders WHERE no = 'b2'",
        "TRUNCATE orders",
        "BEGIN; SET LOCAL vestibule.writeback = 'on'; INSERT INTO orders (no) VALUES ('ours'); COMMIT",
        "UPDATE orders SET total = 1 WHERE false",
    ] {
        site.by("clerk", sql).unwrap();
    }
    let seen = site.seen("SELECT op, before, after FROM vestibule.outbox ORDER BY id");
    let expected = "\
i||{a,1.50,t,\"x   \",\"2026-01-31 12:45:10.25+00\"}
i||{b,NULL,f,NULL,infinity}
u|{a,1.50,t,\"x   \",\"2026-01-31 12:45:10.25+00\"}|{b2,2.00,t,\"x   \",\"2026-01-31 12:45:10.25+00\"}
u|{b,NULL,f,NULL,infinity}|{a2,2.00,f,NULL,infinity}
d|{b2,2.00,t,\"x   \",\"2026-01-31 12:45:10.25+00\"}|
t||";
    assert_eq!(seen, expected);
    let types = site.seen("SELECT types FROM vestibule.capture");
    assert_eq!(types, "{text,\"numeric(12,2)\",boolean,character(4),\"timestamp with time zone\"}");
}

#[test]
fn a_condition_and_odd_names_are_kept() {
    let site = Site::new();
    site.by("dba", "CREATE SCHEMA \"o;d\"; CREATE TABLE \"o;d\".\"T'a\"\"b %s\" (\"k $vestibule$\" int, \"Grüße; --\" text, tg_op text); GRANT ALL ON SCHEMA \"o;d\" TO clerk; GRANT ALL ON ALL TABLES IN SCHEMA \"o;d\" TO clerk").unwrap();
    let before = site.catalogue();
    let mut odd = receive(Capture::Trigger);
    odd.table = Relation { schema: "o;d".into(), name: "T'a\"b %s".into() };
    odd.flow = format!("f'%s\" {}", "ö".repeat(40));
    odd.schema = "Our \"own\" %I".into();
    odd.key = Vec::new();
    odd.columns = vec!["k $vestibule$".into(), "Grüße; --".into(), "tg_op".into()];
    odd.condition = Some("tg_op = 'it''s (open'".into());
    let scripts = scripts(&[Part::Receive(odd)]);
    site.by("dba", &scripts.install).unwrap();
    assert!(!site.seen(&scripts.verify).contains("missing"));
    let table = "\"o;d\".\"T'a\"\"b %s\"";
    for sql in [
        format!("INSERT INTO {table} VALUES (1, 'a', 'it''s (open'), (2, 'b', 'closed')"),
        format!("UPDATE {table} SET tg_op = 'it''s (open'"),
        format!("DELETE FROM {table}"),
    ] {
        site.by("clerk", &sql).unwrap();
    }
    assert_eq!(
        site.seen("SELECT string_agg(op::text, '' ORDER BY id) FROM \"Our \"\"own\"\" %I\".outbox"),
        "iuudd"
    );
    site.by("dba", &scripts.uninstall).unwrap();
    assert_eq!(site.catalogue(), before);
}

#[test]
fn the_application_never_fails_for_us() {
    let site = Site::new();
    let install = scripts(&[Part::Receive(receive(Capture::Trigger))]).install;
    let work = "INSERT INTO orders (no) VALUES ('1') ON CONFLICT DO NOTHING; UPDATE orders SET version = 1; DELETE FROM orders; \
                TRUNCATE orders";
    for (what, breaks, mends) in [
        ("renamed", "ALTER TABLE orders RENAME code TO kode", "ALTER TABLE orders RENAME kode TO code"),
        (
            "retyped",
            "ALTER TABLE orders ALTER total TYPE text",
            "ALTER TABLE orders DROP COLUMN twice, ALTER total TYPE numeric(12,2) USING total::numeric",
        ),
        (
            "no privilege",
            "REVOKE INSERT ON vestibule.outbox FROM vestibule_owner",
            "GRANT INSERT ON vestibule.outbox TO vestibule_owner",
        ),
        ("dropped", "ALTER TABLE orders DROP COLUMN code", "ALTER TABLE orders ADD code char(4)"),
        ("no outbox", "DROP TABLE vestibule.outbox", ""),
        ("nothing at all", "DROP SEQUENCE vestibule.missed", ""),
    ] {
        site.by("dba", &install).unwrap();
        // Its generated column keeps a type from being changed.
        if what == "retyped" {
            site.by("dba", "ALTER TABLE orders DROP COLUMN twice").unwrap();
        }
        site.seen(breaks);
        site.by("clerk", work).unwrap_or_else(|error| panic!("{what}: {error}"));
        if what == "dropped" || what == "renamed" {
            assert!(site.seen("SELECT op, note FROM vestibule.outbox").contains("x|42703"), "{what}");
        }
        if what == "no outbox" {
            assert_eq!(site.seen("SELECT last_value FROM vestibule.missed"), "8"); // Four statements with no privilege, four without an outbox.
        }
        if what == "retyped" {
            site.by("dba", "ALTER TABLE orders ALTER total TYPE numeric(12,2) USING total::numeric").unwrap();
        } else if !mends.is_empty() {
            site.seen(mends);
        }
    }
}

#[test]
fn a_locked_outbox_holds_the_application_for_a_moment_only() {
    let site = Site::new();
    site.by("dba", &scripts(&[Part::Receive(receive(Capture::Trigger))]).install).unwrap();
    let (holder, clerk) = (site.settings("postgres"), site.settings("clerk"));
    run(async {
        let mut holder = Line::open(&holder, "holder").await.unwrap();
        let lock = "BEGIN; LOCK vestibule.outbox";
        holder.run(LIMIT, |client| async move { Ok(client.batch_execute(lock).await?) }).await.unwrap();
        let mut line = Line::open_for_writing(&clerk, "clerk").await.unwrap();
        let begun = std::time::Instant::now();
        let insert = "INSERT INTO orders (no) VALUES ('1')";
        line.run(LIMIT, |client| async move { Ok(client.batch_execute(insert).await?) }).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    });
    assert_eq!(site.seen("SELECT last_value, is_called FROM vestibule.missed"), "1|t");
}

#[test]
fn partitions_are_captured_however_they_are_named() {
    let site = Site::new();
    site.by("dba", "CREATE TABLE parts (no int, total int) PARTITION BY RANGE (no); CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF parts FOR VALUES FROM (10) TO (20)").unwrap();
    let before = site.catalogue();
    let mut parts = receive(Capture::Trigger);
    parts.table.name = "parts".into();
    parts.columns = vec!["no".into(), "total".into()];
    let scripts = scripts(&[Part::Receive(parts)]);
    site.by("dba", &scripts.install).unwrap();
    site.by("dba", "INSERT INTO parts VALUES (1, 1), (11, 1); INSERT INTO p1 VALUES (2, 2); UPDATE parts SET no = no + 10 WHERE no = 1; DELETE FROM p2; TRUNCATE parts").unwrap();
    let seen = site.seen("SELECT string_agg(op::text, '' ORDER BY id) FROM vestibule.outbox");
    assert_eq!(seen, "iiiuddt", "{}", site.seen("SELECT op, before, after FROM vestibule.outbox"));
    site.by("dba", &scripts.uninstall).unwrap();
    assert_eq!(site.catalogue(), before);
}

#[test]
fn what_would_break_the_application_is_refused() {
    let site = Site::new();
    site.by("dba", "CREATE TABLE keyless (no text); CREATE TABLE whole (no text PRIMARY KEY, a int); ALTER TABLE whole REPLICA IDENTITY FULL").unwrap();
    let before = site.catalogue();
    let table = |name: &str, columns: &[&str], capture| {
        let mut it = receive(capture);
        it.table.name = name.into();
        it.columns = columns.iter().map(|it| (*it).to_owned()).collect();
        it.key = Vec::new();
        it
    };
    for (receive, expected) in [
        (table("keyless", &["no"], Capture::Log), "public.keyless has no replica identity"),
        (table("whole", &["no"], Capture::Log), "REPLICA IDENTITY FULL"),
        (table("orders", &["total"], Capture::Log), "must have those of its key: no"),
        (
            table("orders", &["no", "twice"], Capture::Log),
            "generated columns of public.orders are not in the log: twice",
        ),
        (table("nowhere", &["no"], Capture::Trigger), "there is no table public.nowhere"),
        (table("orders", &["no", "Total"], Capture::Trigger), "public.orders has no column \"Total\""),
    ] {
        let refused = site.by("dba", &scripts(&[Part::Receive(receive)]).install).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(site.catalogue(), before);
    }
}

#[test]
fn a_published_table_takes_every_statement() {
    let site = Site::new();
    site.by("dba", &scripts(&[Part::Receive(receive(Capture::Log))]).install).unwrap();
    site.by("clerk", "INSERT INTO orders (no) VALUES ('1'); UPDATE orders SET no = '2'; DELETE FROM orders; TRUNCATE orders").unwrap();
}

#[test]
fn preflight_and_status_say_what_is_missing_and_change_nothing() {
    let site = Site::new();
    site.by("dba", "CREATE SCHEMA closed; CREATE TABLE closed.orders (LIKE orders INCLUDING ALL)").unwrap();
    let before = site.catalogue();
    let mut closed = receive(Capture::Trigger);
    closed.table.schema = "closed".into();
    let parts = [Part::Receive(closed), Part::Receive(receive(Capture::Log)), deliver()];
    let settings = site.settings("app");
    let look = || {
        run(async {
            let mut line = Line::open(&settings, "test").await.unwrap();
            let advice = super::preflight::run(&mut line, &parts, &settings).await.unwrap();
            let mut states = Vec::new();
            for part in &parts {
                states.push(super::status::of(&mut line, part, LIMIT).await.unwrap().state);
            }
            (advice.iter().map(|it| it.topic).collect::<Vec<_>>(), states)
        })
    };
    let (topics, states) = look();
    for topic in ["not-installed", "trigger-cost", "slot-limit", "slots", "replication-role"] {
        assert!(topics.contains(&topic), "{topic}: {topics:?}");
    }
    assert_eq!(states, ["missing", "missing", "missing"]);
    assert_eq!(site.catalogue(), before);
    site.by("dba", &scripts(&parts).install).unwrap();
    let (topics, states) = look();
    assert!(!topics.contains(&"not-installed"), "{topics:?}");
    assert_eq!(states, ["ok", "missing", "ok"]);
    site.by("dba", "ALTER TABLE closed.orders DISABLE TRIGGER ALL").unwrap();
    assert_eq!(look().1, ["missing", "missing", "ok"]);
}
