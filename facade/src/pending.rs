//! Until the compiler of mappings lands.
use vestibule_core::{
    mapping::{diagnostic::Diagnostics, plan::Mapping},
    ports::Files,
    registry::Registry,
};
pub struct Surroundings<'a> {
    pub files: &'a dyn Files,
    pub registry: &'a Registry,
    pub routes: Option<&'a [String]>,
}
pub struct Compiled {
    pub mapping: Option<Mapping>,
    pub diagnostics: Diagnostics,
}
pub fn compile(_: &str, _: &str, _: &Surroundings<'_>) -> Compiled {
    Compiled { mapping: None, diagnostics: Diagnostics::default() }
}
pub fn json_schema() -> serde_json::Value {
    serde_json::Value::Null
}
