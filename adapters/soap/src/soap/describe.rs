//! `?wsdl`: the contract with its address, or a WSDL made from the mappings.

use std::fmt::Write as _;

use indexmap::IndexMap;
use vestibule_core::mapping::{
    address::{Address, Axis, Path, Pick, Step},
    plan::{From, Return, Shape, Tickets, Write as Written},
};

use super::{
    answer::{FAULT_NAMESPACE, FAULT_SCHEMA},
    jobs::{GET_RESULT, JOBS_NAMESPACE, JOBS_SCHEMA},
    offer::with_get_result,
    service::{Route, SoapService},
};
use crate::{render::contract_of, xml::write::lossy};

/// The WSDL of a service, with its ports at `address`.
pub(super) fn wsdl(service: &SoapService, address: &str) -> String {
    let contract = service.routes.iter().find_map(|it| contract_of(&it.mapping));
    let written = contract.and_then(|(contract, _)| {
        let written = contract.with_address(&service.name, address)?;
        let offered =
            service.gives_results.then(|| with_get_result(&written, contract, &service.name, address));
        Some(offered.flatten().unwrap_or(written))
    });
    written.unwrap_or_else(|| generated(service, address))
}

/// An element of a generated schema.
#[derive(Debug, Default)]
struct Made {
    children: IndexMap<String, Made>,
    attributes: IndexMap<String, ()>,
    repeats: bool,
    has_text: bool,
}

impl Made {
    /// Walks down `steps`, making what is not there. `None`: the path is not one of names alone.
    fn reach(&mut self, steps: &[Step]) -> Option<&mut Self> {
        let mut here = self;
        for step in steps {
            match step.axis {
                Axis::Current => continue,
                Axis::Child if &*step.name != "*" => {}
                Axis::Attribute => {
                    here.attributes.insert(step.name.to_string(), ());
                    return None;
                }
                Axis::Child | Axis::Descendant | Axis::Parent => return None,
            }
            here = here.children.entry(step.name.to_string()).or_default();
            for pick in &step.picks {
                here.repeats = true;
                match pick {
                    Pick::Attribute(name, _) => drop(here.attributes.insert(name.to_string(), ())),
                    Pick::Child(name, _) => {
                        here.children.entry(name.to_string()).or_default().has_text = true
                    }
                    Pick::Nth(_) | Pick::Last => {}
                }
            }
        }
        Some(here)
    }

    fn read_shape(&mut self, shape: &Shape, root: Option<&str>) {
        for field in &shape.fields {
            match &field.from {
                From::Addresses(all) => {
                    for path in all.iter().filter_map(path_of) {
                        if let Some(found) = self.reach(below_root(path, root)) {
                            found.has_text = true;
                        }
                    }
                }
                From::Each { path, shape } => {
                    if let Some(found) = self.reach(below_root(path, root)) {
                        found.repeats = true;
                        found.read_shape(shape, None);
                    }
                }
                From::Constant(_) | From::Computed(_) | From::Model => {}
            }
        }
    }

    fn written(&mut self, writes: &[Written]) {
        for write in writes {
            match write {
                Written::Value { place, .. } => {
                    if let Some(found) = self.reach(&place.steps) {
                        found.has_text = true;
                    }
                }
                Written::Each { place, write, .. } => {
                    if let Some(found) = self.reach(&place.steps) {
                        found.repeats = true;
                        found.written(write);
                    }
                }
            }
        }
    }

    fn schema(&self, out: &mut String, name: &str, depth: usize) {
        let pad = "  ".repeat(depth);
        let occurs = match (depth > 3, self.repeats) {
            (false, _) => "",
            (true, false) => " minOccurs=\"0\"",
            (true, true) => " minOccurs=\"0\" maxOccurs=\"unbounded\"",
        };
        let _ = write!(out, "{pad}<xs:element name=\"{name}\"{occurs}");
        if self.children.is_empty() && self.attributes.is_empty() && depth > 3 {
            out.push_str(" type=\"xs:string\"/>\n");
            return;
        }
        let mixed = if self.has_text && !self.children.is_empty() { " mixed=\"true\"" } else { "" };
        let _ = writeln!(out, ">\n{pad}  <xs:complexType{mixed}>");
        if self.children.is_empty() && self.has_text {
            let _ = writeln!(out, "{pad}    <xs:simpleContent><xs:extension base=\"xs:string\">");
            self.attributes(out, &pad);
            let _ = writeln!(out, "{pad}    </xs:extension></xs:simpleContent>");
        } else {
            let _ = writeln!(out, "{pad}    <xs:sequence>");
            self.children.iter().for_each(|(name, child)| child.schema(out, name, depth + 3));
            let _ = writeln!(out, "{pad}    </xs:sequence>");
            self.attributes(out, &pad);
        }
        let _ = writeln!(out, "{pad}  </xs:complexType>\n{pad}</xs:element>");
    }

