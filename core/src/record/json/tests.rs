use serde_json::json;

use super::*;
use crate::{
    interpret::{CodeTable, Spelling},
    mapping::{
        address::Path,
        plan::{FieldPlan, FieldRules, Mask},
    },
};

fn plan(name: &str, kind: Kind, format: Option<&str>) -> FieldPlan {
    let spelling = Spelling { kind, format: format.map(str::to_owned), ..Spelling::default() };
    FieldPlan {
        name: name.into(),
        from: From::Model,
        codec: Codec::compile(&spelling).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

fn shape() -> Arc<Shape> {
    let codes =
        CodeTable::new(vec![("building".into(), vec!["B".into()]), ("contents".into(), vec!["C".into()])]);
    let spelling = Spelling { codes: Some(Arc::new(codes)), ..Spelling::default() };
    let kind = FieldPlan { codec: Codec::compile(&spelling).unwrap(), ..plan("kind", Kind::Text, None) };
    let lines = Shape { fields: vec![kind, plan("amount", Kind::Money, Some("1.234,56"))] };
    let each = From::Each { path: Path::default(), shape: Arc::new(lines) };
    Arc::new(Shape {
        fields: vec![
            plan("claim_no", Kind::Text, None),
            FieldPlan { mask: Some(Mask::Token), ..plan("claimant", Kind::Text, None) },
            plan("reserve", Kind::Money, Some("1.234,56")),
            plan("count", Kind::Int, None),
            plan("fraud", Kind::Bool, Some("Y/N")),
            plan("loss_date", Kind::Date, Some("ddMMyyyy")),
            plan("reported_at", Kind::Datetime, None),
            plan("seal", Kind::Bytes, Some("hex")),
            FieldPlan { from: each, ..plan("lines", Kind::Text, None) },
        ],
    })
}

/// A record read from legacy texts, in the shape's order; `None` is absent. Lines are kind and amount.
fn read(texts: &[Option<&str>], lines: &[(&str, &str)]) -> Record {
    let shape = shape();
    let mut record = Record::empty(shape.clone());
    let field = |plan: &FieldPlan, raw: &str, address: String| {
        let Reading::Value(value) = plan.codec.read(raw) else { panic!("{}: {raw}", plan.name) };
        let differs = canonical_text(&value) != raw;
        let origin = Origin::Node { address: address.into(), line: 7 };
        Some(Field { value, origin, raw: differs.then(|| raw.into()) })
    };
    for ((plan, place), raw) in shape.fields.iter().zip(&mut record.fields).zip(texts) {
        *place = raw.and_then(|raw| field(plan, raw, format!("/Claim/{}", plan.name)));
    }
    let From::Each { shape: item, .. } = &shape.fields[8].from else { panic!("lines is a list") };
    let lines = lines.iter().zip(1..).map(|((kind, amount), place)| {
        let address = |name: &str| format!("/Claim/Line({place})/{name}");
        let [kind_plan, amount_plan] = &item.fields[..] else { panic!("two fields") };
        let fields =
            vec![field(kind_plan, kind, address("Kind")), field(amount_plan, amount, address("Amt"))];
        Record { shape: item.clone(), fields }
    });
    let origin = Origin::Node { address: "/Claim/Line".into(), line: 0 };
    record.fields[8] = Some(Field { value: Value::List(lines.collect()), origin, raw: None });
    record
}

fn sample() -> Record {
    let texts = [
        Some("C1"),
        Some(" Ana "),
        Some("1.250,00"),
        Some("007"),
        Some("Y"),
        Some("01112026"),
        Some("2026-11-20T09:00:00+01:00"),
        Some("6869"),
    ];
    read(&texts, &[("B", "1.000,00"), ("C", "250,00")])
}

#[test]
fn canonical_json_keeps_scale_and_leaves_out_what_is_absent() {
    assert_eq!(
        sample().to_json(),
        json!({
            "claim_no": "C1", "claimant": " Ana ", "reserve": "1250.00", "count": 7, "fraud": true,
            "loss_date": "2026-11-01", "reported_at": "2026-11-20T09:00:00+01:00", "seal": "aGk=",
            "lines": [{ "kind": "building", "amount": "1000.00" }, { "kind": "contents", "amount": "250.00" }],
        })
    );
    assert_eq!(read(&[None, None, Some("0,10")], &[]).to_json(), json!({ "reserve": "0.10", "lines": [] }));
}

#[test]
fn lineage_names_every_value_and_never_a_masked_one() {
    let mut record = sample();
    record.fields[1].as_mut().unwrap().raw = Some("ANA".into());
    assert_eq!(
        record.lineage_json(),
        json!({
            "claim_no": { "from": "/Claim/claim_no", "line": 7 },
            "claimant": { "from": "/Claim/claimant", "line": 7 },
            "reserve": { "from": "/Claim/reserve", "line": 7, "raw": "1.250,00" },
            "count": { "from": "/Claim/count", "line": 7, "raw": "007" },
            "fraud": { "from": "/Claim/fraud", "line": 7, "raw": "Y" },
            "loss_date": { "from": "/Claim/loss_date", "line": 7, "raw": "01112026" },
            "reported_at": { "from": "/Claim/reported_at", "line": 7 },
            "seal": { "from": "/Claim/seal", "line": 7, "raw": "6869" },
            "lines": { "from": "/Claim/Line" },
            "lines[1].kind": { "from": "/Claim/Line(1)/Kind", "line": 7, "raw": "B" },
            "lines[1].amount": { "from": "/Claim/Line(1)/Amt", "line": 7, "raw": "1.000,00" },
            "lines[2].kind": { "from": "/Claim/Line(2)/Kind", "line": 7, "raw": "C" },
            "lines[2].amount": { "from": "/Claim/Line(2)/Amt", "line": 7, "raw": "250,00" },
        })
    );
}

#[test]
fn words_are_a_line_for_each_value() {
    let words = read(&[Some("C1"), None, Some("3,5")], &[("B", "1,00")]).to_words();
    assert_eq!(words, "claim_no: C1\nreserve: 3.5\nlines[1].kind: building\nlines[1].amount: 1.00\n");
}

#[test]
fn canonical_json_reads_back_as_an_answer() {
    let record = sample();
    let Json::Object(answer) = record.to_json() else { panic!("an object") };
    let (back, problems) = Record::from_answer(&record.shape, &answer);
    assert_eq!(problems, []);
    assert_eq!(back.to_json(), record.to_json());
    let origin = &back.get("reserve").unwrap().origin;
    assert_eq!(origin.to_string(), "answer.reserve");
    let Value::List(lines) = &back.get("lines").unwrap().value else { panic!("a list") };
    assert_eq!(lines[1].get("amount").unwrap().origin.to_string(), "answer.lines[2].amount");
}

#[test]
fn numbers_of_an_answer_count_by_their_shortest_text() {
    let shape = Arc::new(Shape { fields: vec![plan("d", Kind::Decimal, None), plan("i", Kind::Int, None)] });
    for (text, expected) in [
        (r#"{"d":0.92}"#, json!({ "d": "0.92" })),
        (r#"{"d":0.1}"#, json!({ "d": "0.1" })),
        (r#"{"d":"0.920"}"#, json!({ "d": "0.920" })),
        (r#"{"d":1e-7}"#, json!({ "d": "0.0000001" })),
        (r#"{"d":1}"#, json!({ "d": "1" })),
        (r#"{"i":3.0}"#, json!({ "i": 3 })),
        (r#"{"i":-4}"#, json!({ "i": -4 })),
        (r#"{"i":null,"d":""}"#, json!({})),
    ] {
        let answer: Map<String, Json> = serde_json::from_str(text).unwrap();
        let (record, problems) = Record::from_answer(&shape, &answer);
        assert_eq!((record.to_json(), problems), (expected, vec![]), "{text}");
    }
}

#[test]
fn every_problem_of_an_answer_is_reported_with_its_path() {
    let answer = json!({
        "claim_no": ["x"], "reserve": "much", "count": 1.5, "fraud": 1, "loss_date": "01112026", "other": true,
        "lines": [{ "kind": "roof", "amount": 3 }, 5, { "amount": 1e300 }],
    });
    let Json::Object(answer) = answer else { panic!("an object") };
    let (record, problems) = Record::from_answer(&shape(), &answer);
    let shown: Vec<String> = problems
        .iter()
        .map(|it| format!("{}: {} not {}", it.field, it.found, it.complaint.expected))
        .collect();
    assert_eq!(
        shown,
        [
            "claim_no: a list not text",
            "reserve: much not money, e.g. 1250.00",
            "count: 1.5 not int, e.g. 42",
            "fraud: a number not true or false",
            "loss_date: 01112026 not date as 2026-01-31",
            "lines[2]: a number not an object",
            "lines[1].kind: roof not one of building, contents",
            "lines[3].amount: a number not money, e.g. 1250.00",
        ]
    );
    assert_eq!(record.to_json(), json!({ "lines": [{ "amount": "3" }, {}] }));
}
