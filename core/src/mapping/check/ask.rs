//! What is asked, and what a good answer is.

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use minijinja::Environment;
use serde_json::{Map, Value};

use super::{
    super::{
        address::{Axis, Path, Step},
        diagnostic::{Diagnostics, nearest, shown},
        file::{self, AnswerField, MappingFile},
        plan,
        syntax::{Kind as NodeKind, Node},
    },
    Desk, MOST_IN_BLOCK, answer_schema, fields,
    limits::{self, Limits},
    names::{Names, Sketch},
    spelling, tables,
};
use crate::{
    interpret::{Codec, Spelling},
    record,
    rule::{Root, Type},
};

/// Longest wait that a mapping may ask for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
/// Names that every prompt has besides the fields that are sent.
const PROMPT_FACTS: [&str; 3] = ["record", "flow", "today"];
/// Deepest list within lists of an answer.
const DEEPEST: usize = 8;

/// Compiles the section `ask`, as far as it goes, with the answer's names.
pub(super) fn section(
    desk: &Desk<'_>,
    root: &Node,
    file: &MappingFile,
    record: &Arc<plan::Shape>,
    names: &Names,
    deadline: &mut Duration,
    diagnostics: &mut Diagnostics,
) -> Option<(plan::Ask, Vec<Sketch>)> {
    let node = root.get("ask")?;
    let ask = file.ask.as_ref()?;
    let route = route(desk, node, ask, diagnostics);
    let before = diagnostics.len();
    let send = send(node, ask, record, names, diagnostics);
    // With a mistake in `send` or in the whole record, what is sent is not known.
    let sent_is_known = diagnostics.len() == before && !names.all_doubtful;
    let prompt = prompt(desk, node, ask, diagnostics);
    if let (Some(prompt), true, Some(node)) = (&prompt, sent_is_known, node.get("prompt")) {
        prompt_names(prompt, node, record, send.as_deref(), diagnostics);
    }
    let (answer, sketches) = match (node.get("answer"), &ask.answer) {
        (Some(node), Some(fields)) => answer_block(desk, node, fields, 0, diagnostics),
        _ => (plan::Shape { fields: Vec::new() }, Vec::new()),
    };
    let mut names = names.clone();
    names.all_doubtful |= ask.answer.is_none();
    names.declare(&sketches, "answer.", Root::Answer);
    let accept = node.get("accept").and_then(|it| names.rule(it, Some(&Type::Bool), diagnostics));
    if let (Some(text), Some(node)) = (&ask.deadline, node.get("deadline"))
        && let Some(found) = limits::duration(node, text, "deadline", diagnostics)
    {
        if found.is_zero() || found > LONGEST_DEADLINE {
            diagnostics.push("M033", &node.span, "nobody waits so long, or not at all", "expected 1ms to 1h");
        }
        *deadline = found;
    }
    let strict = answer_schema::strict(&answer);
    let fallback = fallback(desk, node, ask, &answer, &strict, diagnostics);
    let plan = plan::Ask {
        route,
        prompt,
        send,
        schema: Arc::new(answer_schema::portable(&answer)),
        strict_schema: Arc::new(strict),
        answer: Arc::new(answer),
        accept,
        fallback,
    };
    Some((plan, sketches))
}

fn route(
    desk: &Desk<'_>,
    node: &Node,
    ask: &file::Ask,
    diagnostics: &mut Diagnostics,
) -> (Arc<str>, super::Span) {
    let name = ask.route.as_deref().unwrap_or_default();
    let span = node.get("route").map_or(node.span.clone(), |it| it.span.clone());
    if let (Some(routes), Some(_)) = (desk.around.routes, &ask.route)
        && !routes.iter().any(|it| it == name)
    {
        let title = format!("there is no route `{}`", shown(name));
        diagnostics.push("M042", &span, title, "not in vestibule.yaml").suggest(
            name,
            &span,
            routes.iter().map(String::as_str),
        );
    }
    (name.into(), span)
}

