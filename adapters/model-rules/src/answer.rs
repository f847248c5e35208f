//! A row's answer: clean text turned into the types of the mapping's answer, and checked like a model's.

use serde_json::{Map, Value};
use vestibule_core::{
    ask::AnswerCheck,
    interpret::Reading,
    mapping::{
        diagnostic::{Diagnostic, Diagnostics, nearest},
        plan::{Ask, FieldPlan, From, Shape},
        syntax::Node,
    },
    record,
};

/// Reads an answer; every mistake is reported at its place. `None` when there is one.
pub(crate) fn read(
    node: &Node,
    ask: &Ask,
    check: &AnswerCheck,
    diagnostics: &mut Diagnostics,
) -> Option<Map<String, Value>> {
    let before = diagnostics.len();
    let answer = Value::Object(fields(node, &ask.answer, diagnostics));
    if diagnostics.len() > before {
        return None;
    }
    for misfit in check.misfits(&answer) {
        let place = find(node, &misfit.place);
        let title = format!("this fails `{}` of the mapping", word_of(&misfit.keyword));
        diagnostics.push("A203", &place.span, title, "not an answer of this flow");
    }
    match answer {
        Value::Object(answer) if diagnostics.len() == before => Some(answer),
        _ => None,
    }
}

/// The mapping's word for a keyword of its schema.
fn word_of(keyword: &str) -> &str {
    match keyword {
        "minLength" | "maxLength" | "minItems" | "maxItems" => "length",
        "minimum" | "maximum" => "range",
        "enum" | "const" => "one_of",
        "required" | "type" | "anyOf" => "required",
        other => other,
    }
}

fn fields(node: &Node, shape: &Shape, diagnostics: &mut Diagnostics) -> Map<String, Value> {
    let names: Vec<&str> = shape.fields.iter().map(|field| &*field.name).collect();
    // A field that was misspelt is reported once, not also as missing.
    let mut misspelt = Vec::new();
    for (key, _) in node.entries() {
        let name = key.text().unwrap_or_default();
        if shape.slot(name).is_none() {
            diagnostics
                .push(
                    "A203",
                    &key.span,
                    format!("the answer has no field `{name}`"),
                    "not under `ask: answer:`",
                )
                .suggest(name, &key.span, names.iter().copied());
            misspelt.extend(nearest(name, &names));
        }
    }
    let mut answer = Map::new();
    for field in &shape.fields {
        let value = match node.get(&field.name).filter(|value| !value.is_blank()) {
            Some(value) => single_or_list(value, field, diagnostics),
            None => {
                if field.rules.required.is_some() && !misspelt.contains(&&*field.name) {
                    let title = format!("the answer needs `{}`", field.name);
                    diagnostics.push("A203", &node.span, title, "it is required, and not here");
                }
                Value::Null
            }
        };
        answer.insert(field.name.to_string(), value);
    }
    answer
}

fn single_or_list(node: &Node, field: &FieldPlan, diagnostics: &mut Diagnostics) -> Value {
    if let From::Each { shape, .. } = &field.from {
        return node.items().iter().map(|item| Value::Object(fields(item, shape, diagnostics))).collect();
    }
    let Some(text) = node.text() else {
        refuse(node, field, &format!("a single value, this is {}", node.what()), diagnostics);
        return Value::Null;
    };
    if let Some(words) = field.rules.one_of.as_ref().filter(|words| !words.iter().any(|word| word == text)) {
        let expected = format!("one of: {}", words.join(", "));
        let words = words.iter().map(String::as_str);
        refuse(node, field, &expected, diagnostics).suggest(text, &node.span, words);
        return Value::Null;
    }
    match field.codec.read_clean(text) {
        Reading::Value(value) => record::json::value(&value),
        Reading::Empty => Value::Null,
        Reading::Doubtful(_, complaint) | Reading::Unreadable(complaint) => {
            refuse(node, field, &complaint.expected, diagnostics);
            Value::Null
        }
    }
}

fn refuse<'d>(
    node: &Node,
    field: &FieldPlan,
    expected: &str,
    diagnostics: &'d mut Diagnostics,
) -> &'d mut Diagnostic {
    let title = format!("`{}` can not be this", field.name);
    diagnostics.push("A203", &node.span, title, format!("expected {expected}"))
}

/// The node at a JSON pointer, or the deepest one on the way to it.
fn find<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let steps = pointer.split('/').filter(|step| !step.is_empty());
    let mut here = node;
    for step in steps {
        let next = match step.parse::<usize>() {
            Ok(position) => here.items().get(position),
            Err(_) => here.get(step),
        };
        match next {
            Some(next) => here = next,
            None => break,
        }
    }
    here
}
