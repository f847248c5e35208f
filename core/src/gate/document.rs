//! Checks that look at more than one field or record.

use std::{borrow::Cow, collections::HashMap};

use rust_decimal::Decimal;

use super::fields::shown;
use crate::{
    finding::{Check, Finding, Outcome},
    interpret::canonical_text,
    mapping::plan::{CheckPlan, Mapping},
    origin::Origin,
    record::Record,
    rule::{Clock, Operand, Root, Rule, RuleFailure, Slot, bindings::RecordBindings},
};

/// False where `only` says that the record is not of this flow. A rule that does not apply keeps the record.
pub(super) fn keeps(mapping: &Mapping, record: &Record, clock: &Clock) -> bool {
    let Some(only) = &mapping.source.only else { return true };
    !matches!(only.run(&RecordBindings::of(record), clock), Ok(Operand::Bool(false)))
}

/// Runs rules, `unique` and `complete`; `findings` stands beside `records`.
pub(super) fn check(
    mapping: &Mapping,
    records: &[Record],
    trailer: Option<&Record>,
    clock: &Clock,
    findings: &mut [Vec<Finding>],
) {
    unique(mapping, records, findings);
    complete(mapping, records, findings);
    for plan in &mapping.checks {
        if is_about_document(&plan.rule) {
            document_rule(plan, records, trailer, clock, findings);
        } else {
            for (record, found) in records.iter().zip(findings.iter_mut()) {
                let bindings = RecordBindings { records, trailer, ..RecordBindings::of(record) };
                found.extend(broken(plan, plan.rule.run(&bindings, clock), Some(record)));
            }
        }
    }
}

/// A control total is one fact about the document: every record of it shares the verdict.
fn document_rule(
    plan: &CheckPlan,
    records: &[Record],
    trailer: Option<&Record>,
    clock: &Clock,
    findings: &mut [Vec<Finding>],
) {
    let Some(first) = records.first() else { return };
    let bindings = RecordBindings { records, trailer, ..RecordBindings::of(first) };
    if let Some(finding) = broken(plan, plan.rule.run(&bindings, clock), None) {
        for found in findings {
            found.push(finding.clone());
        }
    }
}

fn is_about_document(rule: &Rule) -> bool {
    let slots = rule.slots();
    slots.iter().any(|slot| matches!(slot.root, Root::Records | Root::Trailer))
        && !slots.iter().any(|slot| matches!(slot.root, Root::Here))
}

fn broken(
    plan: &CheckPlan,
    result: Result<Operand<'_>, RuleFailure>,
    record: Option<&Record>,
) -> Option<Finding> {
    let (check, expected) = match result {
        Ok(Operand::Bool(false)) => (Check::Rule, plan.text.to_string()),
        Ok(_) => return None,
        Err(failure) => (Check::RuleFailed, format!("{} ({failure})", plan.text)),
    };
    let outcome = match check {
        // A rule that could not be computed says nothing about the record: a person looks.
        Check::RuleFailed => plan.otherwise.max(Outcome::Review),
        _ => plan.otherwise,
    };
    Some(Finding {
        check,
        outcome,
        field: plan.text.as_ref().into(),
        origin: record.and_then(|record| first_place(&plan.rule, record)),
        expected: Cow::Owned(expected),
        found: record.and_then(|record| inputs(&plan.rule, record)),
        say: plan.say.as_deref().map(Into::into),
    })
}

/// The place of the first field that the rule reads.
fn first_place(rule: &Rule, record: &Record) -> Option<Origin> {
    rule.slots().into_iter().find_map(|slot| Some(record.at(top(slot)?)?.origin.clone()))
}

/// `loss_date 2027-01-01, reserve 12.00`: the rule's own inputs, masked where the field is.
fn inputs(rule: &Rule, record: &Record) -> Option<Box<str>> {
    let mut seen = Vec::new();
    let mut text = String::new();
    for slot in rule.slots().into_iter().filter_map(top) {
        let (Some(plan), Some(field)) = (record.shape.fields.get(slot), record.at(slot)) else { continue };
        if seen.contains(&slot) || matches!(field.value, crate::record::Value::List(_)) {
            continue;
        }
        seen.push(slot);
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&plan.name);
        text.push(' ');
        text.push_str(&shown(plan, &canonical_text(&field.value)));
    }
    (!text.is_empty()).then(|| text.into())
}

fn top(slot: &Slot) -> Option<usize> {
    (slot.root == Root::Here).then(|| slot.path.first().copied().map(usize::from)).flatten()
}

fn unique(mapping: &Mapping, records: &[Record], findings: &mut [Vec<Finding>]) {
    for (slot, plan) in mapping.record.fields.iter().enumerate().filter(|(_, plan)| plan.rules.unique) {
        let mut seen: HashMap<String, ()> = HashMap::new();
        for (record, found) in records.iter().zip(findings.iter_mut()) {
            let Some(field) = record.at(slot) else { continue };
            let text = canonical_text(&field.value);
            let shown = shown(plan, &text);
            if seen.insert(text, ()).is_some() {
                found.push(Finding {
                    check: Check::Unique,
                    outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                    field: plan.name.as_ref().into(),
                    origin: Some(field.origin.clone()),
                    expected: Cow::Borrowed("a value that no other record has"),
                    found: Some(shown),
                    say: None,
                });
            }
        }
    }
}

fn complete(mapping: &Mapping, records: &[Record], findings: &mut [Vec<Finding>]) {
    let all = Decimal::from(records.len());
    for (slot, plan) in mapping.record.fields.iter().enumerate() {
        let Some(least) = plan.rules.complete else { continue };
        let present = Decimal::from(records.iter().filter(|it| it.at(slot).is_some()).count());
        if all.is_zero() || present >= least * all {
            continue;
        }
        for found in findings.iter_mut() {
            found.push(Finding {
                check: Check::Complete,
                outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                field: plan.name.as_ref().into(),
                origin: None,
                expected: Cow::Owned(format!("present in at least {least} of the records")),
                found: Some(format!("{present} of {all}").into()),
                say: None,
            });
        }
    }
}
