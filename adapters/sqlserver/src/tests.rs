//! What tests share.

use std::time::Duration;

use crate::{
    quote::Table,
    receive::{Capture, Receive},
};

/// A channel as a mapping may write it.
pub(crate) fn receive() -> Receive {
    Receive {
        flow: "orders".into(),
        table: Table { schema: "dbo".into(), name: "orders".into() },
        capture: Capture::Trigger,
        columns: vec!["no".into(), "total".into()],
        key: vec!["no".into()],
        filter: None,
        schema: "vestibule".into(),
        initial: false,
        backlog: 1000,
        is_dropping: false,
        poll: Duration::from_millis(10),
        purge: 500,
        instances: Vec::new(),
        is_competing: false,
        written: Vec::new(),
    }
}

mod double {
    //! Against the double of the protocol: what is asked, and what becomes of each answer.

    use std::sync::Arc;

    use vestibule_core::{
        change::{Cell, Change, Op},
        fault::{Fault, Recovery},
        ports::{Intake, Received, Settlement, Source},
    };
    use vestibule_testkit::{
        scripted_channel::{Kept, Nowhere},
        tds::{
            Answer, Column, Options, OutboxWorld, Request, Script, TdsServer, Trouble as OutboxTrouble, Type,
            Value, Written,
        },
    };

    use super::*;
    use crate::{
        settings::{Encrypt, Password, Settings},
        source::ChangeSource,
    };

    fn start(handler: impl vestibule_testkit::tds::Handler) -> TdsServer {
        TdsServer::with(Options::default(), handler).unwrap()
    }

