//! `GetResult` in a contract that is not ours: a port of its own beside what is there, which stays as it is.

use std::fmt::Write as _;

use vestibule_core::tree::{NodeId, Tree};

use super::{
    answer::{FAULT_NAMESPACE, FAULT_SCHEMA},
    jobs::{GET_RESULT, JOBS_NAMESPACE, JOBS_SCHEMA},
};
use crate::{
    contract::{
        WsdlContract,
        model::QName,
        wsdl::{SOAP11, SOAP12, WSDL},
    },
    xml::{Limits, Options, Source, write::lossy},
};

/// Names of what is added, in the contract's own namespace.
const PORT: &str = "VestibuleJobs";

/// The contract with a port for `GetResult` in the service of this name, or in its first. `None` where there is no
/// place for it: a contract without a service or a namespace, or one that uses the names.
pub(super) fn with_get_result(
    wsdl: &str,
    contract: &WsdlContract,
    service: &str,
    address: &str,
) -> Option<String> {
    let limits = Limits { attributes: 200, declarations: 100, bindings: 500, ..Limits::default() };
    let source = Source::of(wsdl);
    let tree = &source.parse(&limits, Options { keep_declarations: true }).ok()?;
    let root = tree.root().filter(|it| is(tree, *it, "definitions"))?;
    let target = tree.attribute(root, "targetNamespace").map(str::trim).filter(|it| !it.is_empty())?;
    let all = |name| tree.children(root).filter(move |it| is(tree, *it, name));
    let named = |it: NodeId| tree.attribute(it, "name").map(str::trim);
    if tree.children(root).any(|it| named(it).is_some_and(|name| name.starts_with(PORT))) {
        return None;
    }
    let first = all("service").next()?;
    let home = all("service").find(|it| named(*it) == Some(service)).unwrap_or(first);
    let speaks_12 = wsdl.contains(SOAP12);
    let knows_fault = {
        let (namespace, local) = (FAULT_NAMESPACE.into(), "ValidationFault".into());
        contract.schemas().elements.contains_key(&QName { namespace, local })
    };
    let schemas = schemas(knows_fault);
    let mut edits = Vec::new();
    match all("types").next() {
        Some(types) => edits.push(inside(wsdl, tree, types, &schemas)?),
        None => {
            let types = format!("<w:types xmlns:w=\"{WSDL}\">{schemas}</w:types>\n  ");
            edits.push((tree.span(tree.children(root).next()?).start, 0, types));
        }
    }
    edits.push((tree.span(first).start, 0, definitions(target, speaks_12)));
    edits.push(inside(wsdl, tree, home, &ports(target, address, speaks_12))?);
    edits.sort_by_key(|(at, ..)| *at);
    let mut out = String::with_capacity(wsdl.len() + 4096);
    let mut done = 0;
    for (at, length, text) in edits {
        out.push_str(wsdl.get(done..at)?);
        out.push_str(&text);
        done = at + length;
    }
    out.push_str(wsdl.get(done..)?);
    Some(out)
}

fn is(tree: &Tree<'_>, node: NodeId, name: &str) -> bool {
    tree.name(node) == name && tree.namespace(node) == WSDL
}

/// Where to cut, how much, and what to put there, so that `text` becomes the last child of a node.
fn inside(wsdl: &str, tree: &Tree<'_>, node: NodeId, text: &str) -> Option<(usize, usize, String)> {
    let span = tree.span(node);
    let element = wsdl.get(span.clone())?;
    if let Some(end) = element.rfind("</") {
        return Some((span.start + end, 0, text.to_owned()));
    }
    // An empty element: its name is what stands before the first white space or the slash.
    let name = element.strip_prefix('<')?.split(|it: char| it.is_ascii_whitespace() || it == '/').next()?;
    Some((span.start + element.len() - 2, 2, format!(">{text}</{name}>")))
}

fn schemas(knows_fault: bool) -> String {
    let fault = if knows_fault { String::new() } else { format!("  {FAULT_SCHEMA}\n  ") };
    format!("  {JOBS_SCHEMA}\n  {fault}")
}

/// Messages, a port type and bindings. Every prefix is declared where it is used: those of the contract may be anything.
fn definitions(target: &str, speaks_12: bool) -> String {
    let mut own = String::new();
    lossy(&mut own, target);
    let declared = format!(
        "xmlns:w=\"{WSDL}\" xmlns:own=\"{own}\" xmlns:j=\"{JOBS_NAMESPACE}\" xmlns:v=\"{FAULT_NAMESPACE}\""
    );
    let mut out = String::new();
    for (suffix, part, element) in [
        ("In", "parameters", "j:GetResult"),
        ("Out", "parameters", "j:GetResultResponse"),
        ("Ticket", "parameters", "j:TicketResponse"),
        ("Fault", "fault", "v:ValidationFault"),
    ] {
        let _ = write!(
            out,
            "<w:message name=\"{PORT}{suffix}\" {declared}><w:part name=\"{part}\" element=\"{element}\"/></w:message>\n  "
        );
    }
    let _ = write!(
        out,
        "<w:portType name=\"{PORT}\" {declared}>\n    <w:operation name=\"{GET_RESULT}\"><w:input message=\"own:{PORT}In\"/>\
         <w:output message=\"own:{PORT}Out\"/><w:fault name=\"ValidationFault\" message=\"own:{PORT}Fault\"/></w:operation>\n  \
         </w:portType>\n  "
    );
    for (namespace, suffix) in versions(speaks_12) {
        let _ = write!(
            out,
            "<w:binding name=\"{PORT}{suffix}\" type=\"own:{PORT}\" xmlns:s=\"{namespace}\" {declared}>\n    \
             <s:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>\n    \
             <w:operation name=\"{GET_RESULT}\"><s:operation soapAction=\"{JOBS_NAMESPACE}/{GET_RESULT}\"/>\
             <w:input><s:body use=\"literal\"/></w:input><w:output><s:body use=\"literal\"/></w:output>\
             <w:fault name=\"ValidationFault\"><s:fault name=\"ValidationFault\" use=\"literal\"/></w:fault></w:operation>\n  \
             </w:binding>\n  "
        );
    }
    out
}

fn ports(target: &str, address: &str, speaks_12: bool) -> String {
    let (mut own, mut location) = (String::new(), String::new());
    lossy(&mut own, target);
    lossy(&mut location, address);
    let mut out = String::new();
    for (namespace, suffix) in versions(speaks_12) {
        let _ = write!(
            out,
            "  <w:port name=\"{PORT}{suffix}\" binding=\"own:{PORT}{suffix}\" xmlns:w=\"{WSDL}\" xmlns:own=\"{own}\" \
             xmlns:s=\"{namespace}\"><s:address location=\"{location}\"/></w:port>\n  "
        );
    }
    out
}

/// The version that every contract has, and the newer one where the contract has it: some clients refuse a WSDL with a
/// binding that they do not know.
fn versions(speaks_12: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    [(SOAP11, "Soap11"), (SOAP12, "Soap12")].into_iter().take(if speaks_12 { 2 } else { 1 })
}
