//! Connections against a server of our own.

use std::{sync::Arc, time::Duration};

use vestibule_testkit::postgres::Postgres;

use super::{
    Line, Relation, Settings,
    quote::{identifier, literal},
    settings::{Host, Target},
};
use crate::{error::Trouble, settings::Tls, tls};

const LIMIT: Duration = Duration::from_secs(10);

/// Settings for the database of this URL of the kit, as this user.
pub(crate) fn settings(url: &str, user: &str) -> Arc<Settings> {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let port = config.get_ports()[0];
    Arc::new(Settings {
        name: "orders_db".into(),
        hosts: vec![Host { name: "127.0.0.1".into(), port }],
        database: config.get_dbname().unwrap().into(),
        user: user.into(),
        password: None,
        tls: Tls::Off,
        client: tls::rules(Tls::Off, None).unwrap(),
        timeout: Duration::from_secs(10),
        target: Target::Primary,
    })
}

/// Runs a future to its end.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn text(line: &mut Line, sql: &str) -> Result<String, Trouble> {
    line.run(LIMIT, |client| async move { Ok(client.query_one(sql, &[]).await?.get::<_, String>(0)) }).await
}

#[test]
fn a_line_spells_values_in_one_way() {
    let kit = Postgres::shared().unwrap();
    let url = kit.database().unwrap();
    kit.sql(&url, "CREATE ROLE odd LOGIN; ALTER ROLE odd SET datestyle = 'German'; ALTER ROLE odd SET timezone = 'Asia/Tokyo'")
        .unwrap();
    run(async {
        let mut line = Line::open(&settings(&url, "odd"), "test").await.unwrap();
        assert!(line.version() >= 13);
        let spelt = text(
            &mut line,
            "SELECT concat(timestamptz '2026-01-31 13:45:10.25+01', ' ', interval '1 day 2 h')",
        )
        .await;
        assert_eq!(spelt.unwrap(), "2026-01-31 12:45:10.25+00 P1DT2H");
        assert_eq!(
            text(&mut line, "SELECT current_setting('application_name')").await.unwrap(),
            "vestibule test"
        );
        let mut writing = Line::open_for_writing(&settings(&url, "odd"), "test").await.unwrap();
        assert_eq!(text(&mut writing, "SELECT current_setting('datestyle')").await.unwrap(), "German, DMY");
    });
}

#[test]
fn the_next_host_is_tried_and_a_silent_one_does_not_hang() {
    let kit = Postgres::shared().unwrap();
    let url = kit.database().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut several = Arc::into_inner(settings(&url, "postgres")).unwrap();
    several.timeout = Duration::from_secs(1);
    several.hosts.insert(0, Host { name: "127.0.0.1".into(), port: silent.local_addr().unwrap().port() });
    several.hosts.insert(0, Host { name: "127.0.0.1".into(), port: 1 });
    run(async { Line::open(&Arc::new(several), "test").await.map(drop).unwrap() });
}

#[test]
fn a_notification_is_heard_also_when_it_came_during_work() {
    let kit = Postgres::shared().unwrap();
    let url = kit.database().unwrap();
    run(async {
        let mut line = Line::open(&settings(&url, "postgres"), "test").await.unwrap();
        line.run(LIMIT, |client| async { Ok(client.batch_execute("LISTEN x").await?) }).await.unwrap();
        assert!(!line.heard(Duration::from_millis(50)).await.unwrap());
        line.run(LIMIT, |client| async { Ok(client.batch_execute("NOTIFY x").await?) }).await.unwrap();
        text(&mut line, "SELECT 'some more work'").await.unwrap();
        assert!(line.heard(Duration::from_secs(5)).await.unwrap());
        assert!(!line.heard(Duration::from_millis(50)).await.unwrap());
    });
}

#[test]
fn what_is_quoted_comes_back_as_it_was() {
    let kit = Postgres::shared().unwrap();
    let url = kit.database().unwrap();
    let words = [
        "a",
        "A b",
        "x\"y",
        "it's",
        "back\\slash",
        "E'",
        "Straße 💥",
        "$$",
        "--",
        "/*",
        "; DROP TABLE a",
        "\u{1}\n\t",
        "\u{202e}",
    ];
    let long = "ä".repeat(31);
    run(async {
        let mut line = Line::open(&settings(&url, "postgres"), "test").await.unwrap();
        for strings in ["on", "off"] {
            let set = format!("SET standard_conforming_strings = {strings}; SET backslash_quote = on");
            line.run(LIMIT, |client| async move { Ok(client.batch_execute(&set).await?) }).await.unwrap();
            for word in words.iter().copied().chain([&*long]) {
                let sql = format!("SELECT {} || '' AS {}", literal(word).unwrap(), identifier(word).unwrap());
                let (name, value) = line
                    .run(LIMIT, |client| async move {
                        let row = client.query_one(&sql, &[]).await?;
                        Ok((row.columns()[0].name().to_owned(), row.get::<_, String>(0)))
                    })
                    .await
                    .unwrap();
                assert_eq!((&*name, &*value), (word, word));
            }
        }
        let table = Relation { schema: "od\"d".into(), name: "ta.ble; --".into() };
        let sql = format!("CREATE SCHEMA \"od\"\"d\"; CREATE TABLE {} (a int)", table.quoted());
        line.run(LIMIT, |client| async move { Ok(client.batch_execute(&sql).await?) }).await.unwrap();
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_ends_its_quotes(words in proptest::collection::vec("[^\\x00]{1,15}", 40)) {
        let kit = Postgres::shared().unwrap();
        let found = run(async {
            let mut line = Line::open(&settings(&kit.url("postgres"), "postgres"), "test").await.unwrap();
            let columns: Vec<String> =
                words.iter().map(|it| format!("{} AS {}", literal(it).unwrap(), identifier(it).unwrap())).collect();
            let sql = format!("SELECT {}", columns.join(", "));
            line.run(LIMIT, |client| async move {
                let row = client.query_one(&sql, &[]).await?;
                Ok((0..row.len()).map(|at| (row.columns()[at].name().to_owned(), row.get::<_, String>(at))).collect::<Vec<_>>())
            }).await.unwrap()
        });
        for (word, (name, value)) in words.iter().zip(found) {
            proptest::prop_assert_eq!((&*name, &*value), (&**word, &**word));
        }
    }
}
