//! Addresses: one notation for every legacy format.

use std::sync::Arc;

/// Where a value is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// A path of names: the natural unit of XML and JSON.
    Path(Path),
    /// `meta received`, `meta name`: what is known about the document itself.
    Meta(Meta),
}

/// What is known about the document itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// When it arrived.
    Received,
    /// A file's name.
    Name,
    /// The idempotency key.
    Key,
    /// SHA-256 of the document.
    Hash,
}

/// Steps through a tree. Relative to the record's base; the payload's root for a document of one record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Path {
    /// From the document's root (`/Envelope/…`), as recorded origins are.
    pub absolute: bool,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which way.
    pub axis: Axis,
    /// Namespace URI that the name must be in; `None`: any.
    pub namespace: Option<Arc<str>>,
    /// Local name; `*` is any.
    pub name: Arc<str>,
    /// Which of the matches.
    pub picks: Vec<Pick>,
}

/// Which way a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// `name`
    Child,
    /// `//name`
    Descendant,
    /// `@name`
    Attribute,
    /// `..`
    Parent,
    /// `.`
    Current,
}

/// Which of the matches.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// `(2)`, from 1.
    Nth(u32),
    /// `(last)`
    Last,
    /// `(@role=CLM)`
    Attribute(Arc<str>, Arc<str>),
    /// `(Kind=CLM)`
    Child(Arc<str>, Arc<str>),
}
