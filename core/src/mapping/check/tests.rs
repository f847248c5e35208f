mod fixture;
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
    let cases: &[(&str, &str, &[&str])] = &[
        ("from: Claim/ClaimNo,", "from: 'Claim/ ClaimNo',", &["M020 "]),
        ("codes: cause, required: review", "codes: caus", &["M021 there is no code table `caus`"]),
        (
            "water: [02, 2A]",
            "water: [02, 01]",
            &["M022 in `cause`, legacy code `01` means both `fire` and `water`"],
        ),
        ("send: [cause, reserve", "send: [cause, reserv", &["M023 there is no field `reserv`"]),
        (
            "Result/ClaimNo:     claim_no",
            "Result/ClaimNo:     claim_nr",
            &["M023 there is no field `claim_nr`"],
        ),
        ("key: claim_no", "key: lines", &["M018 `lines` is a list: it can not be part of the key"]),
        (
            "confidence: 1 }",
            "confidense: 1 }",
            &["M024 the answer needs `confidence`", "M024 `confidense` is not part of the answer"],
        ),
        ("fraud: no, reason", "fraud: maybe, reason", &["M031 `fraud` can not be `maybe`"]),
        ("priority: normal, fraud", "priority: urgent, fraud", &["M031 `priority` can not be `urgent`"]),
        ("  policy_no:", "  Policy:", &["M025 a clean name is written in lower_case"]),
        (
            "  claim_no:     { from: Claim/ClaimNo,                required",
            "  claim_no:     { required",
            &["M026 `claim_no` does not say where it comes from"],
        ),
        ("low: 3, normal: 2, high: 1", "low: 3, normal: 2", &["M027 `priority` can not write `high`"]),
        ("review: PD, reject: RJ", "review: PD", &["M027 `status` can not write `reject`"]),
        ("Claim/LossDt", "Claim/LossDate", &["M028 `LossDate` is not in the contract"]),
        ("from: Amt,", "from: Amount,", &["M028 `Amount` is not in the contract"]),
        ("each: Claim/Lines/Line", "each: Claim/Lines/Lin", &["M028 `Lin` is not in the contract"]),
        ("Result/FraudFlg:", "Result/FraudFlag:", &["M028 `FraudFlag` is not in the contract"]),
        (
            "operation: SubmitClaim",
            "operation: SubmitClaims",
            &["M029 the contract has no operation `SubmitClaims`"],
        ),
        (
            "into: SubmitClaimResponse",
            "into: SubmitClaimReply",
            &["M029 the reply's root element is `SubmitClaimResponse`, not `SubmitClaimReply`"],
        ),
        ("default: EUR", "default: CHF", &["M031 `default` can not be `CHF`"]),
        ("range: 0..5000000", "range: 5..1", &["M032 `5..1` is not a range"]),
        ("max_age: 48h", "max_age: 48", &["M033 `max_age` can not be `48`"]),
        ("deadline: 8s", "deadline: 0s", &["M033 nobody waits so long, or not at all"]),
        (r"'C\d{8}'", r"'C(\d{8}'", &["M034 this pattern can not be used"]),
        ("Europe/Madrid", "Europe/Madird", &["M035 there is no time zone `Europe/Madird`"]),
        ("prompts/triage.md", "prompts/missing.md", &["M036 `prompts/missing.md` can not be read"]),
        ("- rules: triage.rules.yaml", "- rules: none.yaml", &["M036 `none.yaml` can not be read"]),
        (
            "prompts/triage.md",
            "prompts/broken.md",
            &["M038 the prompt `prompts/broken.md` is not a template"],
        ),
        ("prompts/triage.md", "prompts/unsent.md", &["M038 the prompt uses `claimant`, which is not sent"]),
        (
            "contract: ClaimService.wsdl",
            "contract: none.wsdl",
            &["M039 the contract `none.wsdl` can not be read"],
        ),
        ("route: triage", "route: triaje", &["M042 there is no route `triaje`"]),
        ("mapping: claim-triage", "mapping: Claim Triage", &["M025 `Claim Triage` can not name a mapping"]),
        (
            "receive:",
            "lookups: { p: { from: P, key: K } }\nreceive:",
            &["M016 `lookups` are not yet in this version"],
        ),
        (
            "deliver: reply",
            "deliver: { amqp: { queue: out } }",
            &["M016 only `deliver: reply` is in this version"],
        ),
        (
            "  soap: {",
            "  amqp: { connection: broker }\n  soap: {",
            &["M016 documents can not arrive by `amqp` in this version"],
        ),
        (
            "mask: token",
            "mask: token, sections: [A]",
            &["M017 `sections` has no meaning in a source of kind xml"],
        ),
        ("mask: token", "mask: token, value: x", &["M015 `claimant` comes from two places"]),
        (
            "  story:",
            "  outcome:",
            &["M019 `outcome` is a word of the language", "M023 there is no field `story`"],
        ),
        ("type: money, range", "type: money, currency: euro, range", &["M031 `euro` is not a currency"]),
        ("format: ddMMyyyy", "format: ddMMyy", &["M030 "]),
        ("length: ..255, overflow", "length: many, overflow", &["M032 `many` is not a length"]),
        (
            "type: money, range: 0..5000000",
            "type: mony, range: 0..5000000",
            &["M013 `mony` is not a valid `type`"],
        ),
        (
            "fraud:      { type: bool, required",
            "fraud:      { type: bol, required",
            &["M013 `bol` is not a valid `type`"],
        ),
        (
            "record:                                    #",
            "recrod:  #",
            &["M012 `mapping file` needs `record`", "M011 `recrod` is not a key of `mapping file`"],
        ),
        ("ask:\n", "asc:\n", &["M011 `asc` is not a key of `mapping file`"]),
        ("kind: xml", "kind: xlm", &["M013 `xlm` is not a valid `kind`"]),
        ("from: answer.reason,", "from: answer.resaon,", &["M023 there is no field `answer.resaon`"]),
        (
            "from: answer.priority, codes: priority",
            "from: answer.reason, codes: priority",
            &["M027 not every value has a legacy code here"],
        ),
        (
            "    - cached: 24h\n",
            "    - { cached: 24h, rules: triage.rules.yaml }\n",
            &["M015 one step of the fallback is one of cached, rules, answer"],
        ),
        ("Result/ClaimNo:     claim_no", "Result/ClaimNo:     lines", &["M018 `lines` is a list"]),
        ("owner: claims-integration@acme.example", "owner:", &["M014 `owner` has no value"]),
    ];
    for (old, new, expected) in cases {
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
