use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use vestibule_core::{
    document::Document,
    fault::FaultCode,
    flow::written::{Hint, Written, WrittenItem},
    interpret::{Codec, Spelling},
    mapping::{
        address::{Address, Path},
        plan::{
            Durability, Faults, FieldPlan, FieldRules, From, Mapping, Return, Shape, Source, Write, WriteFrom,
        },
    },
    ports::{Extraction, Format, RawField},
    rule::{Root, Slot},
};

use super::JsonFormat;

fn path(text: &str) -> Path {
    match Address::parse(text, "xml", &IndexMap::new()) {
        Ok(Address::Path(path)) => path,
        other => panic!("{text}: {other:?}"),
    }
}

fn plan(name: &str, from: From) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from,
        codec: Codec::compile(&Spelling::default()).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

fn field(from: &str) -> FieldPlan {
    plan("f", From::Addresses(vec![Address::Path(path(from))]))
}

fn write(place: &str) -> Write {
    Write::Value {
        place: path(place),
        from: WriteFrom::Constant(String::new()),
        codec: Codec::compile(&Spelling::default()).unwrap(),
        longest: None,
        cut: false,
        default: None,
        keeps_raw: false,
    }
}

fn write_each(place: &str, write: Vec<Write>) -> Write {
    Write::Each {
        place: path(place),
        list: Slot { root: Root::Here, path: [0].into_iter().collect() },
        write,
    }
}

fn mapping(fields: Vec<FieldPlan>, into: &str, write: Vec<Write>) -> Mapping {
    Mapping {
        name: "m".into(),
        version: 1,
        owner: None,
        path: "m.map.yaml".into(),
        receive: Vec::new(),
        source: Source {
            kind: "xml".into(),
            contract: None,
            contract_path: None,
            encoding: None,
            timezone: jiff::tz::TimeZone::UTC,
            each: None,
            only: None,
            trailer: None,
        },
        record: Arc::new(Shape { fields }),
        checks: Vec::new(),
        ask: None,
        back: Some(Return { into: into.into(), faults: Faults::Reject, write }),
        key: Vec::new(),
        durability: Durability::Full,
        deadline: Duration::from_secs(1),
        handling: vestibule_core::mapping::plan::Handling::default(),
        lookups: Vec::new(),
    }
}

fn extracted(mapping: &Mapping, text: &str) -> Extraction {
    let document = Document::new(text.as_bytes().to_vec(), "application/json", jiff::Timestamp::UNIX_EPOCH);
    JsonFormat::default().extractor(mapping).unwrap().extract(&document).unwrap()
}

fn found(fields: &[RawField]) -> String {
    let one = |it: &RawField| match it {
        RawField::Absent { at } => {
            format!("absent at {}", at.as_ref().map(ToString::to_string).unwrap_or_default())
        }
        RawField::Text { text, origin } => format!("{text} at {origin}"),
        RawField::Items(items) => {
            format!("[{}]", items.iter().map(|it| found(&it.fields)).collect::<Vec<_>>().join("; "))
        }
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_addresses_of_the_xml_find_the_same_in_json() {
    let lines = From::Each {
        path: path("Claim/Lines/Line"),
        shape: Arc::new(Shape { fields: vec![field("Type"), field("Amt")] }),
    };
    let fields = vec![
        field("Claim/ClaimNo"),
        field("Claim/@policy"),
        field("Claim/Reserve"),
        field("Claim/Reserve/@cur"),
        field("Claim/Party(@role=CLM)/Name"),
        field("Claim/Missing"),
        plan("lines", lines),
    ];
    let mapping = mapping(fields, "R", Vec::new());
    let claim = r##"{"Claim":{"ClaimNo":"C1","Reserve":{"@cur":"EUR","#text":1250.00},"@policy":"P",
        "Party":[{"@role":"INS","Name":"A"},{"@role":"CLM","Name":"B"}],"Missing":null,
        "Lines":{"Line":[{"Type":"B","Amt":1000.10},{"Type":"C"}]}}}"##;
    let plain = "C1 at /Claim/ClaimNo, P at /Claim/@policy, 1250.00 at /Claim/Reserve, EUR at /Claim/Reserve/@cur, \
                 B at /Claim/Party(2)/Name, absent at /Claim/Missing, \
                 [B at /Claim/Lines/Line(1)/Type, 1000.10 at /Claim/Lines/Line(1)/Amt; \
                 C at /Claim/Lines/Line(2)/Type, absent at /Claim/Lines/Line(2)/Amt]";
    assert_eq!(found(&extracted(&mapping, claim).records[0].fields), plain);
    // A wrapper, as the XML has it.
    let wrapped = format!("{{\"SubmitClaim\":{claim}}}");
    assert_eq!(
        found(&extracted(&mapping, &wrapped).records[0].fields),
        plain.replace("/Claim/", "/SubmitClaim/Claim/")
    );
}

