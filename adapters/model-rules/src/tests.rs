//! Tables against a mapping: what they decide, and what is said about those that can not.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use jiff::{Timestamp, civil::date, tz::TimeZone};
use rust_decimal::Decimal;
use serde_json::json;
use tokio::time::Instant;
use vestibule_core::{
    ask::{Asker, Task},
    document::Document,
    fault::{FaultCode, Recovery},
    gate::{self, Admitted, Verdict},
    interpret::{Codec, Kind, Spelling},
    mapping::{
        address::{Address, Meta},
        diagnostic::Diagnostics,
        plan::{Ask, Durability, FieldPlan, FieldRules, From, Mapping, Shape, Source},
        syntax,
    },
    origin::Origin,
    ports::{Extraction, Files, Model, ModelKind, ModelRequest, RawField, RawRecord},
    record::{Field, Record, Value},
    rule::Clock,
};

use crate::{Rules, check};

const TABLE: &str = "\
rules: claim-triage
words:
  suspicious: [cash, no receipt]
rows:
  - if: story contains any of suspicious
    answer: { priority: high, fraud: yes, reason: Typical words, confidence: 0.85 }
  - if: cause == 'theft' and reserve > 25000
    answer: { priority: high, fraud: yes, reason: Large theft, confidence: 0.75 }
  - if: loss_date > today()
    answer: { priority: low, fraud: no, reason: Not yet, confidence: 0.5 }
  - if: sum(lines.amount) > reserve
    answer: { priority: normal, fraud: no, reason: Lines add up to more, confidence: 0.6 }
otherwise: { priority: normal, fraud: no, reason: Routine, confidence: 0.90 }
";

fn field(name: &str, kind: Kind) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from: From::Addresses(vec![Address::Meta(Meta::Name)]),
        codec: Codec::compile(&Spelling { kind, ..Spelling::default() }).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

fn one_of(name: &str, words: &[&str]) -> FieldPlan {
    let one_of = Some(words.iter().map(ToString::to_string).collect());
    FieldPlan { rules: FieldRules { one_of, ..FieldRules::default() }, ..field(name, Kind::Text) }
}

fn record_shape() -> Arc<Shape> {
    let lines = Arc::new(Shape { fields: vec![field("amount", Kind::Money)] });
    let each = From::Each { path: Default::default(), shape: lines };
    Arc::new(Shape {
        fields: vec![
            one_of("cause", &["fire", "theft"]),
            field("reserve", Kind::Money),
            field("story", Kind::Text),
            field("loss_date", Kind::Date),
            FieldPlan { from: each, ..field("lines", Kind::Text) },
        ],
    })
}

fn mapping() -> Mapping {
    let mut answer = vec![
        one_of("priority", &["low", "normal", "high"]),
        field("fraud", Kind::Bool),
        field("reason", Kind::Text),
        field("confidence", Kind::Decimal),
    ];
    for field in &mut answer {
        field.from = From::Model;
        field.rules.required = Some(vestibule_core::finding::Outcome::Review);
    }
    let schema = Arc::new(json!({
        "type": "object",
        "properties": {
            "priority": { "enum": ["low", "normal", "high"] },
            "fraud": { "type": "boolean" },
            "reason": { "type": "string", "maxLength": 25 },
            "confidence": { "type": ["string", "number"] },
        },
        "required": ["priority", "fraud", "reason", "confidence"],
        "additionalProperties": false,
    }));
    Mapping {
        name: "claim-triage".into(),
        version: 1,
        owner: None,
        path: "claim-triage.map.yaml".into(),
        receive: Vec::new(),
        source: Source {
            kind: "xml".into(),
            contract: None,
            contract_path: None,
            encoding: None,
            timezone: TimeZone::UTC,
            each: None,
            only: None,
            trailer: None,
        },
        record: record_shape(),
        checks: Vec::new(),
        ask: Some(Ask {
            route: ("triage".into(), 0..0),
            prompt: None,
            send: None,
            answer: Arc::new(Shape { fields: answer }),
            schema: schema.clone(),
            strict_schema: schema,
            accept: None,
            fallback: Vec::new(),
        }),
        back: None,
        key: Vec::new(),
        durability: Durability::None,
        deadline: Duration::from_secs(1),
        handling: vestibule_core::mapping::plan::Handling::default(),
        lookups: Vec::new(),
    }
}

