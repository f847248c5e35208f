//! The names that rules and written values may use.

use std::{collections::HashSet, sync::Arc};

use super::super::{
    diagnostic::{Diagnostic, Diagnostics, shown},
    syntax::Node,
};
use crate::{
    lookup::Table,
    rule::{Root, Rule, Scope, Slot, Type},
};

/// What is known of a field for rules. Its position in the list is its slot.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub name: Arc<str>,
    pub kind: Type,
    /// Something is wrong with it: its type is a guess.
    pub doubtful: bool,
    /// The fields of a list's items.
    pub inner: Vec<Sketch>,
}

/// What may stand in `pending`.
const PENDING_KNOWS: &str = "`pending` can write `ticket`, `flow.name`, `flow.version` and fixed texts";

/// Names in scope, and those whose type is a guess.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub scope: Scope,
    doubtful: HashSet<String>,
    /// Fields of the same block that stand further down.
    pub later: HashSet<String>,
    /// Names that are known only when the work is done.
    pub known_later: HashSet<String>,
    /// A whole section could not be read: an unknown name may be one of its.
    pub all_doubtful: bool,
}

impl Names {
    /// Declares one name without a path.
    pub fn declare_one(&mut self, name: &str, kind: Type, root: Root) {
        self.scope.declare(name, kind, Slot { root, path: Default::default() });
    }

    /// Declares what is refused already: rules that use it are right but for that.
    pub fn declare_doubtful(&mut self, name: &str) {
        self.declare_one(name, Type::List(Box::new(Type::Text)), Root::Records);
        self.doubtful.insert(name.to_owned());
    }

    /// Declares reference data for `in`.
    pub fn declare_lookup(&mut self, table: Arc<Table>) {
        self.scope.declare_lookup(table);
    }

    /// Declares a field and, for a list, its items' fields.
    pub fn declare_field(&mut self, sketch: &Sketch, slot: usize, prefix: &str, root: Root) {
        self.add(sketch, slot, prefix, &Slot { root, path: Default::default() }, false);
    }

    /// Declares fields with their slots.
    pub fn declare(&mut self, sketches: &[Sketch], prefix: &str, root: Root) {
        for (slot, sketch) in sketches.iter().enumerate() {
            self.declare_field(sketch, slot, prefix, root);
        }
    }

    /// Declares fields as lists: one value for each record of the document.
    pub fn declare_lists(&mut self, sketches: &[Sketch], prefix: &str, root: Root) {
        for (slot, sketch) in sketches.iter().enumerate() {
            self.add(sketch, slot, prefix, &Slot { root, path: Default::default() }, true);
        }
    }

    fn add(&mut self, sketch: &Sketch, slot: usize, prefix: &str, around: &Slot, in_list: bool) {
        let name = format!("{prefix}{}", sketch.name);
        let mut here = around.clone();
        here.path.push(u16::try_from(slot).unwrap_or(u16::MAX));
        let kind = match &sketch.kind {
            list @ Type::List(_) => list.clone(),
            single if in_list => Type::List(Box::new(single.clone())),
            single => single.clone(),
        };
        if sketch.doubtful {
            self.doubtful.insert(name.clone());
        }
        let prefix = format!("{name}.");
        self.scope.declare(name, kind, here.clone());
        for (slot, inner) in sketch.inner.iter().enumerate() {
            self.add(inner, slot, &prefix, &here, true);
        }
    }

    /// The same names as an item of a list sees them: one level further out.
    pub fn seen_by_items(&self) -> Self {
        let mut inside = self.clone();
        for (_, slot) in inside.scope.names.values_mut() {
            slot.root = match slot.root {
                Root::Here => Root::Outer(1),
                Root::Outer(levels) => Root::Outer(levels.saturating_add(1)),
                other => other,
            };
        }
        inside
    }

