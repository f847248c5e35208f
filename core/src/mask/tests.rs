use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::{
    interpret::{CodeTable, Codec, Spelling},
    mapping::{address::Path, plan::FieldRules},
    origin::Origin,
};

fn plan(name: &str, mask: Option<Mask>) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from: From::Model,
        codec: Codec::default(),
        rules: FieldRules::default(),
        mask,
        description: None,
    }
}

fn text(value: &str) -> Option<Field> {
    Some(Field { value: Value::Text(value.into()), origin: Origin::Constant, raw: None })
}

fn record(fields: Vec<(FieldPlan, Option<Field>)>) -> Record {
    let (plans, fields): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    Record { shape: Arc::new(Shape { fields: plans }), fields }
}

fn hide(record: &Record) -> (Json, Restore) {
    let masking = Masking::of_shape(&record.shape, Some(b"key"));
    let (hidden, restore) = masking.hide(record);
    (hidden.to_json(), restore)
}

/// The text of a searched field after hiding.
fn found(story: &str) -> String {
    let (hidden, restore) = hide(&record(vec![(plan("story", Some(Mask::Find)), text(story))]));
    let hidden = hidden["story"].as_str().unwrap().to_owned();
    assert_eq!(restore.text(&hidden), story, "restored");
    hidden
}

#[test]
fn a_masked_value_is_found_in_any_letter_case_of_any_alphabet() {
    for (value, note) in [
        ("ÉTIENNE HÉBERT", "for Étienne Hébert, gone"),
        ("Øystein Åsgård", "for øystein Åsgård, gone"),
        ("ЁЛКИНА ЁЛА", "for Ёлкина Ёла, gone"),
        ("ΑΝΔΡΕΑΣ ΜΗΤΣΟΣ", "for Ανδρεας Μητσος, gone"),
        ("Weiß GROSS", "for WEISS GROSS, gone"),
        ("İPEK ÖZGÜR", "for İpek Özgür, gone"),
    ] {
        let record =
            record(vec![(plan("who", Some(Mask::Token)), text(value)), (plan("note", None), text(note))]);
        let (hidden, restore) = hide(&record);
        let shown = hidden["note"].as_str().unwrap();
        assert!(shown.starts_with("for [WHO-") && shown.ends_with("], gone"), "{value} in {shown}");
        assert_eq!(restore.text(shown), note, "restored");
    }
}

#[test]
fn each_way_of_masking_hides_in_its_own_way() {
    let lines = record(vec![
        (plan("payee", Some(Mask::Token)), text("Ana Pérez")),
        (plan("kind", None), text("roof")),
    ]);
    let each = From::Each { path: Path::default(), shape: lines.shape.clone() };
    let list = Field { value: Value::List(vec![lines.clone(), lines]), origin: Origin::Constant, raw: None };
    let born = Field {
        value: Value::Date(jiff::civil::date(1980, 5, 1)),
        origin: Origin::Constant,
        raw: Some("01051980".into()),
    };
    let record = record(vec![
        (plan("claim_no", None), text("C1")),
        (plan("claimant", Some(Mask::Token)), text("Ana Pérez")),
        (plan("national_id", Some(Mask::Hash)), text("12345678Z")),
        (plan("account", Some(Mask::Last4)), text("9988776655")),
        (plan("born", Some(Mask::Drop)), Some(born)),
        (plan("note", None), text("ANA PÉREZ, born 01051980 (1980-05-01), id 12345678z, calls")),
        (FieldPlan { from: each, ..plan("lines", None) }, Some(list)),
    ]);
    let (hidden, restore) = hide(&record);
    assert_eq!(
        hidden,
        json!({
            "claim_no": "C1",
            "claimant": "[CLAIMANT-1]",
            "national_id": "138e96e9a7730018",
            "account": "****6655",
            "note": "[CLAIMANT-2], born [BORN-1] ([BORN-2]), id [NATIONAL_ID-1], calls",
            "lines": [{ "payee": "[CLAIMANT-1]", "kind": "roof" }, { "payee": "[CLAIMANT-1]", "kind": "roof" }],
        })
    );
    let Json::Object(mut answer) = json!({
        "reason": "[CLAIMANT-1] born [BORN-2], not [CLAIMANT-9] or [claimant-1]", "n": 1, "list": [{ "x": "[BORN-1]" }],
    }) else {
        panic!("an object")
    };
    restore.restore(&mut answer);
    assert_eq!(
        Json::Object(answer),
        json!({
            "reason": "Ana Pérez born 1980-05-01, not [CLAIMANT-9] or [claimant-1]", "n": 1, "list": [{ "x": "01051980" }],
        })
    );
}

