//! Addresses: one notation for every legacy format.
//!
//! ```text
//! path   = [ "/" ] step { ( "/" | "//" ) step }        a leading "//": at any depth below the record
//! step   = "." | ".." | [ "@" ] name { pick }
//! name   = "*" | plain | prefix ":" plain | "{" URI "}" plain | "'" anything "'"      a quote inside is doubled
//! pick   = "(" ( 1.. | "last" | [ "@" ] name "=" value ) ")"                          "[" and "]" are taken as well
//! ```
//!
//! Before a path, four words lead somewhere else: `meta received`, `header x-tenant`, `property correlation_id`, and in
//! changes of rows `before STATUS`, which begins a path in the row as it was.
//!
//! In a change of a row the first name is a column's; what follows walks inside of its JSON or picks from its array:
//! `DOC/customer/name`, `TAGS(2)`.
//!
//! A pick chooses among the matches below one parent (for `//name`: among all matches below it, in document order).
//! Printing an address gives text that reads back as the same address; a namespace is printed as `{URI}`, which
//! needs no prefix.

mod axis;
mod notation;
mod read;

#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc};

use indexmap::IndexMap;

use crate::document::AttributeKind;

pub(super) use axis::is_token;
pub(crate) use notation::write_name;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    /// Bytes of the address at fault; never empty, never past the text's end unless the text is empty.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub title: String,
    /// How to mend it.
    pub help: Option<String>,
    /// What to write in place of `span`, where a near miss exists.
    pub fix: Option<String>,
}

impl Address {
    /// Reads an address of a source of this kind (`xml`, `json`, …). `namespaces`: prefixes and their URIs.
    pub fn parse(
        text: &str,
        kind: &str,
        namespaces: &IndexMap<String, String>,
    ) -> Result<Self, AddressError> {
        match axis::lead(text, kind)? {
            axis::Lead::Meta(meta) => Ok(Self::Meta(meta)),
            axis::Lead::Attribute(kind, name) => Ok(Self::Attribute(kind, name)),
            axis::Lead::Before(start) => {
                let inside = text.get(start..).unwrap_or_default();
                let path = read::path(inside, kind, namespaces).and_then(|it| column_first(inside, it));
                path.map(Self::Before).map_err(|error| error.shifted(start))
            }
            axis::Lead::Path => Path::parse(text, kind, namespaces).map(Self::Path),
        }
    }
}

/// A path that begins in a row names a column: which columns are read is known without a row.
fn column_first(text: &str, path: Path) -> Result<Path, AddressError> {
    if path.column().is_some() {
        return Ok(path);
    }
    Err(AddressError {
        span: axis::trimmed(text),
        title: "an address in a row begins with the name of a column".into(),
        help: Some("e.g. STATUS, DOC/customer/name, TAGS(2)".into()),
        fix: None,
    })
}

impl AddressError {
    /// The same, where the text begins further back.
    fn shifted(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }
}

impl Path {
    /// The column that a path which begins in a row leads into.
    pub fn column(&self) -> Option<&Arc<str>> {
        let first = self.steps.first().filter(|it| it.axis == Axis::Child && &*it.name != "*")?;
        Some(&first.name)
    }

    /// Refuses a path that begins in a row (of a source of kind `cdc`) and names no column.
    pub fn in_row(self, text: &str) -> Result<Self, AddressError> {
        column_first(text, self)
    }

    /// Reads a path alone: the place of an `each`.
    pub fn parse(
        text: &str,
        kind: &str,
        namespaces: &IndexMap<String, String>,
    ) -> Result<Self, AddressError> {
        if let Some(word) = axis::lead(text, kind)?.word() {
            return Err(AddressError {
                span: axis::trimmed(text),
                title: format!("`{word}` is a single value, not a place in the document"),
                help: Some("write the path of what repeats, e.g. Claim/Lines/Line".into()),
                fix: None,
            });
        }
        read::path(text, kind, namespaces)
    }

    /// Reads a place that is written: names only, from the reply's root, an attribute at most as the last step.
    pub fn parse_place(
        text: &str,
        kind: &str,
        namespaces: &IndexMap<String, String>,
    ) -> Result<Self, AddressError> {
        let lead = axis::lead(text, kind).map_err(|error| read::without_quotes(error, kind))?;
        if let Some(word) = lead.word() {
            return Err(AddressError {
                span: axis::trimmed(text),
                title: format!("`{word}` can not be written"),
                help: Some("write the legacy place, e.g. Result/ClaimNo".into()),
                fix: None,
            });
        }
        read::place(text, kind, namespaces)
    }
}

/// Where a value is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// A path of names: the natural unit of XML and JSON.
    Path(Path),
    /// `meta received`, `meta name`: what is known about the document itself.
    Meta(Meta),
    /// `header x-tenant`, `property correlation_id`: what came beside the document.
    Attribute(AttributeKind, Box<str>),
    /// `before STATUS`: a path in the row as it was before the change.
    Before(Path),
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
    /// Of a change: insert, update, delete, truncate, snapshot.
    Op,
    /// Of a change: when it was committed.
    Ts,
    /// Of a change: where it stands among all changes.
    Lsn,
    /// Of a change: the table with its schema.
    Table,
    /// Of a change: the transaction.
    Txid,
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

impl Step {
    /// `.`: the element itself.
    pub fn current() -> Self {
        Self { axis: Axis::Current, namespace: None, name: "".into(), picks: Vec::new() }
    }
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
