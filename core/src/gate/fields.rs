//! Raw fields to typed values, and the checks that look at one field.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;

use super::{
    Found, Tally,
    document::{MOST_READS, failed, incomplete, reads_around},
};
use crate::{
    finding::{Check, Finding, Outcome},
    interpret::{Complaint, Kind, Reading, canonical_text},
    mapping::plan::{FieldPlan, FieldRules, From, Shape},
    mask::{HIDDEN, shown},
    origin::Origin,
    ports::{RawField, RawRecord},
    record::{Field, Record, Value},
    rule::{Clock, Operand, Root, Rule, bindings::RecordBindings},
};

/// Most words of a `one_of` that a finding names.
const MOST_WORDS: usize = 50;

/// Most texts of masked fields that are kept to be recognised in other fields of their record.
const MOST_UNREAD: usize = 16;

/// Interprets records one after the other and collects what it finds.
pub(super) struct Reader<'a> {
    pub(super) clock: &'a Clock,
    /// What is listed of the document so far.
    pub(super) tally: Tally,
    /// Where the newest record stands.
    pub(super) place: Option<Origin>,
    found: Found,
    path: String,
    /// Inside a masked list everything is masked.
    is_hidden: bool,
    /// Values of lists around items that the items' rules have read.
    reads: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(clock: &'a Clock) -> Self {
        let (tally, found) = (Tally::default(), Found::default());
        Self { clock, tally, place: None, found, path: String::new(), is_hidden: false, reads: 0 }
    }

    /// One record and what was found in it; `prefix` leads the names in findings.
    pub(super) fn record(&mut self, shape: &Arc<Shape>, raw: RawRecord, prefix: &str) -> (Record, Found) {
        self.path.clear();
        self.path.push_str(prefix);
        self.place = Some(raw.origin);
        let record = self.fields(shape, raw.fields, None);
        (record, std::mem::take(&mut self.found))
    }

    fn fields(
        &mut self,
        shape: &Arc<Shape>,
        raws: Vec<RawField>,
        outer: Option<&RecordBindings<'_>>,
    ) -> Record {
        let mut record = Record::empty(Arc::clone(shape));
        let mut raws = raws.into_iter();
        for (slot, plan) in shape.fields.iter().enumerate() {
            let raw = raws.next().unwrap_or(RawField::Absent { at: None });
            let mark = self.path.len();
            self.path.push_str(&plan.name);
            let field = self.field(plan, raw, &record, outer);
            self.path.truncate(mark);
            if let Some(place) = record.fields.get_mut(slot) {
                *place = field;
            }
        }
        record
    }

    fn field(
        &mut self,
        plan: &FieldPlan,
        raw: RawField,
        so_far: &Record,
        outer: Option<&RecordBindings<'_>>,
    ) -> Option<Field> {
        match &plan.from {
            From::Addresses(_) | From::Model => self.read(plan, raw),
            From::Constant(text) => self.clean(plan, text, Origin::Constant),
            From::Computed(rule) => {
                let computed = self.compute(rule, so_far, outer);
                let unfit = |failure| (Check::RuleFailed, failure);
                match computed.and_then(|it| into_value(plan, it).map_err(unfit)) {
                    Ok(Some(value)) => {
                        let text = canonical_text(&value);
                        self.check(plan, &value, &text, &Origin::Computed);
                        Some(Field { value, origin: Origin::Computed, raw: None })
                    }
                    Ok(None) => self.absent(plan, None),
                    Err((check, failure)) => {
                        // What was not looked up is never passed over.
                        let least = if check == Check::Lookup { Outcome::Review } else { Outcome::Pass };
                        let outcome = plan.rules.otherwise.unwrap_or(Outcome::Review).max(least);
                        let expected = Cow::Owned(format!("a value from `compute`: {failure}"));
                        self.push(check, outcome, self.place.clone(), expected, None);
                        None
                    }
                }
            }
            From::Each { shape, .. } => match raw {
                RawField::Items(items) => self.list(plan, shape, items, so_far, outer),
                RawField::Absent { at } => self.absent(plan, at),
                RawField::Text { origin, .. } => self.absent(plan, Some(origin)),
            },
        }
    }

    fn read(&mut self, plan: &FieldPlan, raw: RawField) -> Option<Field> {
        let (text, origin) = match raw {
            RawField::Text { text, origin } => (text, origin),
            RawField::Absent { at } => return self.absent(plan, at),
            RawField::Items(items) => {
                let at = items.into_iter().next().map(|it| it.origin);
                return self.absent(plan, at);
            }
        };
        match plan.codec.read(&text) {
            Reading::Value(value) => self.keep(plan, value, text, origin),
            Reading::Doubtful(value, complaint) => {
                self.complain(plan, complaint, &text, &origin);
                self.keep(plan, value, text, origin)
            }
            Reading::Empty => self.absent(plan, Some(origin)),
            Reading::Unreadable(complaint) => {
                self.complain(plan, complaint, &text, &origin);
                if self.hides(plan) && text.chars().nth(3).is_some() && self.found.unread.len() < MOST_UNREAD
                {
                    self.found.unread.push(text);
                }
                None
            }
        }
    }

    fn keep(&mut self, plan: &FieldPlan, value: Value, text: Box<str>, origin: Origin) -> Option<Field> {
        self.check(plan, &value, &text, &origin);
        let raw = (!is_spelt(&value, &text)).then_some(text);
        Some(Field { value, origin, raw })
    }

    /// `default` where there is one; otherwise the finding of `required`, if it is.
    fn absent(&mut self, plan: &FieldPlan, at: Option<Origin>) -> Option<Field> {
        if let Some(default) = &plan.rules.default {
            return self.clean(plan, default, Origin::Default);
        }
        if let Some(outcome) = plan.rules.required {
            let expected = match plan.codec.describe() {
                words if words.is_empty() || words == "text" => Cow::Borrowed("a value"),
                words => Cow::Owned(format!("a value: {words}")),
            };
            self.push(Check::Required, outcome, at, expected, None);
        }
        None
    }

    /// A value that the mapping itself spells: it was checked when the mapping was compiled.
    fn clean(&mut self, plan: &FieldPlan, text: &str, origin: Origin) -> Option<Field> {
        match plan.codec.read_clean(text) {
            Reading::Value(value) | Reading::Doubtful(value, _) => Some(Field { value, origin, raw: None }),
            Reading::Empty | Reading::Unreadable(_) => None,
        }
    }

    fn compute<'r>(
        &mut self,
        rule: &'r Rule,
        so_far: &'r Record,
        outer: Option<&'r RecordBindings<'r>>,
    ) -> Result<Operand<'static>, (Check, String)> {
        let bindings = RecordBindings { outer, ..RecordBindings::of(so_far) };
        if outer.is_some() && self.reads <= MOST_READS {
            self.reads = self.reads.saturating_add(read_around(rule, &bindings));
        }
        if self.reads > MOST_READS {
            let why = "there are too many values to look at for each item";
            return Err((Check::RuleFailed, why.into()));
        }
        rule.run(&bindings, self.clock).map(owned).map_err(failed)
    }

    fn list(
        &mut self,
        plan: &FieldPlan,
        shape: &Arc<Shape>,
        items: Vec<RawRecord>,
        so_far: &Record,
        outer: Option<&RecordBindings<'_>>,
    ) -> Option<Field> {
        let origin = items.first().map(|it| it.origin.clone());
        let Some(origin) = origin else { return self.absent(plan, None) };
        let around = RecordBindings { outer, ..RecordBindings::of(so_far) };
        let (mark, was_hidden) = (self.path.len(), self.is_hidden);
        self.is_hidden = self.hides(plan);
        let mut records = Vec::with_capacity(items.len());
        for (index, raw) in items.into_iter().enumerate() {
            let _ = write!(self.path, "[{}].", index.saturating_add(1));
            records.push(self.fields(shape, raw.fields, Some(&around)));
            self.path.truncate(mark);
        }
        self.unique_items(shape, &records);
        self.complete_items(shape, &records, &origin);
        self.is_hidden = was_hidden;
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.length(plan, count, "items", None, &origin);
        Some(Field { value: Value::List(records), origin, raw: None })
    }

    fn unique_items(&mut self, shape: &Shape, records: &[Record]) {
        for (slot, plan) in shape.fields.iter().enumerate().filter(|(_, plan)| plan.rules.unique) {
            let mut seen = std::collections::HashSet::with_capacity(records.len());
            for (index, field) in records.iter().enumerate().filter_map(|(i, it)| Some((i, it.at(slot)?))) {
                let text = canonical_text(&field.value);
                if !seen.contains(&text) {
                    seen.insert(text);
                    continue;
                }
                let mark = self.path.len();
                let _ = write!(self.path, "[{}].{}", index.saturating_add(1), plan.name);
                self.fail(plan, Check::Unique, "a value that no other item has", &text, &field.origin);
                self.path.truncate(mark);
            }
        }
    }

    /// `complete` of an item's field counts over the items of its list.
    fn complete_items(&mut self, shape: &Shape, records: &[Record], origin: &Origin) {
        for (slot, plan) in shape.fields.iter().enumerate() {
            let Some((expected, found)) = incomplete(plan, slot, records) else { continue };
            let mark = self.path.len();
            let _ = write!(self.path, ".{}", plan.name);
            let outcome = plan.rules.otherwise.unwrap_or(Outcome::Review);
            self.push(Check::Complete, outcome, Some(origin.clone()), expected.into(), Some(found.into()));
            self.path.truncate(mark);
        }
    }

    fn check(&mut self, plan: &FieldPlan, value: &Value, raw: &str, origin: &Origin) {
        let rules = &plan.rules;
        if rules.length.is_some() {
            let count = match value {
                Value::Text(text) => text.chars().count(),
                Value::Bytes(bytes) => bytes.len(),
                _ => raw.chars().count(),
            };
            self.length(plan, u64::try_from(count).unwrap_or(u64::MAX), "characters", Some(raw), origin);
        }
        if let Some(expected) = outside_range(rules, value) {
            self.fail(plan, Check::Range, expected, raw, origin);
        }
        if let Some((pattern, source)) = &rules.pattern {
            let matches = match value {
                Value::Text(text) => pattern.is_match(text),
                other => pattern.is_match(&canonical_text(other)),
            };
            if !matches {
                self.fail(plan, Check::Pattern, format!("matches {source}"), raw, origin);
            }
        }
        if let Some(words) = &rules.one_of {
            let text = clean_text(value);
            if !words.iter().any(|word| *word == *text) {
                self.fail(plan, Check::OneOf, one_of(words), raw, origin);
            }
        }
        if let Some(most) = rules.max_age
            && let Some(age) = age(value, self.clock)
            && age > most
        {
            let expected = format!("not older than {}", humane(most));
            self.fail(plan, Check::MaxAge, expected, raw, origin);
        }
    }

    fn length(&mut self, plan: &FieldPlan, count: u64, unit: &str, raw: Option<&str>, origin: &Origin) {
        let Some((least, most)) = plan.rules.length else { return };
        if least.is_some_and(|it| count < it) || most.is_some_and(|it| count > it) {
            let expected = format!("{} {unit}", bounds(least, most));
            let counted = format!("{count} {unit}");
            match raw {
                Some(raw) => self.fail(plan, Check::Length, expected, raw, origin),
                // How many items a list has is no value of it.
                None => {
                    let outcome = plan.rules.otherwise.unwrap_or(Outcome::Review);
                    let found = Some(counted.into());
                    self.push(Check::Length, outcome, Some(origin.clone()), expected.into(), found);
                }
            }
        }
    }

    fn complain(&mut self, plan: &FieldPlan, complaint: Complaint, raw: &str, origin: &Origin) {
        // An unreadable value of a field that must be there is as bad as none.
        let default = match (complaint.check, plan.rules.required) {
            (Check::Type, Some(required)) => required.max(Outcome::Review),
            _ => Outcome::Review,
        };
        let outcome = plan.rules.otherwise.unwrap_or(default);
        let found = self.shown(plan, raw);
        self.push(complaint.check, outcome, Some(origin.clone()), complaint.expected, Some(found));
    }

    fn fail(
        &mut self,
        plan: &FieldPlan,
        check: Check,
        expected: impl Into<Cow<'static, str>>,
        raw: &str,
        origin: &Origin,
    ) {
        let outcome = plan.rules.otherwise.unwrap_or(Outcome::Review);
        let found = self.shown(plan, raw);
        self.push(check, outcome, Some(origin.clone()), expected.into(), Some(found));
    }

    fn hides(&self, plan: &FieldPlan) -> bool {
        self.is_hidden || plan.mask.is_some()
    }

    /// `found`, not yet cut: what is masked is looked for in the whole text first.
    fn shown(&self, plan: &FieldPlan, raw: &str) -> Box<str> {
        if self.is_hidden { HIDDEN.into() } else { shown(plan, raw).into() }
    }

    fn push(
        &mut self,
        check: Check,
        outcome: Outcome,
        origin: Option<Origin>,
        expected: Cow<'static, str>,
        found: Option<Box<str>>,
    ) {
        let field = self.path.as_str().into();
        let finding = Finding { check, outcome, field, origin, expected, found, say: None };
        self.tally.add(&mut self.found, finding);
    }
}