#[test]
fn closed_vocabularies_and_short_values_stay() {
    let rows = vec![("water".to_owned(), vec!["02".to_owned()])];
    let spelling = Spelling { codes: Some(Arc::new(CodeTable::new(rows))), ..Spelling::default() };
    let cause = FieldPlan { codec: Codec::compile(&spelling).unwrap(), ..plan("cause", None) };
    let record = record(vec![
        (plan("name", Some(Mask::Token)), text("Water")),
        (plan("sex", Some(Mask::Drop)), text("M")),
        (cause, text("water")),
        (plan("note", None), text("M. Water")),
    ]);
    assert_eq!(hide(&record).0, json!({ "name": "[NAME-1]", "cause": "water", "note": "M. [NAME-1]" }));
}

#[test]
fn a_stand_in_differs_from_what_the_record_says() {
    let record = record(vec![
        (plan("name", Some(Mask::Token)), text("Ana Pérez")),
        (plan("note", None), text("[NAME-1] [NAME-2 [NAME-3] is Ana Pérez")),
    ]);
    let (hidden, restore) = hide(&record);
    assert_eq!(hidden, json!({ "name": "[NAME-2]", "note": "[NAME-1] [NAME-2 [NAME-3] is [NAME-2]" }));
    assert_eq!(restore.text("[NAME-1] is [NAME-2]"), "[NAME-1] is Ana Pérez");
}

