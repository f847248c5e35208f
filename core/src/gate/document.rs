//! Checks that look at more than one field or record.

use std::{borrow::Cow, collections::HashSet};

use rust_decimal::Decimal;

use super::{Found, Tally, fields::Reader};
use crate::{
    finding::{Check, Finding, Outcome},
    interpret::canonical_text,
    lookup::Standing,
    mapping::plan::{CheckPlan, FieldPlan, Mapping},
    mask::{HIDDEN, Secrets, masks_any, shown},
    origin::Origin,
    record::{Record, Value},
    rule::{Clock, Operand, Root, Rule, RuleFailure, Slot, bindings::RecordBindings},
};

/// Longest text shown as `found`.
const SHOWN: usize = 120;
/// Most values of other records that rules may read for the records of one document: a rule that looks at all records
/// for each of them must not cost the square of a hostile document's size.
pub(crate) const MOST_READS: usize = 20_000_000;

/// How many values of all records a rule looks at, the items of lists included.
pub(crate) fn reads_of_all(rule: &Rule, records: &[Record]) -> usize {
    let slots = rule.slots().into_iter().filter(|it| matches!(it.root, Root::Records));
    slots.map(|it| reads_along(&it.path, records)).fold(0, usize::saturating_add)
}

/// Every record counts, and in it the items of each list that the path leads through.
pub(crate) fn reads_along(path: &[u16], records: &[Record]) -> usize {
    let Some((first, rest)) = path.split_first() else { return records.len() };
    let inside = |record: &Record| match record.at(usize::from(*first)).map(|it| &it.value) {
        Some(Value::List(items)) => reads_along(rest, items),
        _ => 0,
    };
    records.iter().map(inside).fold(records.len(), usize::saturating_add)
}

/// How many values of the list around an item a path leads through.
pub(crate) fn reads_around(slot: &Slot, around: Option<&Record>) -> usize {
    let Some((first, rest)) = slot.path.split_first() else { return 0 };
    match around.and_then(|it| it.at(usize::from(*first))).map(|it| &it.value) {
        Some(Value::List(items)) => reads_along(rest, items),
        _ => 0,
    }
}

/// False where `only` says that the record is not of this flow. A rule that does not apply, or can not be computed,
/// keeps the record; the latter is a finding.
pub(super) fn keeps(mapping: &Mapping, record: &Record, reader: &mut Reader<'_>, found: &mut Found) -> bool {
    let Some(only) = &mapping.source.only else { return true };
    match only.run(&RecordBindings::of(record), reader.clock) {
        Ok(Operand::Bool(is_ours)) => is_ours,
        Ok(_) => true,
        Err(failure) => {
            let finding = Finding {
                check: check_of(&failure),
                outcome: Outcome::Review,
                field: "only".into(),
                origin: reader.place.clone(),
                expected: Cow::Owned(format!("yes or no from `only`: {failure}")),
                found: None,
                say: None,
            };
            reader.tally.add(found, finding);
            true
        }
    }
}

/// Runs rules, `unique` and `complete`; `findings` stands beside `records`. What is true of the document as a whole
/// goes to `of_all`.
pub(super) fn check(
    mapping: &Mapping,
    records: &[Record],
    trailer: Option<&Record>,
    clock: &Clock,
    findings: &mut [Found],
    of_all: &mut Vec<Finding>,
    tally: &mut Tally,
) {
    stale(mapping, of_all);
    unique(mapping, records, findings, tally);
    complete(mapping, records, of_all);
    let nothing = records.is_empty().then(|| super::nothing_read(mapping));
    let mut reads = 0_usize;
    for plan in &mapping.checks {
        let slots = plan.rule.slots();
        let looks_around = slots.iter().any(|it| matches!(it.root, Root::Records | Root::Trailer));
        if looks_around && !slots.iter().any(|it| matches!(it.root, Root::Here)) {
            let Some(first) = records.first().or(nothing.as_ref()) else { continue };
            let bindings = RecordBindings { records, trailer, ..RecordBindings::of(first) };
            let result = plan.rule.run(&bindings, clock).map_err(failed);
            of_all.extend(broken(plan, result, None));
            continue;
        }
        let all = reads_of_all(&plan.rule, records);
        for (record, found) in records.iter().zip(findings.iter_mut()) {
            let bindings = RecordBindings { records, trailer, ..RecordBindings::of(record) };
            reads = reads.saturating_add(all);
            let result = match reads <= MOST_READS {
                true => plan.rule.run(&bindings, clock).map_err(failed),
                false => {
                    let why = "there are too many records to look at for each record";
                    Err((Check::RuleFailed, why.to_owned()))
                }
            };
            if let Some(finding) = broken(plan, result, Some(record)) {
                tally.add(found, finding);
            }
        }
    }
}