/// How many values of lists around an item a rule reads for it.
fn read_around(rule: &Rule, bindings: &RecordBindings<'_>) -> usize {
    let size = |slot: &crate::rule::Slot| {
        let Root::Outer(levels) = slot.root else { return 0 };
        reads_around(slot, bindings.around(levels))
    };
    rule.slots().into_iter().map(size).fold(0, usize::saturating_add)
}

/// A rule's value, apart from the record that it was read from.
fn owned(operand: Operand<'_>) -> Operand<'static> {
    match operand {
        Operand::Text(text) => Operand::Text(Cow::Owned(text.into_owned())),
        Operand::Number(number) => Operand::Number(number),
        Operand::Bool(truth) => Operand::Bool(truth),
        Operand::Date(date) => Operand::Date(date),
        Operand::Time(time) => Operand::Time(time),
        Operand::DateTime(at) => Operand::DateTime(at),
        Operand::Duration(length) => Operand::Duration(length),
        Operand::Bytes(count) => Operand::Bytes(count),
        // A list is no value of a field: the checker refuses such rules.
        Operand::Missing | Operand::List(_) => Operand::Missing,
    }
}

/// True where the text is the value's own canonical text. Most legacy spellings differ in length already.
fn is_spelt(value: &Value, text: &str) -> bool {
    match value {
        Value::Text(clean) => **clean == *text,
        Value::Date(_) if text.len() != "2026-01-31".len() => false,
        Value::Bool(truth) => text == if *truth { "true" } else { "false" },
        other => canonical_text(other) == *text,
    }
}

fn one_of(words: &[String]) -> String {
    let named = words.iter().take(MOST_WORDS).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if words.len() > MOST_WORDS { ", …" } else { "" };
    format!("one of {named}{more}")
}

fn clean_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Text(text) => Cow::Borrowed(text),
        other => Cow::Owned(canonical_text(other)),
    }
}

