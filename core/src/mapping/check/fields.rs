//! The fields of a record: where each comes from, how it is spelt, what must hold.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{
    super::{
        address::{Address, AddressError, Path},
        diagnostic::{Diagnostics, Span, shown},
        file::{Entry, Field, Fields, Mask},
        plan,
        syntax::Node,
    },
    Desk, MOST_IN_BLOCK, bounds,
    names::{Names, Sketch},
    source, spelling,
};
use crate::{
    finding::Outcome,
    interpret::{Codec, Kind, Reading, Spelling},
    mapping::shape::Word,
    ports::Direction,
    record::Value,
    rule::{Root, Type},
};

/// Deepest list within lists.
const DEEPEST: usize = 8;

/// Compiles the fields of one block, in the file's order. `names` gets each field after it is compiled, so that
/// `compute` sees what stands before it.
pub(super) fn block(
    desk: &Desk<'_>,
    node: &Node,
    fields: &Fields,
    base: &[&Path],
    names: &mut Names,
    diagnostics: &mut Diagnostics,
) -> (plan::Shape, Vec<Sketch>) {
    let entries = node.entries();
    let (mut plans, mut sketches) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    if entries.is_empty() {
        diagnostics.push("M026", &node.span, "there is no field here", "expected at least one field");
    }
    if entries.len() > MOST_IN_BLOCK || base.len() > DEEPEST {
        let title =
            format!("more than {MOST_IN_BLOCK} fields in a record, or {DEEPEST} lists inside each other");
        diagnostics.push("M008", &node.span, title, "too many");
        return (plan::Shape { fields: plans }, sketches);
    }
    for (key, value) in entries {
        let Some(name) = key.text() else { continue };
        if plans.iter().any(|it: &plan::FieldPlan| &*it.name == name) {
            continue;
        }
        lower_case(key, diagnostics);
        let one = One { desk, key, node: value, name, base };
        let (plan, sketch) = match fields.get(name) {
            Some(Entry::Short(_)) => one.short(diagnostics),
            Some(Entry::Full(field)) => one.full(field, names, diagnostics),
            None => one.broken(),
        };
        names.declare_field(&sketch, sketches.len(), "", Root::Here);
        plans.push(plan);
        sketches.push(sketch);
    }
    (plan::Shape { fields: plans }, sketches)
}

/// Clean names are written alike everywhere: in rules, prompts, answers and JSON.
pub(super) fn lower_case(key: &Node, diagnostics: &mut Diagnostics) {
    let name = key.text().unwrap_or_default();
    let fits = name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if !fits {
        diagnostics
            .push("M025", &key.span, "a clean name is written in lower_case", "here")
            .help("small letters, digits and `_`, beginning with a letter, at most 64");
    }
}

/// One field while it is compiled.
struct One<'a> {
    desk: &'a Desk<'a>,
    key: &'a Node,
    node: &'a Node,
    name: &'a str,
    base: &'a [&'a Path],
}

