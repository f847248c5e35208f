//! Bounds that are checked on typed values.

use rust_decimal::Decimal;

use super::Misfit;
use crate::{
    interpret::Reading,
    mapping::plan::FieldPlan,
    record::{Record, Value},
};

/// Adds what a typed answer breaks. Places are JSON pointers below `prefix`, which ends with a slash.
pub(super) fn check(record: &Record, prefix: &str, misfits: &mut Vec<Misfit>) {
    for (plan, field) in record.shape.fields.iter().zip(&record.fields) {
        let keyword = match field.as_ref().map(|field| &field.value) {
            None => plan.rules.required.map(|_| "required"),
            Some(Value::List(items)) => {
                for (position, item) in items.iter().enumerate() {
                    check(item, &format!("{prefix}{}/{position}/", plan.name), misfits);
                }
                None
            }
            Some(value) => broken(plan, value),
        };
        if let Some(keyword) = keyword {
            misfits.push(Misfit { place: format!("{prefix}{}", plan.name), keyword: keyword.into() });
        }
    }
}

/// The keyword that a value breaks. The length of texts and lists is the schema's: JSON has only one spelling of them.
fn broken(plan: &FieldPlan, value: &Value) -> Option<&'static str> {
    let number = match value {
        Value::Int(number) => Some(Decimal::from(*number)),
        Value::Decimal(number) => Some(*number),
        _ => None,
    };
    if let (Some(number), Some((least, most))) = (number, plan.rules.range) {
        if least.is_some_and(|least| number < least) {
            return Some("minimum");
        }
        if most.is_some_and(|most| number > most) {
            return Some("maximum");
        }
    }
    if let Some(words) = &plan.rules.one_of {
        let is_word =
            |word: &String| matches!(plan.codec.read_clean(word), Reading::Value(it) if it == *value);
        if !words.iter().any(is_word) {
            return Some("enum");
        }
    }
    match (value, &plan.rules.pattern) {
        (Value::Text(text), Some((pattern, _))) if !pattern.is_match(text) => Some("pattern"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use regex::Regex;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        ask::AnswerCheck,
        finding::Outcome,
        interpret::{Codec, Kind, Spelling},
        mapping::plan::{Ask, FieldRules, From, Shape},
    };

    fn field(name: &str, kind: Kind, rules: FieldRules) -> FieldPlan {
        FieldPlan {
            name: name.into(),
            from: From::Model,
            codec: Codec::compile(&Spelling { kind, ..Spelling::default() }).unwrap(),
            rules,
            mask: None,
            description: None,
        }
    }

    fn rules() -> FieldRules {
        FieldRules::default()
    }

    #[test]
    fn what_a_schema_can_not_see_is_seen_on_typed_values() {
        let share = Some((Some(Decimal::ZERO), Some(Decimal::ONE)));
        let amount = FieldRules { range: share, required: Some(Outcome::Review), ..rules() };
        let lines = Arc::new(Shape { fields: vec![field("amount", Kind::Money, amount)] });
        let code = Some((Regex::new("^(?:[A-Z]{2})$").unwrap(), "[A-Z]{2}".to_owned()));
        let fields = vec![
            field("confidence", Kind::Decimal, FieldRules { range: share, ..rules() }),
            field("level", Kind::Int, FieldRules { one_of: Some(vec!["1".into(), "2".into()]), ..rules() }),
            field("reason", Kind::Text, FieldRules { required: Some(Outcome::Review), ..rules() }),
            field("code", Kind::Text, FieldRules { pattern: code, ..rules() }),
            FieldPlan {
                from: From::Each { path: Default::default(), shape: lines },
                ..field("lines", Kind::Text, rules())
            },
        ];
        let anything = Arc::new(json!({ "type": "object" }));
        let check = AnswerCheck::compile(&Ask {
            route: ("triage".into(), 0..0),
            prompt: None,
            send: None,
            answer: Arc::new(Shape { fields }),
            schema: anything.clone(),
            strict_schema: anything,
            accept: None,
            fallback: Vec::new(),
        })
        .unwrap();
        let good = json!({ "confidence": "0.50", "level": 2, "reason": "ok", "code": "AB", "lines": [{ "amount": 1 }] });
        for (name, value, expected) in [
            ("reason", json!("ok"), None),
            ("reason", json!("  "), Some(("/reason", "required"))),
            ("reason", Json::Null, Some(("/reason", "required"))),
            ("confidence", json!("7"), Some(("/confidence", "maximum"))),
            ("confidence", json!(-0.01), Some(("/confidence", "minimum"))),
            ("confidence", json!(1), None),
            ("confidence", json!("much"), Some(("/confidence", "type"))),
            ("level", json!(3), Some(("/level", "enum"))),
            ("code", json!("ab"), Some(("/code", "pattern"))),
            ("lines", json!([{ "amount": "1" }, { "amount": "2" }]), Some(("/lines/1/amount", "maximum"))),
            ("lines", json!([{ "amount": "x" }]), Some(("/lines/0/amount", "type"))),
            ("lines", json!([{}]), Some(("/lines/0/amount", "required"))),
        ] {
            let mut answer = good.clone();
            answer[name] = value.clone();
            let first = check.misfits(&answer).into_iter().next();
            let expected =
                expected.map(|(place, keyword)| Misfit { place: place.into(), keyword: keyword.into() });
            assert_eq!(first, expected, "{name}: {value}");
        }
    }
}
