//! Raw fields to typed values, and the checks that look at one field.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;

use crate::{
    finding::{Check, Finding, Outcome},
    interpret::{Complaint, Reading, canonical_text},
    mapping::plan::{FieldPlan, FieldRules, From, Shape},
    origin::Origin,
    ports::{Defect, RawField, RawRecord},
    record::{Field, Record, Value},
    rule::{Clock, Operand, Rule, bindings::RecordBindings},
};

/// Longest text shown as `found`.
const SHOWN: usize = 120;

/// Interprets records one after the other and collects what it finds.
pub(super) struct Reader<'a> {
    clock: &'a Clock,
    pub(super) findings: Vec<Finding>,
    path: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self { clock, findings: Vec::new(), path: String::new() }
    }

    /// One record; `prefix` leads the names in findings.
    pub(super) fn record(&mut self, shape: &Arc<Shape>, raw: RawRecord, prefix: &str) -> Record {
        self.path.clear();
        self.path.push_str(prefix);
        self.fields(shape, raw, None)
    }

    fn fields(&mut self, shape: &Arc<Shape>, raw: RawRecord, outer: Option<&RecordBindings<'_>>) -> Record {
        let mut record = Record::empty(Arc::clone(shape));
        let mut raws = raw.fields.into_iter();
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
                let field = self.computed(plan, rule, so_far, outer);
                self.absent_if_none(plan, field, None)
            }
            From::Each { shape, .. } => {
                let RawField::Items(items) = raw else { return self.absent(plan, None) };
                self.list(plan, shape, items, so_far, outer)
            }
        }
    }

    fn read(&mut self, plan: &FieldPlan, raw: RawField) -> Option<Field> {
        let (text, origin) = match raw {
            RawField::Text { text, origin } => (text, origin),
            RawField::Absent { at } => return self.absent(plan, at),
            RawField::Items(_) => return self.absent(plan, None),
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
                None
            }
        }
    }

    fn keep(&mut self, plan: &FieldPlan, value: Value, text: Box<str>, origin: Origin) -> Option<Field> {
        self.check(plan, &value, &text, &origin);
        let raw = match &value {
            Value::Text(clean) if **clean == *text => None,
            other if !matches!(other, Value::Text(_)) && canonical_text(other) == *text => None,
            _ => Some(text),
        };
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

    fn absent_if_none(
        &mut self,
        plan: &FieldPlan,
        field: Option<Field>,
        at: Option<Origin>,
    ) -> Option<Field> {
        field.or_else(|| self.absent(plan, at))
    }

    /// A value that the mapping itself spells: it was checked when the mapping was compiled.
    fn clean(&mut self, plan: &FieldPlan, text: &str, origin: Origin) -> Option<Field> {
        match plan.codec.read_clean(text) {
            Reading::Value(value) | Reading::Doubtful(value, _) => Some(Field { value, origin, raw: None }),
            Reading::Empty | Reading::Unreadable(_) => None,
        }
    }

    fn computed(
        &mut self,
        plan: &FieldPlan,
        rule: &Rule,
        so_far: &Record,
        outer: Option<&RecordBindings<'_>>,
    ) -> Option<Field> {
        let bindings = RecordBindings { outer, ..RecordBindings::of(so_far) };
        let value = match rule.run(&bindings, self.clock) {
            Ok(operand) => into_value(plan, operand)?,
            Err(failure) => {
                let otherwise = plan.rules.otherwise.unwrap_or(Outcome::Review);
                let expected = Cow::Owned(format!("a value from `compute`: {failure}"));
                self.push(Check::RuleFailed, otherwise, None, expected, None);
                return None;
            }
        };
        let text = canonical_text(&value);
        self.check(plan, &value, &text, &Origin::Computed);
        Some(Field { value, origin: Origin::Computed, raw: None })
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
        let mark = self.path.len();
        let mut records = Vec::with_capacity(items.len());
        for (index, raw) in items.into_iter().enumerate() {
            let _ = write!(self.path, "[{}].", index.saturating_add(1));
            records.push(self.fields(shape, raw, Some(&around)));
            self.path.truncate(mark);
        }
        self.unique_items(shape, &records);
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.length(plan, count, "items", None, &origin);
        Some(Field { value: Value::List(records), origin, raw: None })
    }

    fn unique_items(&mut self, shape: &Shape, records: &[Record]) {
        for (slot, plan) in shape.fields.iter().enumerate().filter(|(_, plan)| plan.rules.unique) {
            let mut seen = std::collections::HashSet::new();
            for (index, field) in records.iter().enumerate().filter_map(|(i, it)| Some((i, it.at(slot)?))) {
                let text = canonical_text(&field.value);
                if !seen.insert(text.clone()) {
                    let mark = self.path.len();
                    let _ = write!(self.path, "[{}].{}", index.saturating_add(1), plan.name);
                    let otherwise = plan.rules.otherwise.unwrap_or(Outcome::Review);
                    let found = shown(plan, &text);
                    let expected = Cow::Borrowed("a value that no other item has");
                    self.push(Check::Unique, otherwise, Some(field.origin.clone()), expected, Some(found));
                    self.path.truncate(mark);
                }
            }
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
                self.fail(plan, Check::OneOf, format!("one of {}", words.join(", ")), raw, origin);
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
            let found = raw.map(|raw| shown(plan, raw)).unwrap_or_else(|| format!("{count} {unit}").into());
            let otherwise = plan.rules.otherwise.unwrap_or(Outcome::Review);
            self.push(Check::Length, otherwise, Some(origin.clone()), Cow::Owned(expected), Some(found));
        }
    }

    fn complain(&mut self, plan: &FieldPlan, complaint: Complaint, raw: &str, origin: &Origin) {
        // An unreadable value of a field that must be there is as bad as none.
        let default = match (complaint.check, plan.rules.required) {
            (Check::Type | Check::Codes, Some(required)) => required.max(Outcome::Review),
            _ => Outcome::Review,
        };
        let outcome = plan.rules.otherwise.unwrap_or(default);
        self.push(complaint.check, outcome, Some(origin.clone()), complaint.expected, Some(shown(plan, raw)));
    }

    fn fail(&mut self, plan: &FieldPlan, check: Check, expected: String, raw: &str, origin: &Origin) {
        let outcome = plan.rules.otherwise.unwrap_or(Outcome::Review);
        self.push(check, outcome, Some(origin.clone()), Cow::Owned(expected), Some(shown(plan, raw)));
    }

    fn push(
        &mut self,
        check: Check,
        outcome: Outcome,
        origin: Option<Origin>,
        expected: Cow<'static, str>,
        found: Option<Box<str>>,
    ) {
        self.findings.push(Finding {
            check,
            outcome,
            field: self.path.as_str().into(),
            origin,
            expected,
            found,
            say: None,
        });
    }
}

