//! Writes what `return` says as one XML element, compiled once from the mapping and its contract.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use vestibule_core::{
    fault::{Fault, FaultCode},
    flow::written::{Written, WrittenItem},
    mapping::{
        address::{Axis, Step},
        plan::{Mapping, Return, Write},
    },
    ports::{Direction, Renderer},
};

use crate::{
    contract::{
        WsdlContract,
        model::{Element, Schemas},
    },
    xml::{names::is_ncname, write},
};

/// The namespace of what no contract describes: the service's; of a mapping that several services share, its own.
pub(crate) fn own_namespace(mapping: &Mapping) -> String {
    let soap = mapping.receive.iter().filter(|it| &*it.kind == "soap");
    let mut services = soap.filter_map(|it| it.get("service"));
    let first = services.next().filter(|first| services.all(|it| it == *first));
    format!("urn:vestibule:{}", first.unwrap_or(&mapping.name))
}

/// The contract that this crate read, and the first operation that the mapping is received by: all of them answer with
/// the same element.
pub(crate) fn contract_of(mapping: &Mapping) -> Option<(&WsdlContract, Option<&str>)> {
    let contract = mapping.source.contract.as_ref()?.as_any().downcast_ref::<WsdlContract>()?;
    let operation = mapping.receive.iter().find(|it| &*it.kind == "soap").and_then(|it| it.get("operation"));
    Some((contract, operation))
}

/// A compiled `return`.
#[derive(Debug)]
pub(crate) struct XmlRenderer {
    /// Elements around what repeats for each record; the first is the root.
    around: Vec<(String, String)>,
    /// What is written for each record.
    record: Node,
    /// `into` has one step: all records share the one element.
    joined: bool,
}

/// One element of the reply.
#[derive(Debug, Default)]
struct Node {
    /// For messages, sharing and order.
    name: String,
    namespace: String,
    /// Where the contract wants it among its siblings.
    order: usize,
    /// `<Name xmlns="…"`, without `>`.
    start: String,
    /// `</Name>`
    end: String,
    /// ` name="`, and the write that fills it.
    attributes: Vec<(String, usize)>,
    /// Namespace and name of each attribute.
    attribute_names: Vec<(Option<String>, String)>,
    /// The write that is its text.
    text: Option<usize>,
    /// The write that repeats it; its attributes, text and children are then of the item.
    each: Option<usize>,
    children: Vec<Node>,
}

/// The values of one level, by the index of their write.
type Level<'w> = SmallVec<[Option<&'w WrittenItem>; 16]>;

impl XmlRenderer {
    /// Compiles the mapping's `return` or `pending`.
    pub(crate) fn compile(mapping: &Mapping, back: &Return) -> Result<Self, Fault> {
        let steps: Vec<&str> = back.into.split('/').map(local).filter(|it| !it.is_empty()).collect();
        let Some((last, outer)) = steps.split_last() else {
            return Err(Fault::new(FaultCode::Unwritable, "`into` names no element"));
        };
        let compiler = Compiler { schemas: contract_of(mapping).map(|(contract, _)| contract.schemas()) };
        let mut scope = Scope { element: root_of(mapping, back), namespace: own_namespace(mapping) };
        if let Some(element) = scope.element {
            scope.namespace = element.name.namespace.to_string();
        }
        let mut around = Vec::new();
        let mut outside = String::new();
        let mut is_root = true;
        for name in outer {
            if !is_root {
                scope = compiler.below(&scope, name, None).0;
            }
            let node = Node::new(name, &scope.namespace, &outside, usize::MAX);
            outside.clone_from(&scope.namespace);
            around.push((node.start + ">", node.end));
            is_root = false;
        }
        if !is_root {
            scope = compiler.below(&scope, last, None).0;
        }
        let mut record = Node::new(last, &scope.namespace, &outside, usize::MAX);
        compiler.level(&mut record, &scope, &back.write);
        let wrong = outer.iter().find(|it| !is_ncname(it)).map(|it| (*it).to_owned());
        if let Some(name) = wrong.or_else(|| record.impossible()) {
            let message = format!("the reply can not hold `{name}`: it is no XML name, or stands twice");
            return Err(Fault::new(FaultCode::Unwritable, message));
        }
        Ok(Self { around, record, joined: outer.is_empty() })
    }
}

