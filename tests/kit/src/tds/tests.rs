//! tiberius talks to the double.

use std::time::Duration;

use jiff::civil::{date, time};
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, ToSql, error::Error};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::*;

struct Instant(tiberius::time::DateTime2);

impl ToSql for Instant {
    fn to_sql(&self) -> ColumnData<'_> {
        ColumnData::DateTime2(Some(self.0))
    }
}

type Connected = Client<Compat<TcpStream>>;

fn config(server: &TdsServer) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1");
    config.port(server.port());
    config.database("Orders");
    config.application_name("vestibule");
    config.authentication(AuthMethod::sql_server("sa", "p$ssw\u{f6}rd"));
    config.encryption(EncryptionLevel::NotSupported);
    config.trust_cert();
    config
}

async fn connect(config: Config) -> Result<Connected, Error> {
    let socket = TcpStream::connect(config.get_addr()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    Client::connect(config, socket.compat_write()).await
}

async fn client(server: &TdsServer) -> Connected {
    connect(config(server)).await.unwrap()
}

fn number(error: &Error) -> Option<u32> {
    if let Error::Server(token) = error { Some(token.code()) } else { None }
}

/// What each type is given as, and how tiberius prints what it made of it.
fn every_type() -> Vec<(Type, Value, &'static str)> {
    let at = date(2024, 2, 29).at(23, 59, 58, 123_456_700);
    let guid =
        [0x6f, 0x96, 0x19, 0xff, 0x8b, 0x86, 0xd0, 0x11, 0xb4, 0x2d, 0x00, 0xc0, 0x4f, 0xc9, 0x64, 0xff];
    vec![
        (Type::Bit, true.into(), "Bit(Some(true))"),
        (Type::TinyInt, 255.into(), "U8(Some(255))"),
        (Type::SmallInt, (-32_768).into(), "I16(Some(-32768))"),
        (Type::Int, i32::MIN.into(), "I32(Some(-2147483648))"),
        (Type::BigInt, i64::MAX.into(), "I64(Some(9223372036854775807))"),
        (Type::Real, 1.5.into(), "F32(Some(1.5))"),
        (Type::Float, (-0.1).into(), "F64(Some(-0.1))"),
        (Type::Decimal(9, 2), Value::Decimal(-12_345, 2), "Numeric(Some(-123.45))"),
        (Type::Decimal(19, 4), Value::Decimal(1, 0), "Numeric(Some(1.0000))"),
        (
            Type::Decimal(38, 0),
            Value::Decimal(10_i128.pow(38) - 1, 0),
            "Numeric(Some(99999999999999999999999999999999999999.0))",
        ),
        (Type::Money, Value::Decimal(-1_234_567, 4), "F64(Some(-123.4567))"),
        (Type::SmallMoney, 12.into(), "F64(Some(12.0))"),
        (Type::Date, date(2024, 2, 29).into(), "Date(Some(Date(738944)))"),
        (
            Type::Time(7),
            time(23, 59, 58, 123_456_700).into(),
            "Time(Some(Time { increments: 863981234567, scale: 7 }))",
        ),
        (Type::Time(0), time(0, 0, 1, 0).into(), "Time(Some(Time { increments: 1, scale: 0 }))"),
        (
            Type::DateTime2(7),
            at.into(),
            "DateTime2(Some(DateTime2 { date: Date(738944), time: Time { increments: 863981234567, scale: 7 } }))",
        ),
        (
            Type::DateTimeOffset(3),
            Value::Offset(at, 60),
            "DateTimeOffset(Some(DateTimeOffset { datetime2: DateTime2 { date: Date(738944), time: Time { increments: \
             82798123, scale: 3 } }, offset: 60 }))",
        ),
        (
            Type::DateTime,
            date(1900, 1, 2).at(0, 0, 1, 0).into(),
            "DateTime(Some(DateTime { days: 1, seconds_fragments: 300 }))",
        ),
        (
            Type::SmallDateTime,
            date(1900, 1, 2).at(1, 1, 0, 0).into(),
            "SmallDateTime(Some(SmallDateTime { days: 1, seconds_fragments: 61 }))",
        ),
        (Type::Char(4), "é".into(), r#"String(Some("é   "))"#),
        (Type::VarChar(20), "Müller".into(), r#"String(Some("Müller"))"#),
        (Type::VarChar(20), vec![0x80].into(), r#"String(Some("€"))"#),
        (Type::VarCharMax, "".into(), r#"String(Some(""))"#),
        (Type::NChar(3), "猫".into(), r#"String(Some("猫  "))"#),
        (Type::NVarChar(40), "O'Brien \u{1f980}".into(), r#"String(Some("O'Brien 🦀"))"#),
        (Type::NVarCharMax, "ł".into(), r#"String(Some("ł"))"#),
        (Type::Text, "legacy".into(), r#"String(Some("legacy"))"#),
        (Type::NText, "łegacy".into(), r#"String(Some("łegacy"))"#),
        (Type::Image, vec![1, 0, 2].into(), "Binary(Some([1, 0, 2]))"),
        (Type::Binary(4), vec![7].into(), "Binary(Some([7, 0, 0, 0]))"),
        (Type::VarBinary(9), vec![0, 255].into(), "Binary(Some([0, 255]))"),
        (Type::VarBinaryMax, vec![9].into(), "Binary(Some([9]))"),
        (Type::Guid, Value::Guid(guid), "Guid(Some(6f9619ff-8b86-d011-b42d-00c04fc964ff))"),
        (Type::Xml, "<a/>".into(), r#"Xml(Some(XmlData { data: "<a/>", schema: None }))"#),
    ]
}

#[tokio::test]
async fn a_client_reads_every_type_as_it_was_given() {
    let server = TdsServer::start(|request: &Request| {
        let nullable = !request.sql.contains("strict");
        let columns = every_type().into_iter().enumerate();
        let columns =
            columns.map(|(at, (kind, ..))| Column { nullable, ..Column::new(&format!("c{at}"), kind) });
        let values: Vec<Value> = every_type().into_iter().map(|(_, value, _)| value).collect();
        let some = values
            .iter()
            .enumerate()
            .map(|(at, it)| if at == 3 { Value::Null } else { it.clone() })
            .collect();
        let nothing = vec![Value::Null; values.len()];
        let rows = if nullable { vec![values, some, nothing] } else { vec![values] };
        vec![Answer::Rows { columns: columns.collect(), rows }]
    })
    .unwrap();
    let mut client = client(&server).await;
    for (sql, count) in [("SELECT * FROM loose", 3), ("SELECT * FROM strict", 1)] {
        let rows = client.query(sql, &[]).await.unwrap().into_first_result().await.unwrap();
        assert_eq!(rows.len(), count);
        let read = |row: usize| rows[row].cells().map(|(_, it)| format!("{it:?}")).collect::<Vec<_>>();
        for (got, (kind, _, wanted)) in read(0).into_iter().zip(every_type()) {
            assert_eq!(got, wanted, "{kind:?}");
        }
        if count > 1 {
            assert_eq!(read(1)[3], "I32(None)");
            assert_eq!(read(1)[4], read(0)[4]);
            assert!(read(2).iter().all(|it| it.ends_with("(None)")), "{:?}", read(2));
        }
    }
    assert_eq!(server.faults(), [] as [String; 0]);
}

#[tokio::test]
async fn parameters_arrive_with_their_values() {
    let server = TdsServer::start(|_: &Request| vec![Answer::Done { affected: 2 }]).unwrap();
    let mut client = client(&server).await;
    let long = "ä".repeat(9_000);
    let blob = vec![7_u8; 20_000];
    let at = tiberius::time::DateTime2::new(
        tiberius::time::Date::new(738_944),
        tiberius::time::Time::new(863_981_234_567, 7),
    );
    let none: Option<&str> = None;
    let guid = tiberius::Uuid::from_u128(0x6f96_19ff_8b86_d011_b42d_00c0_4fc9_64ff);
    let decimal = tiberius::numeric::Numeric::new_with_scale(-12_345, 2);
    let parameters: [&dyn ToSql; 14] = [
        &true,
        &7_u8,
        &-7_i16,
        &i32::MAX,
        &i64::MIN,
        &1.5_f32,
        &-0.1_f64,
        &"猫",
        &long.as_str(),
        &blob,
        &none,
        &guid,
        &decimal,
        &Instant(at),
    ];
    let done = client.execute("UPDATE t SET a = @P1", &parameters).await.unwrap();
    assert_eq!(done.rows_affected(), [2]);
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.kind, request.sql.as_str()), (Kind::Rpc, "UPDATE t SET a = @P1"));
    let printed = guid.into_bytes();
    let wanted: [Value; 14] = [
        true.into(),
        7.into(),
        (-7).into(),
        i32::MAX.into(),
        i64::MIN.into(),
        1.5.into(),
        (-0.1).into(),
        "猫".into(),
        long.into(),
        blob.into(),
        Value::Null,
        Value::Guid(printed),
        Value::Decimal(-12_345, 2),
        date(2024, 2, 29).at(23, 59, 58, 123_456_700).into(),
    ];
    for (number, (got, wanted)) in request.params.iter().zip(wanted).enumerate() {
        assert_eq!(got.name, format!("@P{}", number + 1));
        assert_eq!(got.value, wanted, "{}", got.name);
    }
    assert_eq!(request.params.len(), 14);
    assert_eq!(server.faults(), [] as [String; 0]);
}

#[tokio::test]
async fn a_login_is_read_and_refused_where_it_is_not_known() {
    let options = Options { accounts: vec![("sa".into(), "p$ssw\u{f6}rd".into())], ..Options::default() };
    let server = TdsServer::with(options, |_: &Request| vec![]).unwrap();
    drop(client(&server).await);
    let mut wrong = config(&server);
    wrong.authentication(AuthMethod::sql_server("sa", "guess"));
    let refused = connect(wrong).await.map(drop).unwrap_err();
    assert_eq!(number(&refused), Some(18_456));
    let logins = server.logins();
    assert_eq!(logins.len(), 2);
    let login = &logins[0];
    assert_eq!((login.user.as_str(), login.password.as_str()), ("sa", "p$ssw\u{f6}rd"));
    assert_eq!((login.database.as_str(), login.application.as_str()), ("Orders", "vestibule"));
    assert_eq!(logins[1].password, "guess");
}

#[tokio::test]
async fn an_error_keeps_its_number_and_the_connection_goes_on() {
    let server = TdsServer::start(|request: &Request| match request.sql.as_str() {
        "SELECT 1" => vec![Answer::rows([Column::new("", Type::Int)], [[1.into()]])],
        "late" => vec![
            Answer::rows([Column::new("", Type::Int)], [[1.into()]]),
            Answer::Info { message: "PRINT".into() },
            Answer::error(2_627, "Violation of PRIMARY KEY constraint"),
        ],
        _ => vec![Answer::deadlock()],
    })
    .unwrap();
    let mut client = client(&server).await;
    for round in 0..3 {
        let failed = client.simple_query("DELETE FROM t").await.map(drop).unwrap_err();
        assert_eq!(number(&failed), Some(1_205), "round {round}");
        let failed = client.execute("late", &[&1]).await.unwrap_err();
        assert_eq!(number(&failed), Some(2_627), "round {round}");
        let row = client.query("SELECT 1", &[]).await.unwrap().into_row().await.unwrap().unwrap();
        assert_eq!(row.get::<i32, _>(0), Some(1));
        let row = client.simple_query("SELECT 1").await.unwrap().into_row().await.unwrap().unwrap();
        assert_eq!(row.get::<i32, _>(0), Some(1));
    }
}

#[tokio::test]
async fn several_results_of_a_batch_and_a_large_one_in_many_packets() {
    let server = TdsServer::start(|request: &Request| {
        if request.sql == "large" {
            let rows = (0..5_000).map(|it| [it.into(), "x".repeat(it as usize % 300).into()]);
            return vec![Answer::rows(
                [Column::new("id", Type::Int), Column::new("s", Type::NVarCharMax)],
                rows,
            )];
        }
        vec![
            Answer::Done { affected: 3 },
            Answer::rows([Column::new("a", Type::Int)], [[1.into()], [2.into()]]),
            Answer::rows([Column::new("b", Type::Int)], [] as [[Value; 1]; 0]),
        ]
    })
    .unwrap();
    let mut client = client(&server).await;
    let results = client.simple_query("a; b; c").await.unwrap().into_results().await.unwrap();
    assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    let rows = client.query("large", &[&1]).await.unwrap().into_first_result().await.unwrap();
    assert_eq!(rows.len(), 5_000);
    assert_eq!(rows[299].get::<&str, _>(1).map(str::len), Some(299));
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_byte_is_an_error_and_no_answer() {
    let server = TdsServer::start(|request: &Request| {
        let rows = Answer::rows([Column::new("id", Type::Int)], [[7.into()], [8.into()]]);
        vec![rows, Answer::Cut(request.value(0).int().unwrap().try_into().unwrap())]
    })
    .unwrap();
    let mut whole = 0;
    for bytes in 0..100 {
        let mut client = client(&server).await;
        let read = async { client.query("SELECT id", &[&bytes]).await?.into_first_result().await };
        let read = timeout(Duration::from_secs(5), read).await.expect("it must not hang");
        match read {
            Ok(rows) => {
                assert_eq!(rows.len(), 2, "cut after {bytes} bytes");
                whole += 1;
            }
            Err(Error::Io { .. } | Error::Protocol(_)) => {}
            Err(other) => panic!("cut after {bytes} bytes: {other:?}"),
        }
    }
    assert!((1..70).contains(&whole), "{whole}");
}

#[tokio::test]
async fn silence_ends_where_the_client_gives_up() {
    let server = TdsServer::start(|request: &Request| match request.sql.as_str() {
        "hang" => vec![Answer::Hang],
        _ => vec![Answer::Done { affected: 1 }],
    })
    .unwrap();
    let mut client = client(&server).await;
    timeout(Duration::from_millis(100), client.execute("hang", &[])).await.unwrap_err();
    drop(client);
    let mut client = self::client(&server).await;
    assert_eq!(client.execute("go", &[]).await.unwrap().rows_affected(), [1]);
    server.down();
    assert!(client.execute("go", &[]).await.is_err());
    assert!(connect(config(&server)).await.is_err());
    server.up();
    assert_eq!(self::client(&server).await.execute("go", &[]).await.unwrap().rows_affected(), [1]);
}

#[tokio::test]
async fn a_script_names_what_it_did_not_expect() {
    let script = Script::new()
        .then("select id", [Answer::rows([Column::new("id", Type::Int)], [[7.into()]])])
        .then("DELETE", [Answer::Done { affected: 1 }]);
    let server = TdsServer::with(Options::default(), script.clone()).unwrap();
    let mut client = client(&server).await;
    client.query("SELECT id FROM outbox", &[]).await.unwrap().into_row().await.unwrap();
    let failed = client.execute("UPDATE outbox", &[]).await.unwrap_err();
    assert_eq!(number(&failed), Some(50_000));
    assert_eq!(script.mistakes(), ["expected `DELETE`, got `UPDATE outbox`", "nobody asked for `DELETE`"]);
    client.execute("DELETE FROM outbox", &[]).await.unwrap();
    assert_eq!(script.mistakes().len(), 1);
}

#[tokio::test]
async fn a_procedure_returns_its_output_and_a_route_sends_on() {
    let server = TdsServer::start(|request: &Request| {
        assert_eq!((request.kind, request.sql.as_str()), (Kind::Procedure, "dbo.score"));
        vec![Answer::Output { column: Column::new("@score", Type::Int), value: 42.into() }]
    })
    .unwrap();
    let mut client = client(&server).await;
    let mut call = tiberius::Command::new("dbo.score");
    call.bind_param("@id", 7);
    call.bind_out_param("@score", 0);
    let result = call.exec(&mut client).await.unwrap().into_command_result().await.unwrap();
    let value: Option<i32> = result.try_return_value("@score").unwrap();
    assert_eq!(value, Some(42));
    let options = Options { route: Some(("replica".into(), 1_444)), ..Options::default() };
    let listener = TdsServer::with(options, |_: &Request| vec![]).unwrap();
    match connect(config(&listener)).await.map(drop) {
        Err(Error::Routing { host, port }) => assert_eq!((host.as_str(), port), ("replica", 1_444)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_encrypted_is_agreed_before_the_login() {
    let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
    use EncryptionLevel::{NotSupported, Off, On, Required};
    for (server_says, client_says, encrypted) in [
        (Encryption::Login, NotSupported, false),
        (Encryption::Login, Off, true),
        (Encryption::Login, On, true),
        (Encryption::Login, Required, true),
        (Encryption::Required, Off, true),
        (Encryption::Required, Required, true),
    ] {
        let options = Options { encryption: server_says, ..Options::default() };
        let rows = |_: &Request| {
            let rows = (0..500).map(|it| [it.into(), "x".repeat(100).into()]);
            vec![Answer::rows([Column::new("id", Type::Int), Column::new("s", Type::NVarChar(100))], rows)]
        };
        let server = TdsServer::with(options, rows).unwrap();
        let mut config = config(&server);
        config.encryption(client_says);
        config.host("localhost");
        let mut verified = Config::new();
        verified.host("localhost");
        verified.port(server.port());
        verified.authentication(AuthMethod::sql_server("sa", "secret"));
        verified.encryption(client_says);
        verified.trust_cert_ca(server.authority().unwrap().display().to_string());
        for config in [config, verified] {
            let socket = TcpStream::connect(server.address()).await.unwrap();
            let mut client = Client::connect(config, socket.compat_write()).await.unwrap();
            for _ in 0..2 {
                let rows = client.query("SELECT 1", &[&1]).await.unwrap().into_first_result().await.unwrap();
                assert_eq!(rows.len(), 500, "{server_says:?} {client_says:?}");
            }
        }
        assert!(
            server.logins().iter().all(|it| it.encrypted == encrypted),
            "{server_says:?} {client_says:?}"
        );
        assert_eq!(server.faults(), [] as [String; 0]);
    }
}

const DRAIN: &str =
    "DECLARE @until binary(8) = MIN_ACTIVE_ROWVERSION(); SELECT TOP (2) rv FROM [v].[outbox] WHERE rv > @P1";

async fn drained(client: &mut Connected, after: i64) -> Result<Vec<i64>, Error> {
    let rows = client.query(DRAIN, &[&after]).await?.into_first_result().await?;
    Ok(rows.iter().map(|it| it.get(0).unwrap()).collect())
}

#[tokio::test]
async fn an_outbox_in_memory_hides_what_is_not_committed_and_gives_back_what_was_not() {
    let world = OutboxWorld::new("dbo.orders", &[("order_no", "int")]);
    let server = TdsServer::with(Options::default(), world.clone()).unwrap();
    let row = |it: i64| Written { op: 'i', before: None, after: Some(format!("t{it};")) };
    let first = world.write(row(1));
    let slow = world.begin();
    let held = world.write_in(slow, row(2));
    let after = world.write(row(3));
    let mut client = self::client(&server).await;
    assert_eq!(
        drained(&mut client, 0).await.unwrap(),
        [first],
        "a later commit can not hide an earlier version"
    );
    world.commit(slow);
    assert_eq!(drained(&mut client, 0).await.unwrap(), [first, held], "two at a time");
    assert_eq!(drained(&mut client, held).await.unwrap(), [after]);

    let delete = format!("DELETE FROM [v].[outbox] WHERE rv IN (0x{first:016X}, 0x{held:016X});");
    client.simple_query("BEGIN TRANSACTION").await.unwrap().into_results().await.unwrap();
    client.simple_query(delete.as_str()).await.unwrap().into_results().await.unwrap();
    assert_eq!(world.left(), [after]);
    drop(client);
    let mut client = self::client(&server).await;
    while world.left().len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.trouble("delete from", Trouble::After);
    assert!(client.simple_query(delete.as_str()).await.is_err());
    assert_eq!(world.left(), [after], "it was done although nobody heard of it");

    let mut client = self::client(&server).await;
    world.trouble("min_active", Trouble::Deadlock);
    assert_eq!(number(&drained(&mut client, 0).await.unwrap_err()), Some(1_205));
    let lock = "EXEC sys.sp_getapplock @Resource = @P1";
    let got = async |client: &mut Connected| {
        let row = client.query(lock, &[&"flow"]).await.unwrap().into_row().await.unwrap().unwrap();
        row.get::<i32, _>(0)
    };
    let mut other = self::client(&server).await;
    assert_eq!((got(&mut client).await, got(&mut other).await), (Some(0), Some(-1)), "one drains");
    drop(client);
    let start = std::time::Instant::now();
    while got(&mut other).await != Some(0) {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(world.mistakes(), [] as [String; 0]);
}

#[tokio::test]
async fn an_instance_is_found_by_its_name() {
    use tiberius::SqlBrowser;
    let ip = std::net::Ipv4Addr::new(127, 83, 81, 2);
    let options = Options { ip: Some(ip), ..Options::default() };
    let server = TdsServer::with(options, |_: &Request| vec![Answer::Done { affected: 4 }]).unwrap();
    let _browser = Browser::start(ip, "LEGACY", server.port()).unwrap();
    let mut config = Config::new();
    config.host(ip.to_string());
    config.instance_name("legacy");
    config.authentication(AuthMethod::sql_server("sa", "secret"));
    config.encryption(EncryptionLevel::NotSupported);
    let socket = TcpStream::connect_named(&config).await.unwrap();
    let mut client = Client::connect(config.clone(), socket.compat_write()).await.unwrap();
    assert_eq!(client.execute("go", &[]).await.unwrap().rows_affected(), [4]);
    config.instance_name("other");
    assert!(TcpStream::connect_named(&config).await.is_err());
}
