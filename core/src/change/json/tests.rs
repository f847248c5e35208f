use std::collections::HashSet;

use proptest::prelude::*;

use crate::{
    change::{Cell, Change, Op, Row},
    fault::FaultCode,
};

fn cell() -> impl Strategy<Value = Cell> {
    let leaf = prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        ".{0,20}".prop_map(|it| Cell::Unreadable(it.into())),
        ".{0,20}".prop_map(|it| Cell::Text(it.into())),
        any::<String>().prop_map(|it| Cell::Json(it.into())),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| prop::collection::vec(inner, 0..5).prop_map(Cell::List))
}

fn row() -> impl Strategy<Value = Row> {
    prop::collection::vec((any::<String>(), cell()), 0..24).prop_map(|columns| {
        let mut seen = HashSet::new();
        let columns = columns.into_iter().filter(|(name, _)| seen.insert(name.clone()));
        Row(columns.map(|(name, cell)| (name.into(), cell)).collect())
    })
}

fn change() -> impl Strategy<Value = Change> {
    let op = prop::sample::select(Op::WORDS.map(|(op, _)| op).to_vec());
    let at = prop::option::of(-1_000_000_000_000_i64..1_000_000_000_000);
    let text = || any::<String>().prop_map(Box::<str>::from);
    let texts = (text(), text(), prop::option::of(text()), prop::collection::vec(text(), 0..3));
    (op, at, texts, prop::option::of(row()), prop::option::of(row())).prop_map(
        |(op, at, (table, position, txid, key), after, before)| {
            let at = at.and_then(|it| jiff::Timestamp::from_microsecond(it).ok());
            Change { op, table, at, position, txid, key, after, before }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_change(change in change()) {
        prop_assert_eq!(Change::from_bytes(&change.to_bytes()).unwrap(), change);
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in "[\\[\\]{}\",:a-z0 ]{0,80}") {
        let _ = Change::from_bytes(text.as_bytes());
    }
}

#[test]
fn the_document_is_what_the_documentation_shows() {
    let text = r#"{"op":"update","table":"public.orders","at":"2026-11-20T10:00:00Z","position":"0/16B3748","txid":"734","key":["no"],"after":{"no":"A1","total":"12.50","note":null,"tags":["a",["b"]],"photo":{"unchanged":true},"old":{"unreadable":"too long"},"doc":{"json":"{\"a\":1}"}},"before":{"no":"A1"}}"#;
    let change = Change::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(change.after.as_ref().unwrap().get("total"), Some(&Cell::Text("12.50".into())));
    assert_eq!(std::str::from_utf8(&change.to_bytes()).unwrap(), text);
}

#[test]
fn what_is_no_change_is_refused_without_its_values() {
    let least = r#"{"op":"insert","table":"t","position":"1","key":[]}"#;
    assert!(Change::from_bytes(least.as_bytes()).is_ok());
    let with = |more: &str| least.replace(r#""key":[]"#, &format!(r#""key":[],{more}"#));
    let deep = |depth: usize| with(&format!(r#""after":{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    assert!(Change::from_bytes(deep(16).as_bytes()).is_ok());
    let columns = (0..20).map(|it| format!(r#""c{it}":null"#)).collect::<Vec<_>>().join(",");
    for (what, text) in [
        ("nothing", String::new()),
        ("no object", "[]".into()),
        ("no key", least.replace(r#","key":[]"#, "")),
        ("another operation", least.replace("insert", "upsert")),
        ("another name", with(r#""more":1"#)),
        ("a name twice", with(r#""op":"insert""#)),
        ("a column twice", with(r#""after":{"secret":"a","secret":"b"}"#)),
        ("a late column twice", with(&format!(r#""after":{{{columns},"c3":null}}"#))),
        ("a number", with(r#""after":{"a":1}"#)),
        ("a flag", with(r#""after":{"a":true}"#)),
        ("no row", with(r#""after":null"#)),
        ("unknown value", with(r#""after":{"a":{"b":"c"}}"#)),
        ("a changed unchanged", with(r#""after":{"a":{"unchanged":false}}"#)),
        ("two values", with(r#""after":{"a":{"json":"1","json":"2"}}"#)),
        ("too deep", deep(17)),
        ("far too deep", deep(100_000)),
        ("more after it", format!("{least}{least}")),
    ] {
        let fault = Change::from_bytes(text.as_bytes()).expect_err(what);
        assert_eq!(fault.code, FaultCode::NotUnderstood, "{what}");
        assert!(!format!("{fault:?}").contains("secret"), "{what}");
    }
}

#[test]
fn a_row_with_too_many_values_is_refused() {
    let list = |count: usize| {
        let items = vec!["null"; count].join(",");
        format!(r#"{{"op":"insert","table":"t","position":"1","key":[],"after":{{"a":[{items}]}}}}"#)
    };
    assert!(Change::from_bytes(list(super::MOST_CELLS - 1).as_bytes()).is_ok());
    assert!(Change::from_bytes(list(super::MOST_CELLS).as_bytes()).is_err());
}
