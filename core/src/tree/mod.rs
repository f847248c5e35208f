//! A document as a flat arena of named nodes: what XML and JSON have in common, and what addresses walk through.
//!
//! An adapter feeds a [`TreeBuilder`] in document order; paths are then found and places named without knowing the
//! format. Every operation is linear in what it visits; no input makes one quadratic.
//!
//! A root without a name (a JSON document) does not appear in places: they begin with its children.

mod build;
pub mod extract;
mod find;
mod place;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashMap, sync::OnceLock};

pub use build::TreeBuilder;
pub(crate) use find::Walk;

/// The attribute that says that an element is there but has no value.
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The attribute of a node that is there and whose value is not known: of a row of a database. Its value says why.
const UNREAD: &str = "urn:vestibule:unread";

/// No node, no text.
const NONE: u32 = u32::MAX;

/// A node's number, in document order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A parsed document. Borrows names and texts from the source where it can.
#[derive(Debug, Default)]
pub struct Tree<'a> {
    nodes: Vec<Node>,
    attributes: Vec<Attribute<'a>>,
    texts: Vec<Cow<'a, str>>,
    /// Local names, each once.
    names: Vec<Cow<'a, str>>,
    name_numbers: HashMap<Cow<'a, str>, u32>,
    /// Namespace URIs, each once.
    namespaces: Vec<&'a str>,
    /// First child of a name, for parents whose children have many different names.
    wide: HashMap<(u32, u32), u32>,
    source: &'a str,
    /// Offsets of the line feeds, found when the first line number is asked for.
    line_ends: OnceLock<Vec<u32>>,
    /// For each name the nodes that have it, in document order; made when a path first looks at any depth.
    by_name: OnceLock<Vec<Vec<u32>>>,
}

/// What the arena keeps of a node. Links are node numbers or [`NONE`].
#[derive(Debug, Clone, Copy)]
struct Node {
    name: u32,
    namespace: u32,
    parent: u32,
    first_child: u32,
    next_sibling: u32,
    /// The next sibling with the same name.
    next_same: u32,
    /// From the first sibling of a name to the first of the next name.
    next_distinct: u32,
    /// Position among the siblings with the same name, from 1.
    nth: u32,
    /// The node after the last one below this.
    below_end: u32,
    text: u32,
    first_attribute: u32,
    attribute_count: u32,
    start: u32,
    end: u32,
    /// Children have so many different names that they are looked up in [`Tree::wide`].
    is_wide: bool,
    /// Its text goes on after a child.
    is_interrupted: bool,
}

#[derive(Debug)]
struct Attribute<'a> {
    namespace: u32,
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// What a path found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hit<'t> {
    /// A node.
    Node(NodeId),
    /// An attribute of a node: its local name and value.
    Attribute(NodeId, &'t str, &'t str),
}

impl Hit<'_> {
    /// The node, or the node that has the attribute.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Node(node) | Self::Attribute(node, ..) => *node,
        }
    }
}

impl<'a> Tree<'a> {
    /// The document's root.
    pub fn root(&self) -> Option<NodeId> {
        (!self.nodes.is_empty()).then_some(NodeId(0))
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True when there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(usize_of(node.0))
    }

    fn name_of(&self, number: u32) -> &str {
        self.names.get(usize_of(number)).map_or("", |name| name)
    }

