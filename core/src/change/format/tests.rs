use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    change::Cell,
    finding::Check,
    flow::written::{Hint, Written, WrittenItem},
    gate,
    mapping::check::{Surroundings, compile},
    origin::Origin,
    ports::{RawField, RawRecord},
    registry::Registry,
};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn mapping(text: &str) -> Mapping {
    let registry = Registry { formats: vec![Arc::new(ChangeFormat::default())], ..Registry::default() };
    let compiled =
        compile("m.map.yaml", text, &Surroundings { files: &NoFiles, registry: &registry, routes: None });
    let wrong = compiled.diagnostics.render("m.map.yaml", text, false);
    compiled.mapping.unwrap_or_else(|| panic!("{wrong}"))
}

fn record(fields: &str) -> Mapping {
    mapping(&format!("mapping: m\nsource: {{ kind: cdc }}\nrecord:\n{fields}"))
}

fn row(columns: &[(&str, Cell)]) -> Option<Row> {
    Some(Row(columns.iter().map(|(name, cell)| ((*name).into(), cell.clone())).collect()))
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn change(op: Op, before: Option<Row>, after: Option<Row>) -> Change {
    Change {
        op,
        table: "public.orders".into(),
        at: "2026-11-20T10:00:00Z".parse().ok(),
        position: "0/16B3748".into(),
        txid: Some("734".into()),
        key: vec!["no".into()],
        after,
        before,
    }
}

fn document(change: &Change) -> Document {
    Document::new(change.to_bytes(), MEDIA_TYPE, jiff::Timestamp::UNIX_EPOCH)
}

fn extracted(mapping: &Mapping, change: &Change) -> Extraction {
    ChangeFormat::default().extractor(mapping).unwrap().extract(&document(change)).unwrap()
}

/// Every field as `text@address`, absent ones as `-@address`.
fn shown(record: &RawRecord) -> String {
    let one = |field: &RawField| match field {
        RawField::Absent { at } => format!("-@{}", at.as_ref().map(ToString::to_string).unwrap_or_default()),
        RawField::Text { text, origin } => format!("{text}@{origin}"),
        RawField::Items(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join("; ")),
    };
    record.fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn defects(extraction: &Extraction) -> Vec<String> {
    let one = |it: &crate::ports::Defect| {
        format!("{} {} {}: {}", it.check.code(), it.field, it.origin, it.expected)
    };
    extraction.defects.iter().map(one).collect()
}

/// What is read of one row by these addresses, and what is said of what is not known.
fn read(addresses: &[&str], change: &Change) -> (String, Vec<String>) {
    let fields: String = addresses
        .iter()
        .enumerate()
        .map(|(at, address)| format!("  f{at}: \"{}\"\n", address.replace('"', "\\\"")))
        .collect();
    let found = extracted(&record(&fields), change);
    assert_eq!(found.records.len(), 1);
    (shown(&found.records[0]), defects(&found))
}

const NOT_SAID: &str = "a value that is known: the database did not say this column";
const NOT_CHANGED: &str = "a value that is known: it did not change, and the database did not say what it is";

#[test]
fn columns_are_read_of_the_row_as_it_is_and_as_it_was() {
    let old = || row(&[("no", text("A1")), ("status", text("new")), ("note", Cell::Null)]);
    let new = || row(&[("no", text("A1")), ("status", text(" paid ")), ("note", text(""))]);
    let key = || row(&[("no", text("A0"))]);
    let all = ["no", "status", "note", "before status"];
    for (op, before, after, expected, said) in [
        (Op::Insert, None, new(), "A1@no, paid@status, @note, -@before status", vec![]),
        (Op::Snapshot, None, new(), "A1@no, paid@status, @note, -@before status", vec![]),
        (Op::Update, old(), new(), "A1@no, paid@status, @note, new@before status", vec![]),
        (Op::Delete, old(), None, "A1@no, new@status, -@note, new@before status", vec![]),
        (Op::Truncate, None, None, "-@no, -@status, -@note, -@before status", vec![]),
        (
            Op::Update,
            None,
            new(),
            "A1@no, paid@status, @note, -@before status",
            vec![format!("G102 f3 before status: {NOT_SAID}")],
        ),
        (
            Op::Delete,
            key(),
            None,
            "A0@no, -@status, -@note, -@before status",
            vec![
                format!("G102 f1 status: {NOT_SAID}"),
                format!("G102 f2 note: {NOT_SAID}"),
                format!("G102 f3 before status: {NOT_SAID}"),
            ],
        ),
    ] {
        assert_eq!(read(&all, &change(op, before, after)), (expected.to_owned(), said), "{op:?}");
    }
    // Where the old key is not said, it is the new one.
    assert_eq!(read(&["before no"], &change(Op::Update, None, new())).0, "A1@before no");
    assert_eq!(read(&["before no"], &change(Op::Update, key(), new())).0, "A0@before no");
}

#[test]
fn what_is_known_of_the_change_is_read_as_meta() {
    let metas = ["meta op", "meta ts", "meta lsn", "meta table", "meta txid", "meta key"];
    let update = change(Op::Update, None, row(&[]));
    let expected = "update@meta op, 2026-11-20T10:00:00Z@meta ts, 0/16B3748@meta lsn, \
                    public.orders@meta table, 734@meta txid, -@meta key";
    assert_eq!(read(&metas, &update), (expected.to_owned(), vec![]));
    let bare = Change { at: None, txid: None, ..update };
    assert_eq!(read(&metas[1..2], &bare).0, "-@meta ts");
}

#[test]
fn a_value_is_shown_with_its_table_and_position() {
    let found = extracted(&record("  a: no"), &change(Op::Insert, None, row(&[("no", text("A1"))])));
    let RawField::Text { origin, .. } = &found.records[0].fields[0] else { panic!("a text") };
    let (table, position) = ("public.orders".into(), "0/16B3748".into());
    assert_eq!(*origin, Origin::Column { address: "no".into(), table, position });
    assert_eq!((origin.to_string().as_str(), origin.xpath()), ("no", None));
}

#[test]
fn json_is_walked_with_the_digits_as_written() {
    let doc = r#" {"customer":{"name":"Añ\u0061 \"x\"","no":null},"sum":1.2300,"big":12345678901234567890.10,
        "ok":true,"list":[1.0,[2,3],{"a":"b"}],"":"blank","a/b":"slash","k":[],"e":{}}"#;
    let row = row(&[
        ("doc", Cell::Json(doc.into())),
        ("plain", Cell::Json(" 17.0 ".into())),
        ("nothing", Cell::Json("null".into())),
        ("none", Cell::Json("[]".into())),
        ("tags", Cell::Json(r#"["a","b"]"#.into())),
    ]);
    let read = |address| read(&[address], &change(Op::Insert, None, row.clone()));
    for (address, expected) in [
        ("doc/customer/name", "Aña \"x\"@doc/customer/name"),
        ("doc/customer/no", "-@doc/customer/no"),
        ("doc/customer/none", "-@doc/customer/none"),
        ("doc/customer", r#"{"name":"Añ\u0061 \"x\"","no":null}@doc/customer"#),
        ("doc/sum", "1.2300@doc/sum"),
        ("doc/big", "12345678901234567890.10@doc/big"),
        ("doc/ok", "true@doc/ok"),
        ("doc/list(1)", "1.0@doc/list(1)"),
        ("doc/list(2)/item(2)", "3@doc/list(2)/item(2)"),
        ("doc/list(2)", "[2,3]@doc/list(2)"),
        ("doc/list(last)/a", "b@doc/list(3)/a"),
        ("doc/list(a=b)/a", "b@doc/list(3)/a"),
        ("doc//a", "b@doc/list(3)/a"),
        ("doc/''", "blank@doc/''"),
        ("doc/'a/b'", "slash@doc/'a/b'"),
        ("doc/k", "-@doc/k"),
        ("doc/e", "{}@doc/e"),
        ("plain", "17.0@plain"),
        ("nothing", "-@nothing"),
        ("none", "-@none"),
        ("tags(2)", "b@tags(2)"),
    ] {
        assert_eq!(read(address), (expected.to_owned(), vec![]), "{address}");
    }
    assert_eq!(read("tags").1, ["G118 f0 tags(2): one value"]);
    assert_eq!(read("doc").0, format!("{}@doc", doc.trim()));
}

#[test]
fn json_that_can_not_be_walked_is_a_finding() {
    let nested =
        |depth: usize| format!("{}{}", r#"{"a":"#.repeat(depth), "1".to_owned() + &"}".repeat(depth));
    for (json, expected) in [
        (nested(64), None),
        (nested(65), Some("its JSON is nested too deep")),
        ("[".repeat(1_000_000), Some("its JSON is nested too deep")),
        ("{\"a\":1".into(), Some("its JSON is not well-formed")),
        ("{\"a\":01}".into(), Some("its JSON is not well-formed")),
        (String::new(), Some("its JSON is not well-formed")),
        ("\u{FEFF}{}".into(), Some("its JSON is not well-formed")),
        (format!("[{}1]", "1,".repeat(600_000)), Some("its JSON has too many values")),
    ] {
        let update = change(Op::Update, None, row(&[("doc", Cell::Json(json.as_str().into()))]));
        let (found, said) = read(&["doc/a"], &update);
        let expected = expected.map(|it| format!("G102 f0 doc: a value that is known: {it}"));
        assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{:.20}", json);
        assert!(found.ends_with("@doc/a"), "{found}");
    }
    let half = row(&[("doc", Cell::Json(r#"{"a":"\ud800","\ud800":1,"b":2}"#.into()))]);
    let (found, said) = read(&["doc/a", "doc/b"], &change(Op::Insert, None, half));
    assert_eq!(found, "-@doc/a, 2@doc/b");
    assert_eq!(said, ["G102 f0 doc/a: a value that is known: its JSON has half of a surrogate pair"]);
}

#[test]
fn arrays_repeat_their_column() {
    let list = |items: &[Cell]| Cell::List(items.to_vec());
    let insert = change(
        Op::Insert,
        None,
        row(&[
            ("tags", list(&[text("a"), Cell::Null, text("c")])),
            ("one", list(&[text("x")])),
            ("none", list(&[])),
            ("grid", list(&[list(&[text("1"), text("2")]), list(&[text("3"), text("4")])])),
            ("docs", list(&[Cell::Json("[7,8]".into()), Cell::Json(r#"{"a":9}"#.into())])),
        ]),
    );
    let addresses = [
        "tags(1)",
        "tags(2)",
        "tags(last)",
        "tags(4)",
        "one",
        "none",
        "grid(2)/item(1)",
        "docs(1)/item(2)",
        "docs(2)/a",
    ];
    let expected = "a@tags(1), -@tags(2), c@tags(3), -@tags(4), x@one, -@none, 3@grid(2)/item(1), \
                    8@docs(1)/item(2), 9@docs(2)/a";
    assert_eq!(read(&addresses, &insert), (expected.to_owned(), vec![]));

    let each = record(
        "  tags: { each: tags, record: { tag: ., op: meta op, old: before tags(1) } }\n  \
           none: { each: none, record: { it: . } }\n",
    );
    let update = Change { op: Op::Update, before: insert.after.clone(), ..insert };
    let found = extracted(&each, &update);
    assert_eq!(
        shown(&found.records[0]),
        "[a@tags(1), update@meta op, a@before tags(1); -@tags(2), update@meta op, a@before tags(1); \
         c@tags(3), update@meta op, a@before tags(1)], -@none"
    );
    assert_eq!(defects(&found), [""; 0]);
}

#[test]
fn records_repeat_over_an_array() {
    let each = mapping(
        "mapping: m\nsource: { kind: cdc, each: doc/lines }\nrecord: { sku: sku, was: before no, op: meta op }\n",
    );
    let names: Vec<String> = each.columns().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["doc", "no"]);
    let doc = Cell::Json(r#"{"lines":[{"sku":"A"},{"sku":"B"}]}"#.into());
    let found = extracted(&each, &change(Op::Update, row(&[("no", text("1"))]), row(&[("doc", doc)])));
    let all: Vec<String> = found.records.iter().map(shown).collect();
    let expected = ["A@doc/lines(1)/sku", "B@doc/lines(2)/sku"];
    assert_eq!(all, expected.map(|it| format!("{it}, 1@before no, update@meta op")));
    let found = extracted(&each, &change(Op::Update, None, row(&[("doc", Cell::Unchanged)])));
    assert!(found.records.is_empty());
    assert_eq!(
        defects(&found),
        [
            format!("G102 records doc: {NOT_CHANGED}"),
            "G101 records doc/lines: at least one record".to_owned()
        ]
    );
}

#[test]
fn what_is_not_known_is_a_finding_and_never_a_guess() {
    let update = change(
        Op::Update,
        row(&[("no", text("A1")), ("photo", Cell::Unreadable("longer than 8388608 bytes".into()))]),
        row(&[
            ("photo", Cell::Unchanged),
            ("odd name", Cell::Unreadable("no text of the server's encoding".into())),
            ("tags", Cell::List(vec![text("a"), Cell::Unreadable("bad".into())])),
        ]),
    );
    let addresses = ["photo", "photo/a/b", "before photo", "'odd name'", "tags(2)", "gone"];
    let (found, said) = read(&addresses, &update);
    assert_eq!(found, "-@photo, -@photo/a/b, -@before photo, -@'odd name', -@tags(2), -@gone");
    let why = "a value that is known:";
    assert_eq!(
        said,
        [
            format!("G102 f0 photo: {NOT_CHANGED}"),
            format!("G102 f1 photo: {NOT_CHANGED}"),
            format!("G102 f2 before photo: {why} longer than 8388608 bytes"),
            format!("G102 f3 'odd name': {why} no text of the server's encoding"),
            format!("G102 f4 tags(2): {why} bad"),
            format!("G102 f5 gone: {NOT_SAID}"),
        ]
    );
    // Items of a list that are not known are no items.
    let each =
        record("  tags: { each: tags, record: { tag: . } }\n  photos: { each: photo, record: { it: a } }\n");
    let found = extracted(&each, &update);
    assert_eq!(shown(&found.records[0]), "[a@tags(1)], -@photo");
    assert_eq!(
        defects(&found),
        [format!("G102 tags tags(2): {why} bad"), format!("G102 photos photo: {NOT_CHANGED}")]
    );
    // What nobody reads says nothing.
    assert_eq!(read(&["tags(1)"], &update).1, [""; 0]);
}

#[test]
fn values_that_a_number_can_not_say_are_findings_of_their_field() {
    let mapping = record(
        "  total: { from: total, type: money }\n  share: { from: share, type: decimal }\n  \
         day: { from: day, type: date }\n  at: { from: at, type: datetime }\n",
    );
    for (value, expected) in
        [("NaN", 4), ("Infinity", 4), ("-Infinity", 4), ("infinity", 4), ("0044-03-15 BC", 4)]
    {
        let columns = ["total", "share", "day", "at"].map(|it| (it, text(value)));
        let change = change(Op::Insert, None, row(&columns));
        let judged = gate::judge(&mapping, &document(&change), extracted(&mapping, &change));
        let findings: Vec<_> = judged.verdicts.iter().flat_map(|it| it.findings()).collect();
        assert_eq!(findings.len(), expected, "{value}: {findings:?}");
        assert!(findings.iter().all(|it| it.check == Check::Type), "{value}: {findings:?}");
    }
}

#[test]
fn documents_past_a_limit_are_refused() {
    let limited = |limits: Limits, change: &Change| {
        let mapping = record("  a: tags(1)\n");
        let format = ChangeFormat::with_limits(limits);
        let found = format.extractor(&mapping).unwrap().extract(&document(change));
        found.map(|_| ()).map_err(|it| it.code)
    };
    let many = change(Op::Insert, None, row(&[("tags", Cell::List(vec![Cell::Null; 100]))]));
    let limits = Limits::default();
    assert_eq!(limited(limits.clone(), &many), Ok(()));
    assert_eq!(limited(Limits { bytes: 100, ..limits.clone() }, &many), Err(FaultCode::TooLarge));
    assert_eq!(limited(Limits { nodes: 100, ..limits.clone() }, &many), Err(FaultCode::TooLarge));
    let other = Document::new("{}", MEDIA_TYPE, jiff::Timestamp::UNIX_EPOCH);
    let found = ChangeFormat::default().extractor(&record("  a: b\n")).unwrap().extract(&other);
    assert_eq!(found.err().map(|it| it.code), Some(FaultCode::NotUnderstood));
}

#[test]
fn a_row_with_many_columns_is_read_by_name() {
    let columns: Vec<(String, Cell)> = (0..300).map(|it| (format!("c{it}"), text(&it.to_string()))).collect();
    let row = Row(columns.into_iter().map(|(name, cell)| (name.into(), cell)).collect());
    let fields: String = (0..100).map(|it| format!("  f{it}: c{}\n", 299 - it)).collect();
    let found = extracted(&record(&fields), &change(Op::Insert, None, Some(row)));
    assert!(shown(&found.records[0]).starts_with("299@c299, 298@c298, "));
    assert_eq!(defects(&found), [""; 0]);
}

#[test]
fn every_written_column_stands_in_the_reply() {
    let mapping = mapping(
        "mapping: m\nsource: { kind: cdc }\nrecord: { a: A, b: B }\n\
         return: { write: { RISK: a, \"'odd name'\": b, 'a.b': { value: x } } }\n",
    );
    let renderer = ChangeFormat::default().renderer(&mapping, mapping.back.as_ref().unwrap()).unwrap();
    let value = |write, text: &str| WrittenItem::Value { write, text: text.into(), hint: Hint::Number };
    let written = |items| Written { items };
    for (records, expected) in [
        (vec![], "{}"),
        (vec![written(vec![])], r#"{"RISK":null,"odd name":null,"a.b":null}"#),
        (vec![written(vec![value(1, "7"), value(0, "")])], r#"{"RISK":"","odd name":"7","a.b":null}"#),
        (
            vec![written(vec![value(0, "1")]), written(vec![value(0, "2")])],
            r#"[{"RISK":"1","odd name":null,"a.b":null},{"RISK":"2","odd name":null,"a.b":null}]"#,
        ),
    ] {
        assert_eq!(renderer.render(&records).unwrap(), expected.as_bytes());
    }
    let repeated = WrittenItem::Each { write: 0, items: vec![] };
    let fault = renderer.render(&[written(vec![repeated])]).unwrap_err();
    assert_eq!(fault.code, FaultCode::Unwritable);
}

#[test]
fn the_media_type_of_changes_is_read_and_no_other() {
    let format = ChangeFormat::default();
    assert!(format.reads("Application/vnd.vestibule.change+JSON"));
    assert!(!format.reads("application/json"));
    assert_eq!((format.kind(), format.media_type()), ("cdc", "application/json"));
}

proptest! {
    /// What is JSON to the reader of the world is walked; what is not is a finding; nothing panics.
    #[test]
    fn any_text_in_a_json_column_is_walked_or_reported(json in "[\\[\\]{}\",:\\\\a-u0-9. \n]{0,60}") {
        let insert = change(Op::Insert, None, row(&[("doc", Cell::Json(json.as_str().into()))]));
        let (_, said) = read(&["doc/a", "doc(2)"], &insert);
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
        prop_assert_eq!(is_json, !said.iter().any(|it| it.contains("well-formed")), "{}", json);
    }

    /// Numbers and texts come out as they went in.
    #[test]
    fn texts_survive_json(value: String, key: String, number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?") {
        let key = format!("k{key}");
        let doc = format!("{{{}: [{}, {number}]}}", serde_json::json!(key), serde_json::json!(value));
        let insert = change(Op::Insert, None, row(&[("doc", Cell::Json(doc.into()))]));
        let found = extracted(&record("  all: { each: doc/*, record: { it: . } }\n"), &insert);
        let RawField::Items(items) = &found.records[0].fields[0] else { panic!("items") };
        let texts: Vec<&str> = items.iter().map(|it| match &it.fields[0] {
            RawField::Text { text, .. } => &**text,
            _ => "absent",
        }).collect();
        prop_assert_eq!(texts, [value.trim_matches([' ', '\t', '\n', '\r']), number.as_str()]);
    }
}
