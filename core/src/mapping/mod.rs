//! The mapping language: from the text of a `*.map.yaml` to a compiled [`plan::Mapping`].
//!
//! Text → [`syntax`] (a tree with spans) → [`shape`] (checked against the JSON Schema of the types in [`mod@file`]) →
//! [`check`] (names, addresses, rules, code tables) → [`plan`]. Every stage reports all it finds to [`diagnostic`].

pub mod address;
pub mod check;
pub mod codes;
pub mod diagnostic;
pub mod file;
pub mod plan;
mod secrets;
pub mod shape;
pub mod syntax;

pub use self::check::{Compiled, Surroundings, compile, duration};

/// The JSON Schema (draft-07) of a mapping file, for editors.
pub fn json_schema() -> serde_json::Value {
    shape::schema_for::<file::MappingFile>()
}
