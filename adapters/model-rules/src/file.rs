//! The grammar of a decision table's file: what is checked, and what editors get.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use vestibule_core::mapping::shape::{self, Word};

/// A decision table: the first row whose condition holds gives the answer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
#[expect(dead_code, reason = "the file is compiled from its tree, which knows places; this is its grammar")]
pub(crate) struct TableFile {
    /// The table's name.
    rules: Word,
    /// What it is for, for people.
    #[serde(default)]
    about: Option<Word>,
    /// Lists of words and phrases that conditions name: `story contains any of suspicious`.
    #[serde(default)]
    words: IndexMap<String, Vec<Word>>,
    /// Tried from top to bottom.
    #[serde(default)]
    rows: Vec<RowFile>,
    /// The answer when no row holds. Without it, the next model or fallback is asked.
    #[serde(default)]
    otherwise: Option<IndexMap<String, Value>>,
}

/// One row.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
#[expect(dead_code, reason = "as above")]
pub(crate) struct RowFile {
    /// A condition in the rule language over the fields of the record. Without it, the row always holds. A condition
    /// whose input is missing does not hold.
    #[serde(default, rename = "if")]
    condition: Option<Word>,
    /// The fields of the answer, as the mapping names them.
    answer: IndexMap<String, Value>,
}

/// The JSON Schema (draft-07) of decision tables, for editors.
pub fn json_schema() -> Value {
    shape::schema_for::<TableFile>()
}