    fn attributes(&self, out: &mut String, pad: &str) {
        for name in self.attributes.keys() {
            let _ = writeln!(out, "{pad}      <xs:attribute name=\"{name}\" type=\"xs:string\"/>");
        }
    }
}

fn path_of(address: &Address) -> Option<&Path> {
    match address {
        Address::Path(path) => Some(path),
        Address::Before(_) | Address::Meta(_) | Address::Attribute(..) => None,
    }
}

/// The steps below the request's element, which a path may name or not.
fn below_root<'p>(path: &'p Path, root: Option<&str>) -> &'p [Step] {
    let mut steps = path.steps.as_slice();
    if path.absolute {
        for name in ["Envelope", "Body"] {
            steps = match steps.split_first() {
                Some((first, rest)) if &*first.name == name => rest,
                _ => steps,
            };
        }
    }
    match (steps.split_first(), root) {
        (Some((first, rest)), Some(root)) if &*first.name == root && first.axis == Axis::Child => rest,
        _ => steps,
    }
}

/// Everything is optional text: the gate says what is missing, with a finding for each, where a schema would only
/// let the client's library refuse.
fn schema(service: &SoapService, namespace: &str) -> String {
    let mut elements: IndexMap<String, Made> = IndexMap::new();
    for route in service.routes.iter().filter(|it| &*it.root.namespace == namespace) {
        let request = elements.entry(route.root.local.to_string()).or_default();
        let root = Some(&*route.root.local);
        match &route.mapping.source.each {
            Some(each) => {
                if let Some(found) = request.reach(below_root(each, root)) {
                    found.repeats = true;
                    found.read_shape(&route.mapping.record, None);
                }
            }
            None => request.read_shape(&route.mapping.record, root),
        }
        reply_schema(route, &mut elements);
    }
    let mut out =
        String::from("    <xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"");
    lossy(&mut out, namespace);
    out.push_str("\" elementFormDefault=\"qualified\">\n");
    elements.iter().for_each(|(name, made)| made.schema(&mut out, name, 3));
    out.push_str("    </xs:schema>\n");
    out
}

fn reply_schema(route: &Route, elements: &mut IndexMap<String, Made>) {
    let written = route.mapping.back.iter().chain(&route.mapping.handling.pending);
    for back in written {
        let mut inner = elements.entry(root_name(back)).or_default();
        for name in back.into.split('/').skip(1) {
            inner = inner.children.entry(local(name).to_owned()).or_default();
            inner.repeats = true;
        }
        inner.written(&back.write);
    }
    if route.mapping.back.is_none() {
        let reply = elements.entry(format!("{}Response", route.operation)).or_default();
        reply.children.entry("Result".to_owned()).or_default().has_text = true;
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn root_name(back: &Return) -> String {
    local(back.into.split('/').next().unwrap_or_default()).to_owned()
}

/// What an operation answers with on the connection: its prefix and its element. Where every caller gets a ticket, that
/// is the ticket, in the mapping's form or in ours.
fn reply_element(route: &Route, prefix: &str) -> String {
    let always = route.gives_tickets() && route.mapping.handling.tickets == Tickets::Always;
    match (&route.mapping.handling.pending, &route.mapping.back) {
        (None, _) if always => "j:TicketResponse".to_owned(),
        (Some(pending), _) if always => format!("{prefix}:{}", root_name(pending)),
        (_, Some(back)) => format!("{prefix}:{}", root_name(back)),
        (_, None) => format!("{prefix}:{}Response", route.operation),
    }
}

/// The namespaces of a service's messages with their prefixes: its own, and those of mappings that it shares. All are
/// declared at the top, since not every client looks for them further down.
fn prefixes<'s>(service: &'s SoapService, target: &str) -> IndexMap<&'s str, String> {
    let mut found = IndexMap::new();
    for route in &service.routes {
        let prefix = format!("n{}", found.len());
        let prefix = if *route.root.namespace == *target { "tns".to_owned() } else { prefix };
        found.entry(&*route.root.namespace).or_insert(prefix);
    }
    found
}

/// A WSDL 1.1 with a port for each version of SOAP.
fn generated(service: &SoapService, address: &str) -> String {
    let own = format!("urn:vestibule:{}", service.name);
    let prefixes = prefixes(service, &own);
    let mut target = String::new();
    lossy(&mut target, &own);
    let mut name = String::new();
    lossy(&mut name, &service.name);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<wsdl:definitions name=\"{name}\" targetNamespace=\"{target}\" \
         xmlns:tns=\"{target}\" xmlns:v=\"{FAULT_NAMESPACE}\" xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" \
         xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\" xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\""
    );
    for (namespace, prefix) in prefixes.iter().filter(|(_, prefix)| *prefix != "tns") {
        let _ = write!(out, " xmlns:{prefix}=\"");
        lossy(&mut out, namespace);
        out.push('"');
    }
    let gives_tickets = service.routes.iter().any(Route::gives_tickets);
    if gives_tickets {
        let _ = write!(out, " xmlns:j=\"{JOBS_NAMESPACE}\"");
    }
    out.push_str(">\n  <wsdl:types>\n");
    prefixes.keys().for_each(|it| out.push_str(&schema(service, it)));
    if gives_tickets {
        let _ = writeln!(out, "    {JOBS_SCHEMA}");
    }
    let _ = writeln!(out, "    {FAULT_SCHEMA}\n  </wsdl:types>");
    messages(&mut out, service, &prefixes);
    out.push_str(
        "  <wsdl:message name=\"ValidationFault\"><wsdl:part name=\"fault\" element=\"v:ValidationFault\"/></wsdl:message>\n",
    );
    let _ = writeln!(out, "  <wsdl:portType name=\"{name}\">");
    for operation in operations(service) {
        let _ = writeln!(
            out,
            "    <wsdl:operation name=\"{operation}\"><wsdl:input message=\"tns:{operation}In\"/>\
             <wsdl:output message=\"tns:{operation}Out\"/>\
             <wsdl:fault name=\"ValidationFault\" message=\"tns:ValidationFault\"/></wsdl:operation>"
        );
    }
    out.push_str("  </wsdl:portType>\n");
    bindings(&mut out, service, &name, &target);
    let mut location = String::new();
    lossy(&mut location, address);
    let _ = writeln!(out, "  <wsdl:service name=\"{name}\">");
    for (prefix, suffix) in [("soap", "Soap11"), ("soap12", "Soap12")] {
        let _ = writeln!(
            out,
            "    <wsdl:port name=\"{name}{suffix}\" binding=\"tns:{name}{suffix}\"><{prefix}:address location=\"{location}\"/></wsdl:port>"
        );
    }
    out.push_str("  </wsdl:service>\n</wsdl:definitions>\n");
    out
}

