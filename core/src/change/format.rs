//! Changes of rows as documents: `source.kind: cdc`.
//!
//! The columns of a row are walked as a tree, by the same addresses as XML and JSON: a column is a node with its text,
//! an array repeats the node of its column, a JSON value has nodes below it. A column whose value is not known (it did
//! not change and the database does not say it, it could not be read, or the row does not have it) is a defect where
//! the mapping reads it, and never a guess.

mod doc;
mod render;
mod tree;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use super::{Change, MEDIA_TYPE, Op, Row};
use crate::{
    document::Document,
    fault::{Fault, FaultCode},
    mapping::{
        address::Meta,
        plan::{Mapping, Return},
    },
    ports::{Contract, Extraction, Extractor, Files, Format, Renderer},
    tree::extract::{Reads, RowFacts, extract_row},
};

/// How much of a change is read. What passes a limit is refused, never cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Objects and arrays inside of each other, in a JSON column.
    pub depth: usize,
    /// Values in all, those inside of JSON columns and arrays included.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, depth: 64, nodes: 500_000 }
    }
}

/// The format `cdc`. What it writes is an object with a text or `null` for each written column.
#[derive(Debug, Default, Clone)]
pub struct ChangeFormat {
    limits: Limits,
}

impl ChangeFormat {
    /// With limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Format for ChangeFormat {
    fn kind(&self) -> &'static str {
        "cdc"
    }

    fn reads(&self, media_type: &str) -> bool {
        media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE)
    }

    fn knows_charset(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("utf-8")
    }

    fn media_type(&self) -> &'static str {
        "application/json"
    }

    fn contract(&self, _path: &str, _files: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        Ok(None)
    }

    fn extractor(&self, mapping: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        let (now, before) = mapping.columns_by_side();
        Ok(Arc::new(ChangeExtractor { limits: self.limits.clone(), reads: Reads::of(mapping), now, before }))
    }

    fn renderer(&self, _: &Mapping, form: &Return) -> Result<Arc<dyn Renderer>, Fault> {
        render::ChangeRenderer::compile(form).map(|it| Arc::new(it) as Arc<dyn Renderer>)
    }
}

struct ChangeExtractor {
    limits: Limits,
    reads: Reads,
    /// The columns that are read of the row as it is.
    now: Vec<Arc<str>>,
    /// The columns that are read of the row as it was.
    before: Vec<Arc<str>>,
}

impl Extractor for ChangeExtractor {
    fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        if document.bytes.len() > self.limits.bytes {
            return Err(too_large(format!("more than {} bytes", self.limits.bytes)));
        }
        let change = Change::from_bytes(&document.bytes)?;
        let mut room = self.limits.nodes;
        let too_many = || too_large(format!("more than {} values", self.limits.nodes));
        let depth = self.limits.depth;
        let now = tree::of_row(row_as_it_is(&change), &self.now, depth, &mut room).ok_or_else(too_many)?;
        // Most mappings never ask: then there is no row to be made a tree of.
        let was = if self.before.is_empty() { None } else { row_as_it_was(&change) };
        let before = was
            .as_deref()
            .map(|row| tree::of_row(Some(row), &self.before, depth, &mut room).ok_or_else(too_many));
        let before = before.transpose()?.unwrap_or_default();
        let meta = |it: Meta| match it {
            Meta::Op => Some(change.op.word().to_owned()),
            Meta::Ts => change.at.map(|it| it.to_string()),
            Meta::Lsn => Some(change.position.to_string()),
            Meta::Table => Some(change.table.to_string()),
            Meta::Txid => change.txid.as_deref().map(str::to_owned),
            Meta::Received | Meta::Name | Meta::Key | Meta::Hash => None,
        };
        let facts = RowFacts {
            before: &before,
            meta: &meta,
            table: (*change.table).into(),
            position: (*change.position).into(),
        };
        let Some(root) = now.root() else { return Ok(Extraction::default()) };
        Ok(extract_row(&now, root, &self.reads, document, &facts))
    }
}

fn too_large(message: String) -> Fault {
    Fault::new(FaultCode::TooLarge, message)
}

/// The row that addresses read: of a row that is gone, the one that it was.
fn row_as_it_is(change: &Change) -> Option<&Row> {
    static NOTHING: Row = Row(Vec::new());
    match change.op {
        Op::Truncate => None,
        Op::Delete => Some(change.before.as_ref().unwrap_or(&NOTHING)),
        Op::Insert | Op::Update | Op::Snapshot => Some(change.after.as_ref().unwrap_or(&NOTHING)),
    }
}

/// The row that `before` reads; `None`: there was none. A database that does not say the old key says that it is the
/// new one.
fn row_as_it_was(change: &Change) -> Option<Cow<'_, Row>> {
    match (change.op, &change.before) {
        (Op::Insert | Op::Snapshot | Op::Truncate, _) => None,
        (Op::Update | Op::Delete, Some(row)) => Some(Cow::Borrowed(row)),
        (Op::Update, None) => {
            let after = change.after.iter().flat_map(|it| &it.0);
            Some(Cow::Owned(Row(after.filter(|(name, _)| change.key.contains(name)).cloned().collect())))
        }
        (Op::Delete, None) => Some(Cow::Owned(Row::default())),
    }
}
