//! Reads one `wsdl:definitions` element (WSDL 1.1).

use std::{collections::HashMap, ops::Range, sync::Arc};

use vestibule_core::tree::{NodeId, Tree};

use super::{
    model::{QName, XSD},
    nodes::{children, is, named, qname},
    schema::Needed,
};
use crate::xml::attribute_span;

/// The namespace of WSDL 1.1.
pub(crate) const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
/// The namespace of its SOAP 1.1 binding.
pub(crate) const SOAP11: &str = "http://schemas.xmlsoap.org/wsdl/soap/";
/// The namespace of its SOAP 1.2 binding.
pub(crate) const SOAP12: &str = "http://schemas.xmlsoap.org/wsdl/soap12/";

/// Everything that the WSDL documents of a contract declare.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// Messages by name.
    pub(super) messages: HashMap<QName, Vec<Part>>,
    /// Operations of port types.
    pub(super) port_types: HashMap<QName, Vec<Abstract>>,
    /// Names of port types as they were read.
    pub(super) port_type_order: Vec<QName>,
    /// SOAP bindings in order.
    pub(super) bindings: Vec<Binding>,
    /// Names of services.
    pub(super) services: Vec<String>,
}

/// A part of a message.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) element: Option<QName>,
}

/// An operation of a port type.
#[derive(Debug, Clone)]
pub(super) struct Abstract {
    pub(super) name: String,
    pub(super) input: Option<QName>,
    pub(super) output: Option<QName>,
}

/// A SOAP binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) port_type: QName,
    pub(super) operations: Vec<Bound>,
}

/// An operation of a binding.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) name: String,
    pub(super) action: Option<String>,
    pub(super) rpc: bool,
    pub(super) encoded: bool,
    pub(super) input_parts: Option<Vec<String>>,
    pub(super) output_parts: Option<Vec<String>>,
}

/// Adds what the definitions at `node` declare. Returns its schemas, and the documents that it needs.
pub(super) fn read(tree: &Tree<'_>, node: NodeId, into: &mut Definitions) -> (Vec<NodeId>, Vec<Needed>) {
    let target: Arc<str> = tree.attribute(node, "targetNamespace").unwrap_or_default().trim().into();
    let own = |node| {
        let local = tree.attribute(node, "name").unwrap_or_default().trim().into();
        QName { namespace: Arc::clone(&target), local }
    };
    let mut schemas = Vec::new();
    let mut needed = Vec::new();
    for child in children(tree, node, WSDL) {
        match tree.name(child) {
            "import" => needed.extend(
                tree.attribute(child, "location")
                    .map(|location| Needed { location: location.trim().to_owned(), chameleon: None }),
            ),
            "types" => schemas.extend(named(tree, child, XSD, "schema")),
            "message" => {
                into.messages.insert(own(child), parts(tree, child));
            }
            "portType" => {
                let operations = named(tree, child, WSDL, "operation").map(|it| abstract_operation(tree, it));
                if into.port_types.insert(own(child), operations.collect()).is_none() {
                    into.port_type_order.push(own(child));
                }
            }
            "binding" => into.bindings.extend(binding(tree, child)),
            "service" => into.services.push(own(child).local.to_string()),
            _ => {}
        }
    }
    (schemas, needed)
}

fn parts(tree: &Tree<'_>, message: NodeId) -> Vec<Part> {
    let part = |node| Part {
        name: tree.attribute(node, "name").unwrap_or_default().trim().to_owned(),
        element: tree.attribute(node, "element").map(|it| qname(tree, node, it, None)),
    };
    named(tree, message, WSDL, "part").map(part).collect()
}

fn abstract_operation(tree: &Tree<'_>, node: NodeId) -> Abstract {
    let message = |name| {
        let at = named(tree, node, WSDL, name).next()?;
        Some(qname(tree, at, tree.attribute(at, "message")?, None))
    };
    Abstract {
        name: tree.attribute(node, "name").unwrap_or_default().trim().to_owned(),
        input: message("input"),
        output: message("output"),
    }
}

fn is_soap(tree: &Tree<'_>, node: NodeId) -> bool {
    matches!(tree.namespace(node), SOAP11 | SOAP12)
}

fn binding(tree: &Tree<'_>, node: NodeId) -> Option<Binding> {
    let soap = tree.children(node).find(|it| is_soap(tree, *it) && tree.name(*it) == "binding")?;
    let style = tree.attribute(soap, "style").map_or("document", str::trim).to_owned();
    Some(Binding {
        name: tree.attribute(node, "name").unwrap_or_default().trim().to_owned(),
        port_type: qname(tree, node, tree.attribute(node, "type").unwrap_or_default(), None),
        operations: named(tree, node, WSDL, "operation").map(|it| bound(tree, it, &style)).collect(),
    })
}

fn bound(tree: &Tree<'_>, node: NodeId, style: &str) -> Bound {
    let soap = tree.children(node).find(|it| is_soap(tree, *it) && tree.name(*it) == "operation");
    let own = |name| soap.and_then(|it| tree.attribute(it, name)).map(str::trim);
    let body = |name| {
        let at = named(tree, node, WSDL, name).next()?;
        tree.children(at).find(|it| is_soap(tree, *it) && tree.name(*it) == "body")
    };
    let encoded =
        |name| body(name).and_then(|it| tree.attribute(it, "use")).is_some_and(|it| it.trim() == "encoded");
    let parts = |name| {
        let listed = tree.attribute(body(name)?, "parts")?;
        Some(listed.split_whitespace().map(str::to_owned).collect())
    };
    Bound {
        name: tree.attribute(node, "name").unwrap_or_default().trim().to_owned(),
        action: own("soapAction").filter(|it| !it.is_empty()).map(str::to_owned),
        rpc: own("style").unwrap_or(style) == "rpc",
        encoded: encoded("input") || encoded("output"),
        input_parts: parts("input"),
        output_parts: parts("output"),
    }
}

/// Where the addresses of ports stand in the text, with the name of their service.
pub(super) fn addresses(tree: &Tree<'_>, definitions: NodeId, text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    for service in named(tree, definitions, WSDL, "service") {
        let name = tree.attribute(service, "name").unwrap_or_default().trim();
        for port in named(tree, service, WSDL, "port") {
            let soap = |it: &NodeId| is(tree, *it, SOAP11, "address") || is(tree, *it, SOAP12, "address");
            for address in tree.children(port).filter(soap) {
                let span = tree.span(address);
                let inside = text.get(span.clone()).and_then(|it| attribute_span(it, "location"));
                found.extend(inside.map(|it| (name.to_owned(), span.start + it.start..span.start + it.end)));
            }
        }
    }
    found
}
