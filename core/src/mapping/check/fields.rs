//! The fields of a record: where each comes from, how it is spelt, what must hold.

use std::sync::Arc;

use super::{
    super::{
        address::{Address, AddressError, Axis, Path},
        diagnostic::{Diagnostics, Span, shown},
        file::{Entry, Field, Fields},
        plan,
        syntax::Node,
    },
    Desk, MOST_IN_BLOCK,
    limits::{Limits, fitting, rules},
    names::{Names, Sketch},
    source, spelling,
};
use crate::{
    interpret::{Codec, Kind, Spelling},
    mapping::shape::Word,
    ports::Direction,
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
    let outside = std::mem::take(&mut names.later);
    names.later = entries.iter().filter_map(|(key, _)| key.text()).map(str::to_owned).collect();
    for (key, value) in entries {
        let Some(name) = key.text() else { continue };
        if plans.iter().any(|it: &plan::FieldPlan| &*it.name == name) {
            continue;
        }
        lower_case(key, diagnostics);
        names.later.remove(name);
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
    names.later = outside;
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
        self.refuse_confidence(diagnostics);
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
        let kind = Type::of(&codec, rules.one_of.as_deref());
        let mut plan = self.plan(from, codec, rules);
        plan.mask = field.mask;
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

    /// What is read exactly is always read with enough confidence: asking for it would promise a check that never fails.
    fn refuse_confidence(&self, diagnostics: &mut Diagnostics) {
        if let Some((key, _)) = self.node.entry("confidence") {
            let title = format!("every value of kind {} is read exactly", self.desk.kind);
            diagnostics
                .push("M016", &key.span, title, "remove this")
                .help("`confidence` is for sources that are read with doubt, such as pdf");
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
            let wanted = field.kind.map(Type::of_kind);
            if let Some(rule) = names.rule(node, wanted.as_ref(), diagnostics) {
                let kind = rule.kind().clone();
                if let Type::List(_) | Type::Record | Type::Duration = kind {
                    diagnostics
                        .push("M018", &node.span, "a field holds a single value", "this rule gives something else")
                        .help("use `sum`, `count`, `min`, `max`, `any` or `all` for lists, `days_between` for dates");
                    return (plan::From::Addresses(Vec::new()), None);
                }
                return (plan::From::Computed(rule), Some(kind));
            }
        }
        (plan::From::Addresses(Vec::new()), None)
    }

    fn address(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Address> {
        let text = node.text().filter(|_| !node.is_blank())?;
        let found = Address::parse(text, self.desk.kind, &self.desk.namespaces);
        let found = found.and_then(|it| match it {
            Address::Path(path) => self.in_row(path, text).map(Address::Path),
            other => Ok(other),
        });
        match found {
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
        const SINGLE: [&str; 13] = [
            "type", "format", "pivot", "empty", "codes", "default", "range", "pattern", "one_of", "max_age",
            "unique", "mask", "currency",
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
                block(self.desk, node, fields, &base, &mut names.seen_by_items(), diagnostics)
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

    /// Outside of what repeats, a path of a row begins with a column.
    fn in_row(&self, path: Path, text: &str) -> Result<Path, AddressError> {
        if self.desk.kind == "cdc" && self.base.is_empty() { path.in_row(text) } else { Ok(path) }
    }

    fn repeated(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Path> {
        let text = node.text().filter(|_| !node.is_blank())?;
        let found = Path::parse(text, self.desk.kind, &self.desk.namespaces);
        match found.and_then(|path| self.in_row(path, text)) {
            Ok(path) => (repeats(&path, node, diagnostics)
                && source::in_contract(self.desk, node, Direction::Request, self.base, &path, diagnostics))
            .then_some(path),
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

/// False, and reported, where `each` names an attribute: an element has it once, and nothing stands below it.
pub(super) fn repeats(path: &Path, node: &Node, diagnostics: &mut Diagnostics) -> bool {
    let is_attribute = path.steps.last().is_some_and(|it| it.axis == Axis::Attribute);
    if is_attribute {
        let title =
            format!("`{}` is an attribute: it does not repeat", shown(node.text().unwrap_or_default()));
        diagnostics
            .push("M020", &node.span, title, "not a repeated element")
            .help("`each` names an element; read the attribute as a field of the item");
    }
    !is_attribute
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
