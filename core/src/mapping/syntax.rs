//! A strict subset of YAML as a tree with spans. Every scalar stays text, so `NO`, `010` and `1e3` are safe.

use super::diagnostic::Span;

/// One node of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// The three kinds of node.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A single value.
    Scalar {
        /// Its text, quotes removed.
        text: String,
        /// True when it was written without quotes.
        plain: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A block of keys, in the file's order.
    Map(Vec<(Node, Node)>),
}
