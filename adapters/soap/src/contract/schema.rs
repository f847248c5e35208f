//! Reads one `xs:schema` element.

use std::sync::Arc;

use vestibule_core::tree::{NodeId, Tree};

use super::{
    model::{Attribute, Attributes, Complex, Element, Particle, QName, Schemas, Term, Type, TypeRef, XSD},
    nodes::{children, named, qname},
};

/// Another document that a schema or a WSDL needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Needed {
    /// As written: relative to the document that names it.
    pub(super) location: String,
    /// The namespace that an included schema without one takes.
    pub(super) chameleon: Option<Arc<str>>,
}

/// One schema document being read.
struct Reading<'t, 's> {
    tree: &'t Tree<'s>,
    target: Arc<str>,
    chameleon: Option<Arc<str>>,
    elements_qualified: bool,
    attributes_qualified: bool,
}

/// Adds what the schema at `node` declares; returns the documents that it needs.
pub(super) fn read(
    tree: &Tree<'_>,
    node: NodeId,
    including: Option<&Arc<str>>,
    into: &mut Schemas,
) -> Vec<Needed> {
    let own = tree.attribute(node, "targetNamespace");
    let target: Arc<str> = own.map_or_else(|| including.map_or_else(|| "".into(), Arc::clone), Into::into);
    let qualified = |name| tree.attribute(node, name).is_some_and(|it| it.trim() == "qualified");
    let reading = Reading {
        tree,
        chameleon: own.is_none().then(|| including.cloned()).flatten(),
        target,
        elements_qualified: qualified("elementFormDefault"),
        attributes_qualified: qualified("attributeFormDefault"),
    };
    let mut needed = Vec::new();
    for child in children(tree, node, XSD) {
        match tree.name(child) {
            "include" | "redefine" => {
                needed.extend(reading.needed(child, Some(Arc::clone(&reading.target))));
                reading.global_all(child, into);
            }
            "import" => needed.extend(reading.needed(child, None)),
            _ => reading.global(child, into),
        }
    }
    needed
}

impl Reading<'_, '_> {
    fn needed(&self, node: NodeId, chameleon: Option<Arc<str>>) -> Option<Needed> {
        let location = self.tree.attribute(node, "schemaLocation")?.trim().to_owned();
        Some(Needed { location, chameleon })
    }

    /// What stands inside an `xs:redefine` replaces what it includes, whichever is read first.
    fn global_all(&self, node: NodeId, into: &mut Schemas) {
        children(self.tree, node, XSD).for_each(|child| self.global(child, into));
    }

    fn global(&self, node: NodeId, into: &mut Schemas) {
        let Some(local) = self.tree.attribute(node, "name") else { return };
        let name = QName { namespace: Arc::clone(&self.target), local: local.trim().into() };
        match self.tree.name(node) {
            "element" => {
                let element = self.element(node, name.clone());
                if let Some(head) = &element.stands_for {
                    into.substitutes.entry(head.clone()).or_default().push(name.clone());
                }
                if into.elements.insert(name.clone(), Arc::new(element)).is_none() {
                    into.element_order.push(name);
                }
            }
            "complexType" | "simpleType" => {
                into.types.entry(name).or_insert_with(|| Arc::new(self.kind(node)));
            }
            "group" => {
                let content = self.content(node);
                into.groups.entry(name).or_insert(content.unwrap_or(Particle {
                    least: 1,
                    most: Some(1),
                    term: Term::Sequence(Vec::new()),
                }));
            }
            "attributeGroup" => {
                into.attribute_groups.entry(name).or_insert_with(|| self.attributes(node));
            }
            _ => {}
        }
    }

    fn qname(&self, node: NodeId, attribute: &str) -> Option<QName> {
        let value = self.tree.attribute(node, attribute)?;
        Some(qname(self.tree, node, value, self.chameleon.as_ref()))
    }

