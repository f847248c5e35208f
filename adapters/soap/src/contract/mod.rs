//! Contracts: WSDL 1.1 and XML Schema, read for what they say about names.

mod address;
mod load;
pub(crate) mod model;
mod nodes;
mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod wsdl;

use std::{ops::Range, sync::Arc};

use vestibule_core::{
    fault::Fault,
    mapping::address::Path,
    ports::{Contract, Direction, Files, NotInContract},
};

use model::{Element, QName, Schemas};

/// A service as its WSDL describes it, or the elements of a schema.
#[derive(Debug)]
pub struct WsdlContract {
    schemas: Schemas,
    operations: Vec<Operation>,
    services: Vec<String>,
    text: String,
    addresses: Vec<(String, Range<usize>)>,
    is_wsdl: bool,
}

/// One operation: document/literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// SOAP actions that its bindings give it.
    pub actions: Vec<String>,
    /// The element of the request's body; `None` where the body is empty.
    pub request: Option<QName>,
    /// The element of the reply's body; `None` where there is none.
    pub reply: Option<QName>,
}

impl WsdlContract {
    /// Reads the contract at `path` and what it includes and imports. Faults name the file.
    pub fn read(path: &str, files: &dyn Files) -> Result<Self, Fault> {
        load::load(path, files)
    }

    /// An operation by its name. Without a name: the only one.
    pub fn operation(&self, name: Option<&str>) -> Option<&Operation> {
        match (name, self.operations.as_slice()) {
            (Some(name), all) => all.iter().find(|it| it.name == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The element of a message.
    pub fn message(&self, operation: Option<&str>, direction: Direction) -> Option<&Arc<Element>> {
        let operation = self.operation(operation)?;
        let name = match direction {
            Direction::Request => operation.request.as_ref()?,
            Direction::Reply => operation.reply.as_ref()?,
        };
        self.schemas.elements.get(name)
    }

    /// A global element of this local name, where there is just one.
    pub fn element(&self, local: &str) -> Option<&Arc<Element>> {
        let mut all = self.schemas.element_order.iter().filter(|it| &*it.local == local);
        let name = all.next()?;
        if all.next().is_some() { None } else { self.schemas.elements.get(name) }
    }

    /// True for a WSDL, false for a schema.
    pub fn is_service(&self) -> bool {
        self.is_wsdl
    }

    /// What the schemas declare.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Names of the services that the WSDL has.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The WSDL as it stands but for the addresses of its SOAP ports: those of the service of this name, or of all
    /// where none has it. `None` for a schema.
    pub fn with_address(&self, service: &str, address: &str) -> Option<String> {
        if !self.is_wsdl {
            return None;
        }
        let named = self.services.iter().any(|it| it == service);
        let mut out = String::with_capacity(self.text.len() + address.len());
        let mut done = 0;
        for (_, span) in self.addresses.iter().filter(|(name, _)| !named || name == service) {
            out.push_str(self.text.get(done..span.start)?);
            crate::xml::write::lossy(&mut out, address);
            done = span.end;
        }
        out.push_str(self.text.get(done..)?);
        Some(in_utf8(out))
    }
}

/// The text is served as UTF-8; a declaration that says otherwise is replaced.
fn in_utf8(text: String) -> String {
    let Some((declaration, rest)) = text.strip_prefix("<?xml").and_then(|it| it.split_once("?>")) else {
        return text;
    };
    let lower = declaration.to_ascii_lowercase();
    if !lower.contains("encoding") || lower.contains("utf-8") {
        return text;
    }
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{rest}")
}

impl Contract for WsdlContract {
    fn operations(&self) -> Vec<String> {
        self.operations.iter().map(|it| it.name.clone()).collect()
    }

    fn check(
        &self,
        operation: Option<&str>,
        direction: Direction,
        base: &[&Path],
        path: &Path,
    ) -> Result<(), NotInContract> {
        address::check(self, operation, direction, base, path)
    }

    fn reply_root(&self, operation: Option<&str>) -> Option<String> {
        Some(self.operation(operation)?.reply.as_ref()?.local.to_string())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
