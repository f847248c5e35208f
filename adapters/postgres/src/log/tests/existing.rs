//! Rows that are there already, while others write.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;
use crate::database::tests::run;

fn table(kit: &Postgres, flow: &str, rows: u32) -> (String, Receive) {
    let url = kit.database().unwrap();
    let of = receive(flow, "orders", &["no"], &["no", "n"]);
    kit.sql(&url, "CREATE TABLE orders (no int PRIMARY KEY, n int NOT NULL)").unwrap();
    kit.sql(&url, &format!("INSERT INTO orders SELECT i, 0 FROM generate_series(1, {rows}) i")).unwrap();
    install(kit, &url, &of);
    (url, of)
}

/// Four writers until the flag falls; each runs statements that touch what is there, what is new and what is gone.
fn writers(
    kit: &'static Postgres,
    url: &str,
    rows: u32,
    goes_on: &Arc<AtomicBool>,
) -> Vec<thread::JoinHandle<()>> {
    let writer = |which: u32| {
        let (url, goes_on) = (url.to_owned(), Arc::clone(goes_on));
        thread::Builder::new()
            .spawn(move || {
                let mut round = 0;
                while goes_on.load(Ordering::Relaxed) {
                    round += 1;
                    let new = 1_000_000 * which + round * 10;
                    kit.sql(
                        &url,
                        &format!(
                            "INSERT INTO orders SELECT {new} + i, {round} FROM generate_series(1, 5) i; \
                             UPDATE orders SET n = n + 1 WHERE no % 97 = {} AND no % 4 = {which} % 4; \
                             DELETE FROM orders WHERE no = {} ; \
                             UPDATE orders SET no = no + 500000 WHERE no = {}",
                            round % 97,
                            (round * 8 + which) % rows,
                            (round * 8 + which + 4) % rows
                        ),
                    )
                    .unwrap();
                }
            })
            .unwrap()
    };
    (1..=4).map(writer).collect()
}

fn state(kit: &Postgres, url: &str) -> HashMap<String, String> {
    let rows = kit.sql(url, "SELECT no, n FROM orders").unwrap();
    rows.lines().filter_map(|it| it.split_once('|')).map(|(no, n)| (no.to_owned(), n.to_owned())).collect()
}

/// Takes everything until a last row comes; the state that the changes make.
async fn drain(
    intake: &mut dyn Intake,
    kit: &Postgres,
    url: &str,
    seen: &mut Vec<(String, Change)>,
) -> HashMap<String, String> {
    kit.sql(url, "INSERT INTO orders VALUES (-1, 0)").unwrap();
    while !seen.iter().any(|(_, it)| it.after.as_ref().is_some_and(|row| text(row, "no") == "-1")) {
        seen.extend(take(intake, 1).await);
    }
    let (mut rows, mut names) = (HashMap::new(), std::collections::HashSet::new());
    // A store knows what it has by its name.
    seen.iter().filter(|(name, _)| names.insert(name)).for_each(|(_, it)| apply(&mut rows, it, "no"));
    rows.into_iter().map(|(no, row)| (no, text(&row, "n"))).collect()
}

fn same(found: &HashMap<String, String>, expected: &HashMap<String, String>) {
    let missing: Vec<_> = expected.iter().filter(|(key, it)| found.get(*key) != Some(it)).take(5).collect();
    let wrong: Vec<_> = found.iter().filter(|(key, it)| expected.get(*key) != Some(it)).take(5).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "there: {missing:?}, handed over: {wrong:?}");
}