fn outside_range(rules: &FieldRules, value: &Value) -> Option<String> {
    let (least, most) = rules.range.as_ref()?;
    let number = match value {
        Value::Int(number) => Decimal::from(*number),
        Value::Decimal(number) => *number,
        _ => return None,
    };
    let outside = least.is_some_and(|it| number < it) || most.is_some_and(|it| number > it);
    outside.then(|| bounds(*least, *most))
}

fn bounds<T: std::fmt::Display + PartialEq>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(a), Some(b)) if a == b => a.to_string(),
        (Some(a), Some(b)) => format!("{a}..{b}"),
        (Some(a), None) => format!("{a}.."),
        (None, Some(b)) => format!("..{b}"),
        (None, None) => "..".into(),
    }
}

/// Age at receipt; `None` for what is no time. A date is as young as its last moment.
fn age(value: &Value, clock: &Clock) -> Option<std::time::Duration> {
    let at: Timestamp = match value {
        Value::DateTime { at, .. } => *at,
        Value::Date(date) => {
            let next = date.checked_add(1.day()).unwrap_or(*date);
            next.to_zoned(clock.zone.clone()).ok()?.timestamp()
        }
        _ => return None,
    };
    let age = clock.now.duration_since(at);
    Some(std::time::Duration::try_from(age).unwrap_or_default())
}

fn humane(age: std::time::Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        s if s >= 86_400 && s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s >= 3_600 && s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s >= 60 && s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// A rule's value as the field's type. What is no such value is not bent into one.
fn into_value(plan: &FieldPlan, operand: Operand<'_>) -> Result<Option<Value>, String> {
    Ok(Some(match operand {
        Operand::Number(number) if plan.codec.kind() == Kind::Int => {
            let whole = number.is_integer().then(|| i64::try_from(number.trunc()).ok()).flatten();
            Value::Int(whole.ok_or_else(|| "the result is not a whole number of at most 64 bits".to_owned())?)
        }
        Operand::Number(number) => Value::Decimal(number),
        Operand::Text(text) => Value::Text(text.into()),
        Operand::Bool(truth) => Value::Bool(truth),
        Operand::Date(date) => Value::Date(date),
        Operand::Time(time) => Value::Time(time),
        Operand::DateTime(at) => Value::DateTime { at, offset: jiff::tz::Offset::UTC },
        Operand::Missing | Operand::Duration(_) | Operand::Bytes(_) | Operand::List(_) => return Ok(None),
    }))
}