fn messages(out: &mut String, service: &SoapService, prefixes: &IndexMap<&str, String>) {
    for route in &service.routes {
        let (operation, root) = (&route.operation, &route.root.local);
        let prefix = prefixes.get(&*route.root.namespace).map_or("tns", String::as_str);
        let reply = reply_element(route, prefix);
        let _ = write!(
            out,
            "  <wsdl:message name=\"{operation}In\"><wsdl:part name=\"parameters\" element=\"{prefix}:{root}\"/></wsdl:message>\n  \
             <wsdl:message name=\"{operation}Out\"><wsdl:part name=\"parameters\" element=\"{reply}\"/></wsdl:message>\n"
        );
    }
    if service.gives_results {
        for (suffix, element) in [("In", ""), ("Out", "Response")] {
            let _ = writeln!(
                out,
                "  <wsdl:message name=\"{GET_RESULT}{suffix}\"><wsdl:part name=\"parameters\" element=\"j:{GET_RESULT}{element}\"/></wsdl:message>"
            );
        }
    }
}

/// The names of all operations.
fn operations(service: &SoapService) -> impl Iterator<Item = &str> {
    let own = service.routes.iter().map(|it| &*it.operation);
    own.chain(service.gives_results.then_some(GET_RESULT))
}

fn bindings(out: &mut String, service: &SoapService, name: &str, target: &str) {
    for (prefix, suffix) in [("soap", "Soap11"), ("soap12", "Soap12")] {
        let _ = writeln!(
            out,
            "  <wsdl:binding name=\"{name}{suffix}\" type=\"tns:{name}\">\n    \
             <{prefix}:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>"
        );
        for operation in operations(service) {
            // The last one is ours where it is offered, and has the same action in every service.
            let is_ours = service.gives_results && operation == GET_RESULT;
            let target = if is_ours { JOBS_NAMESPACE } else { target };
            let _ = writeln!(
                out,
                "    <wsdl:operation name=\"{operation}\"><{prefix}:operation soapAction=\"{target}/{operation}\"/>\
                 <wsdl:input><{prefix}:body use=\"literal\"/></wsdl:input>\
                 <wsdl:output><{prefix}:body use=\"literal\"/></wsdl:output>\
                 <wsdl:fault name=\"ValidationFault\"><{prefix}:fault name=\"ValidationFault\" use=\"literal\"/></wsdl:fault>\
                 </wsdl:operation>"
            );
        }
        out.push_str("  </wsdl:binding>\n");
    }
}
