use std::{borrow::Cow, time::Duration};

use indexmap::IndexMap;
use jiff::tz::TimeZone;

use super::*;
use crate::{
    interpret::Spelling,
    mapping::plan::{Durability, FieldRules},
    tree::TreeBuilder,
};

/// A document as a test writes it: `<a k="v">text<b/></a>`, well-formed, without entities.
fn tree(source: &str) -> Tree<'_> {
    let mut builder = TreeBuilder::with_capacity(8);
    builder.set_source(source);
    let mut at = 0;
    while let Some(start) = source[at..].find('<').map(|it| at + it) {
        builder.text(Cow::Borrowed(&source[at..start]));
        let end = start + source[start..].find('>').unwrap() + 1;
        let inside = source[start + 1..end - 1].trim_end_matches('/');
        if !inside.starts_with('/') {
            let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
            builder.open("", Cow::Borrowed(name), start);
            for attribute in attributes.split_whitespace() {
                let (name, value) = attribute.split_once('=').unwrap();
                let (namespace, name) = if name == "nil" { (crate::tree::XSI, "nil") } else { ("", name) };
                builder.attribute(namespace, Cow::Borrowed(name), Cow::Borrowed(value.trim_matches('"')));
            }
        }
        if inside.starts_with('/') || source[..end].ends_with("/>") {
            builder.close(end);
        }
        at = end;
    }
    builder.finish()
}

fn path(text: &str) -> Path {
    Path::parse(text, "xml", &IndexMap::new()).unwrap()
}