    fn settings(server: &TdsServer) -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: server.port(),
            instance: None,
            database: "orders".into(),
            user: "sa".into(),
            password: Password::new("Secret1!"),
            encrypt: Encrypt::No,
            trust: false,
            ca: None,
            timeout: Duration::from_millis(700),
            application: "vestibule".into(),
        }
    }

    fn source(server: &TdsServer, receive: Receive) -> ChangeSource {
        let (settings, receive) = (Arc::new(settings(server)), Arc::new(receive));
        ChangeSource { name: "sqlserver orders".into(), settings, receive, deliver: None }
    }

    fn world() -> OutboxWorld {
        OutboxWorld::new("dbo.orders", &[("no", "int"), ("total", "decimal")])
    }

    fn row(no: i64) -> Written {
        Written { op: 'i', before: None, after: Some(format!("t{no};t1.50;")) }
    }

    async fn next(intake: &mut Box<dyn Intake>, most: usize) -> Vec<Received> {
        tokio::time::timeout(Duration::from_secs(5), intake.next(most)).await.unwrap().unwrap()
    }

    fn numbers(received: &[Received]) -> Vec<String> {
        let number = |it: &Received| {
            let change = Change::from_bytes(&it.document.bytes).unwrap();
            match change.after.or(change.before).unwrap().get("no") {
                Some(Cell::Text(text)) => text.to_string(),
                other => format!("{other:?}"),
            }
        };
        received.iter().map(number).collect()
    }

    async fn accept(intake: &mut Box<dyn Intake>, received: Vec<Received>) -> Result<(), Fault> {
        intake.settle(received.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect()).await
    }

    #[tokio::test]
    async fn rows_of_the_outbox_arrive_in_order_and_are_deleted_when_they_are_settled() {
        let world = world();
        let server = start(world.clone());
        for no in 1..=40 {
            world.write(row(no));
        }
        let mut intake = source(&server, receive()).open(Arc::new(Nowhere)).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 40 {
            let received = next(&mut intake, 7).await;
            seen.extend(numbers(&received));
            accept(&mut intake, received).await.unwrap();
        }
        assert_eq!(seen, (1..=40).map(|it| it.to_string()).collect::<Vec<_>>());
        assert_eq!((world.left(), world.mistakes()), (vec![], vec![]));
    }

    #[tokio::test]
    async fn a_transaction_that_commits_late_is_not_passed_over() {
        let world = world();
        let server = start(world.clone());
        let mut intake = source(&server, receive()).open(Arc::new(Nowhere)).await.unwrap();
        let late = world.begin();
        world.write_in(late, row(1));
        world.write(row(2));
        let waited = tokio::time::timeout(Duration::from_millis(100), intake.next(9)).await;
        assert!(waited.is_err(), "nothing may be handed over yet");
        world.commit(late);
        assert_eq!(numbers(&next(&mut intake, 9).await), ["1", "2"]);
    }

    #[tokio::test]
    async fn what_was_not_settled_comes_again_under_the_same_key() {
        let world = world();
        let server = start(world.clone());
        world.write(row(1));
        world.write(row(2));
        let source = source(&server, receive());
        let mut intake = source.open(Arc::new(Nowhere)).await.unwrap();
        let mut first = next(&mut intake, 9).await;
        let keys: Vec<_> = first.iter().map(|it| it.document.key.clone()).collect();
        first.truncate(1);
        accept(&mut intake, first).await.unwrap();
        drop(intake);
        let again = loop {
            // The lock of the session that is gone ends with it, a moment later.
            if let Ok(mut intake) = source.open(Arc::new(Nowhere)).await {
                break next(&mut intake, 9).await;
            }
        };
        assert_eq!(numbers(&again), ["2"]);
        assert_eq!(again[0].document.key, keys[1]);
    }

    #[tokio::test]
    async fn what_is_not_settled_yet_is_not_handed_over_twice() {
        let world = world();
        let server = start(world.clone());
        world.write(row(1));
        let mut intake = source(&server, receive()).open(Arc::new(Nowhere)).await.unwrap();
        let first = next(&mut intake, 9).await;
        world.write(row(2));
        assert_eq!(numbers(&next(&mut intake, 9).await), ["2"]);
        accept(&mut intake, first).await.unwrap();
    }

    /// Takes its time to answer what is asked of the outbox.
    struct Slow(OutboxWorld);

    impl vestibule_testkit::tds::Handler for Slow {
        fn answer(&self, request: &Request) -> Vec<Answer> {
            let mut answers = self.0.answer(request);
            if request.sql.contains("MIN_ACTIVE") {
                answers.insert(0, Answer::Wait(Duration::from_millis(60)));
            }
            answers
        }
    }

    #[tokio::test]
    async fn settling_waits_for_a_question_that_was_given_up_and_keeps_its_answer() {
        let world = world();
        let server = start(Slow(world.clone()));
        world.write(row(1));
        let mut intake = source(&server, receive()).open(Arc::new(Nowhere)).await.unwrap();
        let first = next(&mut intake, 9).await;
        world.write(row(2));
        let given_up = tokio::time::timeout(Duration::from_millis(20), intake.next(9)).await;
        assert!(given_up.is_err());
        accept(&mut intake, first).await.unwrap();
        assert_eq!(numbers(&next(&mut intake, 9).await), ["2"]);
        assert_eq!(world.left().len(), 1);
    }

    #[tokio::test]
    async fn a_second_process_waits_until_the_first_is_gone() {
        let world = world();
        let server = start(world);
        let source = source(&server, receive());
        let first = source.open(Arc::new(Nowhere)).await.unwrap();
        let refused = source.open(Arc::new(Nowhere)).await.err().unwrap();
        assert_eq!(refused.recovery, Recovery::Retry);
        assert!(refused.message.contains("another process"), "{}", refused.message);
        drop(first);
    }

    #[tokio::test]
    async fn a_broken_a_silent_and_a_deadlocked_server_end_the_intake_and_lose_nothing() {
        let troubles = [
            ("min_active", OutboxTrouble::Before),
            ("min_active", OutboxTrouble::Within(40)),
            ("min_active", OutboxTrouble::Silence),
            ("min_active", OutboxTrouble::Deadlock),
            ("delete from", OutboxTrouble::Before),
            ("delete from", OutboxTrouble::After),
            ("delete from", OutboxTrouble::Deadlock),
        ];
        for (words, trouble) in troubles {
            let world = world();
            let server = start(world.clone());
            (1..=5).for_each(|it| {
                world.write(row(it));
            });
            let source = source(&server, receive());
            world.trouble(words, trouble);
            let mut seen = std::collections::BTreeSet::new();
            let mut faults = 0;
            while !world.left().is_empty() {
                let Ok(mut intake) = source.open(Arc::new(Nowhere)).await else { continue };
                loop {
                    let received = match tokio::time::timeout(Duration::from_secs(2), intake.next(9)).await {
                        Ok(Ok(received)) => received,
                        Ok(Err(fault)) => {
                            assert_eq!(fault.recovery, Recovery::Retry, "{words} {trouble:?}: {fault}");
                            faults += 1;
                            break;
                        }
                        Err(_) => break,
                    };
                    seen.extend(numbers(&received));
                    if accept(&mut intake, received).await.is_err() {
                        faults += 1;
                        break;
                    }
                    if world.left().is_empty() {
                        break;
                    }
                }
            }
            assert_eq!((seen.len(), faults), (5, 1), "{words} {trouble:?}");
        }
    }

    #[tokio::test]
    async fn next_may_be_given_up_at_any_moment() {
        let world = world();
        let server = start(world.clone());
        let mut intake = source(&server, receive()).open(Arc::new(Nowhere)).await.unwrap();
        (1..=30).for_each(|it| {
            world.write(row(it));
        });
        let mut seen = Vec::new();
        for wait in (0..400).cycle().step_by(37) {
            let asked = tokio::time::timeout(Duration::from_micros(wait), intake.next(4)).await;
            if let Ok(received) = asked {
                let received = received.unwrap();
                seen.extend(numbers(&received));
                accept(&mut intake, received).await.unwrap();
            }
            if seen.len() >= 30 {
                break;
            }
        }
        assert_eq!(seen, (1..=30).map(|it| it.to_string()).collect::<Vec<_>>());
    }

    fn one(kind: Type, value: impl Into<Value>) -> Vec<Answer> {
        vec![Answer::rows([Column::new("", kind)], [[value.into()]])]
    }

    /// What every source asks before it reads; the table has two columns.
    fn usual(request: &Request) -> Option<Vec<Answer>> {
        let sql = request.sql.to_lowercase();
        if sql.starts_with("set nocount") {
            return Some(Vec::new());
        }
        if sql.contains("service_broker_guid") {
            return Some(one(Type::NVarChar(36), "DB"));
        }
        if sql.contains("sp_getapplock") {
            return Some(one(Type::Int, 0));
        }
        if sql.contains("[signal]") {
            return Some(one(Type::Int, 0));
        }
        if sql.contains("sys.columns") {
            let columns = [
                Column::new("name", Type::NVarChar(128)),
                Column::new("", Type::NVarChar(128)),
                Column::new("max_length", Type::SmallInt),
                Column::new("precision", Type::TinyInt),
                Column::new("scale", Type::TinyInt),
            ];
            let rows = [
                ["no".into(), "int".into(), 4.into(), 10.into(), 0.into()],
                ["total".into(), "decimal".into(), 9.into(), 18.into(), 2.into()],
            ];
            return Some(vec![Answer::rows(columns, rows)]);
        }
        None
    }

    #[tokio::test]
    async fn a_snapshot_goes_on_where_it_was_settled() {
        let server = TdsServer::start(|request: &Request| {
            usual(request).unwrap_or_else(|| {
                let after = request.value(0).text().and_then(|it| it.parse::<i64>().ok()).unwrap_or(0);
                let rows = (after + 1..=after + 16)
                    .filter(|it| *it <= 20)
                    .map(|it| [Value::from(format!("t{it};n;"))]);
                vec![Answer::rows([Column::new("", Type::NVarCharMax)], rows)]
            })
        })
        .unwrap();
        let kept = Arc::new(Kept::default());
        let receive = Receive { capture: Capture::Snapshot, ..receive() };
        let source = source(&server, receive);
        let mut intake = source.open(kept.clone()).await.unwrap();
        let first = next(&mut intake, 5).await;
        assert_eq!(numbers(&first), ["1", "2", "3", "4", "5"]);
        accept(&mut intake, first).await.unwrap();
        let lost = next(&mut intake, 2).await;
        assert_eq!(numbers(&lost), ["6", "7"]);
        drop(intake);
        let mut intake = source.open(kept.clone()).await.unwrap();
        let again = next(&mut intake, 64).await;
        assert_eq!(again[0].document.key, lost[0].document.key);
        assert_eq!(Change::from_bytes(&again[0].document.bytes).unwrap().op, Op::Snapshot);
        let rest: Vec<_> = (6..=20).map(|it| it.to_string()).collect();
        assert_eq!(numbers(&again), rest);
    }

    #[tokio::test]
    async fn change_tracking_that_has_forgotten_stops_and_names_what_is_missing() {
        let server = TdsServer::start(|request: &Request| {
            usual(request).unwrap_or_else(|| {
                let versions = [Column::new("", Type::BigInt), Column::new("", Type::BigInt)];
                if request.sql.contains("snapshot_isolation_state") {
                    let more = [Column::new("", Type::Int), Column::new("", Type::Int)];
                    let columns: Vec<_> = versions.into_iter().chain(more).collect();
                    return vec![Answer::Rows {
                        columns,
                        rows: vec![vec![50.into(), 10.into(), 0.into(), 0.into()]],
                    }];
                }
                let heads = || Answer::rows(versions.clone(), [[90.into(), 70.into()]]);
                vec![heads(), changes([]), heads()]
            })
        })
        .unwrap();
        let receive = Receive { capture: Capture::Tracking, ..receive() };
        let mut intake = source(&server, receive).open(Arc::new(Kept::default())).await.unwrap();
        let fault = intake.next(9).await.err().unwrap();
        assert_eq!(fault.recovery, Recovery::GiveUp);
        assert!(fault.message.contains("changes from version 51 to 70 of dbo.orders"), "{}", fault.message);
    }

    fn changes(rows: impl IntoIterator<Item = [Value; 5]>) -> Answer {
        let columns = [
            Column::new("", Type::BigInt),
            Column::new("", Type::NChar(1)),
            Column::new("", Type::NVarCharMax),
            Column::new("", Type::NVarCharMax),
            Column::new("", Type::Int),
        ];
        Answer::rows(columns, rows)
    }

    #[tokio::test]
    async fn change_tracking_hands_over_rows_as_they_are_and_keeps_the_version() {
        let server = TdsServer::start(|request: &Request| {
            usual(request).unwrap_or_else(|| {
                let versions = [Column::new("", Type::BigInt), Column::new("", Type::BigInt)];
                if request.sql.contains("snapshot_isolation_state") {
                    let more = [Column::new("", Type::Int), Column::new("", Type::Int)];
                    let columns: Vec<_> = versions.into_iter().chain(more).collect();
                    return vec![Answer::Rows {
                        columns,
                        rows: vec![vec![50.into(), 10.into(), 1.into(), 0.into()]],
                    }];
                }
                let heads = || Answer::rows(versions.clone(), [[60.into(), 10.into()]]);
                let is_first = request.value(1).int() == Some(50);
                let rows = [
                    [51.into(), "I".into(), "t1;".into(), "t1;t2.50;".into(), 0.into()],
                    [52.into(), "D".into(), "t2;".into(), Value::Null, 0.into()],
                    [53.into(), "U".into(), "t3;".into(), Value::Null, 0.into()],
                    [54.into(), "U".into(), "t4;".into(), "t4;n;".into(), 1.into()],
                ];
                vec![heads(), changes(rows.into_iter().filter(|_| is_first)), heads()]
            })
        })
        .unwrap();
        let receive = Receive { capture: Capture::Tracking, ..receive() };
        let kept = Arc::new(Kept::default());
        let mut intake = source(&server, receive).open(kept.clone()).await.unwrap();
        let received = next(&mut intake, 9).await;
        let ops: Vec<_> =
            received.iter().map(|it| Change::from_bytes(&it.document.bytes).unwrap().op).collect();
        assert_eq!(
            ops,
            [Op::Insert, Op::Delete],
            "a row that is gone follows as its delete; its own change is left out"
        );
        accept(&mut intake, received).await.unwrap();
        let at = || kept.at("orders change-tracking dbo.orders").unwrap();
        assert!(at().contains(r#""from":"52""#), "{}", at());
        assert!(server.requests().iter().any(|it| it.sql.contains("ISOLATION LEVEL SNAPSHOT")));
    }

    #[tokio::test]
    async fn cdc_joins_both_images_of_an_update() {
        let lsn = |it: u8| format!("{it:020X}");
        let server = TdsServer::start(move |request: &Request| {
            usual(request).unwrap_or_else(|| {
                let sql = &request.sql;
                if sql.contains("sp_cdc_help") {
                    let columns = [
                        Column::new("capture_instance", Type::NVarChar(128)),
                        Column::new("start_lsn", Type::Binary(10)),
                    ];
                    return vec![Answer::rows(columns, [["dbo_orders".into(), vec![0_u8; 10].into()]])];
                }
                if sql.starts_with("SELECT CONVERT(nvarchar(22), sys.fn_cdc_increment_lsn") {
                    return one(Type::NVarChar(22), lsn(5));
                }
                let text = || Column::new("", Type::NVarChar(30));
                let head = Answer::rows(
                    [Column::new("", Type::Int), text(), text(), text()],
                    [[0.into(), lsn(1).into(), lsn(9).into(), lsn(9).into()]],
                );
                let columns = [
                    text(),
                    text(),
                    Column::new("", Type::BigInt),
                    text(),
                    Column::new("", Type::NVarCharMax),
                    Column::new("", Type::Int),
                ];
                let change = |at: u8, op: i64, row: &str| -> [Value; 6] {
                    [lsn(at).into(), lsn(1).into(), op.into(), Value::Null, row.into(), 0.into()]
                };
                let is_first = request.value(3).text() == Some(lsn(5).as_str());
                let all = [
                    change(5, 2, "t1;t1.00;"),
                    change(6, 3, "t1;t1.00;"),
                    change(6, 4, "t1;t2.00;"),
                    change(7, 1, "t1;t2.00;"),
                ];
                let tail = Answer::rows([Column::new("", Type::Int), text()], [[0.into(), lsn(1).into()]]);
                vec![head, Answer::rows(columns, all.into_iter().filter(|_| is_first)), tail]
            })
        })
        .unwrap();
        let receive = Receive { capture: Capture::Cdc, ..receive() };
        let kept = Arc::new(Kept::default());
        let mut intake = source(&server, receive).open(kept.clone()).await.unwrap();
        let received = next(&mut intake, 9).await;
        let changes: Vec<_> =
            received.iter().map(|it| Change::from_bytes(&it.document.bytes).unwrap()).collect();
        let ops: Vec<_> = changes.iter().map(|it| it.op).collect();
        assert_eq!(ops, [Op::Insert, Op::Update, Op::Delete]);
        assert_eq!(changes[1].before.as_ref().unwrap().get("total"), Some(&Cell::Text("1.00".into())));
        assert_eq!(changes[1].after.as_ref().unwrap().get("total"), Some(&Cell::Text("2.00".into())));
        accept(&mut intake, received).await.unwrap();
        assert!(kept.at("orders cdc dbo.orders").unwrap().contains(&lsn(7)));
    }

    #[tokio::test]
    async fn a_flow_that_is_not_installed_says_what_to_do() {
        let script = Script::new().then("set nocount", []).then("[outbox]", one(Type::Int, 0));
        let server = start(script.clone());
        let fault = source(&server, receive()).open(Arc::new(Nowhere)).await.err().unwrap();
        assert!(fault.message.contains("vestibule db install orders"), "{}", fault.message);
        assert_eq!(script.mistakes(), Vec::<String>::new());
    }
}