/// What an extractor could not read, as a finding of the field that it names.
pub(super) fn from_defect(shape: &Shape, defect: &Defect) -> Finding {
    let plan = plan_of(shape, &defect.field);
    let outcome = plan.and_then(|it| it.rules.otherwise).unwrap_or(Outcome::Review);
    let masked = plan.is_some_and(|it| it.mask.is_some());
    let found = defect.found.as_deref().map(|text| if masked { "***".into() } else { cut(text) });
    Finding {
        check: defect.check,
        outcome,
        field: defect.field.clone(),
        origin: Some(defect.origin.clone()),
        expected: Cow::Owned(defect.expected.clone()),
        found,
        say: None,
    }
}

/// The plan of `lines[2].amount`.
fn plan_of<'a>(shape: &'a Shape, name: &str) -> Option<&'a FieldPlan> {
    let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let head = head.split('[').next().unwrap_or(head);
    let plan = shape.fields.get(shape.slot(head)?)?;
    match (rest, &plan.from) {
        (Some(rest), From::Each { shape, .. }) => plan_of(shape, rest),
        _ => Some(plan),
    }
}

/// `found` as it may be shown: masked fields never are.
pub(super) fn shown(plan: &FieldPlan, raw: &str) -> Box<str> {
    if plan.mask.is_some() { "***".into() } else { cut(raw) }
}

fn cut(text: &str) -> Box<str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
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

/// A rule's value as the field's type.
fn into_value(plan: &FieldPlan, operand: Operand<'_>) -> Option<Value> {
    use crate::interpret::Kind;
    Some(match operand {
        Operand::Number(number) if plan.codec.kind() == Kind::Int => {
            Value::Int(i64::try_from(number.round()).ok()?)
        }
        Operand::Number(number) => Value::Decimal(number),
        Operand::Text(text) => Value::Text(text.into()),
        Operand::Bool(truth) => Value::Bool(truth),
        Operand::Date(date) => Value::Date(date),
        Operand::Time(time) => Value::Time(time),
        Operand::DateTime(at) => Value::DateTime { at, offset: jiff::tz::Offset::UTC },
        Operand::Missing | Operand::Duration(_) | Operand::Bytes(_) | Operand::List(_) => return None,
    })
}
