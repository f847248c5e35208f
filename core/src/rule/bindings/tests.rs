use std::sync::Arc;

use smallvec::SmallVec;

use super::*;
use crate::{
    interpret::Codec,
    mapping::{
        address::Path,
        plan::{FieldPlan, FieldRules, Shape},
    },
    origin::Origin,
    record::Field,
};

fn shape(names: &[&str], lists: &[(&str, &Arc<Shape>)]) -> Arc<Shape> {
    let plan = |name: &str, from: From| FieldPlan {
        name: name.into(),
        from,
        codec: Codec::default(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    };
    let plain = names.iter().map(|name| plan(name, From::Addresses(Vec::new())));
    let lists = lists
        .iter()
        .map(|(name, shape)| plan(name, From::Each { path: Path::default(), shape: Arc::clone(shape) }));
    Arc::new(Shape { fields: plain.chain(lists).collect() })
}

fn record(shape: &Arc<Shape>, values: Vec<Option<Value>>) -> Record {
    let field =
        |value: Option<Value>| value.map(|value| Field { value, origin: Origin::Constant, raw: None });
    Record { shape: Arc::clone(shape), fields: values.into_iter().map(field).collect() }
}

fn slot(root: Root, path: &[u16]) -> Slot {
    Slot { root, path: SmallVec::from_slice(path) }
}

#[test]
fn every_root_is_resolved_and_lists_are_flattened() {
    let parts = shape(&["n"], &[]);
    let lines = shape(&["amount"], &[("parts", &parts)]);
    let claims = shape(&["no"], &[("lines", &lines)]);
    let part = |n: i64| record(&parts, vec![Some(Value::Int(n))]);
    let line = |amount: Option<i64>, items: Option<Vec<Record>>| {
        record(&lines, vec![amount.map(Value::Int), items.map(Value::List)])
    };
    let first = line(Some(1), Some(vec![part(10), part(11)]));
    let claim = record(
        &claims,
        vec![Some(Value::Text("A".into())), Some(Value::List(vec![first.clone(), line(None, None)]))],
    );
    let bare = record(&claims, vec![None, None]);
    let records = [claim.clone(), bare.clone()];
    let facts =
        FlowFacts { outcome: "pass".into(), findings: vec!["f".into()], version: 3, ..FlowFacts::default() };
    let around = RecordBindings {
        records: &records,
        trailer: Some(&bare),
        flow: Some(&facts),
        ..RecordBindings::of(&claim)
    };
    let inside = RecordBindings { here: &first, outer: Some(&around), ..around.clone() };

    let number = |it: i64| Operand::Number(it.into());
    let text = |it: &'static str| Operand::Text(it.into());
    let yes = Operand::Bool(true);
    let cases = [
        (slot(Root::Here, &[0]), text("A")),
        (slot(Root::Here, &[1]), Operand::List(vec![yes.clone(), yes.clone()])),
        (slot(Root::Here, &[1, 0]), Operand::List(vec![number(1), Operand::Missing])),
        (slot(Root::Here, &[1, 1, 0]), Operand::List(vec![number(10), number(11)])),
        (slot(Root::Here, &[1, 1]), Operand::List(vec![yes.clone(), yes.clone()])),
        (slot(Root::Here, &[9]), Operand::Missing),
        (slot(Root::Here, &[0, 1]), Operand::Missing),
        (slot(Root::Here, &[]), Operand::Missing),
        (slot(Root::Records, &[]), Operand::List(vec![yes.clone(), yes])),
        (slot(Root::Records, &[0]), Operand::List(vec![text("A"), Operand::Missing])),
        (slot(Root::Records, &[1, 0]), Operand::List(vec![number(1), Operand::Missing])),
        // A list that is absent is empty.
        (slot(Root::Trailer, &[1]), Operand::List(vec![])),
        (slot(Root::Trailer, &[1, 0]), Operand::List(vec![])),
        (slot(Root::Trailer, &[0]), Operand::Missing),
        (slot(Root::Answer, &[0]), Operand::Missing),
        (slot(Root::Outer(1), &[0]), Operand::Missing),
        (slot(Root::Outcome, &[]), text("pass")),
        (slot(Root::Findings, &[]), Operand::List(vec![text("f")])),
        (slot(Root::FlowVersion, &[]), number(3)),
        (slot(Root::ModelName, &[]), Operand::Missing),
    ];
    for (slot, expected) in cases {
        assert_eq!(around.value(&slot), expected, "slot: {slot:?}");
    }
    assert_eq!(inside.value(&slot(Root::Here, &[0])), number(1));
    assert_eq!(inside.value(&slot(Root::Outer(1), &[0])), text("A"));
    assert_eq!(inside.value(&slot(Root::Outer(2), &[0])), Operand::Missing);
}
