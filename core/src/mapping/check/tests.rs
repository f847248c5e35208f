mod channels;
mod databases;
mod fixture;
mod mistakes;
mod samples;

use proptest::prelude::*;

use self::fixture::{check, claims, problems, render};
use super::super::codes;
use crate::{
    finding::Outcome,
    mapping::plan::{self, Durability, Fallback, Faults, From, Mask, Write, WriteFrom},
    rule::Root,
};

#[test]
fn the_claim_sample_becomes_a_plan() {
    let compiled = check(samples::CLAIMS);
    assert_eq!(render(samples::CLAIMS, &compiled), "");
    let plan = compiled.mapping.unwrap();
    assert_eq!((&*plan.name, plan.version, plan.durability), ("claim-triage", 3, Durability::Full));
    assert_eq!(plan.deadline.as_secs(), 8);
    assert_eq!(plan.receive[0].get("operation"), Some("SubmitClaim"));
    assert_eq!(plan.source.timezone.iana_name(), Some("Europe/Madrid"));
    assert_eq!(plan.key.len(), 1);

    let record = &plan.record;
    let field = |name: &str| &record.fields[record.slot(name).unwrap()];
    assert_eq!(field("cause").rules.required, Some(Outcome::Review));
    assert_eq!(field("policy_no").rules.required, Some(Outcome::Reject));
    assert_eq!(field("story").mask, Some(Mask::Find));
    assert_eq!(field("story").rules.length, Some((None, Some(4000))));
    assert_eq!(field("reported_at").rules.max_age.map(|it| it.as_secs()), Some(48 * 3600));
    assert!(matches!(&field("story").from, From::Addresses(all) if all.len() == 2));
    assert!(matches!(&field("lines").from, From::Each { shape, .. } if shape.fields.len() == 2));
    assert_eq!(plan.checks.len(), 2);
    assert_eq!(plan.checks[1].otherwise, Outcome::Review);

    let ask = plan.ask.unwrap();
    assert_eq!(ask.send.as_deref(), Some([4, 6, 8, 9].as_slice()));
    assert!(ask.accept.is_some());
    let [Fallback::Cached(day), Fallback::Rules { path, .. }, Fallback::Answer(fixed)] =
        ask.fallback.as_slice()
    else {
        panic!("three steps")
    };
    assert_eq!((day.as_secs(), path.as_str()), (86_400, "triage.rules.yaml"));
    assert_eq!(
        serde_json::to_string(fixed).unwrap(),
        r#"{"priority":"normal","fraud":false,"reason":"Triage unavailable","confidence":"1"}"#
    );

    let back = plan.back.unwrap();
    assert_eq!((back.into.as_str(), back.faults), ("SubmitClaimResponse", Faults::Incomplete));
    let roots: Vec<_> = back
        .write
        .iter()
        .map(|it| match it {
            Write::Value { from: WriteFrom::Slot(slot), keeps_raw, .. } => (slot.root, *keeps_raw),
            _ => panic!("a slot"),
        })
        .collect();
    let answer = (Root::Answer, false);
    assert_eq!(roots, [(Root::Here, true), answer, answer, answer, (Root::Outcome, false)]);
    assert!(matches!(&back.write[3], Write::Value { longest: Some(255), cut: true, .. }));
}