/// Slots of the fields that may be sent.
fn send(
    node: &Node,
    ask: &file::Ask,
    record: &plan::Shape,
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<usize>> {
    ask.send.as_ref()?;
    let listed = node.get("send")?.items();
    let mut slots = Vec::new();
    for item in listed.iter().take(MOST_IN_BLOCK) {
        let Some(name) = item.text().filter(|_| !item.is_blank()) else { continue };
        match record.slot(name) {
            Some(slot) if slots.contains(&slot) => {
                diagnostics.push(
                    "M005",
                    &item.span,
                    format!("`{}` is listed twice", shown(name)),
                    "second time",
                );
            }
            Some(slot) => slots.push(slot),
            None if names.all_doubtful => {}
            None => {
                let fields = record.fields.iter().map(|it| &*it.name);
                let title = format!("there is no field `{}`", shown(name));
                let found = diagnostics.push("M023", &item.span, title, "unknown field");
                match name.split_once('.') {
                    Some((list, _)) if record.slot(list).is_some() => found.help(
                        "a list is sent as a whole; a field of its items can be hidden with `mask: drop`",
                    ),
                    _ => found.suggest(name, &item.span, fields),
                };
            }
        }
    }
    Some(slots)
}

fn prompt(
    desk: &Desk<'_>,
    node: &Node,
    ask: &file::Ask,
    diagnostics: &mut Diagnostics,
) -> Option<plan::Prompt> {
    let (name, node) = (ask.prompt.as_ref()?, node.get("prompt")?);
    let text = tables::read_text(name, &node.span, desk.around, diagnostics)?;
    if let Err(error) = Environment::new().template_from_named_str(name, &text) {
        let title = format!("the prompt `{}` is not a template", shown(name));
        let line = error.line().map_or(String::new(), |it| format!("line {it}: "));
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        diagnostics.push("M038", &node.span, title, format!("{line}{what}"));
    }
    Some(plan::Prompt { name: name.clone(), text })
}

/// A prompt sees what is sent and nothing else: an unknown name would fail at the first record.
fn prompt_names(
    prompt: &plan::Prompt,
    node: &Node,
    record: &plan::Shape,
    send: Option<&[usize]>,
    diagnostics: &mut Diagnostics,
) {
    let environment = Environment::new();
    let Ok(template) = environment.template_from_named_str(&prompt.name, &prompt.text) else { return };
    let sent = |slot: &usize| send.is_none_or(|it| it.contains(slot));
    let fields = record.fields.iter().enumerate().filter(|(slot, _)| sent(slot)).map(|(_, it)| &*it.name);
    let globals: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
    let known: Vec<&str> = fields.chain(PROMPT_FACTS).chain(globals).collect();
    let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    unknown.retain(|it| !known.contains(&it.as_str()));
    unknown.sort();
    for variable in unknown.iter().take(20) {
        let line = prompt.text.lines().position(|it| it.contains(variable.as_str())).map_or(0, |it| it + 1);
        let title = format!("the prompt uses `{}`, which is not sent", shown(variable));
        let label = format!("line {line} of {}", shown(&prompt.name));
        let found = diagnostics.push("M038", &node.span, title, label);
        if record.slot(variable).is_some() {
            found.help(format!("add `{variable}` to `send`"));
        } else if let Some(near) = nearest(variable, &known) {
            found.help(format!("did you mean `{near}`?"));
        }
    }
}

/// The fields of an answer, or of one item of a list in it.
fn answer_block(
    desk: &Desk<'_>,
    node: &Node,
    fields: &IndexMap<String, AnswerField>,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> (plan::Shape, Vec<Sketch>) {
    let entries = node.entries();
    let (mut plans, mut sketches) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    if entries.is_empty() {
        diagnostics.push("M026", &node.span, "there is no field here", "expected at least one field");
    }
    if entries.len() > MOST_IN_BLOCK || depth > DEEPEST {
        let title =
            format!("more than {MOST_IN_BLOCK} fields in an answer, or {DEEPEST} lists inside each other");
        diagnostics.push("M008", &node.span, title, "too many");
        return (plan::Shape { fields: plans }, sketches);
    }
    for (key, value) in entries {
        let Some(name) = key.text() else { continue };
        if plans.iter().any(|it: &plan::FieldPlan| &*it.name == name) {
            continue;
        }
        fields::lower_case(key, diagnostics);
        let (plan, sketch) = match fields.get(name) {
            Some(field) => answer_field(desk, name, value, field, depth, diagnostics),
            None => stub(name),
        };
        plans.push(plan);
        sketches.push(sketch);
    }
    (plan::Shape { fields: plans }, sketches)
}

/// A field that could not be read keeps its name.
fn stub(name: &str) -> (plan::FieldPlan, Sketch) {
    let plan = plan::FieldPlan {
        name: name.into(),
        from: plan::From::Model,
        codec: Codec::default(),
        rules: plan::FieldRules::default(),
        mask: None,
        description: None,
    };
    (plan, Sketch { name: name.into(), kind: Type::Text, doubtful: true, inner: Vec::new() })
}

fn answer_field(
    desk: &Desk<'_>,
    name: &str,
    node: &Node,
    field: &AnswerField,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> (plan::FieldPlan, Sketch) {
    let (mut plan, mut sketch) = stub(name);
    plan.description = field.about.clone().or_else(|| field.description.clone());
    let spelt = Spelling { kind: field.kind.unwrap_or_default(), ..Spelling::default() };
    let (codec, is_wrong) = spelling::codec(desk, node, spelt, diagnostics);
    sketch.doubtful = is_wrong || desk.spoilt.touches(&node.span);
    let limits = Limits {
        required: field.required,
        length: field.length.as_ref(),
        range: field.range.as_ref(),
        pattern: field.pattern.as_deref(),
        one_of: field.one_of.as_deref(),
        confidence: field.confidence.as_ref(),
        otherwise: field.otherwise,
        ..Limits::default()
    };
    plan.rules = limits::rules(node, &limits, &codec, sketch.doubtful, diagnostics);
    limits::of_answer(node, &limits, codec.kind(), sketch.doubtful, diagnostics);
    fields::currency_fits(node, field.currency.as_deref(), codec.kind(), sketch.doubtful, diagnostics);
    match (node.get("record"), &field.record) {
        (Some(inner), Some(items)) => {
            let (shape, sketches) = answer_block(desk, inner, items, depth + 1, diagnostics);
            plan.from = plan::From::Each { path: item_path(name), shape: Arc::new(shape) };
            sketch.kind = Type::List(Box::new(Type::Record));
            sketch.inner = sketches;
        }
        (Some(_), None) => sketch.kind = Type::List(Box::new(Type::Record)),
        (None, _) => {
            if let Some((key, _)) = node.entry("each") {
                let title = format!("`{}` is a list and needs `record`", shown(name));
                diagnostics
                    .push("M012", &key.span, title, "missing here")
                    .help("record: the fields of one item");
            }
            sketch.kind = Type::of(&codec, plan.rules.one_of.as_deref());
        }
    }
    plan.codec = codec;
    (plan, sketch)
}

/// Where the items of a list stand in an answer: under its name.
fn item_path(name: &str) -> Path {
    let step = Step { axis: Axis::Child, namespace: None, name: name.into(), picks: Vec::new() };
    Path { absolute: false, steps: vec![step] }
}

fn fallback(
    desk: &Desk<'_>,
    node: &Node,
    ask: &file::Ask,
    answer: &plan::Shape,
    strict: &Value,
    diagnostics: &mut Diagnostics,
) -> Vec<plan::Fallback> {
    let mut steps = Vec::new();
    if ask.fallback.is_none() {
        return steps;
    }
    for item in node.get("fallback").map(Node::items).unwrap_or_default().iter().take(32) {
        let mut keys = item.entries().iter();
        let (Some((key, value)), None) = (keys.next(), keys.next()) else {
            if matches!(item.kind, NodeKind::Map(_)) {
                diagnostics
                    .push(
                        "M015",
                        &item.span,
                        "one step of the fallback is one of cached, rules, answer",
                        "here",
                    )
                    .help("begin each step with `- `");
            }
            continue;
        };
        let step = match (key.text(), value.text().filter(|_| !value.is_blank())) {
            (Some("cached"), Some(text)) => {
                limits::duration(value, text, "cached", diagnostics).map(plan::Fallback::Cached)
            }
            (Some("rules"), Some(path)) => {
                tables::read_text(path, &value.span, desk.around, diagnostics);
                Some(plan::Fallback::Rules { path: path.to_owned(), span: value.span.clone() })
            }
            (Some("answer"), _) if matches!(value.kind, NodeKind::Map(_)) => {
                let before = diagnostics.len();
                let fixed = fixed_answer(key, value, answer, desk, diagnostics);
                if diagnostics.len() == before {
                    meets_schema(value, &fixed, strict, diagnostics);
                }
                Some(plan::Fallback::Answer(fixed))
            }
            _ => None,
        };
        steps.extend(step);
    }
    steps
}

/// The last word has the schema that every answer is checked against when it comes.
fn meets_schema(node: &Node, fixed: &Map<String, Value>, strict: &Value, diagnostics: &mut Diagnostics) {
    let Ok(validator) = jsonschema::validator_for(strict) else { return };
    let instance = Value::Object(fixed.clone());
    for error in validator.iter_errors(&instance).take(10) {
        let name = error.instance_path().to_string();
        let key = name.trim_start_matches('/').split('/').next().unwrap_or_default();
        let span = node.get(key).map_or(&node.span, |it| &it.span);
        diagnostics.push("M024", span, "this is not a good answer", error.to_string());
    }
}

fn fixed_answer(
    key: &Node,
    node: &Node,
    answer: &plan::Shape,
    desk: &Desk<'_>,
    diagnostics: &mut Diagnostics,
) -> Map<String, Value> {
    let mut fixed = Map::new();
    for (name_node, value) in node.entries().iter().take(MOST_IN_BLOCK) {
        let Some(name) = name_node.text() else { continue };
        let Some(plan) = answer.slot(name).and_then(|it| answer.fields.get(it)) else {
            let title = format!("`{}` is not part of the answer", shown(name));
            diagnostics.push("M024", &name_node.span, title, "unknown field of the answer").suggest(
                name,
                &name_node.span,
                answer.fields.iter().map(|it| &*it.name),
            );
            continue;
        };
        let found = match (&plan.from, &value.kind) {
            (plan::From::Each { shape, .. }, NodeKind::Seq(items)) => {
                let items =
                    items.iter().map(|it| Value::Object(fixed_answer(it, it, shape, desk, diagnostics)));
                Some(items.collect())
            }
            (plan::From::Each { .. }, _) => {
                let title = format!("`{}` is a list", shown(name));
                diagnostics.push("M024", &value.span, title, "expected a list");
                None
            }
            (_, NodeKind::Scalar { text, .. }) if !value.is_blank() => {
                limits::fitting(value, text, name, &plan.codec, &plan.rules, diagnostics)
                    .map(|it| record::json::value(&it))
            }
            _ => {
                diagnostics.push(
                    "M024",
                    &value.span,
                    format!("`{}` is a single value", shown(name)),
                    "expected one value",
                );
                None
            }
        };
        fixed.extend(found.map(|it| (name.to_owned(), it)));
    }
    for plan in answer.fields.iter().filter(|it| it.rules.required.is_some()) {
        if node.get(&plan.name).is_none() && !desk.spoilt.touches(&node.span) {
            let title = format!("the answer needs `{}`", plan.name);
            diagnostics.push("M024", &key.span, title, "missing here");
        }
    }
    fixed
}