fn money(text: &str) -> Value {
    Value::Decimal(text.parse::<Decimal>().unwrap())
}

fn record(mapping: &Mapping, values: &[(&str, Value)]) -> Record {
    let mut record = Record::empty(mapping.record.clone());
    for (name, value) in values {
        let slot = mapping.record.slot(name).unwrap();
        record.fields[slot] = Some(Field { value: value.clone(), origin: Origin::Default, raw: None });
    }
    record
}

fn clock() -> Clock {
    Clock { now: "2026-11-20T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn report(table: &str) -> String {
    let mut diagnostics = Diagnostics::default();
    let read = check(table, &mapping(), &mut diagnostics);
    assert_eq!(read.is_none(), !diagnostics.is_empty(), "a table with mistakes is no table");
    diagnostics.render("triage.rules.yaml", table, false)
}

#[test]
fn the_first_row_that_holds_answers_and_a_missing_input_holds_nowhere() {
    let mapping = mapping();
    let mut diagnostics = Diagnostics::default();
    let table = check(TABLE, &mapping, &mut diagnostics);
    assert_eq!(diagnostics.render("triage.rules.yaml", TABLE, false), "");
    let table = table.unwrap();
    let text = |text: &str| Value::Text(text.into());
    let line = |amount: &str| {
        let From::Each { shape, .. } = &mapping.record.fields[4].from else { unreachable!() };
        let field = Field { value: money(amount), origin: Origin::Default, raw: None };
        Record { shape: shape.clone(), fields: vec![Some(field)] }
    };
    for (values, expected) in [
        (
            vec![
                ("story", text("Paid in CASH, again")),
                ("cause", text("theft")),
                ("reserve", money("90000")),
            ],
            "Typical words",
        ),
        (vec![("story", text("There is no\n receipt."))], "Typical words"),
        (vec![("story", text("cashmere"))], "Routine"),
        (vec![("cause", text("theft")), ("reserve", money("25000.01"))], "Large theft"),
        (vec![("cause", text("theft")), ("reserve", money("25000.00"))], "Routine"),
        (vec![("cause", text("theft"))], "Routine"),
        (vec![("loss_date", Value::Date(date(2026, 11, 21)))], "Not yet"),
        (vec![("loss_date", Value::Date(date(2026, 11, 20)))], "Routine"),
        (
            vec![("lines", Value::List(vec![line("0.10"), line("0.20")])), ("reserve", money("0.29"))],
            "Lines add up to more",
        ),
        (
            vec![("lines", Value::List(vec![line("0.10"), line("0.20")])), ("reserve", money("0.3"))],
            "Routine",
        ),
        (vec![], "Routine"),
    ] {
        let answer = table.decide(&record(&mapping, &values), &clock()).unwrap();
        assert_eq!(answer["reason"], json!(expected), "input: {values:?}");
    }
    let answer = table.decide(&record(&mapping, &[]), &clock()).unwrap();
    let expected = json!({ "priority": "normal", "fraud": false, "reason": "Routine", "confidence": "0.90" });
    assert_eq!(serde_json::Value::Object(answer.clone()), expected);
}

#[test]
fn every_mistake_of_a_table_is_reported_at_once_with_its_place() {
    let table = "\
rules: claim-triage
owner: me
words:
  suspicious: [cash, '']
  Bad: [x]
rows:
  - if: story contains any of suspicous or resrve > 5
    answer: { priority: hihg, fraud: maybe, reason: ok, confidnce: 0.5 }
  - if: cause == 'thef'
    answer: { priority: high, fraud: no, reason: longer than the mapping allows it to be, confidence: 1 }
  - if: reserve > 'much'
    answer: { priority: high, fraud: no, reason: ok, confidence: [1] }
  - answer: { priority: low, fraud: no, reason: ok, confidence: 1 }
  - if: reserve > 1
    answer: { priority: low, fraud: no, reason: ok, confidence: 1 }
otherwise: { priority: low, fraud: no, reason: ok, confidence: 1 }
";
    insta::assert_snapshot!(report(table));
}

#[test]
fn tables_that_can_not_be_used_say_why() {
    for (table, expected) in [
        ("rules: x\n", "this table has no row and no `otherwise`"),
        ("rules: x\nrows: []\n", "this table has no row and no `otherwise`"),
        ("- a\n- b\n", "error["),
        ("rows: {\n", "error["),
        ("rules: x\nrows:\n  - if: reserve > 1\n", "answer"),
    ] {
        let report = report(table);
        assert!(report.contains(expected), "input: {table:?}\n{report}");
    }
}

#[test]
fn a_table_of_many_rows_is_bounded() {
    let row = "  - if: reserve > 1\n    answer: { priority: low, fraud: no, reason: ok, confidence: 1 }\n";
    let table = format!("rules: x\nrows:\n{}", row.repeat(2001));
    assert!(report(&table).contains("a table has at most 2000 rows"));
}

struct Folder(HashMap<&'static str, &'static str>);

impl Files for Folder {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|text| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn open(path: &str) -> Result<Arc<dyn Model>, String> {
    let files = Folder(HashMap::from([
        ("good.rules.yaml", TABLE),
        ("bad.rules.yaml", "rules: x\nrows:\n  - if: resrve > 1\n    answer: {}\n"),
        (
            "bare.rules.yaml",
            "rules: x\nrows:\n  - if: reserve > 1\n    answer: { priority: low, fraud: no, reason: ok, confidence: 1 }\n",
        ),
    ]));
    let naming = format!("desk: {path}\n");
    let mut diagnostics = Diagnostics::default();
    let root = syntax::parse(&naming, &mut diagnostics).unwrap();
    let mapping = mapping();
    let request = ModelRequest {
        name: "desk",
        settings: root.get("desk").unwrap(),
        mapping: &mapping,
        files: &files,
        secrets: &|_| None,
    };
    Rules.open(request, &mut diagnostics).ok_or_else(|| diagnostics.render("vestibule.yaml", &naming, false))
}

#[test]
fn mistakes_stand_in_the_file_that_has_them() {
    let report = open("bad.rules.yaml").err().unwrap();
    assert!(report.contains("--> bad.rules.yaml:3:9"), "{report}");
    assert!(report.contains("the answer needs `priority`"), "{report}");
    let report = open("gone.rules.yaml").err().unwrap();
    assert!(report.contains("--> vestibule.yaml:1:7") && report.contains("A201"), "{report}");
    assert!(open("{ a: b }").err().unwrap().contains("A201"));
}

fn admitted(mapping: &Mapping) -> Admitted {
    let fields = mapping.record.fields.iter().map(|_| RawField::Absent { at: None }).collect();
    let extraction =
        Extraction { records: vec![RawRecord { fields, origin: Origin::Default }], ..Extraction::default() };
    let document = Document::new("", "text/xml", Timestamp::UNIX_EPOCH);
    match gate::judge(mapping, &document, extraction).verdicts.pop() {
        Some(Verdict::Admit(admitted, _)) => admitted,
        other => panic!("not admitted: {other:?}"),
    }
}

#[tokio::test]
async fn a_table_is_a_model_that_never_asks_for_a_prompt() {
    let mapping = mapping();
    let input = admitted(&mapping);
    let prompt = || panic!("a decision table reads no prompt");
    let schema = &mapping.ask.as_ref().unwrap().schema;
    let task =
        Task { mapping: &mapping, prompt: &prompt, schema, now: Timestamp::UNIX_EPOCH, request_id: "" };
    let model = open("good.rules.yaml").unwrap();
    assert!(!model.is_remote());
    let answered = model.infer(&task, &input, Instant::now()).await.unwrap();
    assert_eq!(answered.answer["reason"], json!("Routine"));

    let fault = open("bare.rules.yaml").unwrap().infer(&task, &input, Instant::now()).await.unwrap_err();
    assert_eq!((fault.code, fault.recovery), (FaultCode::Model, Recovery::FailOver));

    let asker = Asker::new(&mapping, vec![model], Vec::new()).unwrap();
    let asked = asker.ask(&mapping, &input, Timestamp::UNIX_EPOCH, "", Instant::now()).await.unwrap();
    assert_eq!(&*asked.answered_by, "desk");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_a_table_panic_and_every_mistake_can_be_drawn(
        cut in 0..TABLE.len(), inserted in "[\\PC\n\t]{0,12}", removed in 0..20_usize,
    ) {
        let rest = TABLE.get(cut + removed..).unwrap_or_default();
        report(&format!("{}{inserted}{rest}", &TABLE[..cut]));
    }

    #[test]
    fn no_condition_makes_a_table_panic(condition in "[a-z'\" ]{0,10}(contains any of )?[\\PC]{0,20}") {
        let condition = condition.replace('\'', "''");
        report(&format!("rules: x\nwords: {{ a: [b] }}\nrows:\n  - if: '{condition}'\n    answer: {{}}\n"));
    }
}

/// `cargo test -p vestibule-model-rules --release -- --ignored --nocapture`
#[test]
#[ignore = "prints a time"]
fn deciding_is_cheap() {
    let mapping = mapping();
    let row = "  - if: cause == 'theft' and reserve > 25000\n    answer: { priority: low, fraud: no, reason: ok, confidence: 1 }\n";
    let text = format!(
        "rules: x\nrows:\n{}otherwise: {{ priority: low, fraud: no, reason: ok, confidence: 1 }}\n",
        row.repeat(10)
    );
    let table = check(&text, &mapping, &mut Diagnostics::default()).unwrap();
    let values = [("cause", Value::Text("theft".into())), ("reserve", money("1250.00"))];
    let (record, clock) = (record(&mapping, &values), clock());
    let began = std::time::Instant::now();
    let rounds = 100_000_u32;
    for _ in 0..rounds {
        std::hint::black_box(table.decide(&record, &clock).cloned());
    }
    println!("{:?} for ten rows", began.elapsed() / rounds);
}

#[test]
fn a_list_of_the_longest_words_serves_any_number_of_rows() {
    let mapping = mapping();
    let word = |number: usize| format!("{:x<56}{number:04}", "it's \"");
    let words: Vec<String> =
        (0..200).map(|it| format!("    - '{}'\n", word(it).replace('\'', "''"))).collect();
    let answer = |reason: &str| format!("{{ priority: low, fraud: no, reason: {reason}, confidence: 1 }}");
    let row = format!("  - if: story contains all of long\n    answer: {}\n", answer("all"));
    let last = format!("  - if: story contains any of long\n    answer: {}\n", answer("any"));
    let text = format!("rules: x\nwords:\n  long:\n{}rows:\n{}{last}", words.concat(), row.repeat(1999));
    let mut diagnostics = Diagnostics::default();
    let table = check(&text, &mapping, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{:?}", diagnostics.all.first());
    let record = record(&mapping, &[("story", Value::Text(format!("Look, {}!", word(199)).into()))]);
    let answer = table.as_ref().and_then(|it| it.decide(&record, &clock())).unwrap();
    assert_eq!(answer["reason"], "any");
}

/// `cargo test -p vestibule-model-rules --release -- --ignored --nocapture reading_a_long_story`
#[test]
#[ignore = "prints a time"]
fn reading_a_long_story_in_every_row_is_cheap() {
    let mapping = mapping();
    let answer = "answer: { priority: low, fraud: no, reason: ok, confidence: 1 }";
    let row = format!("  - if: story contains any of suspicious\n    {answer}\n");
    let text = format!(
        "rules: x\nwords:\n  suspicious: [cash, no receipt, stolen again, third time]\nrows:\n{}",
        row.repeat(10)
    );
    let table = check(&text, &mapping, &mut Diagnostics::default()).unwrap();
    let story = "The pipe on the upper floor burst during the night and water ran down the wall. ".repeat(50);
    let (record, clock) = (record(&mapping, &[("story", Value::Text(story.into()))]), clock());
    let began = std::time::Instant::now();
    let rounds = 10_000_u32;
    for _ in 0..rounds {
        std::hint::black_box(table.decide(&record, &clock).cloned());
    }
    println!("{:?} for ten rows over 4,000 characters", began.elapsed() / rounds);
}
