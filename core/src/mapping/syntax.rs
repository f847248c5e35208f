//! A strict subset of YAML as a tree with spans. Every scalar stays text, so `NO`, `010` and `1e3` are safe.
//!
//! Duplicate keys, anchors, aliases, tags and a second document are errors, so there is nothing to expand. The traps
//! of YAML are answered by name, see `traps`.

mod offsets;
mod reader;
mod traps;

pub use self::reader::{parse, text_of};

use super::diagnostic::Span;

/// Largest file, in bytes.
pub const LARGEST_FILE: usize = 1024 * 1024;
/// Deepest nesting of blocks and lists.
pub const DEEPEST: usize = 64;
/// Most keys and values in one file.
pub const MOST_NODES: usize = 200_000;

/// One node of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    /// Where the bytes of a scalar's text stand in the file.
    offsets: offsets::Offsets,
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

impl Node {
    /// The text of a single value.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    /// The value under a key of a block.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key of a block and its value.
    pub fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        self.entries().iter().find(|(name, _)| name.text() == Some(key))
    }

    /// The keys and values of a block; nothing for other nodes.
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Seq(_) | Kind::Scalar { .. } => &[],
        }
    }

    /// The items of a list; a single value or block is a list of one.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Seq(items) => items,
            Kind::Map(_) | Kind::Scalar { .. } => std::slice::from_ref(self),
        }
    }

    /// True for a key without a value (`owner:`).
    pub fn is_blank(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text.is_empty())
    }

    /// What it is, for messages: `a list`.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Scalar { .. } if self.is_blank() => "empty",
            Kind::Scalar { .. } => "a single value",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a block of keys",
        }
    }

    /// Where bytes `range` of a single value's text stand in the file, quotes and escapes taken into account. The
    /// whole node where that is not known (text folded over several lines).
    pub fn sub(&self, range: Span) -> Span {
        self.offsets.locate(&self.span, range)
    }
}

#[cfg(test)]
mod tests;
