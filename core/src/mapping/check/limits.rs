//! What must hold for a field's value: `required`, `length`, `range`, `pattern`, `one_of`, and the mapping's own values.

use std::collections::HashSet;

use rust_decimal::Decimal;

use super::{
    super::{
        diagnostic::{Diagnostics, shown},
        file::{Field, Otherwise, Required},
        plan,
        shape::Word,
        syntax::Node,
    },
    bounds,
};
use crate::{
    finding::Outcome,
    interpret::{Codec, Kind, Reading, canonical_text},
    record::Value,
};

/// The keys of a field that limit its values, of records and of answers alike.
#[derive(Default)]
pub(super) struct Limits<'f> {
    pub required: Option<Required>,
    pub default: Option<&'f Word>,
    pub length: Option<&'f Word>,
    pub range: Option<&'f Word>,
    pub pattern: Option<&'f str>,
    pub one_of: Option<&'f [Word]>,
    pub max_age: Option<&'f str>,
    pub unique: bool,
    pub complete: Option<&'f Word>,
    pub confidence: Option<&'f Word>,
    pub otherwise: Option<Otherwise>,
}

impl<'f> Limits<'f> {
    pub fn of(field: &'f Field) -> Self {
        Self {
            required: field.required,
            default: field.default.as_ref(),
            length: field.length.as_ref(),
            range: field.range.as_ref(),
            pattern: field.pattern.as_deref(),
            one_of: field.one_of.as_deref(),
            max_age: field.max_age.as_deref(),
            unique: field.unique.unwrap_or(false),
            complete: field.complete.as_ref(),
            // Refused where the field is read: what is said about it is said once.
            confidence: None,
            otherwise: field.otherwise,
        }
    }
}

/// What `confidence` and `else` mean on a field of the answer: a number below the one leads to the other.
pub(super) fn of_answer(
    node: &Node,
    limits: &Limits<'_>,
    kind: Kind,
    doubtful: bool,
    diagnostics: &mut Diagnostics,
) {
    let is_number = matches!(kind, Kind::Int | Kind::Decimal | Kind::Money) && node.get("record").is_none();
    if let (Some(_), Some((key, _)), false, false) =
        (limits.confidence, node.entry("confidence"), doubtful, is_number)
    {
        let what = if node.get("record").is_some() { "a list" } else { kind.word() };
        diagnostics
            .push("M032", &key.span, "a confidence is a number", format!("the field is {what}"))
            .help("it stands on the field in which the model says how sure it is: add `type: decimal`");
    }
    if let (Some(_), Some((key, _)), None) = (limits.otherwise, node.entry("else"), node.get("confidence")) {
        diagnostics
            .push("M015", &key.span, "`else` needs `confidence` here", "it has no effect")
            .help("an answer outside of its other limits is none: the next model or fallback is asked");
    }
}

/// Compiles what must hold for a field. Where the field's type is a guess, nothing is said about its type.
pub(super) fn rules(
    node: &Node,
    limits: &Limits<'_>,
    codec: &Codec,
    doubtful: bool,
    diagnostics: &mut Diagnostics,
) -> plan::FieldRules {
    let kind = codec.kind();
    let at = |key: &str| node.get(key).unwrap_or(node);
    let mut rules = plan::FieldRules {
        required: limits.required.and_then(|it| it.outcome()),
        otherwise: limits.otherwise.map(Outcome::from),
        unique: limits.unique,
        ..plan::FieldRules::default()
    };
    rules.length = limits.length.and_then(|it| numbers(at("length"), it, "length", diagnostics));
    rules.range = limits.range.and_then(|it| numbers::<Decimal>(at("range"), it, "range", diagnostics));
    if rules.range.is_some() && !doubtful && !matches!(kind, Kind::Int | Kind::Decimal | Kind::Money) {
        diagnostics
            .push(
                "M032",
                &at("range").span,
                "a range limits numbers",
                format!("the field is {}", kind.word()),
            )
            .help("add `type: int`, `decimal` or `money`; for dates write a rule under `checks`");
    }
    rules.pattern = limits.pattern.and_then(|text| match bounds::whole_match(text) {
        Ok(regex) => Some((regex, text.to_owned())),
        Err(what) => {
            diagnostics.push("M034", &at("pattern").span, "this pattern can not be used", what);
            None
        }
    });
    rules.max_age = limits.max_age.and_then(|text| duration(at("max_age"), text, "max_age", diagnostics));
    if rules.max_age.is_some() && !doubtful && !matches!(kind, Kind::Date | Kind::Datetime) {
        diagnostics
            .push(
                "M033",
                &at("max_age").span,
                "only a date or datetime has an age",
                format!("the field is {}", kind.word()),
            )
            .help("add `type: datetime` or `type: date`");
    }
    rules.complete = limits.complete.and_then(|it| part(at("complete"), it, "complete", diagnostics));
    rules.confidence = limits.confidence.and_then(|it| part(at("confidence"), it, "confidence", diagnostics));
    if let Some(words) = limits.one_of {
        let listed = node.get("one_of").map(Node::items).unwrap_or_default();
        let mut seen = HashSet::new();
        for (word, item) in words.iter().zip(listed) {
            let value = match doubtful {
                true => None,
                false => readable(item, word.as_str(), "one_of", codec, diagnostics),
            };
            let text = value.as_ref().map_or_else(|| word.0.clone(), canonical_text);
            if !seen.insert(text) {
                let title = format!("`{}` is listed twice", shown(word.as_str()));
                diagnostics.push("M005", &item.span, title, "second time");
            }
        }
        if words.is_empty() {
            diagnostics.push(
                "M031",
                &at("one_of").span,
                "no value is allowed",
                "expected at least one value",
            );
        }
        rules.one_of = Some(words.iter().map(|it| it.0.clone()).collect());
    }
    if let (Some(Word(text)), false) = (limits.default, doubtful) {
        fitting(at("default"), text, "default", codec, &rules, diagnostics);
    }
    rules.default = limits.default.map(|it| it.0.clone());
    rules
}

