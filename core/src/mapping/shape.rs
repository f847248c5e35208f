//! A strict reader for everything that people write in YAML: the types are the grammar.
//!
//! A type's JSON Schema, made by schemars, is what its file is checked against and what editors get, so the two can
//! not disagree. All problems of a file are reported; a bad value is left out, so that the rest is still checked.
//!
//! A struct that can be deserialised although required keys are missing says so with
//! `#[schemars(extend("x-partial" = true))]`; without it, a block with a missing key is left out as a whole.

mod checker;
mod schema;

pub use self::schema::schema_for;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{diagnostic::Diagnostics, syntax::Node};

/// Reads `node` as a `T`. `what` names it in messages. Every problem is reported; `None` when too little is left to
/// make a `T` of, and then there is at least one diagnostic.
///
/// The schema of a `T` is made once in the life of the process.
pub fn read<T: DeserializeOwned + JsonSchema + 'static>(
    node: &Node,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let schema = schema::cached::<T>();
    let before = diagnostics.len();
    let value = checker::Checker::new(&schema).whole(node, what, diagnostics)?;
    match serde_json::from_value(value) {
        Ok(read) => Some(read),
        Err(error) => {
            if diagnostics.len() == before {
                let title = format!("`{what}` can not be read");
                diagnostics.push("M010", &node.span, title, error.to_string());
            }
            None
        }
    }
}

/// `node` as JSON without a schema: every single value is a string.
pub fn plain_json(node: &Node) -> Value {
    match &node.kind {
        super::syntax::Kind::Scalar { text, .. } => Value::String(text.clone()),
        super::syntax::Kind::Seq(items) => items.iter().map(plain_json).collect(),
        super::syntax::Kind::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), plain_json(value)))
            .collect(),
    }
}

/// Text as the file spells it: `01`, `no` and `1.50` stay what they are. Editors read those as numbers and booleans,
/// so their schema allows them too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Word(pub String);

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Word {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum OneOrMany {
    /// One value.
    One(Word),
    /// A list.
    Many(Vec<Word>),
}

impl OneOrMany {
    /// The values in order.
    pub fn as_slice(&self) -> &[Word] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

#[cfg(test)]
mod tests;
