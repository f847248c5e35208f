//! From the text of a decision table to its rows. All mistakes are reported in one pass.

use serde_json::{Map, Value};
use vestibule_core::{
    ask::AnswerCheck,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Ask, Mapping},
        shape,
        syntax::{self, Node},
    },
    rule::{Rule, Scope, Type},
};

use crate::{
    answer,
    file::TableFile,
    scope,
    table::{Row, Table},
};

/// Most rows of a table: every one may be tried for every record.
const MOST_ROWS: usize = 2000;
/// Most words of one list.
const MOST_WORDS: usize = 200;
/// Most characters of one word or phrase.
const LONGEST_WORD: usize = 60;

/// Reads a decision table for this mapping. `None` when it has a mistake; every one is in `diagnostics`.
pub fn check(text: &str, mapping: &Mapping, diagnostics: &mut Diagnostics) -> Option<Table> {
    let before = diagnostics.len();
    let root = syntax::parse(text, diagnostics)?;
    let _: Option<TableFile> = shape::read(&root, "decision table", diagnostics);
    let Some(ask) = &mapping.ask else {
        diagnostics.push("A205", &root.span, "the mapping asks nothing", "so no decision table can answer");
        return None;
    };
    let Ok(check) = AnswerCheck::compile(ask) else {
        diagnostics.push(
            "A205",
            &root.span,
            "the mapping's answer has no usable schema",
            "needed to check answers",
        );
        return None;
    };
    let mut scope = scope::of_record(&mapping.record);
    declare_lists(&mut scope, root.get("words"), diagnostics);
    let reader = Reader { scope, ask, check };
    let rows = reader.rows(root.get("rows"), diagnostics);
    let otherwise = root.get("otherwise").and_then(|node| reader.answer(node, diagnostics));
    reader.reach(&root, diagnostics);
    (diagnostics.len() == before).then_some(Table { rows, otherwise })
}

struct Reader<'m> {
    scope: Scope,
    ask: &'m Ask,
    check: AnswerCheck,
}

impl Reader<'_> {
    fn rows(&self, node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<Row> {
        let nodes = node.map(Node::items).unwrap_or_default();
        if let Some(first) = nodes.get(MOST_ROWS) {
            let title = format!("a table has at most {MOST_ROWS} rows");
            diagnostics.push("A205", &first.span, title, "the first row too many");
        }
        nodes.iter().take(MOST_ROWS).filter_map(|row| self.row(row, diagnostics)).collect()
    }

    /// Condition and answer are both checked, whatever is wrong with the other.
    fn row(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Row> {
        let condition = node.get("if").filter(|node| !node.is_blank());
        let compiled = condition.map(|node| self.condition(node, diagnostics));
        let answer = node.get("answer").and_then(|node| self.answer(node, diagnostics));
        let condition = match compiled {
            None => None,
            Some(rule) => Some(rule?),
        };
        Some(Row { condition, answer: answer? })
    }

    fn condition(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Rule> {
        let at = |range| node.sub(range);
        Rule::compile(node.text()?, &self.scope, Some(&Type::Bool), diagnostics, &at)
    }

    fn answer(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Map<String, Value>> {
        answer::read(node, self.ask, &self.check, diagnostics)
    }

    /// Refuses what stands behind a row that always holds.
    fn reach(&self, root: &Node, diagnostics: &mut Diagnostics) {
        let rows = root.get("rows").map(Node::items).unwrap_or_default();
        let always = |row: &&Node| row.get("if").is_none_or(Node::is_blank);
        let otherwise = root.entry("otherwise").map(|(key, _)| key);
        let Some(end) = rows.iter().position(|row| always(&row)) else {
            if rows.is_empty() && otherwise.is_none() {
                let title = "this table has no row and no `otherwise`";
                diagnostics.push("A205", &root.span, title, "it can never answer");
            }
            return;
        };
        let Some(ending) = rows.get(end) else { return };
        for unreached in rows.iter().skip(end + 1).chain(otherwise) {
            diagnostics
                .push("A204", &unreached.span, "this is never reached", "behind a row that always holds")
                .also(&ending.span, "this row has no `if`");
        }
    }
}

/// The lists under `words:`, checked; conditions may name them.
fn declare_lists(scope: &mut Scope, node: Option<&Node>, diagnostics: &mut Diagnostics) {
    for (key, list) in node.map(Node::entries).unwrap_or_default() {
        let name = key.text().unwrap_or_default();
        let is_name = name.starts_with(|it: char| it.is_ascii_lowercase())
            && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        if !is_name {
            let title = format!("`{name}` is not a name for a word list");
            diagnostics.push("A205", &key.span, title, "small letters, digits and _");
        }
        let words = list.items();
        let count = match words.len() {
            0 => Some(("this list is empty".to_owned(), "expected a word in it")),
            1..=MOST_WORDS => None,
            _ => Some((format!("a list has at most {MOST_WORDS} words"), "too many")),
        };
        if let Some((title, label)) = count {
            diagnostics.push("A205", &list.span, title, label);
        }
        let words: Vec<&str> =
            words.iter().take(MOST_WORDS).filter_map(|word| checked(word, diagnostics)).collect();
        scope.declare_words(name, words);
    }
}

/// A word that can be looked for.
fn checked<'n>(node: &'n Node, diagnostics: &mut Diagnostics) -> Option<&'n str> {
    let text = node.text()?.trim();
    let problem = match text {
        "" => "nothing is in every text",
        _ if text.chars().count() > LONGEST_WORD => "longer than 60 characters",
        _ if text.chars().any(char::is_control) => "it holds a character that can not be printed",
        _ => return Some(text),
    };
    diagnostics.push("A205", &node.span, "this can not be looked for", problem);
    None
}