/// The contract's element for the reply, where it is the one that `into` names.
fn root_of<'m>(mapping: &'m Mapping, back: &Return) -> Option<&'m Arc<Element>> {
    let (contract, operation) = contract_of(mapping)?;
    let first = local(back.into.split('/').next().unwrap_or_default());
    let message = contract.message(operation, Direction::Reply).filter(|it| &*it.name.local == first);
    message.or_else(|| contract.element(first))
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// What is known of the element that is being filled.
struct Scope<'c> {
    element: Option<&'c Arc<Element>>,
    namespace: String,
}

struct Compiler<'c> {
    schemas: Option<&'c Schemas>,
}

impl<'c> Compiler<'c> {
    /// The element of this name inside `scope`, and its place among its siblings.
    fn below(&self, scope: &Scope<'c>, name: &str, namespace: Option<&str>) -> (Scope<'c>, usize) {
        let declared = self.schemas.zip(scope.element).and_then(|(schemas, element)| {
            let children = schemas.children(element).all;
            let fits = |it: &Arc<Element>| {
                &*it.name.local == name && namespace.is_none_or(|uri| uri == &*it.name.namespace)
            };
            let order = children.iter().position(|it| fits(it.element))?;
            Some((children.get(order)?.element, order))
        });
        match declared {
            Some((element, order)) => {
                (Scope { element: Some(element), namespace: element.name.namespace.to_string() }, order)
            }
            None => {
                let namespace = namespace.unwrap_or(&scope.namespace).to_owned();
                (Scope { element: None, namespace }, usize::MAX)
            }
        }
    }

    fn level(&self, into: &mut Node, scope: &Scope<'c>, writes: &[Write]) {
        for (index, write) in writes.iter().enumerate() {
            match write {
                Write::Value { place, .. } => self.place(into, scope, &place.steps, &Fill::Value(index)),
                Write::Each { place, write, .. } => {
                    self.place(into, scope, &place.steps, &Fill::Each(index, write));
                }
            }
        }
        sort(into);
    }

    /// Walks a place's steps, sharing elements that are already there.
    fn place(&self, node: &mut Node, scope: &Scope<'c>, steps: &[Step], fill: &Fill<'_>) {
        let Some((step, rest)) = steps.split_first() else {
            if let Fill::Value(index) = fill {
                node.text.get_or_insert(*index);
            }
            return;
        };
        match step.axis {
            Axis::Attribute => {
                if let Fill::Value(index) = fill {
                    self.attribute(node, scope, step, *index);
                }
            }
            Axis::Child => self.child(node, scope, (step, rest), fill),
            // A place has none of the others; `.` stays where it is.
            Axis::Current | Axis::Descendant | Axis::Parent => self.place(node, scope, rest, fill),
        }
    }

    fn child(&self, node: &mut Node, scope: &Scope<'c>, (step, rest): (&Step, &[Step]), fill: &Fill<'_>) {
        let (inner, order) = self.below(scope, &step.name, step.namespace.as_deref());
        let leaf = rest.is_empty();
        let shares = |it: &Node| {
            it.name == *step.name
                && it.namespace == inner.namespace
                && it.each.is_none()
                && !(leaf && (it.text.is_some() || matches!(fill, Fill::Each(..))))
        };
        let at = node.children.iter().position(shares).unwrap_or_else(|| {
            node.children.push(Node::new(&step.name, &inner.namespace, &node.namespace, order));
            node.children.len() - 1
        });
        let Some(child) = node.children.get_mut(at) else { return };
        match fill {
            Fill::Each(index, writes) if leaf => {
                child.each = Some(*index);
                self.level(child, &inner, writes);
            }
            _ => self.place(child, &inner, rest, fill),
        }
    }

    fn attribute(&self, node: &mut Node, scope: &Scope<'c>, step: &Step, index: usize) {
        let declared = self.schemas.zip(scope.element).and_then(|(schemas, element)| {
            let all = schemas.attributes(element).all;
            all.iter().find(|it| it.name.local == step.name).map(|it| it.name.namespace.to_string())
        });
        let namespace = step.namespace.as_deref().map(str::to_owned).or(declared).filter(|it| !it.is_empty());
        let mut text = String::from(" ");
        if let Some(namespace) = &namespace {
            let prefix = format!("a{}", node.attributes.len());
            text.push_str(&format!("xmlns:{prefix}=\""));
            write::lossy(&mut text, namespace);
            text.push_str(&format!("\" {prefix}:"));
        }
        text.push_str(&step.name);
        text.push_str("=\"");
        node.attributes.push((text, index));
        node.attribute_names.push((namespace, step.name.to_string()));
    }
}

