//! Reads a contract and the documents that it needs.

use std::{
    collections::{HashSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use vestibule_core::{
    fault::{Fault, FaultCode},
    ports::Files,
    tree::{NodeId, Tree},
};

use super::{
    Operation, WsdlContract,
    model::{QName, Schemas, XSD},
    nodes::is,
    schema::{self, Needed},
    wsdl::{self, Bound, Definitions, WSDL},
};
use crate::xml::{Limits, Options, Source};

/// Most documents that one contract may be made of.
const MOST_DOCUMENTS: usize = 200;

/// A document that is still to be read.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pending {
    path: String,
    chameleon: Option<Arc<str>>,
}

/// What has been read so far.
#[derive(Default)]
struct Loaded {
    schemas: Schemas,
    definitions: Definitions,
    text: String,
    addresses: Vec<(String, Range<usize>)>,
    is_wsdl: bool,
}

/// Reads the contract at `path`. Documents with an address on a network are not read: what they declare stays open.
pub(super) fn load(path: &str, files: &dyn Files) -> Result<WsdlContract, Fault> {
    let mut loaded = Loaded::default();
    let mut seen = HashSet::new();
    let mut pending = VecDeque::from([Pending { path: path.to_owned(), chameleon: None }]);
    while let Some(next) = pending.pop_front() {
        if !seen.insert(next.clone()) {
            continue;
        }
        if seen.len() > MOST_DOCUMENTS {
            return Err(Fault::new(
                FaultCode::TooLarge,
                format!("{path}: more than {MOST_DOCUMENTS} documents"),
            ));
        }
        let bytes = files.read(&next.path).map_err(|error| {
            Fault::new(FaultCode::NotFound, format!("{}: can not be read", next.path)).because(error)
        })?;
        let first = seen.len() == 1;
        for needed in
            document(&next, &bytes, first, &mut loaded).map_err(|fault| within(&next.path, fault))?
        {
            pending.extend(beside(&next.path, needed));
        }
    }
    let operations = operations(&loaded).map_err(|fault| within(path, fault))?;
    let Loaded { schemas, definitions, text, addresses, is_wsdl } = loaded;
    Ok(WsdlContract { schemas, operations, services: definitions.services, text, addresses, is_wsdl })
}

fn within(path: &str, fault: Fault) -> Fault {
    let message = format!("{path}: {}", fault.message);
    Fault { message, ..fault }
}

fn document(pending: &Pending, bytes: &[u8], first: bool, into: &mut Loaded) -> Result<Vec<Needed>, Fault> {
    let limits = Limits { attributes: 200, declarations: 100, bindings: 500, ..Limits::default() };
    let source = Source::decode(bytes, None, None, &limits)?;
    let tree = source.parse(&limits, Options { keep_declarations: true })?;
    let Some(root) = tree.root() else { return Ok(Vec::new()) };
    if is(&tree, root, XSD, "schema") {
        return Ok(schema::read(&tree, root, pending.chameleon.as_ref(), &mut into.schemas));
    }
    if !is(&tree, root, WSDL, "definitions") {
        return Err(Fault::new(FaultCode::NotUnderstood, not_a_contract(&tree, root)));
    }
    let (schemas, mut needed) = wsdl::read(&tree, root, &mut into.definitions);
    for node in schemas {
        needed.extend(schema::read(&tree, node, None, &mut into.schemas));
    }
    if first {
        into.is_wsdl = true;
        into.addresses = wsdl::addresses(&tree, root, source.text());
        into.text = source.text().to_owned();
    }
    Ok(needed)
}

fn not_a_contract(tree: &Tree<'_>, root: NodeId) -> String {
    if tree.namespace(root) == "http://www.w3.org/ns/wsdl" {
        return "WSDL 2.0 can not be used; WSDL 1.1 can".into();
    }
    "neither WSDL 1.1 (wsdl:definitions) nor XML Schema (xs:schema)".into()
}

/// The path of a document that another one names. `None`: it is on a network, or nowhere.
fn beside(path: &str, needed: Needed) -> Option<Pending> {
    let Needed { location, chameleon } = needed;
    let location = location.split(['?', '#']).next().unwrap_or_default().replace('\\', "/");
    if location.is_empty() || location.contains("://") || location.starts_with("urn:") {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in location.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(Pending { path: parts.join("/"), chameleon })
}

/// The operations that can be served: document/literal with one element each way.
fn operations(loaded: &Loaded) -> Result<Vec<Operation>, Fault> {
    let definitions = &loaded.definitions;
    let mut found: Vec<Operation> = Vec::new();
    let mut refused = None;
    for binding in &definitions.bindings {
        let abstracts = definitions.port_types.get(&binding.port_type).map(Vec::as_slice).unwrap_or_default();
        for bound in &binding.operations {
            let served = abstracts
                .iter()
                .find(|it| it.name == bound.name)
                .ok_or("is not in its port type")
                .and_then(|it| served(definitions, it, Some(bound)));
            match served {
                Ok(operation) => add(&mut found, operation),
                Err(reason) => refused = refused.or(Some((&*binding.name, &*bound.name, reason))),
            }
        }
    }
    if definitions.bindings.is_empty() {
        let all =
            definitions.port_type_order.iter().filter_map(|it| definitions.port_types.get(it)).flatten();
        all.filter_map(|it| served(definitions, it, None).ok()).for_each(|it| add(&mut found, it));
    }
    match refused {
        Some((binding, operation, reason)) if found.is_empty() => Err(Fault::new(
            FaultCode::NotUnderstood,
            format!(
                "operation `{operation}` of binding `{binding}` {reason}; only document/literal can be used"
            ),
        )),
        _ => Ok(found),
    }
}

fn add(all: &mut Vec<Operation>, operation: Operation) {
    match all.iter_mut().find(|it| it.name == operation.name) {
        Some(known) => known.actions.extend(operation.actions),
        None => all.push(operation),
    }
}

fn served(
    definitions: &Definitions,
    it: &Abstract,
    bound: Option<&Bound>,
) -> Result<Operation, &'static str> {
    if bound.is_some_and(|it| it.encoded) {
        return Err(if bound.is_some_and(|it| it.rpc) { "is rpc/encoded" } else { "is document/encoded" });
    }
    if bound.is_some_and(|it| it.rpc) {
        return Err("is rpc/literal");
    }
    let request = body(definitions, it.input.as_ref(), bound.and_then(|it| it.input_parts.as_deref()))?;
    let reply = body(definitions, it.output.as_ref(), bound.and_then(|it| it.output_parts.as_deref()))?;
    let actions = bound.and_then(|it| it.action.clone()).into_iter().collect();
    Ok(Operation { name: it.name.clone(), actions, request, reply })
}

use wsdl::Abstract;

/// The element of a message's body; `None` where the body is empty.
fn body(
    definitions: &Definitions,
    message: Option<&QName>,
    listed: Option<&[String]>,
) -> Result<Option<QName>, &'static str> {
    let Some(message) = message else { return Ok(None) };
    let parts = definitions.messages.get(message).ok_or("has a message that is not declared")?;
    let in_body = |name: &str| listed.is_none_or(|all| all.iter().any(|it| it == name));
    let mut in_body = parts.iter().filter(|it| in_body(&it.name));
    match (in_body.next(), in_body.next()) {
        (None, _) => Ok(None),
        (Some(part), None) => {
            part.element.clone().map(Some).ok_or("has a part that is a type, not an element")
        }
        // A header's part may stand in the same message; where the body does not say, its element comes first.
        (Some(part), Some(_)) if listed.is_none() => {
            part.element.clone().map(Some).ok_or("has a part that is a type, not an element")
        }
        (Some(_), Some(_)) => Err("has more than one element in its body"),
    }
}
