//! Prefixes in scope.

use std::cell::OnceCell;

use super::error::{Problem, shown};

/// The namespace of `xml:lang` and its like.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of namespace declarations.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Namespace names that are not in the document as they read, because they are written with references. Few
/// documents have one; thirty-two is the most that one may have.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    cells: [OnceCell<Box<str>>; 32],
}

impl Expanded {
    /// Keeps a name as long as the document lives. `None`: there is no more room.
    pub(super) fn keep(&self, name: &str) -> Option<&str> {
        self.cells
            .iter()
            .map(|cell| cell.get_or_init(|| name.into()))
            .find(|kept| &***kept == name)
            .map(|it| &**it)
    }
}

/// Bindings of prefixes, innermost last.
#[derive(Debug, Default)]
pub(super) struct Bindings<'a> {
    all: Vec<(&'a str, &'a str)>,
}

impl<'a> Bindings<'a> {
    /// How many are in scope; give it back to [`Self::leave`].
    pub(super) fn mark(&self) -> usize {
        self.all.len()
    }

    /// Forgets what was declared since the mark.
    pub(super) fn leave(&mut self, mark: usize) {
        self.all.truncate(mark);
    }

    /// Declares a prefix (empty: the default namespace).
    pub(super) fn declare(&mut self, prefix: &'a str, uri: &'a str) -> Result<(), Problem> {
        match (prefix, uri) {
            ("xml", XML) => return Ok(()),
            ("xml" | "xmlns", _) | (_, XML | XMLNS) => return Err(Problem::Reserved(shown(prefix))),
            (prefix, "") if !prefix.is_empty() => return Err(Problem::EmptyBinding(shown(prefix))),
            _ => self.all.push((prefix, uri)),
        }
        Ok(())
    }

    /// The namespace of an element or of a prefixed attribute. `None`: the prefix is not declared.
    pub(super) fn resolve(&self, prefix: &str) -> Option<&'a str> {
        if let Some((_, uri)) = self.all.iter().rev().find(|(it, _)| *it == prefix) {
            return Some(uri);
        }
        match prefix {
            "" => Some(""),
            "xml" => Some(XML),
            _ => None,
        }
    }
}
