//! A document as a flat arena of named nodes: what XML and JSON have in common, and what addresses walk through.
//!
//! An adapter feeds a [`TreeBuilder`] in document order; paths are then found and places named without knowing the
//! format. Every operation is linear in what it visits; no input makes one quadratic.

use std::borrow::Cow;

use crate::mapping::address::Path;

/// A node's number, in document order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A parsed document. Borrows names and texts from the source where it can.
#[derive(Debug, Default)]
pub struct Tree<'a> {
    texts: Vec<Cow<'a, str>>,
}

/// What a path found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hit<'t> {
    /// A node.
    Node(NodeId),
    /// An attribute of a node: its local name and value.
    Attribute(NodeId, &'t str, &'t str),
}

/// Builds a tree in document order.
#[derive(Debug, Default)]
pub struct TreeBuilder<'a> {
    tree: Tree<'a>,
}

impl<'a> TreeBuilder<'a> {
    /// A builder with room for so many nodes.
    pub fn with_capacity(nodes: usize) -> Self {
        let _ = nodes;
        Self::default()
    }

    /// A node begins at this byte offset. `namespace` is its URI, empty for none.
    pub fn open(&mut self, namespace: &'a str, name: Cow<'a, str>, offset: usize) -> NodeId {
        let _ = (namespace, name, offset);
        NodeId(0)
    }

    /// An attribute of the node that was opened last (before any text or child).
    pub fn attribute(&mut self, namespace: &'a str, name: Cow<'a, str>, value: Cow<'a, str>) {
        let _ = (namespace, name, value);
    }

    /// Character data of the innermost open node; several runs are joined.
    pub fn text(&mut self, text: Cow<'a, str>) {
        self.tree.texts.push(text);
    }

    /// The innermost open node ends at this byte offset (exclusive).
    pub fn close(&mut self, end: usize) {
        let _ = end;
    }

    /// The tree. `source` is the text that offsets refer to, for line numbers.
    pub fn finish(self) -> Tree<'a> {
        self.tree
    }
}

impl<'a> Tree<'a> {
    /// The document's root.
    pub fn root(&self) -> Option<NodeId> {
        None
    }

    /// Local name.
    pub fn name(&self, node: NodeId) -> &str {
        let _ = node;
        ""
    }

    /// Namespace URI; empty for none.
    pub fn namespace(&self, node: NodeId) -> &str {
        let _ = node;
        ""
    }

    /// The node's own character data (not its children's), as it stands.
    pub fn text(&self, node: NodeId) -> &str {
        let _ = node;
        ""
    }

    /// The value of an attribute, by local name in any namespace.
    pub fn attribute(&self, node: NodeId, name: &str) -> Option<&str> {
        let _ = (node, name);
        None
    }

    /// Child nodes in order.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let _ = node;
        std::iter::empty()
    }

    /// The parent.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        let _ = node;
        None
    }

    /// Bytes of the source that the node spans.
    pub fn span(&self, node: NodeId) -> std::ops::Range<usize> {
        let _ = node;
        0..0
    }

    /// All matches of `path`, in document order, without doubles. A relative path starts at `base`: its first step
    /// names a child of it, or, where `or_self` is true and no child has that name, `base` itself.
    pub fn find<'t>(&'t self, base: NodeId, or_self: bool, path: &Path, hits: &mut Vec<Hit<'t>>) {
        let _ = (base, or_self, path, hits);
    }

    /// The exact place, itself an absolute address: `/Envelope/Body/Claim/Lines/Line(2)`; a position only where a
    /// sibling has the same name.
    pub fn place(&self, hit: &Hit<'_>) -> String {
        let _ = hit;
        String::new()
    }

    /// Where `path` would be below `base`: the place of the deepest node on the way that exists, then the rest.
    pub fn expected_place(&self, base: NodeId, or_self: bool, path: &Path) -> String {
        let _ = (base, or_self, path);
        String::new()
    }
}