fn numbers<T: std::str::FromStr + PartialOrd + Clone>(
    node: &Node,
    text: &Word,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(Option<T>, Option<T>)> {
    bounds::between(text.as_str())
        .map_err(|expected| {
            let title = format!("`{}` is not a {key}", shown(text.as_str()));
            diagnostics.push("M032", &node.span, title, expected);
        })
        .ok()
}

fn part(node: &Node, text: &Word, key: &str, diagnostics: &mut Diagnostics) -> Option<Decimal> {
    let share = bounds::share(text.as_str());
    if share.is_none() {
        let title = format!("`{key}` can not be `{}`", shown(text.as_str()));
        diagnostics.push("M032", &node.span, title, "expected a number from 0 to 1");
    }
    share
}

/// A length of time, or a diagnostic.
pub(super) fn duration(
    node: &Node,
    text: &str,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<std::time::Duration> {
    let found = bounds::duration(text);
    if found.is_none() {
        let title = format!("`{key}` can not be `{}`", shown(text));
        diagnostics
            .push("M033", &node.span, title, "expected a length of time")
            .help("e.g. 500ms, 8s, 10m, 48h, 30d");
    }
    found
}

/// The clean value that the mapping itself spells; reported when it is none.
pub(super) fn readable(
    node: &Node,
    text: &str,
    key: &str,
    codec: &Codec,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    match codec.read_clean(text) {
        Reading::Value(value) => Some(value),
        Reading::Empty if node.text().is_some_and(str::is_empty) => None,
        Reading::Empty | Reading::Doubtful(..) | Reading::Unreadable(_) => {
            let title = format!("`{key}` can not be `{}`", shown(text));
            let found =
                diagnostics.push("M031", &node.span, title, format!("expected {}", codec.describe_clean()));
            if let Some(table) = codec.codes() {
                found.suggest(text, &node.span, table.rows.iter().map(|(word, _)| word.as_str()));
                if let Some(word) = table.clean(text) {
                    found.fix(&node.span, word);
                }
            }
            None
        }
    }
}

/// A clean value that the mapping itself spells and that meets the field's own rules.
pub(super) fn fitting(
    node: &Node,
    text: &str,
    key: &str,
    codec: &Codec,
    rules: &plan::FieldRules,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let value = readable(node, text, key, codec, diagnostics)?;
    let complaint = broken_rule(text, &value, rules);
    if let Some(expected) = complaint {
        let title = format!("`{key}` can not be `{}`", shown(text));
        let found = diagnostics.push("M031", &node.span, title, expected);
        if let Some(words) = &rules.one_of {
            found.suggest(text, &node.span, words.iter().map(String::as_str));
        }
        return None;
    }
    Some(value)
}

fn broken_rule(text: &str, value: &Value, rules: &plan::FieldRules) -> Option<&'static str> {
    let number = match value {
        Value::Int(number) => Some(Decimal::from(*number)),
        Value::Decimal(number) => Some(*number),
        _ => None,
    };
    let canonical = canonical_text(value);
    let is_listed = |words: &Vec<String>| words.iter().any(|it| *it == canonical || it == text);
    if rules.one_of.as_ref().is_some_and(|words| !is_listed(words)) {
        return Some("not in `one_of`");
    }
    if let (Some((least, most)), Some(number)) = (&rules.range, number)
        && (least.is_some_and(|it| number < it) || most.is_some_and(|it| number > it))
    {
        return Some("outside `range`");
    }
    if let (Some((least, most)), Value::Text(text)) = (rules.length, value) {
        let count = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if least.is_some_and(|it| count < it) || most.is_some_and(|it| count > it) {
            return Some("outside `length`");
        }
    }
    let matches = rules.pattern.as_ref().is_none_or(|(pattern, _)| pattern.is_match(&canonical));
    (!matches).then_some("does not match `pattern`")
}