impl One<'_> {
    /// Its name stays, so that nothing that uses it is reported as well.
    fn broken(&self) -> (plan::FieldPlan, Sketch) {
        let from = plan::From::Addresses(Vec::new());
        (self.plan(from, Codec::default(), plan::FieldRules::default()), self.sketch(Type::Text, true))
    }

    fn plan(&self, from: plan::From, codec: Codec, rules: plan::FieldRules) -> plan::FieldPlan {
        plan::FieldPlan { name: self.name.into(), from, codec, rules, mask: None, description: None }
    }

    fn sketch(&self, kind: Type, doubtful: bool) -> Sketch {
        Sketch { name: self.name.into(), kind, doubtful, inner: Vec::new() }
    }

    fn short(&self, diagnostics: &mut Diagnostics) -> (plan::FieldPlan, Sketch) {
        let address = self.address(self.node, diagnostics);
        let from = plan::From::Addresses(address.into_iter().collect());
        let mut none = Diagnostics::default();
        // A bare address is text: its codec can not fail.
        let (codec, _) = spelling::codec(self.desk, self.node, Spelling::default(), &mut none);
        (self.plan(from, codec, plan::FieldRules::default()), self.sketch(Type::Text, false))
    }

    fn full(&self, field: &Field, names: &Names, diagnostics: &mut Diagnostics) -> (plan::FieldPlan, Sketch) {
        self.refuse_sections(diagnostics);
        self.one_source(diagnostics);
        if self.node.get("each").is_some() || self.node.get("record").is_some() {
            return self.list(field, names, diagnostics);
        }
        let (from, computed) = self.from(field, names, diagnostics);
        let kind = field.kind.or_else(|| computed.as_ref().map(spelling::kind_of_type)).unwrap_or_default();
        let spelt = Spelling {
            kind,
            format: field.format.as_ref().map(|it| it.0.clone()),
            pivot: field.pivot,
            empty: field.empty.iter().flat_map(|it| it.as_slice()).map(|it| it.0.clone()).collect(),
            ..Spelling::default()
        };
        let (codec, is_wrong) = spelling::codec(self.desk, self.node, spelt, diagnostics);
        let doubtful = is_wrong
            || self.desk.spoilt.touches(&self.node.span)
            || (field.compute.is_some() && computed.is_none() && field.kind.is_none());
        let rules = rules(self.node, &Limits::of(field), &codec, doubtful, diagnostics);
        if let (Some(node), plan::From::Constant(text), false) = (self.node.get("value"), &from, doubtful) {
            fitting(node, text, "value", &codec, &rules, diagnostics);
        }
        let kind = spelling::type_of(&codec, rules.one_of.as_deref());
        let mut plan = self.plan(from, codec, rules);
        plan.mask = field.mask.map(mask);
        plan.description = field.about.clone().or_else(|| field.description.clone());
        self.mask_fits(&plan, diagnostics);
        self.currency_fits(field.currency.as_deref(), &plan, doubtful, diagnostics);
        (plan, self.sketch(kind, doubtful))
    }

    fn refuse_sections(&self, diagnostics: &mut Diagnostics) {
        if let Some((key, _)) = self.node.entry("sections") {
            let title = format!("`sections` has no meaning in a source of kind {}", self.desk.kind);
            diagnostics
                .push("M017", &key.span, title, "remove this")
                .help("an element that must be there is a field with `required: yes`");
        }
    }

    /// A value comes from one place only.
    fn one_source(&self, diagnostics: &mut Diagnostics) {
        let mut found =
            ["from", "value", "compute", "each"].into_iter().filter_map(|key| self.node.entry(key));
        match (found.next(), found.next()) {
            (None, _) if self.node.get("record").is_none() && !self.desk.spoilt.touches(&self.node.span) => {
                let title = format!("`{}` does not say where it comes from", shown(self.name));
                diagnostics.push("M026", &self.key.span, title, "needs `from`, `value`, `compute` or `each`");
            }
            (Some((first, _)), Some((second, _))) => {
                let title = format!("`{}` comes from two places", shown(self.name));
                diagnostics
                    .push("M015", &second.span, title, "leave one of them out")
                    .also(&first.span, "and from here");
            }
            _ => {}
        }
    }

    fn from(
        &self,
        field: &Field,
        names: &Names,
        diagnostics: &mut Diagnostics,
    ) -> (plan::From, Option<Type>) {
        if let Some(node) = self.node.get("from") {
            let found = node.items().iter().filter_map(|it| self.address(it, diagnostics)).collect();
            return (plan::From::Addresses(found), None);
        }
        if let Some(Word(text)) = &field.value {
            return (plan::From::Constant(text.clone()), None);
        }
        if let (Some(_), Some(node)) = (&field.compute, self.node.get("compute")) {
            let wanted = field.kind.map(spelling::type_of_kind);
            if let Some(rule) = names.rule(node, wanted.as_ref(), diagnostics) {
                let kind = rule.kind().clone();
                if let Type::List(_) | Type::Record | Type::Duration = kind {
                    diagnostics
                        .push("M018", &node.span, "a field holds a single value", "this rule gives something else")
                        .help("use `sum`, `count`, `min`, `max`, `any` or `all` for lists, `days_between` for dates");
                }
                return (plan::From::Computed(rule), Some(kind));
            }
        }
        (plan::From::Addresses(Vec::new()), None)
    }

    fn address(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Address> {
        let text = node.text().filter(|_| !node.is_blank())?;
        match Address::parse(text, self.desk.kind, &self.desk.namespaces) {
            Ok(address) => {
                if let Address::Path(path) = &address {
                    source::in_contract(self.desk, node, Direction::Request, self.base, path, diagnostics);
                }
                Some(address)
            }
            Err(error) => {
                report(&error, node, &format!("in the address of `{}`", shown(self.name)), diagnostics);
                None
            }
        }
    }

    fn list(&self, field: &Field, names: &Names, diagnostics: &mut Diagnostics) -> (plan::FieldPlan, Sketch) {
        let each = self.node.get("each");
        let inner = self.node.get("record");
        if let (Some(_), None) = (each, inner) {
            self.lacks("record", "the fields of one item", diagnostics);
        }
        if let (None, Some(_)) = (each, inner) {
            self.lacks("each", "the address of what repeats", diagnostics);
        }
        const SINGLE: [&str; 14] = [
            "type",
            "format",
            "pivot",
            "empty",
            "codes",
            "default",
            "range",
            "pattern",
            "one_of",
            "max_age",
            "unique",
            "confidence",
            "mask",
            "currency",
        ];
        for (key, _) in SINGLE.iter().filter_map(|it| self.node.entry(it)) {
            let title = format!("`{}` has no meaning for a list", key.text().unwrap_or_default());
            diagnostics.push("M015", &key.span, title, "put it on a field of the item");
        }
        let path = each.and_then(|node| self.repeated(node, diagnostics)).unwrap_or_default();
        let mut base = self.base.to_vec();
        base.push(&path);
        let (shape, sketches) = match (inner, &field.record) {
            (Some(node), Some(fields)) => {
                block(self.desk, node, fields, &base, &mut names.from_inside(), diagnostics)
            }
            _ => (plan::Shape { fields: Vec::new() }, Vec::new()),
        };
        let mut sketch =
            self.sketch(Type::List(Box::new(Type::Record)), inner.is_none() || field.record.is_none());
        sketch.inner = sketches;
        let limits = Limits {
            length: field.length.as_ref(),
            required: field.required,
            otherwise: field.otherwise,
            complete: field.complete.as_ref(),
            ..Limits::default()
        };
        let rules = rules(self.node, &limits, &Codec::default(), false, diagnostics);
        (self.plan(plan::From::Each { path, shape: Arc::new(shape) }, Codec::default(), rules), sketch)
    }

    fn lacks(&self, key: &str, what: &str, diagnostics: &mut Diagnostics) {
        let title = format!("`{}` is a list and needs `{key}`", shown(self.name));
        diagnostics.push("M012", &self.key.span, title, "missing here").help(format!("{key}: {what}"));
    }

    fn repeated(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Path> {
        let text = node.text().filter(|_| !node.is_blank())?;
        match Path::parse(text, self.desk.kind, &self.desk.namespaces) {
            Ok(path) => {
                source::in_contract(self.desk, node, Direction::Request, self.base, &path, diagnostics)
                    .then_some(path)
            }
            Err(error) => {
                report(&error, node, &format!("in the address of `{}`", shown(self.name)), diagnostics);
                None
            }
        }
    }

    fn mask_fits(&self, plan: &plan::FieldPlan, diagnostics: &mut Diagnostics) {
        if plan.mask == Some(plan::Mask::Find)
            && (plan.codec.kind() != Kind::Text || plan.codec.codes().is_some())
            && let Some(node) = self.node.get("mask")
        {
            let title = "`find` looks inside free text, and this is none";
            diagnostics
                .push("M015", &node.span, title, format!("the field is {}", plan.codec.kind().word()))
                .help("use token, hash, last4 or drop");
        }
    }

    fn currency_fits(
        &self,
        currency: Option<&str>,
        plan: &plan::FieldPlan,
        doubtful: bool,
        diagnostics: &mut Diagnostics,
    ) {
        currency_fits(self.node, currency, plan.codec.kind(), doubtful, diagnostics);
    }
}

/// `currency` stands on money, as three capital letters.
pub(super) fn currency_fits(
    node: &Node,
    currency: Option<&str>,
    kind: Kind,
    doubtful: bool,
    diagnostics: &mut Diagnostics,
) {
    let (Some(currency), Some((key, value))) = (currency, node.entry("currency")) else { return };
    if kind != Kind::Money && !doubtful {
        diagnostics.push("M015", &key.span, "only money has a currency", "add `type: money`, or remove this");
    }
    if currency.len() != 3 || !currency.bytes().all(|it| it.is_ascii_uppercase()) {
        let title = format!("`{}` is not a currency", shown(currency));
        diagnostics.push("M031", &value.span, title, "expected three capital letters, e.g. EUR");
    }
}

fn mask(mask: Mask) -> plan::Mask {
    match mask {
        Mask::Token => plan::Mask::Token,
        Mask::Hash => plan::Mask::Hash,
        Mask::Last4 => plan::Mask::Last4,
        Mask::Find => plan::Mask::Find,
        Mask::Drop => plan::Mask::Drop,
    }
}

/// Puts an address error into the file.
pub(super) fn report(error: &AddressError, node: &Node, label: &str, diagnostics: &mut Diagnostics) {
    let span: Span = node.sub(error.span.clone());
    let found = diagnostics.push("M020", &span, error.title.clone(), label);
    if let Some(help) = &error.help {
        found.help(help.clone());
    }
    if let Some(fix) = &error.fix {
        found.fix(&span, fix.clone());
    }
}

/// The keys of a field that limit its values, of records and of answers alike.
#[derive(Default)]
pub(super) struct Limits<'f> {
    pub required: Option<super::super::file::Required>,
    pub default: Option<&'f Word>,
    pub length: Option<&'f Word>,
    pub range: Option<&'f Word>,
    pub pattern: Option<&'f str>,
    pub one_of: Option<&'f [Word]>,
    pub max_age: Option<&'f str>,
    pub unique: bool,
    pub complete: Option<&'f Word>,
    pub confidence: Option<&'f Word>,
    pub otherwise: Option<super::super::file::Otherwise>,
}

impl<'f> Limits<'f> {
    fn of(field: &'f Field) -> Self {
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
            confidence: field.confidence.as_ref(),
            otherwise: field.otherwise,
        }
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
        for (word, item) in words.iter().zip(listed) {
            if !doubtful {
                readable(item, word.as_str(), "one_of", codec, diagnostics);
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
    let canonical = crate::interpret::canonical_text(value);
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