#[test]
fn a_document_in_another_charset_is_refused() {
    let mapping = mapping(vec![field("a")], "R", Vec::new());
    let extractor = JsonFormat::default().extractor(&mapping).unwrap();
    for (charset, expected) in [
        (None, None),
        (Some("UTF-8"), None),
        (Some("us-ascii"), None),
        (Some("iso-8859-1"), Some(FaultCode::Malformed)),
    ] {
        let mut document = Document::new("{}", "application/json", jiff::Timestamp::UNIX_EPOCH);
        document.charset = charset.map(Into::into);
        assert_eq!(extractor.extract(&document).err().map(|it| it.code), expected, "charset: {charset:?}");
    }
}

fn value(write: usize, text: &str, hint: Hint) -> WrittenItem {
    WrittenItem::Value { write, text: text.into(), hint }
}

fn rendered(into: &str, writes: Vec<Write>, records: &[Written]) -> String {
    let mapping = mapping(Vec::new(), into, writes);
    let renderer = JsonFormat::default().renderer(&mapping, mapping.back.as_ref().unwrap()).unwrap();
    String::from_utf8(renderer.render(records).unwrap().to_vec()).unwrap()
}

#[test]
fn replies_are_objects_and_lists() {
    let writes = || {
        vec![
            write("A/B"),
            write("A/@id"),
            write("A"),
            write("N"),
            write_each("Lines/Line", vec![write("@no"), write("Ok"), write(".")]),
        ]
    };
    let item = |items: Vec<WrittenItem>| Written { items };
    for (items, expected) in [
        (vec![], "{}"),
        (
            vec![value(0, "x\"\u{1}", Hint::Text), value(1, "7", Hint::Text)],
            r#"{"A":{"B":"x\"\u0001","@id":"7"}}"#,
        ),
        (vec![value(1, "7", Hint::Number), value(2, "t", Hint::Text)], r##"{"A":{"@id":7,"#text":"t"}}"##),
        (vec![value(2, "t", Hint::Text)], r#"{"A":"t"}"#),
        (vec![value(2, "t", Hint::Text), value(0, "b", Hint::Text)], r##"{"A":{"#text":"t","B":"b"}}"##),
        (vec![value(3, "9223372036854775807", Hint::Number)], r#"{"N":9223372036854775807}"#),
        (vec![value(3, "12345678901234567890123", Hint::Number)], r#"{"N":"12345678901234567890123"}"#),
        (vec![value(3, "1.10", Hint::Text)], r#"{"N":"1.10"}"#),
        (vec![value(3, "true", Hint::Boolean)], r#"{"N":true}"#),
        (vec![WrittenItem::Each { write: 4, items: vec![] }], r#"{"Lines":{"Line":[]}}"#),
        (
            vec![WrittenItem::Each {
                write: 4,
                items: vec![
                    item(vec![value(0, "1", Hint::Text), value(1, "Y", Hint::Text)]),
                    item(vec![value(2, "t", Hint::Text)]),
                    item(vec![]),
                ],
            }],
            r#"{"Lines":{"Line":[{"@no":"1","Ok":"Y"},"t",{}]}}"#,
        ),
    ] {
        assert_eq!(rendered("R", writes(), &[Written { items }]), expected);
    }
}

#[test]
fn records_are_listed_below_into() {
    let records = [1, 2].map(|it| Written { items: vec![value(0, &it.to_string(), Hint::Number)] });
    for (into, records, expected) in [
        ("All", &records[..1], r#"{"V":1}"#),
        ("All", &records[..], r#"[{"V":1},{"V":2}]"#),
        ("All", &records[..0], "{}"),
        ("All/One", &records[..1], r#"{"One":[{"V":1}]}"#),
        ("p:All/p:One", &records[..], r#"{"One":[{"V":1},{"V":2}]}"#),
    ] {
        assert_eq!(rendered(into, vec![write("V")], records), expected, "into: {into}");
    }
}

#[test]
fn the_text_of_a_repeated_element_is_written_and_read_back() {
    let writes = vec![write_each("Finding", vec![write("@code"), write(".")])];
    let item = |code: &str, text: &str| Written {
        items: vec![value(0, code, Hint::Text), value(1, text, Hint::Text)],
    };
    let items = vec![item("G1", "a"), item("G2", "b")];
    let text = rendered("R", writes, &[Written { items: vec![WrittenItem::Each { write: 0, items }] }]);
    assert_eq!(text, r##"{"Finding":[{"@code":"G1","#text":"a"},{"@code":"G2","#text":"b"}]}"##);
    let inner = Arc::new(Shape { fields: vec![field("@code"), field(".")] });
    let findings = plan("findings", From::Each { path: path("Finding"), shape: inner });
    let read = extracted(&mapping(vec![findings], "R", Vec::new()), &text);
    assert_eq!(
        found(&read.records[0].fields),
        "[G1 at /Finding(1)/@code, a at /Finding(1); G2 at /Finding(2)/@code, b at /Finding(2)]"
    );
}
