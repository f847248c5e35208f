//! What a codec writes, it reads back as the same value: for every type and format, over random values.

use jiff::{
    Timestamp,
    civil::{Date, Time, date},
    tz::Offset,
};

use super::*;

/// Reads back what was written; the scale of a decimal is compared by value.
fn round_trip(codec: &Codec, value: &Value) -> Result<(), TestCaseError> {
    let written = match codec.write(value) {
        Ok(written) => written,
        Err(complaint) => {
            return Err(TestCaseError::fail(format!("{value:?} is not written: {complaint:?}")));
        }
    };
    prop_assert_eq!(codec.read(&written), Reading::Value(value.clone()), "written as {:?}", written);
    Ok(())
}

fn days(first: Date, last: Date) -> impl Strategy<Value = Date> {
    let count = (last - first).get_days();
    (0..=count).prop_map(move |it| first.checked_add(jiff::Span::new().days(it)).unwrap())
}

fn any_day() -> impl Strategy<Value = Date> {
    days(date(0, 1, 1), date(9999, 12, 31))
}

/// Clock times at a resolution of `unit` nanoseconds.
fn clock(unit: i64) -> impl Strategy<Value = Time> {
    (0..86_400_000_000_000 / unit)
        .prop_map(move |it| Time::midnight().wrapping_add(jiff::SignedDuration::from_nanos(it * unit)))
}

fn decimal(places: u32) -> impl Strategy<Value = Decimal> {
    let largest = 10i128.pow(15);
    (-largest..largest, 0..=places).prop_map(|(digits, scale)| Decimal::from_i128_with_scale(digits, scale))
}

