//! How the answer goes back, and what is said to whoever gets a ticket: the sections `return` and `pending`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    super::{
        address::Path,
        diagnostic::{Diagnostics, shown},
        file::{self, MappingFile, WriteEntry},
        plan::{self, Write, WriteFrom},
        syntax::Node,
    },
    Desk, fields,
    names::Names,
    source,
    write::{self, Shapes},
};
use crate::{
    finding::Outcome,
    ports::Contract,
    rule::{Root, Slot, Type},
};

/// Compiles the section `return`.
pub(super) fn section(
    desk: &Desk<'_>,
    root: &Node,
    file: &MappingFile,
    shapes: Shapes<'_>,
    mut names: Names,
    diagnostics: &mut Diagnostics,
) -> Option<plan::Return> {
    let node = root.get("return")?;
    let back = file.back.as_ref()?;
    declare_facts(&mut names);
    let block = Block {
        word: "return",
        node,
        into: back.into.as_deref(),
        contract: back.contract.as_deref(),
        write: back.write.as_ref(),
    };
    let (into, write) = block.compile(desk, shapes, &names, diagnostics);
    let faults = match back.faults {
        Some(file::Faults::Incomplete) => plan::Faults::Incomplete,
        Some(file::Faults::Reject) => plan::Faults::Reject,
        Some(file::Faults::Never) => plan::Faults::Never,
        None if says_outcome(&write) => plan::Faults::Incomplete,
        None => plan::Faults::Reject,
    };
    Some(plan::Return { into, faults, write })
}

/// Compiles the section `pending`: when it is written, the document is accepted and nothing else is known.
pub(super) fn pending(
    desk: &Desk<'_>,
    root: &Node,
    file: &MappingFile,
    shapes: Shapes<'_>,
    mut known_later: Names,
    diagnostics: &mut Diagnostics,
) -> Option<plan::Return> {
    let node = root.get("pending")?;
    let pending = file.pending.as_ref()?;
    declare_facts(&mut known_later);
    let mut names = Names::default();
    names.declare_one("ticket", Type::Text, Root::Ticket);
    names.declare_one("flow.name", Type::Text, Root::FlowName);
    names.declare_one("flow.version", Type::Number, Root::FlowVersion);
    names.known_later = known_later.scope.names.into_keys().collect();
    names.all_doubtful = known_later.all_doubtful;
    let block = Block {
        word: "pending",
        node,
        into: pending.into.as_deref(),
        contract: pending.contract.as_deref(),
        write: pending.write.as_ref(),
    };
    let (into, write) = block.compile(desk, shapes, &names, diagnostics);
    Some(plan::Return { into, faults: plan::Faults::Never, write })
}

/// What `return` and `pending` have alike.
struct Block<'a> {
    word: &'static str,
    node: &'a Node,
    into: Option<&'a str>,
    contract: Option<&'a str>,
    write: Option<&'a IndexMap<String, WriteEntry>>,
}

impl Block<'_> {
    fn compile(
        &self,
        desk: &Desk<'_>,
        shapes: Shapes<'_>,
        names: &Names,
        diagnostics: &mut Diagnostics,
    ) -> (String, Vec<Write>) {
        let contract = match (self.contract, self.node.get("contract")) {
            (Some(path), Some(node)) => source::contract(desk, path, &node.span, diagnostics),
            _ => desk.contract.clone(),
        };
        let into = self.into(desk, contract.as_deref(), diagnostics);
        let write = match (self.node.get("write"), self.write) {
            (Some(node), Some(entries)) => {
                write::block(desk, contract, shapes, node, entries, names, diagnostics)
            }
            _ => Vec::new(),
        };
        (into, write)
    }

    fn into(
        &self,
        desk: &Desk<'_>,
        contract: Option<&dyn Contract>,
        diagnostics: &mut Diagnostics,
    ) -> String {
        let Some(name) = self.into else {
            if desk.kind == "xml" && self.node.get("into").is_none() {
                let at = self.node.entries().first().map_or(&self.node.span, |(key, _)| &key.span);
                diagnostics
                    .push("M012", at, format!("`{}` needs `into`", self.word), "missing here")
                    .help("into: name of the reply's root element");
            }
            return "reply".into();
        };
        let Some(node) = self.node.get("into") else { return name.to_owned() };
        if name == "same record" {
            let title = format!("a document of kind {} is not written back in place", desk.kind);
            diagnostics
                .push("M016", &node.span, title, "not for this kind of source")
                .help("write the name of the reply's root element, e.g. SubmitClaimResponse");
            return name.to_owned();
        }
        match Path::parse_place(name, desk.kind, &desk.namespaces) {
            Ok(path) if path.steps.len() == 1 && !name.contains('@') => {}
            Ok(_) => {
                let title = format!("`{}` is not the name of one element", shown(name));
                diagnostics.push("M020", &node.span, title, "expected one name, without a path");
            }
            Err(error) => fields::report(&error, node, "in the name of the reply", diagnostics),
        }
        if let Some(contract) = contract {
            root_in_contract(desk, node, name, contract, diagnostics);
        }
        name.to_owned()
    }
}

/// What can be written besides fields.
fn declare_facts(names: &mut Names) {
    let outcomes = [Outcome::Pass, Outcome::Review, Outcome::Reject].map(|it| it.word().to_owned());
    names.declare_one("outcome", Type::Words(Arc::from(outcomes)), Root::Outcome);
    names.declare_one("findings", Type::List(Box::new(Type::Text)), Root::Findings);
    names.declare_one("ticket", Type::Text, Root::Ticket);
    names.declare_one("flow.name", Type::Text, Root::FlowName);
    names.declare_one("flow.version", Type::Number, Root::FlowVersion);
    names.declare_one("model.name", Type::Text, Root::ModelName);
    names.declare_one("cost", Type::Number, Root::Cost);
}

/// True where the reply states the outcome or the findings: then a rejection needs no fault to be seen.
fn says_outcome(write: &[Write]) -> bool {
    let says = |slot: &Slot| matches!(slot.root, Root::Outcome | Root::Findings);
    write.iter().any(|it| match it {
        Write::Value { from: WriteFrom::Slot(slot), .. } => says(slot),
        Write::Value { from: WriteFrom::Computed(rule), .. } => rule.slots().into_iter().any(says),
        Write::Value { from: WriteFrom::Constant(_), .. } => false,
        Write::Each { write, .. } => says_outcome(write),
    })
}

/// All operations that the mapping is received by answer with the one element that `into` names.
fn root_in_contract(
    desk: &Desk<'_>,
    node: &Node,
    name: &str,
    contract: &dyn Contract,
    diagnostics: &mut Diagnostics,
) {
    let roots: Vec<String> = match desk.operations.as_slice() {
        [] => contract.reply_root(None).into_iter().collect(),
        all => all.iter().filter_map(|it| contract.reply_root(Some(it))).collect(),
    };
    let Some(wrong) = roots.iter().find(|it| *it != name) else { return };
    let title = format!("the reply's root element is `{}`, not `{}`", shown(wrong), shown(name));
    let found = diagnostics.push("M029", &node.span, title, "not in the contract");
    if roots.iter().all(|it| it == wrong) {
        found.fix(&node.span, wrong.clone());
    } else {
        found.help("these operations answer with different elements: each needs a mapping of its own");
    }
}