    fn element(&self, node: NodeId, name: QName) -> Element {
        let inline = children(self.tree, node, XSD)
            .find(|it| matches!(self.tree.name(*it), "complexType" | "simpleType"))
            .map(|it| TypeRef::Inline(Arc::new(self.kind(it))));
        let kind = match self.qname(node, "type") {
            Some(name) if &*name.namespace == XSD && &*name.local == "anyType" => TypeRef::Any,
            Some(name) => TypeRef::Named(name),
            None => inline.unwrap_or(TypeRef::Any),
        };
        let nillable =
            self.tree.attribute(node, "nillable").is_some_and(|it| matches!(it.trim(), "true" | "1"));
        Element { name, kind, stands_for: self.qname(node, "substitutionGroup"), nillable }
    }

    fn kind(&self, node: NodeId) -> Type {
        if self.tree.name(node) == "simpleType" {
            let restriction = named(self.tree, node, XSD, "restriction").next();
            return Type::Simple { base: restriction.and_then(|it| self.qname(it, "base")) };
        }
        let mut body = node;
        let mut complex = Complex::default();
        for child in children(self.tree, node, XSD) {
            if !matches!(self.tree.name(child), "simpleContent" | "complexContent") {
                continue;
            }
            let derived = children(self.tree, child, XSD)
                .find(|it| matches!(self.tree.name(*it), "extension" | "restriction"));
            if let Some(derived) = derived {
                complex.base = self.qname(derived, "base");
                complex.extends = self.tree.name(derived) == "extension";
                body = derived;
            }
        }
        complex.content = self.content(body);
        complex.attributes = self.attributes(body);
        // Every complex type restricts anyType; that one's open content is not inherited.
        complex.base = complex.base.filter(|it| !(&*it.namespace == XSD && &*it.local == "anyType"));
        Type::Complex(complex)
    }

    fn content(&self, node: NodeId) -> Option<Particle> {
        children(self.tree, node, XSD).find_map(|child| match self.tree.name(child) {
            "sequence" | "choice" | "all" | "group" => self.particle(child),
            _ => None,
        })
    }

    fn particle(&self, node: NodeId) -> Option<Particle> {
        let nested = || children(self.tree, node, XSD).filter_map(|it| self.particle(it)).collect();
        let term = match self.tree.name(node) {
            "element" => match self.qname(node, "ref") {
                Some(name) => Term::ElementRef(name),
                None => Term::Element(Arc::new(self.local_element(node)?)),
            },
            "group" => Term::Group(self.qname(node, "ref")?),
            "sequence" => Term::Sequence(nested()),
            "choice" => Term::Choice(nested()),
            "all" => Term::All(nested()),
            "any" => Term::Any,
            _ => return None,
        };
        let occurs = |name| self.tree.attribute(node, name).map(str::trim);
        let least = occurs("minOccurs").and_then(|it| it.parse().ok()).unwrap_or(1);
        let most = match occurs("maxOccurs") {
            Some("unbounded") => None,
            Some(number) => Some(number.parse().unwrap_or(u32::MAX)),
            None => Some(1),
        };
        (most != Some(0)).then_some(Particle { least, most, term })
    }

    fn local_element(&self, node: NodeId) -> Option<Element> {
        let local = self.tree.attribute(node, "name")?.trim();
        let name = self.local_name(node, local, self.elements_qualified);
        Some(self.element(node, name))
    }

    fn local_name(&self, node: NodeId, local: &str, by_default: bool) -> QName {
        let qualified = match self.tree.attribute(node, "form").map(str::trim) {
            Some(form) => form == "qualified",
            None => by_default,
        };
        let namespace = if qualified { Arc::clone(&self.target) } else { "".into() };
        QName { namespace, local: local.into() }
    }

    fn attributes(&self, node: NodeId) -> Attributes {
        let mut found = Attributes::default();
        for child in children(self.tree, node, XSD) {
            match self.tree.name(child) {
                "attribute" => {
                    let using = self.tree.attribute(child, "use").map_or("optional", str::trim);
                    let name = match self.qname(child, "ref") {
                        Some(name) => Some(name),
                        None => self
                            .tree
                            .attribute(child, "name")
                            .map(|local| self.local_name(child, local.trim(), self.attributes_qualified)),
                    };
                    if let Some(name) = name.filter(|_| using != "prohibited") {
                        found.own.push(Attribute { name, required: using == "required" });
                    }
                }
                "attributeGroup" => found.groups.extend(self.qname(child, "ref")),
                "anyAttribute" => found.open = true,
                _ => {}
            }
        }
        found
    }
}