/// What a rule without a value is a finding of.
fn check_of(failure: &RuleFailure) -> Check {
    match failure {
        RuleFailure::Unread(_) => Check::Lookup,
        RuleFailure::Overflow
        | RuleFailure::DivisionByZero
        | RuleFailure::DateRange
        | RuleFailure::ListsDiffer => Check::RuleFailed,
    }
}

pub(super) fn failed(failure: RuleFailure) -> (Check, String) {
    (check_of(&failure), failure.to_string())
}

/// A note for each look-up whose keys could not be read again.
fn stale(mapping: &Mapping, of_all: &mut Vec<Finding>) {
    for plan in &mapping.lookups {
        let Standing::Stale(why) = plan.table.standing() else { continue };
        of_all.push(Finding {
            check: Check::Lookup,
            outcome: Outcome::Note,
            field: plan.name.as_ref().into(),
            origin: None,
            expected: Cow::Owned(format!("keys that are as new as `refresh` says ({why})")),
            found: None,
            say: None,
        });
    }
}

fn broken(
    plan: &CheckPlan,
    result: Result<Operand<'_>, (Check, String)>,
    record: Option<&Record>,
) -> Option<Finding> {
    let (check, expected) = match result {
        Ok(Operand::Bool(false)) => (Check::Rule, plan.text.to_string()),
        Ok(_) => return None,
        Err((check, failure)) => (check, format!("{} ({failure})", plan.text)),
    };
    let outcome = match check {
        // A rule that could not be computed says nothing about the record: a person looks.
        Check::RuleFailed | Check::Lookup => plan.otherwise.max(Outcome::Review),
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

/// `loss_date 2027-01-01, reserve 12.00`: the rule's own inputs, masked where the field is. Values inside lists are not
/// shown: there may be thousands.
fn inputs(rule: &Rule, record: &Record) -> Option<Box<str>> {
    let mut seen = Vec::new();
    let mut text = String::new();
    for slot in rule.slots().into_iter().filter_map(top) {
        let (Some(plan), Some(field)) = (record.shape.fields.get(slot), record.at(slot)) else { continue };
        if seen.contains(&slot) || matches!(field.value, Value::List(_)) {
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

fn unique(mapping: &Mapping, records: &[Record], findings: &mut [Found], tally: &mut Tally) {
    for (slot, plan) in mapping.record.fields.iter().enumerate().filter(|(_, plan)| plan.rules.unique) {
        let mut seen = HashSet::with_capacity(records.len());
        for (record, found) in records.iter().zip(findings.iter_mut()) {
            let Some(field) = record.at(slot) else { continue };
            let text = canonical_text(&field.value);
            if seen.contains(&text) {
                let finding = Finding {
                    check: Check::Unique,
                    outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                    field: plan.name.as_ref().into(),
                    origin: Some(field.origin.clone()),
                    expected: Cow::Borrowed("a value that no other record has"),
                    found: Some(shown(plan, &text).into()),
                    say: None,
                };
                tally.add(found, finding);
            } else {
                seen.insert(text);
            }
        }
    }
}

fn complete(mapping: &Mapping, records: &[Record], of_all: &mut Vec<Finding>) {
    for (slot, plan) in mapping.record.fields.iter().enumerate() {
        if let Some((expected, found)) = incomplete(plan, slot, records) {
            of_all.push(Finding {
                check: Check::Complete,
                outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                field: plan.name.as_ref().into(),
                origin: None,
                expected: Cow::Owned(expected),
                found: Some(found.into()),
                say: None,
            });
        }
    }
}

/// What was expected and found where fewer of the records than `complete` asks for have this field.
pub(super) fn incomplete(plan: &FieldPlan, slot: usize, records: &[Record]) -> Option<(String, String)> {
    let least = plan.rules.complete?;
    let all = Decimal::from(records.len());
    let present = Decimal::from(records.iter().filter(|it| it.at(slot).is_some()).count());
    let is_short = !all.is_zero() && present < least * all;
    is_short.then(|| (format!("present in at least {least} of the records"), format!("{present} of {all}")))
}

/// The findings as they may be shown: `found` is short, and holds no masked value of the record, not even where it
/// stands in a field without a mask; nor does what people wrote.
pub(super) fn presentable(record: &Record, mut found: Found) -> Found {
    if found.listed.iter().all(|it| it.found.is_none() && it.check != Check::Decided) {
        return found;
    }
    let hides = masks_any(&record.shape) || !found.unread.is_empty();
    let secrets = hides.then(|| Secrets::of(record, &found.unread));
    for finding in &mut found.listed {
        if let (Check::Decided, Some(say)) = (finding.check, &mut finding.say)
            && secrets.as_ref().is_some_and(|it| it.are_in(say))
        {
            *say = HIDDEN.into();
        }
        let Some(text) = &mut finding.found else { continue };
        if secrets.as_ref().is_some_and(|it| it.are_in(text)) {
            *text = HIDDEN.into();
        } else if let Some((end, _)) = text.char_indices().nth(SHOWN) {
            *text = format!("{}…", text.get(..end).unwrap_or_default()).into();
        }
    }
    found
}