    /// The name that this node spells; reported when there is none.
    pub fn find(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<(Type, Slot)> {
        let name = node.text()?;
        if let Some((kind, slot)) = self.scope.names.get(name) {
            return Some((kind.clone(), slot.clone()));
        }
        if self.known_later.contains(name) {
            let label = "known only when the work is done";
            diagnostics
                .push(
                    "M050",
                    &node.span,
                    format!("`{}` is not known when a ticket is given", shown(name)),
                    label,
                )
                .help(PENDING_KNOWS);
            return None;
        }
        if !self.all_doubtful && !self.is_below_doubtful(name) && !node.is_blank() {
            let title = format!("there is no field `{}`", shown(name));
            diagnostics.push("M023", &node.span, title, "unknown field").suggest(
                name,
                &node.span,
                self.scope.names.keys().map(String::as_str),
            );
        }
        None
    }

    /// True when the type of this name is a guess.
    pub fn is_doubtful(&self, name: &str) -> bool {
        self.doubtful.contains(name) || self.is_below_doubtful(name)
    }

    fn is_below_doubtful(&self, name: &str) -> bool {
        let mut dots = name.match_indices('.').filter_map(|(at, _)| name.get(..at));
        dots.any(|parent| self.doubtful.contains(parent))
    }

    /// Compiles a rule that stands alone in a value or key.
    pub fn rule(&self, node: &Node, wanted: Option<&Type>, diagnostics: &mut Diagnostics) -> Option<Rule> {
        let text = node.text()?;
        if node.is_blank() {
            return None;
        }
        let mut found = Diagnostics::default();
        let rule = Rule::compile(text, &self.scope, wanted, &mut found, &|range| range);
        if !found.is_empty() && (self.all_doubtful || words(text).any(|name| self.is_doubtful(name))) {
            // A guessed type makes guessed complaints; the mistake behind them is reported already.
            found.all.retain(|it| it.code != "M041" || self.is_unknown(text.get(it.span.clone())));
        }
        for diagnostic in &mut found.all {
            self.say_later(text, diagnostic);
            in_file(node, diagnostic);
        }
        diagnostics.extend(found);
        rule
    }

    /// A field that is there, but further down, is not called unknown.
    fn say_later(&self, text: &str, diagnostic: &mut Diagnostic) {
        let name = text.get(diagnostic.span.clone()).unwrap_or_default();
        let first = name.split('.').next().unwrap_or_default();
        if diagnostic.code == "M041" && self.known_later.contains(name) {
            diagnostic.code = "M050";
            diagnostic.title = format!("`{}` is not known when a ticket is given", shown(name));
            diagnostic.label = "known only when the work is done".into();
            diagnostic.help = vec![PENDING_KNOWS.into()];
            diagnostic.fix = None;
        } else if diagnostic.code == "M041"
            && self.later.contains(first)
            && !self.scope.names.contains_key(name)
        {
            diagnostic.title = format!("`{}` is not known yet", shown(name));
            diagnostic.label = "this field does not stand above".into();
            diagnostic.help =
                vec!["`compute` sees the fields that stand above it: write this one below them".into()];
            diagnostic.fix = None;
        }
    }

    /// True for a word of a rule that no guess can explain: a name that nothing declares.
    fn is_unknown(&self, word: Option<&str>) -> bool {
        let Some(word) = word.filter(|_| !self.all_doubtful) else { return false };
        words(word).next() == Some(word)
            && word.starts_with(|it: char| it.is_alphabetic())
            && !self.scope.names.contains_key(word)
            && !self.is_below_doubtful(word)
    }
}

/// Moves a problem of a rule's text to where the text stands in the file.
fn in_file(node: &Node, diagnostic: &mut Diagnostic) {
    let spans = diagnostic.also.iter_mut().map(|(span, _)| span);
    let fix = diagnostic.fix.iter_mut().map(|(span, _)| span);
    for span in spans.chain(fix).chain(std::iter::once(&mut diagnostic.span)) {
        *span = node.sub(span.clone());
    }
}

/// Words of a rule, dots included: `lines.amount`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_alphanumeric() || matches!(it, '_' | '.'))).filter(|it| !it.is_empty())
}

/// Names that the language uses itself.
const RESERVED: [&str; 17] = [
    "records", "trailer", "answer", "outcome", "findings", "ticket", "flow", "model", "cost", "and", "or",
    "not", "in", "true", "false", "yes", "no",
];

/// Refuses fields of the record whose names mean something else in rules and in `write`.
pub(super) fn reserved(record: Option<&Node>, diagnostics: &mut Diagnostics) {
    for (key, _) in record.map(Node::entries).unwrap_or_default() {
        if let Some(name) = key.text().filter(|it| RESERVED.contains(it)) {
            diagnostics
                .push("M019", &key.span, format!("`{name}` is a word of the language"), "choose another name")
                .help(format!("rules and `write` could not tell the field from the word; e.g. `the_{name}`"));
        }
    }
}
