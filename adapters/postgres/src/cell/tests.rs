use proptest::prelude::*;
use vestibule_core::change::Cell;

use super::*;

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn array(kind: Kind) -> Kind {
    Kind::Array(Arc::new(kind), b',')
}

#[test]
fn texts_become_what_mappings_read() {
    let cases = [
        (Kind::Bool, "t", text("true")),
        (Kind::Bool, "f", text("false")),
        (Kind::Bool, "true", text("true")),
        (Kind::Padded, "ab   ", text("ab")),
        (Kind::Host, "10.0.0.1/32", text("10.0.0.1")),
        (Kind::Host, "::1/128", text("::1")),
        (Kind::Host, "10.0.0.1/8", text("10.0.0.1/8")),
        (Kind::Plain, "12.50", text("12.50")),
        (Kind::Plain, "NaN", text("NaN")),
        (Kind::Float, "1e+20", text("100000000000000000000")),
        (Kind::Float, "1.25e+20", text("125000000000000000000")),
        (Kind::Float, "-1.25e-07", text("-0.000000125")),
        (Kind::Float, "1.2345e+02", text("123.45")),
        (Kind::Float, "0.1", text("0.1")),
        (Kind::Float, "Infinity", text("Infinity")),
        (Kind::Float, "1e+999999999", text("1e+999999999")),
        (Kind::Money, "$1,234.50", text("1234.50")),
        (Kind::Money, "-$1,234,567.89", text("-1234567.89")),
        (Kind::Money, "1.234,50 €", text("1.234,50 €")),
        (Kind::Moment, "2026-01-31 13:45:10.25", text("2026-01-31T13:45:10.25")),
        (Kind::Moment, "2026-01-31 13:45:10+00", text("2026-01-31T13:45:10+00:00")),
        (Kind::Moment, "2026-01-31 13:45:10-03:30", text("2026-01-31T13:45:10-03:30")),
        (Kind::Moment, "13:45:10.25+02", text("13:45:10.25+02:00")),
        (Kind::Moment, "infinity", text("infinity")),
        (Kind::Moment, "0044-03-15 12:00:00 BC", text("0044-03-15 12:00:00 BC")),
        (Kind::Moment, "12026-01-31 00:00:00", text("12026-01-31 00:00:00")),
        (Kind::Bytes, "\\x00ff", text("AP8=")),
        (Kind::Bytes, "\\x", text("")),
        (Kind::Bytes, "\\x0", Cell::Unreadable("bytes that are not written as hexadecimal digits".into())),
        (Kind::Json, r#"{"a": 1.50}"#, Cell::Json(r#"{"a": 1.50}"#.into())),
        (array(Kind::Plain), "{}", Cell::List(vec![])),
        (
            array(Kind::Plain),
            r#"{a,NULL,"NULL","x \"y\\",""}"#,
            Cell::List(vec![text("a"), Cell::Null, text("NULL"), text("x \"y\\"), text("")]),
        ),
        (
            array(Kind::Bool),
            "[0:1][5:6]={{t,f},{NULL,t}}",
            Cell::List(vec![
                Cell::List(vec![text("true"), text("false")]),
                Cell::List(vec![Cell::Null, text("true")]),
            ]),
        ),
        (array(Kind::Money), r#"{"$1,234.50",$2.00}"#, Cell::List(vec![text("1234.50"), text("2.00")])),
        (array(Kind::Bytes), r#"{"\\x00ff"}"#, Cell::List(vec![text("AP8=")])),
        (array(Kind::Json), r#"{"{\"a\": [1]}"}"#, Cell::List(vec![Cell::Json(r#"{"a": [1]}"#.into())])),
        (array(Kind::Plain), "{a", Cell::Unreadable("an array without an end".into())),
        (array(Kind::Plain), "{a}b", Cell::Unreadable("an array with something behind its end".into())),
    ];
    for (kind, raw, expected) in cases {
        assert_eq!(cell(raw.as_bytes(), &kind), expected, "input: {raw:?} as {kind:?}");
    }
}

#[test]
fn what_is_too_long_too_deep_or_no_text_says_so_without_the_value() {
    let long = vec![b'7'; LONGEST + 1];
    let deep = "{".repeat(100_000);
    let many = format!("{{{}}}", "1,".repeat(200_000));
    for (kind, raw) in [
        (Kind::Plain, long.as_slice()),
        (array(Kind::Plain), deep.as_bytes()),
        (array(Kind::Plain), many.as_bytes()),
        (Kind::Plain, b"a\xff"),
    ] {
        let Cell::Unreadable(why) = cell(raw, &kind) else { panic!("it was read") };
        assert!(why.len() < 100, "{why}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_any_text_stays_itself(raw in ".*", choice in any::<u8>()) {
        probe(&[&[choice], raw.as_bytes()].concat());
        prop_assert_eq!(cell(raw.as_bytes(), &Kind::Plain), text(&raw));
    }

    #[test]
    fn numbers_without_exponents_are_the_same_numbers(number in any::<f64>().prop_filter("finite", |it| it.is_finite())) {
        let raw = format!("{number:e}");
        let Cell::Text(read) = cell(raw.as_bytes(), &Kind::Float) else { panic!("no text") };
        prop_assert!(!read.contains('e'));
        prop_assert_eq!(read.parse::<f64>().unwrap().to_bits(), number.to_bits());
    }

    #[test]
    fn quoted_items_of_an_array_are_read_back(items in proptest::collection::vec(proptest::option::of(".*"), 1..9)) {
        let written: Vec<String> = items.iter().map(|it| match it {
            None => "NULL".into(),
            Some(it) => format!("\"{}\"", it.replace('\\', "\\\\").replace('"', "\\\"")),
        }).collect();
        let expected = items.iter().map(|it| it.as_ref().map_or(Cell::Null, |it| text(it))).collect();
        let raw = format!("{{{}}}", written.join(","));
        prop_assert_eq!(cell(raw.as_bytes(), &array(Kind::Plain)), Cell::List(expected));
    }
}

/// As `database::Line` sets them.
const SETTINGS: &str = "SET datestyle='ISO, YMD'; SET intervalstyle='iso_8601'; SET extra_float_digits=1; \
    SET lc_monetary='C'; SET timezone='UTC'; SET bytea_output='hex';";
const MADE: &str = "CREATE TYPE \"Mood é\" AS ENUM ('so, so', 'good'); CREATE DOMAIN amount AS numeric(10,2); \
    CREATE DOMAIN dear AS amount; CREATE DOMAIN flags AS bool[]; CREATE TYPE pair AS (a int, b text);";

#[test]
#[expect(clippy::too_many_lines, reason = "one line a type")]
fn every_type_of_a_real_server_is_read() {
    let server = vestibule_testkit::postgres::Postgres::shared().unwrap();
    let url = server.database().unwrap();
    let list = |items: &[&str]| Cell::List(items.iter().map(|it| text(it)).collect());
    let cases = [
        ("boolean", "true", text("true")),
        ("smallint", "-32768", text("-32768")),
        ("bigint", "9223372036854775807", text("9223372036854775807")),
        ("numeric(12,4)", "1.5", text("1.5000")),
        ("numeric", "NaN", text("NaN")),
        ("numeric", "Infinity", text("Infinity")),
        ("numeric", "1e-30", text("0.000000000000000000000000000001")),
        ("real", "0.1", text("0.1")),
        ("real", "3.4e38", text("340000000000000000000000000000000000000")),
        ("double precision", "1e-7", text("0.0000001")),
        ("double precision", "0.30000000000000004", text("0.30000000000000004")),
        ("double precision", "-Infinity", text("-Infinity")),
        ("money", "-1234.5", text("-1234.50")),
        ("character(5)", "ab", text("ab")),
        ("character varying(9)", "ñ 😀", text("ñ 😀")),
        ("date", "2026-01-31", text("2026-01-31")),
        ("date", "infinity", text("infinity")),
        ("date", "0044-03-15 BC", text("0044-03-15 BC")),
        ("time without time zone", "13:45:10.25", text("13:45:10.25")),
        ("time with time zone", "13:45:10.25+02", text("13:45:10.25+02:00")),
        ("timestamp without time zone", "2026-01-31 13:45:10.250", text("2026-01-31T13:45:10.25")),
        ("timestamp(0) without time zone", "12026-01-31 13:45:10", text("12026-01-31 13:45:10")),
        ("timestamp with time zone", "2026-01-31 13:45:10.25+02", text("2026-01-31T11:45:10.25+00:00")),
        ("timestamp with time zone", "-infinity", text("-infinity")),
        ("interval", "1 year 2 months 3 days 04:05:06.7", text("P1Y2M3DT4H5M6.7S")),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("bytea", "\\x00ff10", text("AP8Q")),
        ("json", "{\"a\":  1.50}", Cell::Json("{\"a\":  1.50}".into())),
        ("jsonb", "[1, \"x\"]", Cell::Json("[1, \"x\"]".into())),
        ("integer[]", "{1,NULL,3}", Cell::List(vec![text("1"), Cell::Null, text("3")])),
        ("integer[]", "[2:3]={7,8}", list(&["7", "8"])),
        ("text[]", "{\"a,b\",\"\",\"NULL\",\"\\\"q\\\"\"}", list(&["a,b", "", "NULL", "\"q\""])),
        (
            "numeric(5,2)[]",
            "{{1,2},{3,4}}",
            Cell::List(vec![list(&["1.00", "2.00"]), list(&["3.00", "4.00"])]),
        ),
        ("money[]", "{1234.5}", list(&["1234.50"])),
        ("bytea[]", "{\"\\\\x01\"}", list(&["AQ=="])),
        ("box[]", "{(1,2),(3,4)}", list(&["(3,4),(1,2)"])),
        ("int2vector", "1 2", text("1 2")),
        ("\"Mood é\"", "so, so", text("so, so")),
        ("\"Mood é\"[]", "{\"so, so\",good}", list(&["so, so", "good"])),
        ("amount", "7", text("7.00")),
        ("dear[]", "{7}", list(&["7.00"])),
        ("flags", "{t,f}", list(&["true", "false"])),
        ("pair", "(1,\"x y\")", text("(1,\"x y\")")),
        ("int4range", "[1,5)", text("[1,5)")),
        ("int4multirange", "{[1,2),[5,6)}", text("{[1,2),[5,6)}")),
        ("tsrange", "[2026-01-01,2026-01-02)", text("[\"2026-01-01 00:00:00\",\"2026-01-02 00:00:00\")")),
        ("inet", "10.0.0.1", text("10.0.0.1")),
        ("inet[]", "{::1}", list(&["::1"])),
        ("cidr", "10.0.0.0/8", text("10.0.0.0/8")),
        ("inet", "10.0.0.1/8", text("10.0.0.1/8")),
        ("macaddr", "08:00:2b:01:02:03", text("08:00:2b:01:02:03")),
        ("bit(4)", "0101", text("0101")),
        ("point", "1,2", text("(1,2)")),
        ("xml", "<a/>", text("<a/>")),
        ("tsvector", "a b", text("'a' 'b'")),
        ("oid", "7", text("7")),
        ("regclass", "pg_class", text("pg_class")),
    ];
    let work = async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let mut driver = std::pin::pin!(connection);
        let work = async {
            client.batch_execute(&format!("{SETTINGS}{MADE}")).await.unwrap();
            let names: Vec<String> = cases.iter().map(|(name, ..)| (*name).to_owned()).collect();
            let kinds = kinds_of_names(&client, &names).await.unwrap();
            for ((name, raw, expected), kind) in cases.iter().zip(kinds) {
                let statement =
                    format!("SELECT ($1::text::{name})::text, format_type('{name}'::regtype, NULL)");
                let row = client.query_one(&statement, &[raw]).await.unwrap();
                let out: &str = row.get(0);
                assert_eq!(
                    cell(out.as_bytes(), &kind),
                    *expected,
                    "{name} {raw:?} is written {out:?}, read as {kind:?}"
                );
            }
            let gone = ["no_such_type".to_owned(), "public.none[]".to_owned()];
            assert_eq!(kinds_of_names(&client, &gone).await.unwrap(), [Kind::Plain, Kind::Plain]);
        };
        tokio::select! { () = work => {}, _ = &mut driver => panic!("the connection ended") }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}
