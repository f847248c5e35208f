//! Decision tables as a model: the embedded default, and the fallback of last resort.
//!
//! The first row whose condition holds gives the answer. Conditions are compiled against the mapping's record and
//! answers are checked against the mapping's answer when the table is opened: a table that opened can not give an
//! answer that the flow refuses. The format is described in `docs/decision-tables.md`.

mod answer;
mod file;
mod read;
mod scope;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use vestibule_core::{
    mapping::{
        diagnostic::{Diagnostics, SourceFile},
        syntax,
    },
    ports::{Model, ModelKind, ModelRequest},
};

pub use file::json_schema;
pub use read::check;
pub use table::Table;

use table::RulesModel;

/// Codes of mistakes in decision tables, with what each means and how to mend it. Conditions also report the codes of
/// the rule language.
pub const CODES: [(&str, &str, &str); 4] = [
    ("A201", "the decision table can not be read", "the path is relative to the file that names it"),
    (
        "A203",
        "an answer is not one of this flow",
        "write each field of the mapping's `ask: answer:`, as its type spells it",
    ),
    (
        "A204",
        "a row is never reached",
        "a row without `if` ends the table: put it last, or leave out `otherwise`",
    ),
    ("A205", "a table has no use or passes a limit", "see docs/decision-tables.md for the limits"),
];

/// The kind `rules`. Its setting is the path of a decision table.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rules;

impl ModelKind for Rules {
    fn kind(&self) -> &'static str {
        "rules"
    }

    fn open(&self, request: ModelRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Model>> {
        let span = &request.settings.span;
        let Some(path) = request.settings.text().filter(|path| !path.is_empty()) else {
            let title = "`rules` is the path of a decision table";
            diagnostics.push("A201", span, title, format!("this is {}", request.settings.what()));
            return None;
        };
        let bytes = match request.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let title = format!("the decision table `{path}` can not be read");
                diagnostics.push("A201", span, title, error.to_string());
                return None;
            }
        };
        let mut found = Diagnostics::default();
        let text = syntax::text_of(&bytes, &mut found).unwrap_or_default();
        let table = check(text, request.mapping, &mut found);
        if found.is_empty() {
            return table.map(|table| Arc::new(RulesModel::new(request.name, table)) as Arc<dyn Model>);
        }
        diagnostics.extend_from_file(found, SourceFile { path: path.to_owned(), text: text.to_owned() });
        None
    }
}
