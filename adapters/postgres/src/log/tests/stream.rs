//! Changes as they stream.

use super::*;
use crate::database::tests::run;

#[test]
fn inserts_updates_deletes_and_truncates_are_events_with_names_that_stay() {
    let (kit, of) = (shared(), receive("basic", "orders", &["no"], &["no", "note", "total"]));
    let url = kit.database().unwrap();
    kit.sql(&url, "CREATE TABLE orders (no text PRIMARY KEY, note text, total numeric(10,2), unread int)")
        .unwrap();
    install(kit, &url, &of);
    let bench = Bench::new(&url, of);
    run(async {
        let mut intake = bench.open().await.unwrap();
        kit.sql(&url, "INSERT INTO orders VALUES ('A', 'one', 12.50), ('B', null, 'NaN')").unwrap();
        kit.sql(&url, "UPDATE orders SET no = 'C' WHERE no = 'B'; DELETE FROM orders WHERE no = 'A'")
            .unwrap();
        kit.sql(&url, "TRUNCATE orders").unwrap();
        let found = take(&mut *intake, 5).await;
        let said: Vec<String> = found
            .iter()
            .map(|(_, it)| {
                let row = |row: &Option<Row>| row.as_ref().map_or_else(String::new, |it| text(it, "no"));
                format!("{} {}>{}", it.op.word(), row(&it.before), row(&it.after))
            })
            .collect();
        assert_eq!(said, ["insert >A", "insert >B", "update B>C", "delete A>", "truncate >"]);
        let (name, first) = &found[0];
        let system = kit.sql(&url, "SELECT system_identifier FROM pg_control_system()").unwrap();
        assert!(name.starts_with(&format!("pg:{system}:")) && name.ends_with(":1"), "{name}");
        assert_eq!(first.key, [Box::from("no")]);
        assert_eq!(text(first.after.as_ref().unwrap(), "total"), "12.50");
        assert_eq!(first.after.as_ref().unwrap().get("unread"), None);
        assert!(first.at.is_some() && first.txid.is_some());
        // Nothing of it comes again.
        drop(intake);
        let mut intake = bench.open().await.unwrap();
        idle(&mut *intake, Duration::from_millis(400)).await;
    });
}

#[test]
fn what_was_not_settled_comes_again_by_the_same_names() {
    let (kit, of) = (shared(), receive("again", "orders", &["no"], &["no"]));
    let url = kit.database().unwrap();
    kit.sql(&url, "CREATE TABLE orders (no int PRIMARY KEY)").unwrap();
    install(kit, &url, &of);
    let bench = Bench::new(&url, of);
    run(async {
        let mut intake = bench.open().await.unwrap();
        kit.sql(&url, "INSERT INTO orders SELECT generate_series(1, 100)").unwrap();
        kit.sql(&url, "INSERT INTO orders SELECT generate_series(101, 200)").unwrap();
        let mut names = Vec::new();
        while names.len() < 200 {
            let batch = intake.next(77).await.unwrap();
            // The second transaction is not settled.
            let (first, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|_| {
                names.push(String::new());
                names.len() <= 100
            });
            let at = names.len() - first.len() - rest.len();
            for (place, received) in first.iter().chain(&rest).enumerate() {
                names[at + place] = key(received);
            }
            let settled = first.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect();
            tokio::time::sleep(Duration::from_millis(120)).await;
            intake.settle(settled).await.unwrap();
        }
        idle(&mut *intake, Duration::from_millis(300)).await;
        drop(intake);
        let mut intake = bench.open().await.unwrap();
        let again: Vec<String> = take(&mut *intake, 100).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(again, names[100..]);
    });
}

#[test]
fn a_write_back_of_ours_is_no_event() {
    let (kit, of) = (shared(), receive("loops", "orders", &["no"], &["no", "risk"]));
    let url = kit.database().unwrap();
    kit.sql(&url, "CREATE TABLE orders (no int PRIMARY KEY, risk int)").unwrap();
    install(kit, &url, &of);
    let bench = Bench::new(&url, of);
    run(async {
        let mut intake = bench.open().await.unwrap();
        kit.sql(&url, "INSERT INTO orders SELECT generate_series(1, 10)").unwrap();
        kit.sql(
            &url,
            "BEGIN; SELECT pg_logical_emit_message(true, 'vestibule.writeback', ''); UPDATE orders SET risk = 1; COMMIT",
        )
        .unwrap();
        kit.sql(&url, "INSERT INTO orders VALUES (11)").unwrap();
        let found = take(&mut *intake, 11).await;
        assert!(found.iter().all(|(_, it)| it.op == Op::Insert));
        idle(&mut *intake, Duration::from_millis(300)).await;
    });
}