proptest! {
    #[test]
    fn text_is_identical(text in "\\PC*[^\\s]\\PC*") {
        round_trip(&codec("text"), &Value::Text(text.into()))?;
    }

    #[test]
    fn ints_are_identical(number: i64) {
        for spelt in ["int", "int 1.234", "int 1 234", "int 0000000", "int 1,234-", "int (1'234)", "int S9(19)V"] {
            round_trip(&codec(spelt), &Value::Int(number))?;
        }
    }

    #[test]
    fn decimals_are_identical_with_their_scale(digits in -(1i128 << 96) + 1..1i128 << 96, scale in 0..=28u32) {
        let value = Decimal::from_i128_with_scale(digits, scale);
        let codec = codec("decimal");
        round_trip(&codec, &Value::Decimal(value))?;
        let Reading::Value(Value::Decimal(back)) = codec.read(&codec.write(&Value::Decimal(value)).unwrap()) else {
            return Err(TestCaseError::fail("not a decimal"));
        };
        prop_assert_eq!(back.scale(), value.scale());
        prop_assert_eq!(canonical_text(&Value::Decimal(value)), value.to_string());
    }

    #[test]
    fn decimals_by_example_are_identical(value in decimal(2)) {
        for spelt in [
            "money 1.234,56", "money 1,234.56", "money 1'234.56", "money 1 234,56", "money 1\u{a0}234,56",
            "money 1234,56", "money 1234.56-", "money (1.234,56)", "money 000000.00", "money V2", "money V2-",
            "money S9(16)V99", "money -9(16)V99",
        ] {
            round_trip(&codec(spelt), &Value::Decimal(value))?;
        }
        if !value.is_sign_negative() {
            round_trip(&codec("money 9(16)V99"), &Value::Decimal(value))?;
        }
    }

    #[test]
    fn too_many_decimals_are_refused_never_rounded(value in decimal(4)) {
        let codec = codec("money 1.234,56");
        prop_assert_eq!(codec.write(&Value::Decimal(value)).is_ok(), value.normalize().scale() <= 2);
    }

    #[test]
    fn bools_are_identical(yes: bool) {
        for spelt in ["bool", "bool Y/N", "bool J/N", "bool X/ ", "bool X/", "bool /X", "bool 01/00"] {
            round_trip(&codec(spelt), &Value::Bool(yes))?;
        }
    }

    #[test]
    fn dates_are_identical(day in any_day()) {
        for spelt in [
            "date", "date yyyyMMdd", "date ddMMyyyy", "date dd.MM.yyyy", "date d.M.yyyy", "date MM/dd/yyyy",
            "date dd-MMM-yyyy", "date yyyyDDD", "date MMMd'th', yyyy", "date M/d/yyyy", "date yyyy''MM''dd",
        ] {
            round_trip(&codec(spelt), &Value::Date(day))?;
        }
    }

    #[test]
    fn short_years_are_identical_inside_their_window_and_refused_outside(day in days(date(1890, 1, 1), date(2110, 1, 1))) {
        for spelt in ["date yyMMdd pivot 40", "date ddMMyy pivot 40", "date yyDDD pivot 40"] {
            let codec = codec(spelt);
            if (1940..2040).contains(&day.year()) {
                round_trip(&codec, &Value::Date(day))?;
            } else {
                prop_assert!(codec.write(&Value::Date(day)).is_err());
            }
        }
    }

    #[test]
    fn century_digits_are_identical(day in days(date(1900, 1, 1), date(2899, 12, 31))) {
        round_trip(&codec("date cyyMMdd"), &Value::Date(day))?;
        round_trip(&codec("date cyyDDD"), &Value::Date(day))?;
    }

    #[test]
    fn day_numbers_are_identical(day in days(date(1904, 1, 1), date(9999, 12, 31)), early in days(date(1900, 1, 1), date(1904, 1, 1))) {
        round_trip(&codec("date excel-1904"), &Value::Date(day))?;
        round_trip(&codec("date excel"), &Value::Date(day))?;
        round_trip(&codec("date excel"), &Value::Date(early))?;
    }

    #[test]
    fn times_are_identical(nanos in clock(1), ms in clock(1_000_000), hundredths in clock(10_000_000), minutes in clock(60_000_000_000)) {
        for (spelt, time) in [
            ("time", nanos), ("time HHmmssSSSSSSSSS", nanos), ("time HHmmssSSS", ms), ("time H:mm:ss.SSS", ms),
            ("time HHmmsstt", hundredths), ("time HHmm", minutes), ("time HH:mm:ss", minutes), ("time H'h'mm", minutes),
        ] {
            round_trip(&codec(spelt), &Value::Time(time))?;
        }
    }

    #[test]
    fn instants_with_an_offset_are_identical(second in -60_000_000_000i64..250_000_000_000, nanos in 0..1_000_000_000i32, offset in -840..=840i32) {
        let offset = Offset::from_seconds(offset * 60).unwrap();
        let whole = |second| Value::DateTime { at: Timestamp::from_second(second).unwrap(), offset };
        let at = Timestamp::new(second, nanos).unwrap();
        round_trip(&codec("datetime"), &Value::DateTime { at, offset })?;
        for spelt in ["datetime yyyyMMddHHmmssX", "datetime yyyy-MM-dd'T'HH:mm:ssXXX", "datetime HH:mm:ss d.M.yyyy XX"] {
            round_trip(&codec(spelt), &whole(second))?;
        }
    }

    #[test]
    fn local_instants_are_identical_but_in_the_hour_that_comes_twice(second in -1_000_000_000i64..4_000_000_000) {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let at = Timestamp::from_second(second).unwrap();
        let value = Value::DateTime { at, offset: zone.to_offset(at) };
        for spelt in ["yyyyMMddHHmmss", "dd.MM.yyyy HH:mm:ss", "excel", "excel-1904", "yyMMddHHmmss pivot 38"] {
            let (year, codec) = (zone.to_datetime(at).year(), codec(&format!("datetime @Europe/Madrid {spelt}")));
            if spelt == "excel-1904" && year < 1904 || spelt.starts_with("yyMM") && !(1938..2038).contains(&year) {
                continue;
            }
            let written = codec.write(&value).unwrap();
            match codec.read(&written) {
                Reading::Doubtful(Value::DateTime { at: earlier, .. }, _) => {
                    prop_assert!(earlier == at || earlier < at && at.duration_since(earlier).as_hours() <= 1);
                }
                other => prop_assert_eq!(other, Reading::Value(value.clone()), "{} as {}", spelt, written),
            }
        }
    }

    #[test]
    fn instants_of_1970_are_identical(second in -377_705_023_201i64..253_402_207_200, ms in 0..1000i64) {
        let value = |at| Value::DateTime { at, offset: Offset::UTC };
        round_trip(&codec("datetime epoch"), &value(Timestamp::from_second(second).unwrap()))?;
        round_trip(&codec("datetime epoch-ms"), &value(Timestamp::from_millisecond(second * 1000 + ms).unwrap()))?;
    }

    #[test]
    fn spreadsheet_instants_are_identical_to_the_millisecond(day in days(date(1904, 1, 1), date(9999, 12, 30)), time in clock(1_000_000)) {
        let at = Offset::UTC.to_timestamp(day.to_datetime(time)).unwrap();
        let value = Value::DateTime { at, offset: Offset::UTC };
        round_trip(&codec("datetime excel"), &value)?;
        round_trip(&codec("datetime excel-1904"), &value)?;
    }

    #[test]
    fn bytes_are_identical(content in prop::collection::vec(any::<u8>(), 1..80)) {
        for spelt in ["bytes", "bytes hex", "bytes base64"] {
            round_trip(&codec(spelt), &Value::Bytes(content.clone().into()))?;
        }
    }

    #[test]
    fn clean_words_are_identical(rows in prop::collection::btree_map("[a-z_]{1,8}", "[A-Z0-9]{1,3}", 1..20)) {
        let rows: Vec<_> = rows.into_iter().map(|(word, code)| (word, vec![code])).collect();
        let table = CodeTable::new(rows);
        prop_assume!(table.duplicates().is_empty());
        let words: Vec<String> = table.rows.iter().map(|(word, _)| word.clone()).collect();
        let codec = Codec::compile(&Spelling { codes: Some(Arc::new(table)), ..Spelling::default() }).unwrap();
        for word in words {
            round_trip(&codec, &Value::Text(word.into()))?;
        }
    }

    #[test]
    fn canonical_text_is_clean_text(day in any_day(), time in clock(1), value in decimal(8), second in 0..4_000_000_000i64) {
        let at = Timestamp::from_second(second).unwrap();
        for (spelt, value) in [
            ("date", Value::Date(day)), ("time", Value::Time(time)), ("money", Value::Decimal(value)),
            ("datetime", Value::DateTime { at, offset: Offset::UTC }), ("bool", Value::Bool(second % 2 == 0)),
        ] {
            prop_assert_eq!(codec(spelt).read_clean(&canonical_text(&value)), Reading::Value(value));
        }
    }

    #[test]
    fn no_text_breaks_a_reader_and_what_it_reads_it_writes_back(raw in "[-+()0-9A-Za-z.,' :TZ\u{a0}é/]{0,24}") {
        for spelt in [
            "text", "int", "decimal", "money 1.234,56", "money (1 234,56)", "money V2", "money 9(7)V99", "bool",
            "bool X/ ", "date", "date ddMMyyyy", "date d-MMM-yyyy", "date cyyMMdd", "date excel", "time", "time HHmmsstt",
            "datetime", "datetime dd.MM.yyyy HH:mm", "datetime epoch", "datetime excel", "bytes", "bytes hex",
        ] {
            let codec = codec(spelt);
            if let Reading::Value(value) = codec.read(&raw) {
                round_trip(&codec, &value)?;
            }
        }
    }
}