fn field(name: &str, from: From, empty: &[&str]) -> FieldPlan {
    let empty = empty.iter().map(|it| (*it).to_owned()).collect();
    FieldPlan {
        name: name.into(),
        from,
        codec: Codec::compile(&Spelling { empty, ..Spelling::default() }).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

fn at(addresses: &[&str]) -> From {
    From::Addresses(addresses.iter().map(|it| Address::parse(it, "xml", &IndexMap::new()).unwrap()).collect())
}

fn shape(fields: Vec<FieldPlan>) -> Arc<Shape> {
    Arc::new(Shape { fields })
}

fn mapping(record: Arc<Shape>, each: Option<&str>, trailer: Option<Arc<Shape>>) -> Mapping {
    Mapping {
        name: "test".into(),
        version: 1,
        owner: None,
        path: "test.map.yaml".into(),
        receive: Vec::new(),
        source: Source {
            kind: "xml".into(),
            contract: None,
            contract_path: None,
            encoding: None,
            timezone: TimeZone::UTC,
            each: each.map(path),
            only: None,
            trailer,
        },
        record,
        checks: Vec::new(),
        ask: None,
        back: None,
        key: Vec::new(),
        durability: Durability::Full,
        deadline: Duration::from_secs(8),
        handling: crate::mapping::plan::Handling::default(),
        lookups: Vec::new(),
    }
}

fn document() -> Document {
    let mut document = Document::new("", "text/xml", "2026-11-20T12:00:00Z".parse().unwrap());
    document.name = Some("claim.xml".into());
    document
}

/// A record in a few characters: `text@place:line`, `-@place` for absent, `[…]` for items.
fn show(record: &RawRecord) -> String {
    let place = |origin: &Origin| match origin {
        Origin::Node { address, line } => format!("{address}:{line}"),
        other => other.to_string(),
    };
    let fields: Vec<_> = record
        .fields
        .iter()
        .map(|field| match field {
            RawField::Absent { at: None } => "-".to_owned(),
            RawField::Absent { at: Some(at) } => format!("-@{}", place(at)),
            RawField::Text { text, origin } => format!("{text}@{}", place(origin)),
            RawField::Items(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        })
        .collect();
    fields.join(" ")
}

fn extracted(source: &str, mapping: &Mapping) -> (Vec<String>, Vec<String>) {
    let tree = tree(source);
    let found = extract(&tree, NodeId(0), &Reads::of(mapping), &document());
    let defects =
        found.defects.iter().map(|it| format!("{} {} {}", it.check.code(), it.field, it.origin)).collect();
    (found.records.iter().chain(&found.trailer).map(show).collect(), defects)
}

const CLAIM: &str = "<S>\n<C id=\"7\">\n<No> 1 </No>\n<Nil nil=\"true\"/>\n<Old>000</Old>\n<N>a</N>\n<N>b</N>\n<Mix>x<y/>z</Mix>\n\
    <Ls>\n<L><T>p</T></L>\n<L><T/><A>2</A><A>3</A></L>\n</Ls>\n</C>\n</S>";

#[test]
fn every_field_has_its_text_and_place() {
    let lines = shape(vec![field("kind", at(&["T"]), &[]), field("amount", at(&["A"]), &[])]);
    let none = shape(vec![field("x", at(&["X"]), &[])]);
    let record = shape(vec![
        field("no", at(&["C/No"]), &[]),
        field("id", at(&["S/C/@id"]), &[]),
        field("policy", at(&["C/@policy"]), &[]),
        field("nil", at(&["C/Nil"]), &[]),
        field("old", at(&["C/Old", "C/No"]), &["000"]),
        field("only_old", at(&["C/Old"]), &["000"]),
        field("neither", at(&["C/X/Y", "C/Z"]), &[]),
        field("empty", at(&["C/X", "C/Ls/L(2)/T"]), &[]),
        field("mixed", at(&["C/Mix"]), &[]),
        field("note", at(&["C/N"]), &[]),
        field("last", at(&["C/N(last)"]), &[]),
        field("file", at(&["meta name"]), &[]),
        field("key", at(&["meta key"]), &[]),
        field("fixed", From::Constant("c".into()), &[]),
        field("lines", From::Each { path: path("C/Ls/L"), shape: lines }, &[]),
        field("others", From::Each { path: path("C/Os/O"), shape: none }, &[]),
    ]);
    let (records, defects) = extracted(CLAIM, &mapping(record, None, None));
    let expected = [
        "1@/S/C/No:3",
        "7@/S/C/@id:2",
        "-@/S/C/@policy:0",
        "-@/S/C/Nil:4",
        "1@/S/C/No:3",
        "000@/S/C/Old:5",
        "-@/S/C/X/Y:0",
        "@/S/C/Ls/L(2)/T:11",
        "xz@/S/C/Mix:8",
        "a@/S/C/N(1):6",
        "b@/S/C/N(2):7",
        "claim.xml@meta name:0",
        "-@meta key:0",
        "-",
        "[p@/S/C/Ls/L(1)/T:10 -@/S/C/Ls/L(1)/A:0 @/S/C/Ls/L(2)/T:11 2@/S/C/Ls/L(2)/A(1):11]",
        "-@/S/C/Os/O:0",
    ];
    assert_eq!(records, [expected.join(" ")]);
    assert_eq!(
        defects,
        ["G118 mixed /S/C/Mix", "G118 note /S/C/N(2)", "G118 lines[2].amount /S/C/Ls/L(2)/A(2)"]
    );
}

#[test]
fn a_batch_has_a_record_for_each_match_and_a_trailer() {
    let record = shape(vec![field("x", at(&["X"]), &[]), field("count", at(&["../T/N"]), &[])]);
    let trailer = shape(vec![field("count", at(&["T/N"]), &[])]);
    let source = "<B><R><X>1</X></R><R><X>2</X><X>3</X></R><T><N>2</N></T></B>";
    let batch = mapping(record, Some("R"), Some(trailer));
    let (records, defects) = extracted(source, &batch);
    let expected = ["1@/B/R(1)/X:1 2@/B/T/N:1", "2@/B/R(2)/X(1):1 2@/B/T/N:1", "2@/B/T/N:1"];
    assert_eq!(records, expected);
    assert_eq!(defects, ["G118 x /B/R(2)/X(2)"]);

    let (records, defects) = extracted("<B><T/></B>", &batch);
    assert_eq!(records, ["-@/B/T/N:0"]);
    assert_eq!(defects, ["G101 records /B/R"]);
}

#[test]
fn places_that_multiply_end_in_a_defect_not_in_hours() {
    let source = format!("<B>{}</B>", "<R><P/></R>".repeat(3_000));
    let inner = shape(vec![field("x", at(&["X"]), &[])]);
    let record = shape(vec![
        field("all", From::Each { path: path("../R"), shape: inner }, &[]),
        field("scan", at(&["../R(@none=x)/X"]), &[]),
    ]);
    let tree = tree(&source);
    let found = extract(&tree, NodeId(0), &Reads::of(&mapping(record, Some("R"), None)), &document());
    assert_eq!(found.records.len(), 3_000);
    assert_eq!(found.defects.len(), 1, "{:?}", found.defects);
    assert_eq!(found.defects[0].expected, "a document whose places do not multiply");
}

#[test]
fn text_that_goes_on_after_a_child_is_a_defect() {
    let mixed = "G118 f /R/A";
    for (element, expected, defect) in [
        ("<A>12</A>", "12", None),
        ("<A>1<b/>2</A>", "12", Some(mixed)),
        ("<A>1<b/><b/> 2</A>", "1 2", Some(mixed)),
        ("<A>\n1<b>x</b>\n<c/>2\n</A>", "1\n2", Some(mixed)),
        ("<A>1250<cur>EUR</cur></A>", "1250", None),
        ("<A><cur>EUR</cur>1250</A>", "1250", None),
        ("<A>\n1250\n<cur>E<i/>UR</cur>\n<x/>\n</A>", "1250", None),
    ] {
        let source = format!("<R>{element}</R>");
        let record = shape(vec![field("f", at(&["A"]), &[])]);
        let (records, defects) = extracted(&source, &mapping(record, None, None));
        assert_eq!(records, [format!("{expected}@/R/A:1")], "input: {element}");
        assert_eq!(defects, Vec::from_iter(defect.map(str::to_owned)), "input: {element}");
    }
}

#[test]
fn pieces_of_text_are_no_value_to_pick_by() {
    let record = shape(vec![field("f", at(&["P(K=12)/V"]), &[])]);
    let source = "<R><P><K>1<b/>2</K><V>wrong</V></P><P><K>12</K><V>right</V></P></R>";
    let (records, defects) = extracted(source, &mapping(record, None, None));
    assert_eq!(records, ["right@/R/P(2)/V:1"]);
    assert_eq!(defects, Vec::<String>::new());
}