#[test]
fn schemas_of_the_answer_are_portable_and_strict() {
    let ask = check(samples::CLAIMS).mapping.unwrap().ask.unwrap();
    assert_eq!(
        *ask.schema,
        serde_json::json!({
            "type": "object",
            "properties": {
                "priority": { "type": "string", "enum": ["low", "normal", "high"] },
                "fraud": { "type": "boolean" },
                "reason": { "type": "string", "description": "1 to 300 characters" },
                "confidence": { "type": ["number", "string"], "description": "0 to 1" },
                "note": { "type": ["string", "null"] },
            },
            "required": ["priority", "fraud", "reason", "confidence", "note"],
            "additionalProperties": false,
        })
    );
    let strict = jsonschema::validator_for(&ask.strict_schema).unwrap();
    let answer = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    for (text, expected) in [
        (r#"{"priority":"low","fraud":true,"reason":"x","confidence":0.5}"#, true),
        (r#"{"priority":"low","fraud":true,"reason":"x","confidence":"0.50","note":null}"#, true),
        (r#"{"priority":"low","fraud":true,"reason":"x","confidence":1.5}"#, false),
        (r#"{"priority":"low","fraud":true,"reason":"x","confidence":"much"}"#, false),
        (r#"{"priority":"urgent","fraud":true,"reason":"x","confidence":1}"#, false),
        (r#"{"priority":"low","fraud":"yes","reason":"x","confidence":1}"#, false),
        (r#"{"priority":"low","fraud":true,"reason":"","confidence":1}"#, false),
        (r#"{"priority":"low","fraud":true,"confidence":1}"#, false),
        (r#"{"priority":"low","fraud":true,"reason":"x","confidence":1,"more":1}"#, false),
    ] {
        assert_eq!(strict.is_valid(&answer(text)), expected, "answer: {text}");
    }
}

#[test]
fn a_dozen_mistakes_are_reported_at_once() {
    let compiled = check(samples::BROKEN);
    assert!(compiled.mapping.is_none());
    insta::assert_snapshot!(render(samples::BROKEN, &compiled));
}

/// One change to the good sample, and all that is said about it.
#[test]
fn each_mistake_is_one_message() {
    for (old, new, expected) in mistakes::MISTAKES {
        assert!(samples::CLAIMS.contains(old), "the sample has no {old:?}");
        let text = samples::CLAIMS.replacen(old, new, 1);
        let compiled = check(&text);
        let got = problems(&compiled);
        let same = got.len() == expected.len()
            && got.iter().zip(*expected).all(|(got, wanted)| got.starts_with(wanted));
        assert!(same, "{old:?} -> {new:?}: {got:#?}\n{}", render(&text, &compiled));
        assert!(compiled.mapping.is_none());
    }
}

#[test]
fn lists_are_written_back_from_record_and_answer() {
    let compiled = check(samples::LISTS);
    assert_eq!(render(samples::LISTS, &compiled), "");
    let plan = compiled.mapping.unwrap();
    let Some(plan::Return { write, .. }) = &plan.back else { panic!("a return") };
    let [Write::Each { list, write: items, .. }, Write::Each { list: findings, .. }] = write.as_slice()
    else {
        panic!("two lists")
    };
    assert_eq!((list.root, list.path.as_slice()), (Root::Here, [1].as_slice()));
    assert_eq!((findings.root, findings.path.as_slice()), (Root::Answer, [0].as_slice()));
    let slots: Vec<_> = items
        .iter()
        .filter_map(|it| match it {
            Write::Value { from: WriteFrom::Slot(slot), .. } => Some((slot.root, slot.path.to_vec())),
            _ => None,
        })
        .collect();
    assert_eq!(slots, [(Root::Here, vec![0]), (Root::Outer(1), vec![0])]);
    let ask = plan.ask.unwrap();
    assert_eq!(ask.schema["properties"]["risks"]["items"]["required"], serde_json::json!(["name", "score"]));
}

#[test]
fn control_totals_computed_fields_and_csv_tables_compile() {
    let compiled = check(samples::BATCH);
    assert_eq!(render(samples::BATCH, &compiled), "");
    let plan = compiled.mapping.unwrap();
    let roots: Vec<_> = plan.checks.iter().flat_map(|it| it.rule.slots()).map(|it| it.root).collect();
    for root in [Root::Records, Root::Trailer, Root::Here] {
        assert!(roots.contains(&root), "{roots:?}");
    }
    assert!(plan.source.only.is_some() && plan.source.each.is_some() && plan.ask.is_none());
    let From::Each { shape, .. } = &plan.record.fields[4].from else { panic!("a list") };
    let From::Computed(rule) = &shape.fields[2].from else { panic!("a rule") };
    let roots: Vec<_> = rule.slots().iter().map(|it| it.root).collect();
    assert_eq!(roots, [Root::Here, Root::Outer(1)]);
    assert_eq!(shape.fields[2].codec.kind(), crate::interpret::Kind::Decimal);
    assert_eq!(plan.record.fields[3].codec.codes().unwrap().legacy("open"), Some("O"));

    for (old, new, expected) in [
        ("compute: net * rate", "compute: net * late", "M041 there is no field `late`"),
        ("compute: net + tax", "compute: gross + tax", "M041 there is no field `gross`"),
        ("codes/state.csv", "codes/twice.csv", "M037 `codes/twice.csv` is not a code table"),
        ("== trailer.count", "== trailer.cuont", "M041 there is no field `trailer.cuont`"),
        ("compute: net + tax", "compute: net > tax", "M041 expected a number, not yes or no"),
        ("compute: net * rate", "compute: today() - today()", "M018 a field holds a single value"),
        ("key: [batch, number]", "key: [batch, nubmer]", "M023 there is no field `nubmer`"),
    ] {
        assert!(samples::BATCH.contains(old), "the sample has no {old:?}");
        let compiled = check(&samples::BATCH.replacen(old, new, 1));
        let got = problems(&compiled);
        assert!(matches!(got.as_slice(), [one] if one.starts_with(expected)), "{old} -> {new}: {got:#?}");
    }
}

#[test]
fn a_field_that_stands_further_down_is_not_called_unknown() {
    let text = "mapping: a\nsource: { kind: json }\nrecord:\n  total: { compute: count(lines) + rest + rset }\n  lines: { each: l, record: { b: { compute: c + 1 }, c: { from: c, type: int } } }\n  rest: { from: r, type: int }\n  own: { compute: own + 1 }\n";
    let expected = [
        "M041 `lines` is not known yet",
        "M041 `rest` is not known yet",
        "M041 there is no field `rset`",
        "M041 `c` is not known yet",
        "M041 there is no field `own`",
    ];
    assert_eq!(problems(&check(text)), expected);
}

#[test]
fn a_mapping_is_received_by_several_channels() {
    let one = "  soap: { service: ClaimService, operation: SubmitClaim }";
    let many = "  - soap: { service: A, operation: SubmitClaim }\n  - { soap: { service: B, operation: SubmitClaim } }";
    let text = samples::CLAIMS.replacen(one, many, 1);
    let compiled = check(&text);
    assert_eq!(render(&text, &compiled), "");
    let received = compiled.mapping.unwrap().receive;
    let services: Vec<_> =
        received.iter().map(|it| (it.get("service").unwrap(), it.get("operation").unwrap())).collect();
    assert_eq!(services, [("A", "SubmitClaim"), ("B", "SubmitClaim")]);
    let validator = jsonschema::validator_for(&crate::mapping::json_schema()).unwrap();
    assert!(validator.is_valid(&fixture::as_an_editor_reads_it(&text, false)));
}

/// Addresses are read from either request, written into both replies.
#[test]
fn operations_that_share_a_mapping_share_its_contract() {
    let one = "operation: SubmitClaim }";
    let base = samples::CLAIMS.replacen(
        &format!("  soap: {{ service: ClaimService, {one}"),
        "  - soap: { service: S, operation: SubmitClaim }\n  - soap: { service: S, operation: AmendClaim }",
        1,
    );
    assert_eq!(problems(&check(&base)), Vec::<String>::new());
    for (old, new, expected) in [
        // Only an amendment has it: the other request leaves it out.
        ("from: Claim/CauseCd", "from: Claim/Amends", None),
        ("from: Claim/CauseCd", "from: Claim/Nowhere", Some("M028 `Nowhere` is not in the contract")),
        ("Result/FraudFlg:", "Result/Amended:", Some("M028 `Amended` is not in the contract")),
        (
            "operation: AmendClaim",
            "operation: DropClaim",
            Some("M029 the reply's root element is `DropClaimResponse`, not `SubmitClaimResponse`"),
        ),
    ] {
        let got = problems(&check(&base.replacen(old, new, 1)));
        assert_eq!(got, Vec::from_iter(expected.map(str::to_owned)), "{old} -> {new}");
    }
}

#[test]
fn the_text_of_a_repeated_element_is_a_place() {
    let text = |kind: &str, item: &str| {
        format!(
            "mapping: a\nsource: {{ kind: {kind} }}\nrecord:\n  lines: {{ each: l, record: {{ b: b }} }}\n  c: c\nreturn:\n  into: R\n  write:\n    L/F: {{ each: lines, write: {{ {item} }} }}\n"
        )
    };
    for kind in ["xml", "json"] {
        let compiled = check(&text(kind, ".: b, G: b"));
        assert_eq!(problems(&compiled), Vec::<String>::new(), "kind: {kind}");
        let back = compiled.mapping.unwrap().back.unwrap();
        let [Write::Each { write, .. }] = back.write.as_slice() else { panic!("a list") };
        let Write::Value { place, .. } = &write[0] else { panic!("a value") };
        assert_eq!(place.to_string(), ".");
    }
    for (item, expected) in [
        ("..: b", "M020 `..` can not be written"),
        ("./G: b", "M020 `.` can not be written"),
        (
            ".: { each: lines, write: { G: c } }",
            "M020 `.` is the repeated element itself: it can not repeat once more",
        ),
    ] {
        let got = problems(&check(&text("xml", item)));
        assert!(got.iter().any(|it| it == expected), "{item}: {got:#?}");
    }
}

#[test]
fn nothing_is_said_about_addresses_of_a_kind_that_is_not_known() {
    let text = "mapping: a\nsource: { kind: pdf }\nrecord:\n  no: { from: right of 'No' }\n  b: { from: B, sections: [A] }\n  c: { from: C( }\nreturn: { into: same record, write: { X: b } }\n";
    let got = problems(&check(&text.replace("  no:", "  number:")));
    assert_eq!(got, ["M013 `pdf` is not a valid `kind`", "M020 this `(` is not closed"]);
}

/// A generated file with one mistake on every line must not take longer than its size.
#[test]
fn a_flood_of_mistakes_is_checked_in_linear_time() {
    let fields: String =
        (0..1_900).map(|it| format!("  f{it}: {{ from: A/B{it}, tpye: money }}\n")).collect();
    let send: Vec<String> = (0..1_900).map(|it| format!("g{it}")).collect();
    let flood: String = (0..60_000).map(|it| format!("unknown{it}: 1\n")).collect();
    let text = format!(
        "mapping: a\nsource: {{ kind: json }}\nrecord:\n{fields}ask:\n  route: triage\n  send: [{}]\n  answer: {{ a: {{}} }}\n{flood}",
        send.join(", ")
    );
    let begun = std::time::Instant::now();
    let compiled = check(&text);
    compiled.diagnostics.render("p", &text, false);
    assert!(compiled.diagnostics.len() > 60_000);
    assert!(begun.elapsed().as_secs() < 20, "took {:?}", begun.elapsed());
}

#[test]
fn every_code_that_is_pushed_is_in_the_table() {
    let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut pushed = std::collections::BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
        } else if !path.ends_with("codes.rs") && !path.to_string_lossy().contains("tests") {
            let text = std::fs::read_to_string(path).unwrap();
            pushed.extend(text.split('"').filter(|it| is_code(it)).map(str::to_owned));
        }
    }
    let listed: std::collections::BTreeSet<String> = codes::ALL.iter().map(|it| it.code.to_owned()).collect();
    assert_eq!(listed.len(), codes::ALL.len(), "a code stands twice");
    assert_eq!(pushed.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(codes::explain("m013").is_some() && codes::explain("M999").is_none());
}

fn is_code(text: &str) -> bool {
    text.len() == 4 && text.starts_with('M') && text.bytes().skip(1).all(|it| it.is_ascii_digit())
}

#[test]
fn the_editor_schema_accepts_the_samples_and_refuses_the_broken_one() {
    let schema = crate::mapping::json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for text in [samples::CLAIMS, samples::LISTS] {
        for yes_is_true in [false, true] {
            let instance = fixture::as_an_editor_reads_it(text, yes_is_true);
            let errors: Vec<_> = validator
                .iter_errors(&instance)
                .map(|it| format!("{it} at {}", it.instance_path()))
                .collect();
            assert_eq!(errors, Vec::<String>::new());
        }
    }
    assert!(!validator.is_valid(&fixture::as_an_editor_reads_it(samples::BROKEN, false)));
    let hover = &schema["definitions"]["Field"]["properties"]["max_age"]["description"];
    assert_eq!(hover, "Oldest acceptable value at receipt: 48h, 30d");
}

/// Not a benchmark: it prints the time and guards against the order of magnitude, also in debug builds.
#[test]
fn a_check_takes_milliseconds() {
    check(samples::BROKEN);
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        let compiled = check(samples::BROKEN);
        compiled.diagnostics.render("p", samples::BROKEN, false);
    }
    let one = begun.elapsed() / 10;
    println!("one check: {one:?}");
    assert!(one.as_millis() < 500, "one check took {one:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_text_makes_the_compiler_panic(text in "\\PC{0,200}") {
        let compiled = claims(&text, None);
        prop_assert_eq!(compiled.mapping.is_some(), compiled.diagnostics.is_empty());
    }

    #[test]
    fn no_change_to_a_sample_makes_the_compiler_panic(
        cuts in prop::collection::vec((0usize..4000, 0usize..30, "[a-z:{}\\[\\], '\"#@/.()\n é-]{0,6}"), 1..6),
        which in 0usize..3,
    ) {
        let mut text = [samples::CLAIMS, samples::LISTS, samples::BROKEN][which].to_owned();
        for (at, length, new) in cuts {
            let start = text.floor_char_boundary(at % (text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &new);
        }
        let compiled = check(&text);
        prop_assert_eq!(compiled.mapping.is_some(), compiled.diagnostics.is_empty());
        compiled.diagnostics.render("p", &text, false);
    }
}