    fn namespace_of(&self, number: u32) -> &'a str {
        self.namespaces.get(usize_of(number)).copied().unwrap_or_default()
    }

    /// Local name; empty for a number that is no node.
    pub fn name(&self, node: NodeId) -> &str {
        self.node(node).map_or("", |node| self.name_of(node.name))
    }

    /// Namespace URI; empty for none.
    pub fn namespace(&self, node: NodeId) -> &str {
        self.node(node).map_or("", |node| self.namespace_of(node.namespace))
    }

    /// The node's own character data (not its children's), as it stands.
    pub fn text(&self, node: NodeId) -> &str {
        self.node(node).and_then(|node| self.texts.get(usize_of(node.text))).map_or("", |text| text)
    }

    /// True when the node's own text (white space aside) goes on after a child: [`Self::text`] then joins what the
    /// document keeps apart, as in `<A>1<b/>2</A>`.
    pub fn is_interrupted(&self, node: NodeId) -> bool {
        self.node(node).is_some_and(|node| node.is_interrupted)
    }

    fn attributes(&self, node: NodeId) -> &[Attribute<'a>] {
        let range = self.node(node).map(|node| {
            let first = usize_of(node.first_attribute);
            first..first + usize_of(node.attribute_count)
        });
        range.and_then(|range| self.attributes.get(range)).unwrap_or_default()
    }

    /// The value of an attribute, by local name in any namespace.
    pub fn attribute(&self, node: NodeId, name: &str) -> Option<&str> {
        self.attributes(node).iter().find(|it| it.name == name).map(|it| &*it.value)
    }

    /// True when the element says of itself that it has no value (`xsi:nil`).
    pub fn is_nil(&self, node: NodeId) -> bool {
        self.attributes(node).iter().any(|it| {
            it.name == "nil"
                && self.namespace_of(it.namespace) == XSI
                && matches!(it.value.trim(), "true" | "1")
        })
    }

    /// Why the value of this node is not known; only where a [`TreeBuilder::unread`] said so.
    fn unread(&self, node: NodeId) -> Option<&str> {
        let found = self.attributes(node).iter().find(|it| self.namespace_of(it.namespace) == UNREAD)?;
        Some(&found.value)
    }

    /// Child nodes in order.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut next = self.node(node).map_or(NONE, |node| node.first_child);
        std::iter::from_fn(move || {
            let child = self.nodes.get(usize_of(next))?;
            let id = NodeId(next);
            next = child.next_sibling;
            Some(id)
        })
    }

    /// The parent; `None` for the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.node(node).filter(|node| node.parent != NONE).map(|node| NodeId(node.parent))
    }

    /// Bytes of the source that the node spans.
    pub fn span(&self, node: NodeId) -> std::ops::Range<usize> {
        self.node(node).map_or(0..0, |node| usize_of(node.start)..usize_of(node.end))
    }

    /// The line that the node begins in, from 1; 0 when the builder was not given the source.
    pub fn line(&self, node: NodeId) -> u32 {
        let Some(node) = self.node(node).filter(|_| !self.source.is_empty()) else { return 0 };
        let ends = self
            .line_ends
            .get_or_init(|| self.source.match_indices('\n').map(|(at, _)| u32_of(at)).collect());
        u32_of(ends.partition_point(|end| *end < node.start)) + 1
    }

    /// The first child of this name and how to go on: [`Self::next_same`].
    fn first_named(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let parent_node = self.node(parent)?;
        if parent_node.is_wide {
            let number = self.name_numbers.get(name)?;
            return self.wide.get(&(parent.0, *number)).copied().map(NodeId);
        }
        let mut next = parent_node.first_child;
        while let Some(child) = self.nodes.get(usize_of(next)) {
            if self.name_of(child.name) == name {
                return Some(NodeId(next));
            }
            next = child.next_distinct;
        }
        None
    }

    fn next_same(&self, node: NodeId) -> Option<NodeId> {
        self.node(node).filter(|node| node.next_same != NONE).map(|node| NodeId(node.next_same))
    }

    /// Numbers of the nodes below `node` that have this name, in document order.
    fn named_below(&self, node: NodeId, name: &str) -> &[u32] {
        let (Some(number), Some(kept)) = (self.name_numbers.get(name), self.node(node)) else { return &[] };
        let by_name = self.by_name.get_or_init(|| {
            let mut lists = vec![Vec::new(); self.names.len()];
            for (at, node) in self.nodes.iter().enumerate() {
                if let Some(list) = lists.get_mut(usize_of(node.name)) {
                    list.push(u32_of(at));
                }
            }
            lists
        });
        let list = by_name.get(usize_of(*number)).map_or(&[][..], Vec::as_slice);
        let from = list.partition_point(|it| *it <= node.0);
        let to = list.partition_point(|it| *it < kept.below_end);
        list.get(from..to).unwrap_or_default()
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