#[test]
fn rows_are_handed_over_to_the_stream_without_a_gap_and_none_twice() {
    let kit = shared();
    let (url, mut of) = table(kit, "handover", 56_000);
    of.initial = true;
    let bench = Bench::new(&url, of);
    let goes_on = Arc::new(AtomicBool::new(true));
    let writers = writers(kit, &url, 56_000, &goes_on);
    run(async {
        let mut intake = bench.open().await.unwrap();
        let mut seen = take(&mut *intake, 56_000).await;
        goes_on.store(false, Ordering::Relaxed);
        writers.into_iter().for_each(|it| it.join().unwrap());
        let rows = drain(&mut *intake, kit, &url, &mut seen).await;
        same(&rows, &state(kit, &url));
        let names: std::collections::HashSet<&String> = seen.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), seen.len());
        let there = seen.iter().filter(|(_, it)| it.op == Op::Snapshot).count();
        assert!((55_000..=57_000).contains(&there), "{there}");
        // A row is inserted or there, never both; what a change is about is known.
        let mut known = std::collections::HashSet::new();
        for (_, change) in &seen {
            let no = |row: &Option<Row>| row.as_ref().map(|it| text(it, "no"));
            match change.op {
                Op::Insert | Op::Snapshot => assert!(known.insert(no(&change.after).unwrap()), "{change:?}"),
                Op::Delete => assert!(known.remove(&no(&change.before).unwrap()), "{change:?}"),
                Op::Update => {
                    let before = no(&change.before).or(no(&change.after)).unwrap();
                    assert!(known.remove(&before), "{change:?}");
                    known.insert(no(&change.after).unwrap());
                }
                Op::Truncate => unreachable!(),
            }
        }
    });
}

#[test]
fn a_reading_that_was_broken_off_goes_on_by_key_beside_the_stream() {
    let kit = shared();
    let (url, mut of) = table(kit, "broken", 20_000);
    of.initial = true;
    let bench = Bench::new(&url, of);
    let goes_on = Arc::new(AtomicBool::new(true));
    let writers = writers(kit, &url, 20_000, &goes_on);
    run(async {
        let mut intake = bench.open().await.unwrap();
        let mut seen = take(&mut *intake, 5_000).await;
        drop(intake);
        let mut intake = bench.open().await.unwrap();
        seen.extend(take(&mut *intake, 10_000).await);
        drop(intake);
        let mut intake = bench.open().await.unwrap();
        seen.extend(take(&mut *intake, 10_000).await);
        goes_on.store(false, Ordering::Relaxed);
        writers.into_iter().for_each(|it| it.join().unwrap());
        // All rows are read: the position says so.
        let slot = format!("postgres orders_db {}", bench.receive.slot);
        while bench.kept.at(&slot).unwrap().contains("reading") {
            seen.extend(take(&mut *intake, 1).await);
        }
        let rows = drain(&mut *intake, kit, &url, &mut seen).await;
        same(&rows, &state(kit, &url));
    });
}

#[test]
fn a_range_is_read_again_while_the_stream_runs() {
    let kit = shared();
    let (url, of) = table(kit, "ranges", 3_000);
    let bench = Bench::new(&url, of);
    run(async {
        let mut intake = bench.open().await.unwrap();
        kit.sql(
            &url,
            "INSERT INTO vestibule.signal (flow, kind, from_key, to_key) VALUES ('ranges', 'snapshot', '{101}', '{350}')",
        )
        .unwrap();
        let found = take(&mut *intake, 250).await;
        let mut numbers: Vec<u32> =
            found.iter().map(|(_, it)| text(it.after.as_ref().unwrap(), "no").parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (101..=350).collect::<Vec<u32>>());
        assert!(found.iter().all(|(_, it)| it.op == Op::Snapshot));
        idle(&mut *intake, Duration::from_millis(300)).await;
        assert_eq!(
            kit.sql(&url, "SELECT done IS NOT NULL, said FROM vestibule.signal").unwrap(),
            "t|250 rows were read"
        );
        // What can not be read is said, and the stream goes on.
        kit.sql(
            &url,
            "INSERT INTO vestibule.signal (flow, kind, from_key) VALUES ('ranges', 'snapshot', '{1,2}')",
        )
        .unwrap();
        idle(&mut *intake, Duration::from_millis(500)).await;
        let said = kit.sql(&url, "SELECT said FROM vestibule.signal ORDER BY id DESC LIMIT 1").unwrap();
        assert!(said.contains("as many values as the key"), "{said}");
        kit.sql(&url, "INSERT INTO orders VALUES (9000, 1)").unwrap();
        assert_eq!(take(&mut *intake, 1).await[0].1.op, Op::Insert);
    });
}