/// What a place is filled with.
enum Fill<'p> {
    Value(usize),
    Each(usize, &'p [Write]),
}

fn sort(node: &mut Node) {
    node.children.sort_by_key(|it| it.order);
    node.children.iter_mut().filter(|it| it.each.is_none()).for_each(sort);
}

impl Node {
    fn new(name: &str, namespace: &str, outside: &str, order: usize) -> Self {
        let mut start = format!("<{name}");
        if namespace != outside {
            start.push_str(" xmlns=\"");
            write::lossy(&mut start, namespace);
            start.push('"');
        }
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            order,
            start,
            end: format!("</{name}>"),
            ..Self::default()
        }
    }

    /// A name in here that would make the reply not well-formed.
    fn impossible(&self) -> Option<String> {
        if !is_ncname(&self.name) {
            return Some(self.name.clone());
        }
        let wrong = |(index, it): (usize, &(Option<String>, String))| {
            let is_fine = is_ncname(&it.1) && it.1 != "xmlns";
            (!is_fine || self.attribute_names.iter().take(index).any(|other| other == it))
                .then(|| format!("@{}", it.1))
        };
        let attribute = self.attribute_names.iter().enumerate().find_map(wrong);
        attribute.or_else(|| self.children.iter().find_map(Self::impossible))
    }

    fn has_value(&self, level: &Level<'_>) -> bool {
        if let Some(each) = self.each {
            return matches!(get(level, each), Some(WrittenItem::Each { items, .. }) if !items.is_empty());
        }
        self.text
            .into_iter()
            .chain(self.attributes.iter().map(|(_, index)| *index))
            .any(|it| get(level, it).is_some())
            || self.children.iter().any(|it| it.has_value(level))
    }

    fn write(&self, level: &Level<'_>, out: &mut String) -> Result<(), Fault> {
        let Some(each) = self.each else { return self.element(level, out) };
        if let Some(WrittenItem::Each { items, .. }) = get(level, each) {
            for item in items {
                self.element(&level_of(item), out)?;
            }
        }
        Ok(())
    }

    fn element(&self, level: &Level<'_>, out: &mut String) -> Result<(), Fault> {
        out.push_str(&self.start);
        for (start, index) in &self.attributes {
            if let Some(WrittenItem::Value { text, .. }) = get(level, *index) {
                out.push_str(start);
                write::attribute(out, text).map_err(|error| self.unwritable(error))?;
                out.push('"');
            }
        }
        out.push('>');
        let filled = out.len();
        self.content(level, out)?;
        if out.len() == filled {
            out.truncate(filled - 1);
            out.push_str("/>");
        } else {
            out.push_str(&self.end);
        }
        Ok(())
    }

    fn content(&self, level: &Level<'_>, out: &mut String) -> Result<(), Fault> {
        if let Some(WrittenItem::Value { text, .. }) = self.text.and_then(|it| get(level, it)) {
            write::text(out, text).map_err(|error| self.unwritable(error))?;
        }
        self.children.iter().filter(|it| it.has_value(level)).try_for_each(|it| it.write(level, out))
    }

    fn unwritable(&self, error: write::Unwritable) -> Fault {
        Fault::new(FaultCode::Unwritable, error.to_string()).at(self.name.clone())
    }
}

fn get<'w>(level: &Level<'w>, index: usize) -> Option<&'w WrittenItem> {
    level.get(index).copied().flatten()
}

fn level_of(written: &Written) -> Level<'_> {
    let mut level = Level::new();
    for item in &written.items {
        let (WrittenItem::Value { write, .. } | WrittenItem::Each { write, .. }) = item;
        if level.len() <= *write {
            level.resize(*write + 1, None);
        }
        if let Some(slot) = level.get_mut(*write) {
            *slot = Some(item);
        }
    }
    level
}

impl Renderer for XmlRenderer {
    fn render(&self, records: &[Written]) -> Result<Bytes, Fault> {
        let mut out = String::with_capacity(512);
        self.around.iter().for_each(|(start, _)| out.push_str(start));
        if self.joined && records.len() != 1 {
            out.push_str(&self.record.start);
            out.push('>');
            records.iter().try_for_each(|it| self.record.content(&level_of(it), &mut out))?;
            out.push_str(&self.record.end);
        } else {
            records.iter().try_for_each(|it| self.record.element(&level_of(it), &mut out))?;
        }
        self.around.iter().rev().for_each(|(_, end)| out.push_str(end));
        Ok(Bytes::from(out))
    }
}
