//! What `write` writes: names resolve, code tables are total, places are in the contract.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    super::{
        address::{Axis, Path, Step},
        diagnostic::{Diagnostics, shown},
        file::{Overflow, WriteEntry, WriteField},
        plan::{self, Shape, Write, WriteFrom},
        syntax::Node,
    },
    Desk, MOST_IN_BLOCK, bounds, fields,
    names::Names,
    source, spelling,
};
use crate::{
    interpret::{Codec, Kind, Spelling},
    ports::{Contract, Direction},
    rule::{Root, Slot, Type},
};

/// Deepest repeated place within repeated places.
const DEEPEST: usize = 8;

/// The shapes that slots point into.
#[derive(Clone, Copy)]
pub(super) struct Shapes<'a> {
    pub record: &'a Shape,
    pub answer: Option<&'a Shape>,
    pub trailer: Option<&'a Shape>,
}

/// Compiles a block `write` at the reply's root.
pub(super) fn block(
    desk: &Desk<'_>,
    contract: Option<Arc<dyn Contract>>,
    shapes: Shapes<'_>,
    node: &Node,
    entries: &IndexMap<String, WriteEntry>,
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> Vec<Write> {
    let writing = Writing { desk, contract, shapes };
    let level = Level { here: vec![shapes.record], base: Vec::new() };
    writing.block(node, entries, names, &level, diagnostics)
}

/// Where the compilation of `write` stands: the shape around it, innermost first, and the repeated places.
struct Level<'a> {
    here: Vec<&'a Shape>,
    base: Vec<Path>,
}

struct Writing<'a> {
    desk: &'a Desk<'a>,
    contract: Option<Arc<dyn Contract>>,
    shapes: Shapes<'a>,
}

impl<'a> Writing<'a> {
    fn block(
        &self,
        node: &Node,
        entries: &IndexMap<String, WriteEntry>,
        names: &Names,
        level: &Level<'a>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Write> {
        let listed = node.entries();
        if listed.len() > MOST_IN_BLOCK || level.base.len() > DEEPEST {
            let title =
                format!("more than {MOST_IN_BLOCK} places, or {DEEPEST} repeated places inside each other");
            diagnostics.push("M008", &node.span, title, "too many");
            return Vec::new();
        }
        let one = |(key, value): &(Node, Node)| {
            let place = self.place(key, level, diagnostics);
            match entries.get(key.text()?)? {
                WriteEntry::Short(_) => self.named(place, value, names, level, diagnostics),
                WriteEntry::Full(field) if value.get("each").is_some() || value.get("write").is_some() => {
                    self.each(place, key, value, field, names, level, diagnostics)
                }
                WriteEntry::Full(field) => self.value(place, key, value, field, names, level, diagnostics),
            }
        };
        listed.iter().filter_map(one).collect()
    }

    fn place(&self, key: &Node, level: &Level<'_>, diagnostics: &mut Diagnostics) -> Path {
        let Some(text) = key.text() else { return Path::default() };
        if text == "." && !level.base.is_empty() {
            return Path { absolute: false, steps: vec![Step::current()] };
        }
        match Path::parse_place(text, self.desk.kind, &self.desk.namespaces) {
            Ok(path) => {
                let base: Vec<&Path> = level.base.iter().collect();
                let is_known = self.contract.as_ref().is_none_or(|it| {
                    source::against(it.as_ref(), self.desk, key, Direction::Reply, &base, &path, diagnostics)
                });
                if is_known { path } else { Path::default() }
            }
            Err(error) => {
                fields::report(&error, key, "in this place", diagnostics);
                Path::default()
            }
        }
    }

    /// A bare clean name: the value as its own field spells it.
    fn named(
        &self,
        place: Path,
        node: &Node,
        names: &Names,
        level: &Level<'a>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Write> {
        let (kind, slot) = names.find(node, diagnostics)?;
        self.is_single(&kind, &slot, node, diagnostics);
        let source = self.field(&slot, level);
        let keeps_raw = source.is_some_and(|it| reads_raw(&slot, it));
        let codec = source.map_or_else(|| fact_codec(&slot), |it| it.codec.clone());
        let from = WriteFrom::Slot(slot);
        Some(Write::Value { place, from, codec, longest: None, cut: false, default: None, keeps_raw })
    }

