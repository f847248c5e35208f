//! Strict, bounded XML 1.0 with namespaces: no document type, no entities but the five of XML, every rule of
//! well-formedness checked. What is accepted becomes a [`Tree`] that borrows from the text.

pub(crate) mod charset;
mod error;
pub(crate) mod names;
pub(crate) mod namespaces;
mod reader;
mod tag;
mod text;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use vestibule_core::tree::Tree;

pub use error::{Problem, XmlError};

/// How much of a document is read. What passes a limit is refused, never cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as received.
    pub bytes: usize,
    /// Elements inside each other.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element, namespace declarations not counted.
    pub attributes: usize,
    /// Bytes of one attribute's value.
    pub attribute_bytes: usize,
    /// Namespace declarations on one element.
    pub declarations: usize,
    /// Namespace declarations in scope at one place.
    pub bindings: usize,
    /// Bytes of character data in all.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 10 << 20,
            depth: 64,
            elements: 500_000,
            attributes: 100,
            attribute_bytes: 64 << 10,
            declarations: 32,
            bindings: 128,
            text_bytes: 10 << 20,
        }
    }
}

/// What a reader keeps beyond elements, attributes and text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Namespace declarations stay, as attributes named `xmlns` or `xmlns:p`: schemas write prefixes into values.
    pub keep_declarations: bool,
}

/// A document's text, decoded. Trees borrow from it.
#[derive(Debug)]
pub struct Source<'a> {
    text: Cow<'a, str>,
    expanded: namespaces::Expanded,
}

impl<'a> Source<'a> {
    /// Decodes `bytes`. `transport` is the charset of the Content-Type, `otherwise` the one that holds where nothing
    /// names one. UTF-8 is borrowed.
    pub fn decode(
        bytes: &'a [u8],
        transport: Option<&str>,
        otherwise: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, XmlError> {
        let text = charset::decode(bytes, transport, otherwise, limits)?;
        Ok(Self { text, expanded: namespaces::Expanded::default() })
    }

    /// A text that is already decoded.
    pub fn of(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), expanded: namespaces::Expanded::default() }
    }

    /// The decoded text, without a byte order mark. Spans of trees refer to it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the document.
    pub fn parse<'s>(&'s self, limits: &'s Limits, options: Options) -> Result<Tree<'s>, XmlError> {
        reader::Strict::new(&self.text, limits, options, &self.expanded).read()
    }
}

/// Decodes and reads a document and forgets it: the whole way of hostile bytes, for fuzzing.
pub fn read(bytes: &[u8], charset: Option<&str>, limits: &Limits) -> Result<(), XmlError> {
    Source::decode(bytes, charset, None, limits)?.parse(limits, Options::default()).map(drop)
}

/// Bytes of an attribute's value inside `element`, the text of a well-formed element that begins with its start tag.
pub(crate) fn attribute_span(element: &str, name: &str) -> Option<Range<usize>> {
    let inside = element.strip_prefix('<')?;
    let (tag_name, rest) =
        tag::name(inside.split_once('>').map_or(inside, |(head, _)| head).trim_end_matches('/'));
    let mut end = 0;
    // A `>` inside a quoted value is not the tag's end: look on until the quotes are even.
    let rest = if rest.is_empty() { "" } else { element.get(1 + tag_name.len()..)? };
    let mut quote = None;
    for (at, it) in rest.char_indices() {
        end = at;
        match (quote, it) {
            (None, '>') => break,
            (None, '"' | '\'') => quote = Some(it),
            (Some(open), it) if open == it => quote = None,
            _ => {}
        }
    }
    let mut attributes = Vec::new();
    let inside = rest.get(..end)?.trim_end_matches('/');
    tag::attributes(inside, 1 + tag_name.len(), &Limits::default(), &mut attributes).ok()?;
    attributes.into_iter().find(|it| it.name == name).map(|it| it.span)
}