#[test]
fn free_text_is_searched_for_what_identifies() {
    for (story, expected) in [
        ("nothing here", "nothing here"),
        ("write to ana.perez+x@mail.example.co.uk, please", "write to [EMAIL-1], please"),
        ("zoë@exämple.de wrote", "[EMAIL-1] wrote"),
        ("pay DE89 3704 0044 0532 0130 00 now", "pay [IBAN-1] now"),
        ("pay de89370400440532013000.", "pay [IBAN-1]."),
        ("pay DE89370400440532013001", "pay DE89370400440532013001"),
        ("ES9121000418450200051332 or GB82 WEST 1234 5698 7654 32", "[IBAN-1] or [IBAN-2]"),
        ("card 4111 1111 1111 1111 exp 12/27", "card [CARD-1] exp 12/27"),
        ("card 4111-1111-1111-1111 2027", "card [CARD-1] 2027"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("call +34 600 123 456 today", "call [PHONE-1] today"),
        ("call 0044 (20) 7946-0958", "call [PHONE-1]"),
        ("call 030 1234567 or (555) 123-4567", "call [PHONE-1] or [PHONE-2]"),
        ("call 01 23 45 67 89", "call [PHONE-1]"),
        ("on 01.02.2026 and 01-02-2026, 02/03/2026", "on 01.02.2026 and 01-02-2026, 02/03/2026"),
        (
            "on 2026-11-20 at 10:00, 1250.00 EUR for 3 rooms",
            "on 2026-11-20 at 10:00, 1250.00 EUR for 3 rooms",
        ),
        ("claim C00012345, policy 600123456", "claim C00012345, policy 600123456"),
        ("from 192.168.10.255 and 999.1.1.1", "from [IP-1] and 999.1.1.1"),
        ("ana@mail.example and ana@mail.example", "[EMAIL-1] and [EMAIL-1]"),
    ] {
        assert_eq!(found(story), expected, "{story}");
    }
}

#[test]
fn a_mail_address_around_a_name_goes_whole() {
    let record = record(vec![
        (plan("name", Some(Mask::Token)), text("perez")),
        (plan("story", Some(Mask::Find)), text("ana.Perez@mail.example is perez")),
    ]);
    assert_eq!(hide(&record).0, json!({ "name": "[NAME-1]", "story": "[EMAIL-1] is [NAME-1]" }));
}

#[test]
fn a_surname_alone_is_hidden_in_searched_text() {
    let record = record(vec![
        (plan("name", Some(Mask::Token)), text("Ana Pérez-Field")),
        (plan("order", Some(Mask::Hash)), text("Roof 12")),
        (
            plan("story", Some(Mask::Find)),
            text("Mr PÉREZ saw the Field and a field, Ana saw Fields on the Roof"),
        ),
    ]);
    assert_eq!(
        hide(&record).0["story"],
        "Mr [NAME-2] saw the [NAME-3] and a field, Ana saw Fields on the Roof"
    );
}

#[test]
fn more_masked_text_than_can_be_looked_for_hides_the_other_texts_whole() {
    let long = "abcdefgh".repeat(literals::MOST / 8 + 1);
    let record = record(vec![
        (plan("scan", Some(Mask::Drop)), text(&long)),
        (plan("name", Some(Mask::Token)), text("Ana Pérez")),
        (plan("note", None), text("on Ana Pérez")),
    ]);
    let (hidden, restore) = hide(&record);
    assert_eq!(hidden, json!({ "name": "[NAME-1]", "note": "[TEXT-1]" }));
    assert_eq!(restore.text("[TEXT-1]"), "on Ana Pérez");
}

#[test]
fn nothing_to_mask_changes_nothing() {
    let record = record(vec![(plan("note", None), text("call +34 600 123 456"))]);
    let (hidden, restore) = hide(&record);
    assert_eq!((hidden, restore.is_empty()), (record.to_json(), true));
}

#[test]
fn paths_of_masked_fields_are_known() {
    let lines = Arc::new(Shape { fields: vec![plan("payee", Some(Mask::Token)), plan("kind", None)] });
    let each = || From::Each { path: Path::default(), shape: lines.clone() };
    let shape = Shape {
        fields: vec![
            plan("name", Some(Mask::Find)),
            FieldPlan { from: each(), ..plan("lines", None) },
            FieldPlan { from: each(), ..plan("secret", Some(Mask::Drop)) },
        ],
    };
    for (path, expected) in [
        ("name", true),
        ("lines", false),
        ("lines[2].kind", false),
        ("lines[2].payee", true),
        ("secret[1].kind", true),
        ("unknown", true),
        ("lines[1].unknown", true),
    ] {
        assert_eq!(is_masked(&shape, path), expected, "{path}");
    }
    assert_eq!((&*shown(&shape.fields[0], "Ana"), &*shown(&shape.fields[1], "x")), ("***", "x"));
}

#[test]
fn hostile_texts_take_linear_time() {
    let most = 200_000;
    let begun = std::time::Instant::now();
    for unit in ["[A-1", "a@", "4111 ", "+1 ", "DE89 ", "0 1 ", "1.1.", "[", "(5"] {
        let story = unit.repeat(most / unit.len());
        let name = "ana ".repeat(1000);
        let record = record(vec![
            (plan("name", Some(Mask::Token)), text(&name)),
            (plan("story", Some(Mask::Find)), text(&story)),
        ]);
        let _ = hide(&record);
    }
    // Two minutes would not do for a quadratic one.
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

/// Every text anywhere in the JSON.
fn texts(value: &Json, out: &mut String) {
    match value {
        Json::Array(items) => items.iter().for_each(|it| texts(it, out)),
        Json::Object(fields) => fields.values().for_each(|it| texts(it, out)),
        Json::String(text) => writeln!(out, "{text}").unwrap(),
        other => writeln!(out, "{other}").unwrap(),
    }
}

proptest! {
    #[test]
    fn no_masked_value_is_left_and_an_echo_gives_back_the_originals(
        names in prop::collection::vec("[a-zé]{4,9}( [b-zé]{4,9})?", 3),
        before in "\\PC{0,20}",
        after in "[\\PC]{0,20}",
    ) {
        let story = format!("{before}{} {after}{}{}", names[0], names[1].to_uppercase(), names[2]);
        let record = record(vec![
            (plan("a", Some(Mask::Token)), text(&names[0])),
            (plan("b", Some(Mask::Hash)), text(&names[1])),
            (plan("c", Some(Mask::Drop)), text(&names[2])),
            (plan("story", Some(Mask::Find)), text(&story)),
            (plan("note", None), text(&story)),
        ]);
        let (hidden, restore) = hide(&record);
        let mut all = String::new();
        texts(&hidden, &mut all);
        for name in &names {
            prop_assert!(!all.to_lowercase().contains(&name.to_lowercase()), "{} in {}", name, all);
        }
        let mut echo = Map::from_iter([("nested".to_owned(), hidden)]);
        restore.restore(&mut echo);
        prop_assert_eq!(echo["nested"]["a"].as_str(), Some(&*names[0]));
        prop_assert_eq!(echo["nested"]["story"].as_str(), Some(&*story));
        prop_assert_eq!(echo["nested"]["note"].as_str(), Some(&*story));
    }
}
