use proptest::prelude::*;

use super::*;

mod properties;

/// A codec written as in a mapping: `date ddMMyyyy`, `money '1.234,56'`, `datetime @Europe/Madrid yyyyMMddHHmm`.
fn spelling(text: &str) -> Spelling {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let kind = serde_json::from_value(kind.into()).unwrap();
    let (zone, format) = match rest.strip_prefix('@') {
        Some(rest) => {
            let (zone, format) = rest.split_once(' ').unwrap_or((rest, ""));
            (Some(TimeZone::get(zone).unwrap()), format)
        }
        None => (None, rest),
    };
    let (format, pivot) = match format.split_once(" pivot ") {
        Some((format, pivot)) => (format, Some(pivot.parse().unwrap())),
        None => (format, None),
    };
    Spelling {
        kind,
        format: (!format.is_empty()).then(|| format.to_owned()),
        pivot,
        zone,
        ..Spelling::default()
    }
}

fn codec(text: &str) -> Codec {
    Codec::compile(&spelling(text)).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// What was read, as canonical text; `?` before what is doubtful, `-` for nothing, `!` for the unreadable.
fn shown(reading: Reading) -> String {
    match reading {
        Reading::Value(value) => canonical_text(&value),
        Reading::Empty => "-".to_owned(),
        Reading::Doubtful(value, _) => format!("?{}", canonical_text(&value)),
        Reading::Unreadable(_) => "!".to_owned(),
    }
}

fn reads(spelt: &str, cases: &[(&str, &str)]) {
    let codec = codec(spelt);
    for (raw, expected) in cases {
        assert_eq!(shown(codec.read(raw)), *expected, "{spelt}: {raw:?}");
    }
}

/// Writes what was read; the text must come back.
fn keeps(spelt: &str, raws: &[&str]) {
    let codec = codec(spelt);
    for raw in raws {
        match codec.read(raw) {
            Reading::Value(value) => assert_eq!(codec.write(&value).as_deref(), Ok(*raw), "{spelt}"),
            other => panic!("{spelt}: {raw:?} read as {other:?}"),
        }
    }
}

#[test]
fn plain_numbers_are_read_as_xml_schema_writes_them() {
    reads(
        "decimal",
        &[
            ("1250.00", "1250.00"),
            (" -3.50\n", "-3.50"),
            ("+1.50", "1.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("-0.00", "0.00"),
            ("79228162514264337593543950335", "79228162514264337593543950335"),
            ("79228162514264337593543950336", "?79228162514264337593543950336"),
            ("123456789012345678901234567890123", "?123456789012345678901234567890123"),
            ("0.00000000000000000000000000001", "?0.00000000000000000000000000001"),
            ("00000000000000000000000000000000000000000000000001", "1"),
            ("", "-"),
            ("  ", "-"),
            (".", "!"),
            ("-", "!"),
            ("1e3", "!"),
            ("1,5", "!"),
            ("1.2.3", "!"),
            ("--1", "!"),
            ("- 1", "!"),
            ("٣", "!"),
            ("NaN", "!"),
            ("0x1F", "!"),
        ],
    );
    reads(
        "int",
        &[
            ("42", "42"),
            ("-007", "-7"),
            ("+7", "7"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "?9223372036854775808"),
            ("1.0", "!"),
            ("5.", "!"),
            ("1e3", "!"),
        ],
    );
}

#[test]
fn numbers_by_example_are_strict_about_groups() {
    for (spelt, cases) in [
        (
            "money 1.234,56",
            &[
                ("1.234,56", "1234.56"),
                ("1234,5", "1234.5"),
                ("12.345.678,90", "12345678.90"),
                ("1.234", "1234"),
                (",50", "0.50"),
                ("-1,00", "-1.00"),
                ("1.2.3", "!"),
                ("1.23,4", "!"),
                ("1234.567", "!"),
                (".234", "!"),
                ("1.234,567", "!"),
                ("1234.56", "!"),
                ("1,", "!"),
            ][..],
        ),
        (
            "decimal 1,234.56",
            &[("1,234.56", "1234.56"), ("1,2,3", "!"), ("1.234,56", "!"), ("001,234", "1234")],
        ),
        ("decimal 1'234.56", &[("1'234.56", "1234.56"), ("1\u{2019}234.56", "1234.56"), ("1''234", "!")]),
        (
            "decimal 1 234,56",
            &[("1 234,56", "1234.56"), ("1\u{a0}234,5", "1234.5"), ("1\u{202f}234", "1234")],
        ),
        ("decimal 1234,5", &[("99999,5", "99999.5"), ("1.234,5", "!"), ("1,55", "!")]),
        (
            "decimal 1234.56-",
            &[("1234.56-", "-1234.56"), ("5", "5"), ("-5", "-5"), ("-5-", "!"), ("5 -", "!")],
        ),
        (
            "decimal (1.234,56)",
            &[("(1.234,56)", "-1234.56"), ("5", "5"), ("(5", "!"), ("5)", "!"), ("()", "!")],
        ),
        ("int 1.234", &[("1.234", "1234"), ("12", "12"), ("1.2", "!")]),
        ("int 00000", &[("00042", "42"), ("42", "42")]),
        ("decimal V2", &[("0001250", "12.50"), ("5", "0.05"), ("-5", "-0.05"), ("1.5", "!")]),
        ("decimal 0000000V00", &[("000125000", "1250.00"), ("125000", "!"), ("-00125000", "!")]),
        ("decimal S9(7)V99", &[("000125000", "1250.00"), ("-000125000", "-1250.00")]),
        ("decimal 9(5)V9(2)-", &[("0012500-", "-125.00")]),
        ("int 9(5)V", &[("00042", "42")]),
    ] {
        reads(spelt, cases);
    }
}

#[test]
fn written_numbers_keep_every_digit_or_are_refused() {
    for (spelt, value, expected) in [
        ("decimal", "1250.00", Some("1250.00")),
        ("decimal", "0.05", Some("0.05")),
        ("money 1.234,56", "1234567.5", Some("1.234.567,50")),
        ("money 1.234,56", "-12", Some("-12,00")),
        ("money 1.234,56", "1.005", None),
        ("money 1.234,56", "1.500", Some("1,50")),
        ("money (1.234,56)", "-12.3", Some("(12,30)")),
        ("money 1234.56-", "-0.07", Some("0.07-")),
        ("money 00000.00", "3.5", Some("00003.50")),
        ("money V2", "12.5", Some("1250")),
        ("money V2", "0.05", Some("005")),
        ("money 0000000V00", "1250", Some("000125000")),
        ("money 0000000V00", "12345678", None),
        ("money 0000000V00", "-1", None),
        ("money S9(3)V99", "-1", Some("-00100")),
        ("int", "12.00", Some("12")),
        ("int", "12.5", None),
    ] {
        let value = Value::Decimal(value.parse().unwrap());
        assert_eq!(codec(spelt).write(&value).ok().as_deref(), expected, "{spelt}: {value:?}");
    }
}

#[test]
fn dates_are_strict_and_real() {
    reads(
        "date",
        &[
            ("2026-01-31", "2026-01-31"),
            ("2026-01-31Z", "2026-01-31"),
            ("2026-01-31+01:00", "2026-01-31"),
            ("2026-01-31T00:00:00", "2026-01-31"),
            ("2026-01-31T00:00:00+02:00", "2026-01-31"),
            ("2026-01-31T10:00:00", "!"),
            ("2026-02-29", "!"),
            ("2024-02-29", "2024-02-29"),
            ("1900-02-29", "!"),
            ("2026-1-31", "!"),
            ("2026-01-31 ", "2026-01-31"),
            ("2026-01-31x", "!"),
            ("12026-01-31", "!"),
        ],
    );
    reads(
        "date ddMMyyyy",
        &[
            ("01112026", "2026-11-01"),
            ("1112026", "!"),
            ("31022026", "!"),
            ("0111202", "!"),
            ("011120266", "!"),
        ],
    );
    reads("date d.M.yyyy", &[("1.11.2026", "2026-11-01"), ("01.1.2026", "2026-01-01"), ("001.1.2026", "!")]);
    reads("date MM/dd/yyyy", &[("11/01/2026", "2026-11-01"), ("13/01/2026", "!"), ("11-01-2026", "!")]);
    reads(
        "date dd-MMM-yyyy",
        &[("01-NOV-2026", "2026-11-01"), ("01-nov-2026", "2026-11-01"), ("01-NO", "!")],
    );
    reads("date dd-MMM-yyyy", &[("01-ÉÉv-2026", "!"), ("01-Nov-2026", "2026-11-01")]);
    reads(
        "date yyMMdd pivot 40",
        &[("391231", "2039-12-31"), ("400101", "1940-01-01"), ("000229", "2000-02-29")],
    );
    reads("date ddMMyy pivot 100", &[("010199", "2099-01-01")]);
    reads(
        "date yyDDD pivot 70",
        &[("24366", "2024-12-31"), ("25366", "!"), ("25000", "!"), ("70001", "1970-01-01")],
    );
    reads("date yyyyDDD", &[("2024060", "2024-02-29")]);
    reads("date cyyMMdd", &[("1261101", "2026-11-01"), ("0991231", "1999-12-31"), ("261101", "!")]);
    reads(
        "date excel",
        &[
            ("1", "1900-01-01"),
            ("59", "1900-02-28"),
            ("60", "!"),
            ("61", "1900-03-01"),
            ("45292", "2024-01-01"),
            ("45292.0", "2024-01-01"),
            ("45292.5", "!"),
            ("0", "!"),
            ("2958465", "9999-12-31"),
            ("2958466", "!"),
            ("-1", "!"),
            ("4.5E4", "!"),
        ],
    );
    reads("date excel-1904", &[("0", "1904-01-01"), ("43830", "2024-01-01")]);
}

#[test]
fn times_and_instants_are_read() {
    reads(
        "time",
        &[("13:45", "13:45:00"), ("13:45:10.250Z", "13:45:10.25"), ("24:00:00", "!"), ("1:45", "!")],
    );
    reads("time HHmm", &[("0905", "09:05:00"), ("905", "!"), ("2460", "!")]);
    reads("time HHmmsstt", &[("13451025", "13:45:10.25")]);
    reads("time HHmmssSSS", &[("134510250", "13:45:10.25"), ("13451025", "!")]);
    reads(
        "datetime",
        &[
            ("2026-01-31T13:45:10.25+01:00", "2026-01-31T13:45:10.25+01:00"),
            ("2026-01-31 13:45Z", "2026-01-31T13:45:00Z"),
            ("2026-01-31T13:45:10", "2026-01-31T13:45:10Z"),
            ("2026-01-31", "!"),
            ("2026-01-31T13:45:10+15:00", "!"),
            ("2026-01-31T13:45:60", "!"),
        ],
    );
    reads(
        "datetime @Europe/Madrid",
        &[
            ("2026-01-31T13:45:10", "2026-01-31T13:45:10+01:00"),
            ("2026-07-01T13:45:10", "2026-07-01T13:45:10+02:00"),
            // 25 October 2026, 03:00 → 02:00: twice; the earlier one.
            ("2026-10-25T02:30:00", "?2026-10-25T02:30:00+02:00"),
            // 29 March 2026, 02:00 → 03:00: never.
            ("2026-03-29T02:30:00", "?2026-03-29T03:30:00+02:00"),
        ],
    );
    reads("datetime @Europe/Madrid yyyyMMddHHmmss", &[("20260131134510", "2026-01-31T13:45:10+01:00")]);
    reads(
        "datetime yyyy-MM-dd'T'HH:mm",
        &[("2026-01-31T13:45", "2026-01-31T13:45:00Z"), ("2026-01-31 13:45", "!")],
    );
    reads("datetime dd.MM.yyyy HH:mmXXX", &[("31.01.2026 13:45-03:30", "2026-01-31T13:45:00-03:30")]);
    reads(
        "datetime yyyyMMddHHmmX",
        &[("202601311345+01", "2026-01-31T13:45:00+01:00"), ("202601311345Z", "2026-01-31T13:45:00Z")],
    );
    reads(
        "datetime epoch",
        &[
            ("0", "1970-01-01T00:00:00Z"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("1.5", "!"),
            ("99999999999999", "!"),
        ],
    );
    reads("datetime @Europe/Madrid epoch-ms", &[("1500", "1970-01-01T01:00:01.5+01:00")]);
    reads(
        "datetime excel",
        &[("45292.75", "2024-01-01T18:00:00Z"), ("45292.999999999", "2024-01-02T00:00:00Z")],
    );
}

#[test]
fn a_doubtful_local_time_is_named_as_such() {
    let found = codec("datetime @Europe/Madrid").read("2026-10-25T02:30:00");
    assert!(matches!(found, Reading::Doubtful(_, Complaint { check: Check::LocalTime, .. })), "{found:?}");
}

#[test]
fn words_for_yes_and_no_are_read() {
    reads("bool", &[("true", "true"), ("0", "false"), ("TRUE", "true"), ("yes", "!"), ("", "-")]);
    reads("bool Y/N", &[("Y", "true"), ("N", "false"), ("y", "!"), ("1", "!"), (" ", "-")]);
    reads("bool X/ ", &[("X", "true"), (" ", "false"), ("", "false"), ("Y", "!")]);
    keeps("bool X/ ", &["X", " "]);
    keeps("bool J/N", &["J", "N"]);
}

#[test]
fn bytes_are_read() {
    reads("bytes", &[("aGk=", "aGk="), ("aG\r\n k=", "aGk="), ("aGk", "!"), ("a*k=", "!")]);
    reads("bytes hex", &[("6869", "aGk="), ("dEaD", "3q0="), ("686", "!"), ("6x", "!")]);
}

#[test]
fn what_is_written_reads_as_it_was() {
    keeps("date ddMMyyyy", &["01112026", "29022024"]);
    keeps("date dd-MMM-yyyy", &["01-Nov-2026"]);
    keeps("date yyMMdd pivot 40", &["391231", "400101"]);
    keeps("date yyDDD pivot 40", &["24366"]);
    keeps("date cyyMMdd", &["1261101", "0991231"]);
    keeps("date excel", &["1", "59", "61", "45292"]);
    keeps("time HHmmsstt", &["13451025"]);
    keeps("datetime @Europe/Madrid dd.MM.yyyy HH:mm", &["31.01.2026 13:45"]);
    keeps("datetime yyyyMMddHHmmX", &["202601311345+0130", "202601311345-03", "202601311345Z"]);
    keeps("datetime excel", &["45292.75", "45292"]);
    keeps("money 1.234,56", &["1.234,56", "-0,05", "999,00", "1.000.000,00"]);
    keeps("bytes hex", &["DEAD"]);
    keeps("text", &["  as it is "]);
}

#[test]
fn clock_times_are_cut_to_what_the_format_holds() {
    let at = "2026-01-31T13:45:59.999999Z".parse().unwrap();
    let value = Value::DateTime { at, offset: jiff::tz::Offset::UTC };
    for (spelt, expected) in [
        ("datetime yyyyMMddHHmmss", "20260131134559"),
        ("datetime yyyyMMddHHmm", "202601311345"),
        ("datetime epoch-ms", "1769867159999"),
        ("datetime", "2026-01-31T13:45:59.999999Z"),
    ] {
        assert_eq!(codec(spelt).write(&value).as_deref(), Ok(expected), "{spelt}");
    }
}

#[test]
fn formats_that_can_not_work_are_refused() {
    for (spelt, key, part, title) in [
        ("date yyMMdd", "pivot", None, "a two-digit year needs a pivot"),
        ("date yyyyMMdd pivot 40", "pivot", None, "the format has no two-digit year"),
        ("date cyyMMdd pivot 40", "pivot", None, "the format has no two-digit year"),
        ("date excel pivot 40", "pivot", None, "the format has no two-digit year"),
        ("date yyMMdd pivot 101", "pivot", None, "a pivot is a two-digit year"),
        ("int 1 pivot 40", "pivot", None, "the format has no two-digit year"),
        ("date ddmmyyyy", "format", None, "a date has no time of day"),
        ("date ddQQyyyy", "format", Some(2..4), "`QQ` is not a part of a date or time"),
        ("date yyyyMM", "format", None, "the format does not name a whole date"),
        ("date yyyyMMddDDD", "format", None, "both a day of the month and a day of the year"),
        ("date dMyyyy", "format", Some(1..2), "one or two digits run into the next number"),
        ("date dd.MM.yyyy.dd", "format", Some(11..13), "stands twice in the format"),
        ("date dd.MM.yyyy'", "format", Some(10..11), "the quote is not closed"),
        ("time HHss", "format", None, "a time needs hours and minutes"),
        ("datetime yyyyMMdd", "format", None, "the format has no time of day"),
        ("datetime yyyy-MM-ddTHH:mm", "format", Some(10..11), "`T` is not a part of a date or time"),
        ("bool YN", "format", None, "the format of a bool has a slash"),
        ("bool Y/Y", "format", None, "yes and no are spelt alike"),
        ("bytes base32", "format", None, "bytes are spelt `base64` or `hex`"),
        (
            "decimal 1.234",
            "format",
            None,
            "the example can be read in two ways: its separator may group or be the point",
        ),
        ("decimal 1.23.45,6", "format", None, "the example's groups are not of three digits"),
        ("decimal #,##0", "format", None, "the format is not an example of a number"),
        ("int 12,5", "format", None, "the example's groups are not of three digits"),
        ("text abc", "format", None, "text has no format"),
    ] {
        let error = Codec::compile(&spelling(spelt)).map(|_| ()).unwrap_err();
        assert_eq!((error.key, error.part, &*error.title), (key, part, title), "{spelt}");
    }
}

#[test]
fn spellings_of_nothing_are_nothing() {
    let spelling =
        Spelling { empty: vec!["000000".into(), "N/A".into()], ..spelling("date yyMMdd pivot 40") };
    let codec = Codec::compile(&spelling).unwrap();
    for (raw, expected) in [("000000", "-"), (" N/A ", "-"), ("", "-"), ("\t", "-"), ("999999", "!")] {
        assert_eq!(shown(codec.read(raw)), expected, "{raw:?}");
    }
    let codec = Codec::compile(&Spelling { kind: Kind::Int, empty: vec!["0".into()], ..Spelling::default() });
    assert!(codec.unwrap().write(&Value::Int(0)).is_err(), "a zero that would be read as nothing");
}

fn causes() -> Arc<CodeTable> {
    let rows = [("fire", &["01"][..]), ("water", &["02", "2A"]), ("unknown", &[" "])];
    Arc::new(CodeTable::new(
        rows.iter()
            .map(|(word, codes)| ((*word).to_owned(), codes.iter().map(|it| (*it).to_owned()).collect()))
            .collect(),
    ))
}

#[test]
fn codes_are_read_and_the_first_is_written_back() {
    let codec = Codec::compile(&Spelling { codes: Some(causes()), ..Spelling::default() }).unwrap();
    for (raw, expected) in
        [("2A", "water"), (" 01 ", "fire"), ("  ", "unknown"), ("", "unknown"), ("2a", "!")]
    {
        assert_eq!(shown(codec.read(raw)), expected, "{raw:?}");
    }
    assert_eq!(codec.write(&Value::Text("water".into())).as_deref(), Ok("02"));
    let expected = Complaint { check: Check::Codes, expected: "one of fire, water, unknown".into() };
    assert_eq!(codec.write(&Value::Text("theft".into())), Err(expected.clone()));
    assert_eq!(codec.read_clean("theft"), Reading::Unreadable(expected));
    let expected = Complaint { check: Check::Codes, expected: "one of 01, 02, 2A, (blank)".into() };
    assert_eq!(codec.read("77"), Reading::Unreadable(expected));
}

#[test]
fn codes_may_stand_for_typed_values() {
    let table =
        Arc::new(CodeTable::new(vec![("true".into(), vec!["J".into()]), ("false".into(), vec!["N".into()])]));
    let spelling = Spelling { kind: Kind::Bool, codes: Some(table), ..Spelling::default() };
    let codec = Codec::compile(&spelling).unwrap();
    assert_eq!(codec.read("J"), Reading::Value(Value::Bool(true)));
    assert_eq!(codec.write(&Value::Bool(false)).as_deref(), Ok("N"));
    let error = Codec::compile(&Spelling { kind: Kind::Date, ..spelling }).unwrap_err();
    assert_eq!((error.key, &*error.title), ("codes", "`true` is a clean word of the table but not a date"));
}

#[test]
fn a_csv_table_reports_all_its_problems() {
    let table =
        CodeTable::from_csv("\u{feff}legacy,clean,note\n01,fire,\n\"2,A\",water,x\n02,water,\n").unwrap();
    assert_eq!(table.clean("2,A"), Some("water"));
    assert_eq!(table.legacy("water"), Some("2,A"));
    let lines = |text: &str| -> Vec<String> {
        CodeTable::from_csv(text).unwrap_err().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        lines("clean,legacy\nfire,01\nwater,01\n,03\nshort\n"),
        [
            "line 3: code `01` stands on line 2 already",
            "line 4: code `03` has no clean word",
            "line 5: 1 values where the header has 2 columns",
        ]
    );
    assert_eq!(
        lines("code,clean\n"),
        ["line 1: there is no column `legacy`; a code table has `legacy` and `clean`"]
    );
    assert_eq!(lines("legacy,clean\n"), ["line 1: the table has no rows"]);
}

#[test]
fn duplicates_are_named_by_position() {
    let row =
        |word: &str, codes: &[&str]| (word.to_owned(), codes.iter().map(|it| (*it).to_owned()).collect());
    let table = CodeTable::new(vec![row("a", &["1", "2"]), row("b", &["3", "2 "]), row("a", &["4"])]);
    assert_eq!(
        table.duplicates(),
        [
            Duplicate { text: "2 ".into(), is_code: true, first: (0, 1), again: (1, 1) },
            Duplicate { text: "a".into(), is_code: false, first: (0, 0), again: (2, 0) },
        ]
    );
}

#[test]
fn a_table_of_ten_thousand_rows_answers_at_once() {
    let rows = (0..10_000).map(|it| (format!("word{it}"), vec![format!("{it:05}")])).collect();
    let spelling = Spelling { codes: Some(Arc::new(CodeTable::new(rows))), ..Spelling::default() };
    let codec = Codec::compile(&spelling).unwrap();
    assert_eq!(codec.read("09999"), Reading::Value(Value::Text("word9999".into())));
    let Reading::Unreadable(complaint) = codec.read("x") else { panic!("no such code") };
    assert!(complaint.expected.ends_with("00011, … (9988 more)"), "{}", complaint.expected);
}

#[test]
fn clean_text_is_read_whatever_the_format() {
    for (spelt, clean, expected) in [
        ("date ddMMyyyy", "2026-11-01", "2026-11-01"),
        ("date ddMMyyyy", "01112026", "!"),
        ("money 1.234,56", "1234.56", "1234.56"),
        ("bool Y/N", "yes", "true"),
        ("bool Y/N", "no", "false"),
        ("int", "3", "3"),
        ("text", " ", "-"),
        ("datetime yyyyMMddHHmm", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("bytes hex", "aGk=", "aGk="),
    ] {
        assert_eq!(shown(codec(spelt).read_clean(clean)), expected, "{spelt}: {clean}");
    }
}

#[test]
fn a_value_of_another_type_is_written_where_it_reads_as_this_one() {
    for (spelt, value, expected) in [
        ("decimal 1.234,56", Value::Int(5), Some("5,00")),
        ("bool Y/N", Value::Text("yes".into()), Some("Y")),
        ("date ddMMyyyy", Value::Text("2026-11-01".into()), Some("01112026")),
        ("text", Value::Date(jiff::civil::date(2026, 11, 1)), Some("2026-11-01")),
        (
            "decimal",
            Value::Text("123456789012345678901234567890123".into()),
            Some("123456789012345678901234567890123"),
        ),
        ("decimal", Value::Text("twelve".into()), None),
        ("date", Value::Int(5), None),
        ("text", Value::List(Vec::new()), None),
    ] {
        assert_eq!(codec(spelt).write(&value).ok().as_deref(), expected, "{spelt}: {value:?}");
    }
}

#[test]
fn what_is_expected_is_said_in_words() {
    for (spelt, expected) in [
        ("date ddMMyyyy", "date as ddMMyyyy"),
        ("money 1.234,56", "money as 1.234,56"),
        ("bool Y/N", "`Y` for yes or `N` for no"),
        ("date", "date as 2026-01-31"),
        ("text", "text"),
    ] {
        assert_eq!(codec(spelt).describe(), expected);
    }
    assert_eq!(Codec::default().describe(), "text");
}

#[test]
fn the_examples_of_the_formats_page_hold() {
    let date = Value::Date(jiff::civil::date(2026, 11, 1));
    let time = Value::Time(jiff::civil::time(13, 45, 10, 250_000_000));
    let at: jiff::Timestamp = "2026-01-31T13:45:10.25+01:00".parse().unwrap();
    let at = Value::DateTime { at, offset: jiff::tz::offset(1) };
    let amount = Value::Decimal("-1234.5".parse().unwrap());
    let page = include_str!("../../../docs/formats.md");
    for (value, spelt, expected) in [
        (&Value::Int(1234), "int 1.234", "1.234"),
        (&Value::Int(1234), "int 00000", "01234"),
        (&Value::Int(1234), "int 9(5)V", "01234"),
        (&amount, "money", "-1234.5"),
        (&amount, "money 1.234,56", "-1.234,50"),
        (&amount, "money 1,234.56", "-1,234.50"),
        (&amount, "money 1'234.56", "-1'234.50"),
        (&amount, "money 1 234,56", "-1 234,50"),
        (&amount, "money 1234,5", "-1234,5"),
        (&amount, "money 000000.00", "-001234.50"),
        (&amount, "money 1234.56-", "1234.50-"),
        (&amount, "money (1.234,56)", "(1.234,50)"),
        (&amount, "money V2", "-123450"),
        (&amount, "money S9(7)V99", "-000123450"),
        (&amount, "money 9(7)V99-", "000123450-"),
        (&date, "date", "2026-11-01"),
        (&date, "date yyyyMMdd", "20261101"),
        (&date, "date ddMMyyyy", "01112026"),
        (&date, "date dd.MM.yyyy", "01.11.2026"),
        (&date, "date d.M.yyyy", "1.11.2026"),
        (&date, "date MM/dd/yyyy", "11/01/2026"),
        (&date, "date dd-MMM-yyyy", "01-Nov-2026"),
        (&date, "date yyMMdd pivot 40", "261101"),
        (&date, "date ddMMyy pivot 40", "011126"),
        (&date, "date yyDDD pivot 40", "26305"),
        (&date, "date yyyyDDD", "2026305"),
        (&date, "date cyyMMdd", "1261101"),
        (&date, "date excel", "46327"),
        (&date, "date excel-1904", "44865"),
        (&time, "time", "13:45:10.25"),
        (&time, "time HHmm", "1345"),
        (&time, "time HHmmss", "134510"),
        (&time, "time HHmmsstt", "13451025"),
        (&time, "time HHmmssSSS", "134510250"),
        (&at, "datetime", "2026-01-31T13:45:10.25+01:00"),
        (&at, "datetime @Europe/Madrid yyyyMMddHHmmss", "20260131134510"),
        (&at, "datetime @Europe/Madrid dd.MM.yyyy HH:mm", "31.01.2026 13:45"),
        (&at, "datetime @Europe/Madrid yyyy-MM-dd'T'HH:mm", "2026-01-31T13:45"),
        (&at, "datetime yyyyMMddHHmmssX", "20260131134510+01"),
        (&at, "datetime epoch", "1769863510"),
        (&at, "datetime epoch-ms", "1769863510250"),
        (&at, "datetime @Europe/Madrid excel", "46053.573035301"),
    ] {
        assert_eq!(codec(spelt).write(value).as_deref(), Ok(expected), "{spelt}");
        assert!(page.contains(&format!("`{expected}`")), "{expected} stands in docs/formats.md");
    }
}
