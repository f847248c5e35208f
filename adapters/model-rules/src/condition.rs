//! A row's condition: a rule in which the name of a word list stands for its words.
//!
//! The rule language knows lists as `['cash', 'no receipt']`. A named list is written out before the rule is compiled,
//! and every place in the written-out text is traced back, so that carets point at what stands in the file.

use indexmap::IndexMap;
use vestibule_core::{
    mapping::{
        diagnostic::{Diagnostics, Span},
        syntax::Node,
    },
    rule::{Rule, Scope, Type},
};

/// The lists under `words:`, each already written as the rule language writes lists.
pub(crate) type WordLists = IndexMap<String, String>;

/// Compiles a condition; every mistake is reported at its place in the file.
pub(crate) fn compile(
    node: &Node,
    scope: &Scope,
    words: &WordLists,
    diagnostics: &mut Diagnostics,
) -> Option<Rule> {
    let text = node.text()?;
    let written = write_out(text, words, |name, range| {
        let span = node.sub(range);
        diagnostics
            .push("A202", &span, format!("there is no word list `{name}`"), "not under `words:`")
            .suggest(name, &span, words.keys().map(String::as_str));
    });
    let at = |range: Span| node.sub(written.in_file(range));
    Rule::compile(&written.text, scope, Some(&Type::Bool), diagnostics, &at)
}

/// A condition with its word lists written out.
struct Written {
    text: String,
    /// Where each name stood, and where its words stand now.
    lists: Vec<(Span, Span)>,
}

impl Written {
    /// The place in the condition as it stands in the file. Words of a list are all at the list's name.
    fn in_file(&self, range: Span) -> Span {
        let start = self.trace(range.start, |name| name.start);
        let end = self.trace(range.end, |name| name.end);
        start..end.max(start)
    }

    fn trace(&self, position: usize, inside: impl Fn(&Span) -> usize) -> usize {
        let before = self.lists.iter().rev().find(|(_, list)| list.start < position);
        match before {
            None => position,
            Some((name, list)) if position < list.end => inside(name),
            Some((name, list)) => name.end + (position - list.end),
        }
    }
}

/// Puts the words in place of each name after `any of` and `all of`.
fn write_out(text: &str, words: &WordLists, mut unknown: impl FnMut(&str, Span)) -> Written {
    let mut written = Written { text: String::with_capacity(text.len()), lists: Vec::new() };
    let mut copied = 0;
    let mut before = ["", ""];
    for range in names(text) {
        let name = text.get(range.clone()).unwrap_or_default();
        let is_name = name.starts_with(|it: char| it.is_alphabetic() || it == '_');
        if is_name && matches!(before, ["any" | "all", "of"]) {
            let list = words.get(name).map_or_else(
                || {
                    unknown(name, range.clone());
                    // Some list, so that the rest of the condition is checked too.
                    "['x']"
                },
                String::as_str,
            );
            written.text.push_str(text.get(copied..range.start).unwrap_or_default());
            let start = written.text.len();
            written.text.push_str(list);
            copied = range.end;
            written.lists.push((range, start..written.text.len()));
        }
        before = [before[1], name];
    }
    written.text.push_str(text.get(copied..).unwrap_or_default());
    written
}

/// The names outside quotes. Anything but white space between two of them keeps them apart as an empty name.
fn names(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut start = None;
    for (at, it) in text.char_indices().chain([(text.len(), ' ')]) {
        if let Some(open) = quote {
            if it == open {
                quote = None;
            }
            continue;
        }
        let belongs = it.is_alphanumeric() || matches!(it, '_' | '.' | '-');
        match (start, belongs) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
        if !belongs && !it.is_whitespace() {
            found.push(at..at);
        }
        if matches!(it, '\'' | '"') {
            quote = Some(it);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> WordLists {
        WordLists::from([("bad".to_owned(), "['cash', 'again']".to_owned())])
    }

    #[test]
    fn names_of_lists_are_written_out_and_nothing_else_is() {
        for (text, expected, unknown) in [
            ("story contains any of bad", "story contains any of ['cash', 'again']", &[][..]),
            ("a contains all of bad and bad > 1", "a contains all of ['cash', 'again'] and bad > 1", &[]),
            ("story contains any of ['bad']", "story contains any of ['bad']", &[]),
            ("story contains any of bda", "story contains any of ['x']", &["bda"]),
            ("story == 'any of bad'", "story == 'any of bad'", &[]),
            ("any of\n  bad", "any of\n  ['cash', 'again']", &[]),
            ("bad of bad", "bad of bad", &[]),
            ("", "", &[]),
            ("any of 'not closed", "any of 'not closed", &[]),
        ] {
            let mut found = Vec::new();
            let written = write_out(text, &lists(), |name, _| found.push(name.to_owned()));
            assert_eq!(
                (written.text.as_str(), found.as_slice()),
                (expected, &unknown.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "input: {text:?}"
            );
        }
    }

    #[test]
    fn places_behind_and_inside_a_list_are_traced_back() {
        let text = "a contains any of bad or b contains any of bad and cc";
        let written = write_out(text, &lists(), |_, _| {});
        for (shown, expected) in
            [("a contains", "a contains"), ("'cash'", "bad"), ("or b", "or b"), ("cc", "cc")]
        {
            let start = written.text.find(shown).unwrap();
            let range = written.in_file(start..start + shown.len());
            assert_eq!(&text[range], expected, "input: {shown:?}");
        }
    }
}