    fn is_single(&self, kind: &Type, slot: &Slot, node: &Node, diagnostics: &mut Diagnostics) {
        if matches!(kind, Type::List(_)) && slot.root != Root::Findings {
            let title = format!("`{}` is a list", shown(node.text().unwrap_or_default()));
            diagnostics
                .push("M018", &node.span, title, "a single value is needed here")
                .help("write a repeated place with `each:` and a `write:` block of its own");
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place of the file with all that is known around it")]
    fn value(
        &self,
        place: Path,
        key: &Node,
        node: &Node,
        field: &WriteField,
        names: &Names,
        level: &Level<'a>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Write> {
        let mut found = ["from", "value", "compute"].into_iter().filter_map(|it| node.entry(it));
        match (found.next(), found.next()) {
            (None, _) if !self.desk.spoilt.touches(&node.span) => {
                let title =
                    format!("`{}` does not say what is written", shown(key.text().unwrap_or_default()));
                diagnostics.push("M026", &key.span, title, "needs `from`, `value`, `compute` or `each`");
            }
            (Some((first, _)), Some((second, _))) => {
                diagnostics
                    .push("M015", &second.span, "one place has one value", "leave one of them out")
                    .also(&first.span, "and from here");
            }
            _ => {}
        }
        let longest = self.longest(node, field, diagnostics);
        let cut = field.overflow == Some(Overflow::Cut);
        if let (true, None, Some((key, _))) = (cut, &field.length, node.entry("overflow")) {
            diagnostics.push("M012", &key.span, "`overflow: cut` needs `length`", "how long may it be?");
        }
        let default = field.default.as_ref().map(|it| it.0.clone());
        if let Some(text) = &field.value {
            let (from, codec) = (WriteFrom::Constant(text.0.clone()), Codec::default());
            return Some(Write::Value { place, from, codec, longest, cut, default, keeps_raw: false });
        }
        if let Some(rule_node) = node.get("compute") {
            let wanted = field.kind.map(Type::of_kind);
            let rule = names.rule(rule_node, wanted.as_ref(), diagnostics)?;
            if let Type::List(_) | Type::Record | Type::Duration = rule.kind() {
                diagnostics.push(
                    "M018",
                    &rule_node.span,
                    "one place has one value",
                    "this rule gives something else",
                );
            }
            let codec = self.codec(node, field, spelling::kind_of_type(rule.kind()), diagnostics);
            self.total(node, rule.kind(), &codec, None, diagnostics);
            let from = WriteFrom::Computed(rule);
            return Some(Write::Value { place, from, codec, longest, cut, default, keeps_raw: false });
        }
        let from_node = node.get("from")?;
        let (kind, slot) = names.find(from_node, diagnostics)?;
        self.is_single(&kind, &slot, from_node, diagnostics);
        let source = self.field(&slot, level);
        let own = source.map_or_else(|| fact_codec(&slot), |it| it.codec.clone());
        let respelt = ["type", "format", "pivot", "codes"].iter().any(|it| node.get(it).is_some());
        let codec = if respelt { self.codec(node, field, own.kind(), diagnostics) } else { own.clone() };
        if !names.is_doubtful(from_node.text().unwrap_or_default()) {
            self.total(node, &kind, &codec, Some(from_node), diagnostics);
        }
        let is_same =
            !respelt || matches!((own.codes(), codec.codes()), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
        let keeps_raw = is_same && source.is_some_and(|it| reads_raw(&slot, it));
        let from = WriteFrom::Slot(slot);
        Some(Write::Value { place, from, codec, longest, cut, default, keeps_raw })
    }

    fn longest(&self, node: &Node, field: &WriteField, diagnostics: &mut Diagnostics) -> Option<u64> {
        let (text, node) = (field.length.as_ref()?, node.get("length")?);
        match bounds::between::<u64>(text.as_str()) {
            Ok((_, most)) => most,
            Err(expected) => {
                let title = format!("`{}` is not a length", shown(text.as_str()));
                diagnostics
                    .push("M032", &node.span, title, expected)
                    .help("e.g. `..255`: at most 255 characters");
                None
            }
        }
    }

    fn codec(&self, node: &Node, field: &WriteField, own: Kind, diagnostics: &mut Diagnostics) -> Codec {
        let spelt = Spelling {
            kind: field.kind.unwrap_or(own),
            format: field.format.as_ref().map(|it| it.0.clone()),
            pivot: field.pivot,
            ..Spelling::default()
        };
        spelling::codec(self.desk, node, spelt, diagnostics).0
    }

    /// Every clean value that can come has a legacy code.
    fn total(
        &self,
        node: &Node,
        kind: &Type,
        codec: &Codec,
        from: Option<&Node>,
        diagnostics: &mut Diagnostics,
    ) {
        let (Some(table), Some(at)) = (codec.codes(), node.get("codes")) else { return };
        let truth: [String; 2] = ["true".into(), "false".into()];
        let words: &[String] = match kind {
            Type::Words(words) => words,
            Type::Bool => &truth,
            _ => {
                let found = diagnostics.push(
                    "M027",
                    &at.span,
                    "not every value has a legacy code here",
                    "this table is not total",
                );
                if let Some(from) = from {
                    found.also(&from.span, "this can be any value");
                }
                found.help("give the field a `one_of` or a code table, so that its values are known");
                return;
            }
        };
        let missing: Vec<String> = words
            .iter()
            .filter(|it| table.legacy(it).is_none())
            .map(|it| format!("`{}`", shown(it)))
            .collect();
        if missing.is_empty() {
            return;
        }
        let title =
            format!("`{}` can not write {}", shown(at.text().unwrap_or_default()), missing.join(", "));
        let found = diagnostics.push("M027", &at.span, title, "no legacy code for this");
        if let Some(from) = from {
            found.also(&from.span, format!("can be {}", words.join(", ")));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place of the file with all that is known around it")]
    fn each(
        &self,
        place: Path,
        key: &Node,
        node: &Node,
        field: &WriteField,
        names: &Names,
        level: &Level<'a>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Write> {
        for missing in ["each", "write"].into_iter().filter(|it| node.get(it).is_none()) {
            let title =
                format!("the repeated place `{}` needs `{missing}`", shown(key.text().unwrap_or_default()));
            diagnostics.push("M012", &key.span, title, "missing here");
        }
        for (key, _) in node.entries().iter().filter(|(key, _)| !matches!(key.text(), Some("each" | "write")))
        {
            if let Some(name) = key.text() {
                let title = format!("`{}` has no meaning for a repeated place", shown(name));
                diagnostics.push("M015", &key.span, title, "put it on a place inside `write`");
            }
        }
        if place.steps.last().is_some_and(|it| it.axis == Axis::Attribute) {
            let title =
                format!("`{}` is an attribute: it can not repeat", shown(key.text().unwrap_or_default()));
            diagnostics.push("M020", &key.span, title, "not a repeated place");
        }
        if place.steps.last().is_some_and(|it| it.axis == Axis::Current) {
            let title = "`.` is the repeated element itself: it can not repeat once more";
            diagnostics.push("M020", &key.span, title, "not a repeated place");
        }
        let list = node.get("each")?;
        let (kind, slot) = names.find(list, diagnostics)?;
        let shape = self.items(&slot, level);
        let Some(shape) = shape.filter(|_| matches!(&kind, Type::List(inner) if **inner == Type::Record))
        else {
            if !names.is_doubtful(list.text().unwrap_or_default()) {
                let title = format!("`{}` is not a list of records", shown(list.text().unwrap_or_default()));
                diagnostics.push("M018", &list.span, title, "expected the name of a field with `each`");
            }
            return None;
        };
        let mut inner_names = names.seen_by_items();
        declare_items(shape, list.text().unwrap_or_default(), names, &mut inner_names);
        let mut here = vec![shape];
        here.extend(level.here.iter().copied());
        let mut base = level.base.clone();
        base.push(place.clone());
        let inside = Level { here, base };
        let (inner, entries) = (node.get("write")?, field.write.as_ref()?);
        let write = self.block(inner, entries, &inner_names, &inside, diagnostics);
        Some(Write::Each { place, list: slot, write })
    }

    /// The shape that a slot starts in.
    fn start(&self, slot: &Slot, level: &Level<'a>) -> Option<&'a Shape> {
        match slot.root {
            Root::Here => level.here.first().copied(),
            Root::Outer(levels) => level.here.get(usize::from(levels)).copied(),
            Root::Answer => self.shapes.answer,
            Root::Trailer => self.shapes.trailer,
            Root::Records => Some(self.shapes.record),
            _ => None,
        }
    }

    /// The field that a slot points at.
    fn field(&self, slot: &Slot, level: &Level<'a>) -> Option<&'a plan::FieldPlan> {
        let mut shape = self.start(slot, level)?;
        let mut steps = slot.path.iter().peekable();
        while let Some(step) = steps.next() {
            let field = shape.fields.get(usize::from(*step))?;
            if steps.peek().is_none() {
                return Some(field);
            }
            match &field.from {
                plan::From::Each { shape: inner, .. } => shape = inner,
                _ => return None,
            }
        }
        None
    }

    /// The shape of a list's items.
    fn items(&self, slot: &Slot, level: &Level<'a>) -> Option<&'a Shape> {
        match &self.field(slot, level)?.from {
            plan::From::Each { shape, .. } => Some(shape),
            _ => None,
        }
    }
}

/// Declares the fields of an item by their own names.
fn declare_items(shape: &Shape, list: &str, outer: &Names, inner: &mut Names) {
    for (slot, field) in shape.fields.iter().enumerate() {
        let mut sketch = sketch_of(field);
        sketch.doubtful = outer.is_doubtful(&format!("{list}.{}", field.name));
        inner.declare_field(&sketch, slot, "", Root::Here);
    }
}

fn sketch_of(field: &plan::FieldPlan) -> super::Sketch {
    let (kind, inner) = match &field.from {
        plan::From::Each { shape, .. } => {
            (Type::List(Box::new(Type::Record)), shape.fields.iter().map(sketch_of).collect())
        }
        _ => (Type::of(&field.codec, field.rules.one_of.as_deref()), Vec::new()),
    };
    super::Sketch { name: Arc::clone(&field.name), kind, doubtful: false, inner }
}

/// True where the value was read from the document: its own spelling is written back.
fn reads_raw(slot: &Slot, field: &plan::FieldPlan) -> bool {
    matches!(slot.root, Root::Here | Root::Outer(_) | Root::Trailer)
        && matches!(field.from, plan::From::Addresses(_))
}

/// How what is no field is spelt when the mapping does not say.
fn fact_codec(slot: &Slot) -> Codec {
    let kind = match slot.root {
        Root::FlowVersion => Kind::Int,
        Root::Cost => Kind::Decimal,
        _ => Kind::Text,
    };
    Codec::compile(&Spelling { kind, ..Spelling::default() }).unwrap_or_default()
}
