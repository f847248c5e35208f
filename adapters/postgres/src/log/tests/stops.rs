//! What ends a stream, and what it costs others while it runs.

use vestibule_core::fault::Recovery;
use vestibule_testkit::proxy::Proxy;

use super::*;
use crate::{
    database::{settings::Host, tests::run},
    settings::{Password, Tls},
    tls,
};

fn orders(kit: &Postgres, flow: &str) -> (String, Bench) {
    let url = kit.database().unwrap();
    let of = receive(flow, "orders", &["no"], &["no", "note"]);
    kit.sql(&url, "CREATE TABLE orders (no int PRIMARY KEY, note text)").unwrap();
    install(kit, &url, &of);
    let bench = Bench::new(&url, of);
    (url, bench)
}

async fn refusal(bench: &Bench) -> Fault {
    match bench.open().await {
        Ok(_) => panic!("it opens"),
        Err(fault) => fault,
    }
}

/// Opens it, handles one row and closes it.
async fn begin(kit: &Postgres, url: &str, bench: &Bench) {
    let mut intake = bench.open().await.unwrap();
    kit.sql(url, "INSERT INTO orders VALUES (1, 'first')").unwrap();
    take(&mut *intake, 1).await;
}

/// Drops the slot, which a walsender may hold for a moment.
fn drop_slot(kit: &Postgres, url: &str, slot: &str) {
    for _ in 0..100 {
        if kit.sql(url, &format!("SELECT pg_drop_replication_slot('{slot}')")).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the slot {slot} stays");
}

#[test]
fn a_slot_that_is_gone_moved_or_made_anew_stops_until_a_person_says_go_on() {
    let kit = shared();
    for (flow, said) in [
        ("gone", "is not there any more"),
        ("anew", "was moved or made anew"),
        ("moved", "was moved or made anew"),
    ] {
        let (url, bench) = orders(kit, flow);
        let slot = bench.receive.slot.clone();
        run(async {
            begin(kit, &url, &bench).await;
            kit.sql(
                &url,
                "INSERT INTO orders VALUES (2, 'missed'); UPDATE orders SET note = 'missed too' WHERE no = 1",
            )
            .unwrap();
            if flow == "moved" {
                std::thread::sleep(Duration::from_millis(300));
                kit.sql(&url, &format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"))
                    .unwrap();
            } else {
                drop_slot(kit, &url, &slot);
            }
            if flow == "anew" {
                kit.sql(&url, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
                    .unwrap();
            }
            let fault = refusal(&bench).await;
            assert_eq!(fault.recovery, Recovery::GiveUp, "{flow}");
            assert!(fault.message.contains(said) && fault.message.contains("db resync"), "{}", fault.message);
            assert!(
                fault.message.contains(" from 0/") && fault.message.contains(" to 0/"),
                "{}",
                fault.message
            );
            kit.sql(&url, &format!("INSERT INTO vestibule.signal (flow, kind) VALUES ('{flow}', 'resume')"))
                .unwrap();
            let mut intake = bench.open().await.unwrap();
            let mut rows = HashMap::new();
            take(&mut *intake, 2).await.iter().for_each(|(_, it)| apply(&mut rows, it, "no"));
            let notes: Vec<String> = ["1", "2"].map(|it| text(&rows[it], "note")).into();
            assert_eq!(notes, ["missed too", "missed"], "{flow}");
            kit.sql(&url, "DELETE FROM orders WHERE no = 1").unwrap();
            assert_eq!(take(&mut *intake, 1).await[0].1.op, Op::Delete);
            assert_eq!(
                kit.sql(&url, "SELECT count(*) FROM vestibule.signal WHERE done IS NULL").unwrap(),
                "0"
            );
        });
    }
}

#[test]
fn a_column_that_is_retyped_or_gone_stops_the_flow_and_a_new_one_does_not() {
    let kit = shared();
    for (flow, change, said) in [
        ("retyped", "ALTER TABLE orders ALTER note TYPE varchar(20)", "has another type"),
        ("dropped", "ALTER TABLE orders DROP note", "is not in the log any more"),
    ] {
        let (url, bench) = orders(kit, flow);
        run(async {
            let mut intake = bench.open().await.unwrap();
            kit.sql(&url, "INSERT INTO orders VALUES (1, 'a'); ALTER TABLE orders ADD more int; INSERT INTO orders VALUES (2, 'b', 3)").unwrap();
            assert_eq!(take(&mut *intake, 2).await.len(), 2);
            kit.sql(&url, &format!("{change}; INSERT INTO orders (no) VALUES (3)")).unwrap();
            for round in 0..2 {
                let fault = loop {
                    match intake.next(10).await {
                        Ok(batch) => assert!(batch.is_empty(), "{flow}"),
                        Err(fault) => break fault,
                    }
                };
                assert_eq!(fault.recovery, Recovery::GiveUp, "{flow}");
                assert!(
                    fault.message.contains("\"note\"") && fault.message.contains(said),
                    "{}",
                    fault.message
                );
                if round == 0 {
                    drop(intake);
                    intake = bench.open().await.unwrap();
                } else {
                    break;
                }
            }
        });
    }
}

#[test]
fn a_server_without_a_limit_for_slots_is_refused() {
    let kit = Postgres::start(&[]).unwrap();
    let (_, mut bench) = orders(&kit, "limits");
    run(async {
        let fault = refusal(&bench).await;
        assert!(fault.message.contains("unlimited: yes"), "{}", fault.message);
        bench.receive.unlimited = true;
        bench.open().await.unwrap();
        bench.receive.publication = "another".into();
        let fault = refusal(&bench).await;
        assert!(fault.message.contains("db install"), "{}", fault.message);
    });
}

#[test]
fn an_idle_table_beside_a_busy_one_holds_no_log() {
    let kit = shared();
    let (url, bench) = orders(kit, "quiet");
    kit.sql(&url, "CREATE TABLE busy (i int, t text)").unwrap();
    run(async {
        let mut intake = bench.open().await.unwrap();
        for _ in 0..10 {
            kit.sql(&url, "INSERT INTO busy SELECT i, repeat('x', 500) FROM generate_series(1, 10000) i")
                .unwrap();
            idle(&mut *intake, Duration::from_millis(100)).await;
        }
        idle(&mut *intake, Duration::from_millis(1500)).await;
        let held = kit
            .sql(&url, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint FROM pg_replication_slots WHERE slot_name = 'vestibule_quiet'")
            .unwrap();
        let written = kit.sql(&url, "SELECT pg_total_relation_size('busy') > 40000000").unwrap();
        assert_eq!(written, "t");
        assert!(held.parse::<u64>().unwrap() < 1_000_000, "{held}");
    });
}

#[test]
fn unchanged_long_values_come_from_the_row_before_or_the_table_or_stay_unsaid() {
    let kit = shared();
    for (flow, unchanged, identity, expected) in [
        ("toast1", Unchanged::Before, "DEFAULT", "Some(Unchanged)"),
        ("toast2", Unchanged::Before, "FULL", "long"),
        ("toast3", Unchanged::Read, "DEFAULT", "long"),
        ("toast4", Unchanged::Finding, "FULL", "Some(Unchanged)"),
    ] {
        let (url, mut bench) = orders(kit, flow);
        bench.receive.unchanged = unchanged;
        kit.sql(
            &url,
            &format!(
                "ALTER TABLE orders ADD n int, ALTER note SET STORAGE EXTERNAL, REPLICA IDENTITY {identity}"
            ),
        )
        .unwrap();
        run(async {
            let mut intake = bench.open().await.unwrap();
            kit.sql(&url, "INSERT INTO orders VALUES (1, repeat('long', 5000), 0); UPDATE orders SET n = 1")
                .unwrap();
            let found = take(&mut *intake, 2).await;
            let note = text(found[1].1.after.as_ref().unwrap(), "note");
            assert!(note.starts_with(expected), "{flow}: {}", &note[..note.len().min(40)]);
        });
    }
}

#[test]
fn a_value_that_is_too_long_is_a_finding_and_the_stream_goes_on() {
    let kit = shared();
    let (url, bench) = orders(kit, "long");
    run(async {
        let mut intake = bench.open().await.unwrap();
        kit.sql(
            &url,
            "INSERT INTO orders VALUES (1, repeat('x', 9000000)), (2, repeat('x', 40000000)), (3, 'short')",
        )
        .unwrap();
        let found = take(&mut *intake, 3).await;
        let notes: Vec<String> =
            found.iter().map(|(_, it)| text(it.after.as_ref().unwrap(), "note")).collect();
        assert!(notes[0].contains("too long") && notes[1].contains("too long"), "{notes:?}");
        assert_eq!(notes[2], "short");
    });
}

#[test]
fn cuts_of_the_connection_lose_nothing_and_change_no_name() {
    let kit = shared();
    let (url, mut bench) = orders(kit, "cuts");
    run(async {
        // Makes the slot.
        drop(bench.open().await.unwrap());
        let proxy = Proxy::start(kit.address()).unwrap();
        let direct = settings(&url, "postgres");
        bench.settings = Arc::new(Settings {
            name: direct.name.clone(),
            hosts: vec![Host { name: "127.0.0.1".into(), port: proxy.address().port() }],
            database: direct.database.clone(),
            user: direct.user.clone(),
            password: None,
            tls: Tls::Off,
            client: direct.client.clone(),
            timeout: Duration::from_secs(5),
            target: direct.target,
        });
        for first in 0..20 {
            kit.sql(
                &url,
                &format!(
                    "INSERT INTO orders SELECT i, 'n' || i FROM generate_series({}, {}) i",
                    first * 100,
                    first * 100 + 99
                ),
            )
            .unwrap();
        }
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut cut = 5_000;
        while seen.len() < 2_000 {
            proxy.cut_after(cut);
            cut += 1_777;
            let Ok(Ok(mut intake)) = timeout(
                PATIENCE,
                LogSource::new(&bench.settings, bench.receive.clone(), None).open(bench.kept.clone()),
            )
            .await
            else {
                continue;
            };
            while seen.len() < 2_000 {
                let Ok(batch) = intake.next(50).await else { break };
                let mut settled = Vec::new();
                for received in batch {
                    let no = text(change(&received).after.as_ref().unwrap(), "no");
                    if let Some(before) = seen.insert(key(&received), no.clone()) {
                        assert_eq!(before, no);
                    }
                    settled.push((received.receipt, Settlement::Accepted));
                }
                if intake.settle(settled).await.is_err() {
                    break;
                }
            }
        }
        let numbers: std::collections::HashSet<&String> = seen.values().collect();
        assert_eq!(numbers.len(), 2_000);
    });
}

#[test]
fn a_password_is_proven_by_scram_and_a_wrong_one_is_refused() {
    let kit = shared();
    let (url, mut bench) = orders(kit, "scram");
    kit.sql(&url, "CREATE ROLE secrets; CREATE ROLE keeper LOGIN REPLICATION SUPERUSER PASSWORD 'päss word' IN ROLE secrets").unwrap();
    let with = |password: Option<&str>| {
        let it = settings(&url, "keeper");
        Arc::new(Settings {
            name: it.name.clone(),
            hosts: vec![Host { name: "127.0.0.1".into(), port: 1 }, it.hosts[0].clone()],
            database: it.database.clone(),
            user: it.user.clone(),
            password: password.map(Password::new),
            tls: Tls::Off,
            client: it.client.clone(),
            timeout: it.timeout,
            target: it.target,
        })
    };
    run(async {
        bench.settings = with(Some("päss word"));
        begin(kit, &url, &bench).await;
        for password in [Some("another"), None] {
            bench.settings = with(password);
            let fault = refusal(&bench).await;
            assert!(!fault.message.contains("another"), "{}", fault.message);
        }
    });
}

#[test]
fn tls_checks_the_certificate_and_its_name() {
    let kit = Postgres::encrypted().unwrap();
    let (url, mut bench) = orders(&kit, "tls");
    bench.receive.unlimited = true;
    let pem = std::fs::read(kit.directory().join("ca.pem")).unwrap();
    let with = |host: &str, tls: Tls| {
        let it = settings(&url, "postgres");
        Arc::new(Settings {
            name: it.name.clone(),
            hosts: vec![Host { name: host.into(), port: it.hosts[0].port }],
            database: it.database.clone(),
            user: it.user.clone(),
            password: None,
            tls,
            client: tls::rules(tls, Some(&pem)).unwrap(),
            timeout: it.timeout,
            target: it.target,
        })
    };
    run(async {
        bench.settings = with("localhost", Tls::Verify);
        begin(&kit, &url, &bench).await;
        bench.settings = with("127.0.0.1", Tls::Verify);
        assert!(refusal(&bench).await.message.contains("certificate"));
        bench.settings = with("127.0.0.1", Tls::Require);
        bench.open().await.unwrap();
    });
}

#[test]
fn a_server_that_is_killed_goes_on_where_it_was_by_the_same_names() {
    let kit = server();
    let (url, bench) = orders(&kit, "killed");
    run(async {
        let mut intake = bench.open().await.unwrap();
        let mut seen: HashMap<String, String> = HashMap::new();
        for round in 0..5 {
            kit.sql(
                &url,
                &format!(
                    "INSERT INTO orders SELECT i FROM generate_series({}, {}) i",
                    round * 1000,
                    round * 1000 + 999
                ),
            )
            .unwrap();
            let batch = intake.next(300).await.unwrap();
            let mut settled = Vec::new();
            for (at, received) in batch.into_iter().enumerate() {
                let no = text(change(&received).after.as_ref().unwrap(), "no");
                assert!(seen.insert(key(&received), no.clone()).is_none_or(|it| it == no));
                if at % 2 == 0 {
                    settled.push((received.receipt, Settlement::Accepted));
                }
            }
            intake.settle(settled).await.unwrap();
            kit.kill().unwrap();
            let ended = timeout(PATIENCE, async { while intake.next(100).await.is_ok() {} }).await;
            assert!(ended.is_ok(), "nobody noticed");
            kit.up().unwrap();
            intake = bench.open().await.unwrap();
        }
        while seen.len() < 5000 {
            for (name, change) in take(&mut *intake, 1).await {
                let no = text(change.after.as_ref().unwrap(), "no");
                assert!(seen.insert(name, no.clone()).is_none_or(|it| it == no));
            }
        }
        let numbers: std::collections::HashSet<&String> = seen.values().collect();
        assert_eq!(numbers.len(), 5000);
        idle(&mut *intake, Duration::from_millis(300)).await;
    });
}
